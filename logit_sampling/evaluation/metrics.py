"""Numbers that describe generated texts: repetition, diversity, and their spread over seeds."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev


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


@dataclass(frozen=True)
class Estimate:
    """A mean over runs with different seeds, and how far the runs lie apart.

    Attributes:
        mean: mean over the runs.
        spread: sample standard deviation over the runs (divisor runs - 1); 0 for a single run.
        runs: number of runs; greedy decoding has one, since no seed changes it.
    """

    mean: float
    spread: float
    runs: int

    @classmethod
    def of(cls, values: Sequence[float]) -> "Estimate":
        """Summarise one value a run.

        >>> Estimate.of([1.0, 2.0, 3.0])
        Estimate(mean=2.0, spread=1.0, runs=3)
        """
        return cls(fmean(values), stdev(values) if len(values) > 1 else 0.0, len(values))

    def format(self, digits: int, scale: float = 1.0) -> str:
        """Write `mean ± spread`, or the mean alone when there is one run and so no spread to know.

        >>> Estimate(0.5, 0.04, 3).format(2), Estimate(0.5, 0.0, 1).format(2)
        ('0.50 ± 0.04', '0.50')
        """
        mean = f"{self.mean * scale:.{digits}f}"
        return f"{mean} ± {self.spread * scale:.{digits}f}" if self.runs > 1 else mean
