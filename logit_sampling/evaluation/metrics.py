"""Numbers that describe generated texts: how much they repeat, and how diverse they are."""

import math
from collections.abc import Iterable, Sequence

import numpy as np


def _ngrams(token_ids: Sequence[int], n: int) -> Iterable[tuple[int, ...]]:
    if n < 1:
        raise ValueError(f"n must be at least 1, got {n}")
    ids = [int(token) for token in token_ids]
    return zip(*(ids[start:] for start in range(n)), strict=False)


def seq_rep_n(token_ids: Sequence[int], n: int = 4) -> float:
    """Share of the n-grams of one text that repeat an earlier n-gram of it.

    `1 - distinct n-grams / n-grams`, the seq-rep-n of Welleck et al., Neural Text Generation with
    Unlikelihood Training, 2019, arXiv 1908.04319. 0 is a text without any repetition; a text that
    turns in one loop comes close to 1.

    Args:
        token_ids: the ids of one text, a sequence of ints; leave out the prompt.
        n: length of the n-grams in tokens, at least 1.

    Returns:
        A float in [0, 1). A text shorter than n has no n-gram that could repeat: 0.

    Raises:
        ValueError: n is below 1.

    >>> seq_rep_n([5, 6, 5, 6, 5, 6], n=2)          # 56 65 56 65 56: three of five come again
    0.6
    """
    ngrams = list(_ngrams(token_ids, n))
    return 1 - len(set(ngrams)) / len(ngrams) if ngrams else 0.0


def distinct_n(texts: Iterable[Sequence[int]], n: int) -> float:
    """Distinct n-grams of several texts together, as a share of all their n-grams.

    The distinct-n of Li et al., A Diversity-Promoting Objective Function for Neural Conversation
    Models, 2016, arXiv 1510.03055, which divides by the number of tokens: equal to this for n = 1,
    and larger here by the factor length / (length - n + 1) otherwise, so that 1 always means that
    nothing is said twice. It falls as texts are added or grow: compare as many of equal length.

    Args:
        texts: the ids of each text, sequences of ints. No n-gram crosses from one into another.
        n: length of the n-grams in tokens, at least 1.

    Returns:
        A float in (0, 1], or NaN when no text has n tokens.

    Raises:
        ValueError: n is below 1.

    >>> distinct_n([[1, 2, 3], [1, 2, 4]], n=2)     # 12 23 12 24: three distinct of four
    0.75
    """
    ngrams = [ngram for token_ids in texts for ngram in _ngrams(token_ids, n)]
    return len(set(ngrams)) / len(ngrams) if ngrams else math.nan


def rep_w(token_ids: Sequence[int], w: int = 16) -> float:
    """Share of the tokens of one text that occur among the `w` tokens before them.

    The rep-w of Fu et al., A Theoretical Analysis of the Repetition Problem in Text Generation,
    2021, arXiv 2012.14660.

    Args:
        token_ids: the ids of one text, a sequence of ints; leave out the prompt.
        w: how many tokens back to look, at least 1.

    Returns:
        A float in [0, 1), 0 for an empty text.

    Raises:
        ValueError: w is below 1.

    >>> rep_w([1, 2, 1, 3, 3], w=2)                 # the second 1 and the second 3
    0.4
    """
    if w < 1:
        raise ValueError(f"w must be at least 1, got {w}")
    ids = list(token_ids)
    repeated = sum(token in ids[max(0, i - w) : i] for i, token in enumerate(ids))
    return repeated / len(ids) if ids else 0.0


def longest_repeat(token_ids: Sequence[int]) -> int:
    """Length in tokens of the longest sequence that occurs twice in one text; both may overlap.

    Args:
        token_ids: the ids of one text, a sequence of ints; leave out the prompt.

    Returns:
        An int from 0 (no token occurs twice) to one less than the length of the text.

    >>> longest_repeat([7, 1, 2, 3, 9, 1, 2, 3, 8]), longest_repeat([5, 5, 5, 5])
    (3, 3)
    """
    ids = np.asarray(token_ids, np.int64)
    longest, same = 0, np.zeros(ids.size + 1, np.int64)
    for place in range(1, ids.size):  # same[j + 1]: how many tokens up to here are those up to j
        same[1 : place + 1] = np.where(ids[:place] == ids[place], same[:place] + 1, 0)
        longest = max(longest, int(same.max()))
    return longest


