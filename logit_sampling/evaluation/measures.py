"""What can be measured of texts, by name; `seq_rep_4` is seq-rep-n with n = 4."""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from reprlib import repr as brief
from typing import Any

import numpy as np

from logit_sampling.evaluation.intervals import Estimate, estimate, leaving_out, means_of
from logit_sampling.evaluation.metrics import (
    entropy_of,
    longest_repeat,
    loops,
    numbered,
    rep_w,
    seq_rep_n,
    zipf_coefficient,
)
from logit_sampling.evaluation.texts import Text

Grid = Sequence[Sequence[Text | None]]
"""Texts [prompts][seeds], None where one is missing or failed."""

OfCounts = Callable[[np.ndarray, np.ndarray], float]

GROUP = 8  # texts of which self-BLEU compares each with the others


@dataclass(frozen=True)
class Measure:
    """A number of texts.

    It has one of `of_text`, `of_counts` and `of_group`, but for the frontier.

    Attributes:
        name: as it is asked for: `"seq_rep_4"`.
        meaning: one sentence for a legend.
        of_text: the number of a text, NaN where it has none.
        of_counts: that of all texts of a seed, from how often their n-grams are there, and how many
            of them are so often.
        of_group: that of a few texts.
        after: what is made of the mean over texts; None for the mean itself.
        n: length of the n-grams.
        share: whether it is a share of texts.
        least, most: what it cannot leave, nor its interval.
        digits: how many to show behind the point.
        scale: by what to multiply what is shown.
        unit: of what is shown.
    """

    name: str
    meaning: str
    of_text: Callable[[Text], float] | None = None
    of_counts: OfCounts | None = None
    of_group: Callable[[Sequence[Text]], float] | None = None
    after: Callable[[float], float] | None = None
    n: int = 1
    share: bool = False
    least: float = -math.inf
    most: float = math.inf
    digits: int = 2
    scale: float = 1.0
    unit: str = ""

    @property
    def pooled(self) -> bool:
        """Whether it is a number of several texts together, which depends on how many they are."""
        return self.of_counts is not None or self.of_group is not None

    @property
    def title(self) -> str:
        """Its name as a table has it: `"seq-rep-4"`."""
        return self.name.replace("_", "-")

    def estimate(self, values: np.ndarray, number: float) -> Estimate:
        """Return the number with its interval; see `values`."""
        found = estimate(values, number, self.share)
        if found.low is None or found.high is None:
            return found
        return replace(found, low=max(found.low, self.least), high=min(found.high, self.most))

    @property
    def prompts_per_unit(self) -> int:
        """Of how many prompts a unit of its intervals is."""
        return 1 if self.of_group is None else GROUP

    def values(self, grid: Grid) -> tuple[np.ndarray, float]:
        """Return a value for each prompt (or group of prompts) and seed, and the number itself.

        The mean of the values is the number, and they tell how well it is known; see `intervals`.

        Returns:
            floating point [prompts, seeds], NaN where a text is missing, and a float.
        """
        if self.of_counts is not None:
            return _of_counts(grid, self.of_counts, self.n)
        if self.of_group is not None:
            values = _of_groups(grid, self.of_group)
        else:
            assert self.of_text is not None
            values = np.array(
                [[math.nan if t is None else self.of_text(t) for t in row] for row in grid]
            )
        prompts = means_of(values)
        if self.after is None:
            return values, _mean(prompts)
        after, mean = self.after, _mean(prompts)
        there = ~np.isnan(prompts)
        known = prompts[there]

        def number(left_out: int | None) -> float:
            return after(_mean(known if left_out is None else np.delete(known, left_out)))

        new = np.full(len(prompts), math.nan)
        new[there] = leaving_out(number, known.size)
        slope = (after(mean + 1e-6) - after(mean)) / 1e-6  # for how the seeds of a prompt differ
        return new[:, None] + slope * (values - prompts[:, None]), number(None)


def _mean(values: np.ndarray) -> float:
    known = values[~np.isnan(values)]
    return float(known.mean()) if known.size else math.nan