def loops(token_ids: Sequence[int], times: int = 3, least: int = 2) -> bool:
    """Whether one text ends in a loop: a phrase that is there at least three times in a row.

    What Holtzman et al., The Curious Case of Neural Text Degeneration, 2020, arXiv 1904.09751,
    count as repetition: a phrase of at least two tokens, three times at the end of a text.

    Args:
        token_ids: the ids of one text, a sequence of ints; leave out the prompt.
        times: how often the phrase comes, at least 2.
        least: how many tokens it has, at least 1.

    Raises:
        ValueError: a number below those.

    >>> loops([9, 4, 5, 4, 5, 4, 5]), loops([9, 4, 5, 4, 5]), loops([7, 7, 7, 7, 7, 7])
    (True, False, True)
    """
    if times < 2 or least < 1:
        raise ValueError(f"times must be at least 2 and least at least 1, got {times} and {least}")
    ids = list(token_ids)
    return any(
        ids[len(ids) - size * times :] == ids[len(ids) - size :] * times
        for size in range(least, len(ids) // times + 1)
    )


def entropy_of(counts: np.ndarray, times: np.ndarray | None = None) -> float:
    """Entropy in nats of what was counted, such as n-grams: Shannon's of the shares.

    As an estimate of the entropy of what the texts come from it is too low, the more the fewer
    texts there are: compare as many of equal length.

    Args:
        counts: ints from 0 on, [kinds].
        times: how many kinds have each count, if not one, [kinds].

    Returns:
        A float, NaN where nothing was counted.

    >>> round(entropy_of(np.array([2, 1, 1, 0])) / math.log(2), 6)
    1.5
    >>> round(entropy_of(np.array([2, 1]), np.array([1, 2])) / math.log(2), 6)
    1.5
    """
    counts, times = _counted(counts, times)
    total = (times * counts).sum()
    if not total:
        return math.nan
    shares = counts / total
    return float(-(times * shares * np.log(shares)).sum())


def zipf_coefficient(
    counts: np.ndarray, ranks: int = 5000, times: np.ndarray | None = None
) -> float:
    """How steeply the frequency of tokens falls with their rank: s in frequency = c / rank ** s.

    The slope of a straight line through the logarithms of rank and frequency, by least squares, as
    Holtzman et al., 2020, arXiv 1904.09751, fit it (of words; here of what was counted). Flatter,
    nearer 0, is a vocabulary that is used more evenly. It depends on the number of tokens.

    Args:
        counts: ints from 0 on, [kinds].
        ranks: how many of the most frequent count, at least 2.
        times: how many kinds have each count, if not one, [kinds].

    Returns:
        A float, NaN with fewer than two kinds.

    >>> round(zipf_coefficient(np.array([1200, 600, 400, 300])), 6)
    1.0
    """
    counts, times = _counted(counts, times)
    order = np.argsort(-counts)
    ends = np.minimum(np.cumsum(times[order]), ranks)
    if not ends.size or ends[-1] < 2:
        return math.nan
    rank = np.log(np.arange(1, ends[-1] + 1))
    rank -= rank.mean()
    sums = np.diff(np.cumsum(rank)[ends - 1], prepend=0.0)  # over the ranks of one count
    return float(-(sums * np.log(counts[order])).sum() / (rank * rank).sum())


def _counted(counts: np.ndarray, times: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Return the counts above 0, and how many kinds have each."""
    times = np.ones_like(counts) if times is None else times
    there = (counts > 0) & (times > 0)
    return counts[there], times[there]


def numbered(texts: Iterable[Sequence[int]], n: int) -> list[np.ndarray]:
    """Return the n-grams of each text as numbers, which say which of all n-grams it is.

    >>> numbered([[1, 2, 1], [2, 3]], 1)
    [array([0, 1, 0]), array([1, 2])]
    """
    kinds: dict[tuple[int, ...], int] = {}
    return [
        np.array([kinds.setdefault(ngram, len(kinds)) for ngram in _ngrams(ids, n)], np.int64)
        for ids in texts
    ]