def _of_groups(grid: Grid, number: Callable[[Sequence[Text]], float]) -> np.ndarray:
    """Return the number of each group of prompts for each seed, NaN where a text is missing.

    A group that is not whole has fewer texts to be alike, and counts for nothing.
    """
    size = min(GROUP, len(grid))
    values = np.full((-(-len(grid) // size), len(grid[0])), math.nan)
    for i, j in np.ndindex(values.shape):
        column = [row[j] for row in grid[i * size : (i + 1) * size]]
        there = [text for text in column if text is not None]
        if len(there) == size > 1:
            values[i, j] = number(there)
    return values


def _of_counts(grid: Grid, number: OfCounts, n: int) -> tuple[np.ndarray, float]:
    values = np.full((len(grid), len(grid[0])), math.nan)
    wholes = []
    for j in range(values.shape[1]):
        places = [i for i, row in enumerate(grid) if row[j] is not None]
        own = numbered([grid[i][j].token_ids for i in places], n)  # type: ignore[union-attr]
        if not any(ids.size for ids in own):
            continue
        total = np.bincount(np.concatenate(own))
        # Of 10,000 prompts few counts differ, so a text is left out of these, not of all kinds.
        counts, times = np.unique(total, return_counts=True)

        def without(
            left_out: int | None,
            own: Any = own,
            total: np.ndarray = total,
            counts: np.ndarray = counts,
            times: np.ndarray = times,
        ) -> float:
            if left_out is None:
                return number(counts, times)
            kinds, fewer = np.unique(own[left_out], return_counts=True)
            others = times - np.bincount(
                np.searchsorted(counts, total[kinds]), minlength=counts.size
            )
            return number(
                np.concatenate([counts, total[kinds] - fewer]),
                np.concatenate([others, np.ones_like(kinds)]),
            )

        values[places, j] = leaving_out(without, len(places))
        wholes.append(without(None))
    return values, _mean(np.array(wholes))


def _distinct(counts: np.ndarray, times: np.ndarray) -> float:
    total = (counts * times).sum()
    return times[counts > 0].sum() / total if total else math.nan


def self_bleu(texts: Sequence[str]) -> float:
    """Return the mean BLEU-4 of each text against the others, in [0, 1]: how alike they are.

    Zhu et al., Texygen, 2018, arXiv 1802.01886; by sacrebleu, sentence by sentence, smoothed
    exponentially. It grows with the number of texts.

    Args:
        texts: at least two.

    Raises:
        ImportError: sacrebleu is not installed; `measure` tells so first.
    """
    from sacrebleu.metrics import BLEU

    bleu = BLEU(effective_order=True)
    scores = [
        bleu.sentence_score(text, [t for j, t in enumerate(texts) if j != i]).score
        for i, text in enumerate(texts)
    ]
    return math.fsum(scores) / len(scores) / 100


def _self_bleu(texts: Sequence[Text]) -> float:
    if any(text.text is None for text in texts):
        return math.nan
    return self_bleu([text.text or "" for text in texts])


def _mean_of(values: Sequence[float] | None) -> float:
    return math.fsum(values) / len(values) if values else math.nan


_OF_N: dict[str, Callable[[int], Measure]] = {
    "seq_rep": lambda n: Measure(
        "", f"share of {n}-grams that repeat an earlier one of the same text",
        of_text=lambda t: seq_rep_n(t.token_ids, n) if len(t.token_ids) >= n else math.nan,
        least=0, most=1,
    ),
    "rep": lambda n: Measure(
        "", f"share of tokens that are among the {n} before them",
        of_text=lambda t: rep_w(t.token_ids, n), least=0, most=1,
    ),
    "distinct": lambda n: Measure(
        "", f"share of {n}-grams that are different, over all texts of a seed",
        of_counts=_distinct, n=n, least=0, most=1,
    ),
    "entropy": lambda n: Measure(
        "", f"entropy of the {n}-grams of all texts of a seed, in nats",
        of_counts=entropy_of, n=n, least=0,
    ),
}  # fmt: skip

_MEASURES = {
    measure.name: measure
    for measure in (
        Measure(
            "longest_repeat", "length in tokens of the longest sequence that comes twice in a text",
            of_text=lambda t: longest_repeat(t.token_ids), least=0, digits=1,
        ),
        Measure(
            "looping", "share of texts that end in a phrase said three times or more",
            of_text=lambda t: float(loops(t.token_ids)), share=True, least=0, most=1,
        ),
        Measure(
            "zipf", "Zipf coefficient of the tokens: how fast their frequency falls with the rank",
            of_counts=lambda counts, times: zipf_coefficient(counts, times=times), least=0,
        ),
        Measure("log_prob", "mean log-probability of a token under the model, in nats",
                of_text=lambda t: t.log_prob),
        Measure("perplexity", "exp(-log-prob), of texts of equal weight",
                of_text=lambda t: t.log_prob,
                after=lambda mean: math.exp(min(-mean, 700)), least=1),
        Measure("judge_log_prob", "mean log-probability of a token under the judge, in nats",
                of_text=lambda t: math.nan if t.judge is None else t.judge),
        Measure("judge_perplexity", "exp(-judge-log-prob), of texts of equal weight",
                of_text=lambda t: math.nan if t.judge is None else t.judge,
                after=lambda mean: math.exp(min(-mean, 700)), least=1),
        Measure("kept", "tokens that the sampler leaves, mean over the steps", digits=0,
                of_text=lambda t: _mean_of(t.kept), least=1),
        Measure("step_entropy", "entropy of what the sampler leaves, mean over the steps, in nats",
                of_text=lambda t: _mean_of(t.entropies), least=0),
        Measure("length", "tokens of a text", of_text=lambda t: len(t.token_ids), digits=0),
        Measure("ended", "share of texts that an end token ended",
                of_text=lambda t: float(t.finish_reason == "end_token"),
                share=True, least=0, most=1),
        Measure("self_bleu",
                f"mean BLEU-4 of a text against others, in whole groups of {GROUP} prompts",
                of_group=_self_bleu, least=0, most=1),
        Measure(  # of the clusters of all texts: `Comparison` has its values
            "frontier",
            "area under the divergence frontier to the human texts, 1 for equal (MAUVE-like)",
            least=0, most=1,
        ),
    )
}  # fmt: skip

DEFAULT = ("seq_rep_4", "distinct_1", "distinct_2", "perplexity")
measure_names = (*(f"{name}_N" for name in _OF_N), *_MEASURES)
Metric = Callable[[str | None, Sequence[int]], float]
"""A measure of one's own: a text (None without a tokenizer) and its token ids to a number."""


_TAKEN = {"name", "sampler", "model", "settings", "texts", "grid", "failed", "number", "values"}
_TAKEN |= {"of", "steps", "seconds_per_token"}  # of a result, or of its row


def _own(name: str, metric: Metric) -> Callable[[Text], float]:
    """Return what a metric says of a text, or raise a ValueError that names it."""
    plain = _plain(name)
    if plain in _TAKEN or _known(plain):
        raise ValueError(f"metric {name!r} has a name that is taken: give it another one")

    def of_text(text: Text) -> float:
        try:
            return float(metric(text.text, text.token_ids))
        except Exception as error:
            shown = brief(text.token_ids if text.text is None else text.text)
            raise ValueError(
                f"metric {name!r} gives no number for {shown} (prompt {text.prompt_id!r}, sampler "
                f"{text.sampler!r}): {type(error).__name__}: {error}"
            ) from error

    return of_text


def _plain(name: str) -> str:
    return name.strip().lower().replace("-", "_")


def _known(plain: str) -> Measure | None:
    """Return one of ours."""
    if plain in _MEASURES:
        return _MEASURES[plain]
    found = re.fullmatch(r"(.+)_(\d+)", plain)
    if found and found[1] in _OF_N and int(found[2]) > 0:
        return replace(_OF_N[found[1]](int(found[2])), name=plain)
    return None


def measure(name: str, own: Mapping[str, Metric] | None = None) -> Measure:
    """Return a measure by its name, a hyphen as good as an underscore.

    Args:
        name: such as `"seq_rep_4"`.
        own: measures of one's own by name, spelt likewise.

    Raises:
        ValueError: there is none of that name, or one's own has the name of another one.

    >>> measure("distinct-2").meaning
    'share of 2-grams that are different, over all texts of a seed'
    >>> measure("words", {"words": lambda text, ids: len(text.split())}).name
    'words'
    """
    spelt = name.replace("-", "_")
    for key, metric in (own or {}).items():
        if key.replace("-", "_") == spelt:
            return Measure(spelt, "a measure of one's own", of_text=_own(key, metric))
    plain = _plain(name)
    if plain == "self_bleu" and find_spec("sacrebleu") is None:  # told before texts are written
        raise ValueError('self-bleu needs sacrebleu: pip install "logit-sampling[compare]"')
    if (known := _known(plain)) is not None:
        return known
    from logit_sampling.settings.elsewhere import closest

    guess = closest(plain, [*_MEASURES, *(f"{n}_4" for n in _OF_N)], cutoff=0.6)
    hint = f"; did you mean {guess!r}?" if guess else ""
    raise ValueError(f"no measure {name!r}{hint}; there are {', '.join(measure_names)}")
