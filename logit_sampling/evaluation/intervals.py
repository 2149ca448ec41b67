"""How well a number is known: intervals, paired differences, and how many prompts would do.

All start from one value for each prompt and seed, [prompts, seeds], NaN where a text is missing.
Prompts are what was drawn from a population, and the seeds of one prompt belong together, so with
enough prompts a prompt is one unit, its value the mean over its seeds. With fewer prompts, but
enough texts, a text is a unit, its value what it differs from the mean of its prompt: that tells
how well the number is known for these prompts, and nothing of others.

A number of all texts together (distinct-n) becomes values by the jackknife (Tukey, 1958): what
leaving out a prompt changes. So one way to resample serves all numbers. Resampling the prompts
themselves would not do: one that is drawn twice repeats all of its n-grams.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

UNITS = 20  # from so many on the intervals cover what they say: see tests/evaluation
_RESAMPLES = 2000
_FLIPS = 5000
_AT_ONCE = 1 << 20  # numbers that are drawn
Over = Literal["prompts", "texts"]


@dataclass(frozen=True)
class Estimate:
    """A number and its 95 % interval.

    Attributes:
        mean: the number: a mean over prompts, or that of all texts together.
        low, high: ends of the interval; None where it is not known: fewer than 20 units, or
            all of one value, or prompts whose numbers of texts differ much.
        units: of how many values the interval was made.
        over: what a unit is: `"prompts"`, or `"texts"` of these prompts.
    """

    mean: float
    low: float | None = None
    high: float | None = None
    units: int = 1
    over: Over = "prompts"

    def format(self, digits: int, scale: float = 1.0) -> str:
        """Write `mean [low, high]`, or the mean alone where there is no interval, or "-" for none.

        >>> Estimate(0.5, 0.45, 0.56, 30).format(2), Estimate(0.5).format(2)
        ('0.50 [0.45, 0.56]', '0.50')
        """
        mean = "-" if math.isnan(self.mean) else f"{self.mean * scale:.{digits}f}"
        interval = self.interval(digits, scale)
        return f"{mean} [{interval}]" if interval else mean

    def interval(self, digits: int, scale: float = 1.0) -> str:
        """Write `low, high`; nothing where there is no interval."""
        if self.low is None or self.high is None:
            return ""
        return f"{self.low * scale:.{digits}f}, {self.high * scale:.{digits}f}"


@dataclass(frozen=True)
class Difference:
    """How a number of one sampler differs from that of another, on the same prompts and draws.

    Attributes:
        name: the sampler.
        baseline: the other.
        measure: what was measured.
        estimate: the number of the sampler less that of the baseline.
        p: how often differences as great would come of two samplers that do not differ: the share
            of ways to give each unit's difference a sign whose mean is at least as far from 0.
            None where there are too few units.
        corrected: the same, corrected for all comparisons that were made together (Holm, 1979).
        deviation: standard deviation of the difference between units.
        prompts_per_unit: of how many prompts a unit is: 1, but for self-BLEU.
    """

    name: str
    baseline: str
    measure: str
    estimate: Estimate
    p: float | None = None
    corrected: float | None = None
    deviation: float = math.nan
    prompts_per_unit: int = 1

    def __str__(self) -> str:
        """Write it on a line.

        >>> print(Difference("a", "b", "seq_rep_4", Estimate(0.1, 0.05, 0.16, 30), 2e-4, 8e-4))
        a less b, seq_rep_4: 0.100 [0.050, 0.160], p < 0.001
        """
        line = f"{self.name} less {self.baseline}, {self.measure}: {self.estimate.format(3)}"
        p = self.corrected
        return line + ("" if p is None else f", p = {p:.3f}" if p >= 1e-3 else ", p < 0.001")

    def needed(self, difference: float, power: float = 0.8) -> int:
        """Return how many prompts such as these would show a difference of a given size.

        With so many, 95 % intervals leave out 0 in a share `power` of all comparisons. Where units
        are texts, it is how many texts of these prompts.

        Args:
            difference: the size to see, in the measure's unit, not 0.
            power: in (0, 1).

        Raises:
            ValueError: a difference of 0, a power out of range, or a deviation that is not known.

        >>> d = Difference("a", "b", "seq_rep_4", Estimate(0.1), deviation=0.2)
        >>> d.needed(0.05), d.needed(0.1)
        (126, 32)
        """
        from scipy.special import ndtri

        if difference == 0 or not 0 < power < 1:
            raise ValueError(
                f"difference must not be 0 and power in (0, 1), got {difference!r}, {power!r}"
            )
        if not np.isfinite(self.deviation):
            raise ValueError(f"how {self.measure} differs is known of too few units to tell")
        quantiles = float(ndtri(0.975) + ndtri(power))
        units = max(1, math.ceil((quantiles * self.deviation / difference) ** 2))
        return units * self.prompts_per_unit


def means_of(values: np.ndarray) -> np.ndarray:
    """Return the mean of each row over what is known of it, NaN if nothing is."""
    known = ~np.isnan(values)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(known, values, 0.0).sum(1) / known.sum(1)


def units_of(values: np.ndarray) -> tuple[np.ndarray, Over, float]:
    """Return the values of the units, [units], what these are, and their degrees of freedom.

    The variance of the units' mean is that of the number, however many texts a prompt has: texts
    of few count for more, since each prompt counts the same. The degrees of freedom are then
    Satterthwaite's (1946), for texts that spread alike with each prompt; 0 where there is no
    interval: below 20 units, or texts that tell as little, as where a prompt has one alone.

    Args:
        values: floating point [prompts, seeds], NaN where a text is missing.
    """
    known = ~np.isnan(values)
    texts = known.sum(1)
    values, known, texts = (own[texts > 0] for own in (values, known, texts))
    prompts = means_of(values)
    units, freedom, groups = prompts, prompts.size - 1.0, 1
    over: Over = "prompts"
    if prompts.size < UNITS and (texts > 1).any():
        total, pairs = texts.sum(), np.maximum(texts * (texts - 1.0), 1e-9)
        scale = np.sqrt(total * (total - 1) / pairs) / prompts.size
        with np.errstate(invalid="ignore"):  # of -inf
            deviations = (values - prompts[:, None]) * scale[:, None]
        units, over, groups = deviations[known] + prompts.mean(), "texts", prompts.size
        freedom = float((1 / texts).sum() ** 2 / (1 / (texts * pairs)).sum())
    if freedom + groups < UNITS - 1e-9 or not np.isfinite(units).all():
        freedom = 0.0
    return units, over, freedom


def estimate(values: np.ndarray, mean: float | None = None, share: bool = False) -> Estimate:
    """Return the mean of values, [prompts, seeds], and its interval.

    The interval is a bootstrap's, bias-corrected and accelerated (Efron, 1987), at the level that
    makes up for few units as Student's t does (Hesterberg, 2015); that of a share of texts is
    Wilson's (1927) where each prompt has one.

    Args:
        values: floating point [prompts, seeds], NaN where a text is missing.
        mean: the number, if it is known better.
        share: whether values are 0 or 1.

    >>> import numpy as np
    >>> estimate(np.arange(100.0)[:, None]).format(1)
    '49.5 [43.8, 55.1]'
    """
    units, over, freedom = units_of(values)
    if not units.size:
        return Estimate(float("nan") if mean is None else mean, units=0)
    centre = float(units.mean()) if mean is None else mean
    low, high = _interval(units, freedom, share) if freedom else (None, None)
    return Estimate(centre, low, high, units.size, over)


def _interval(units: np.ndarray, freedom: float, share: bool) -> tuple[float | None, float | None]:
    from scipy import stats

    count = units.size
    if share and np.isin(units, (0.0, 1.0)).all():
        interval = stats.binomtest(int(units.sum()), count).proportion_ci(0.95, "wilson")
        return float(interval.low), float(interval.high)
    if np.ptp(units) < 1e-12 * max(1.0, abs(units).max()):
        return None, None
    return bca(units, float(stats.t.ppf(0.975, freedom) * np.sqrt(count / (count - 1))))


def bca(units: np.ndarray, width: float) -> tuple[float, float]:
    """Return the ends of Efron's (1987) bootstrap interval of a mean, in memory that is bounded.

    It is scipy's, with the same resamples, but for a matrix of all units by all units there.

    Args:
        units: floating point [units], not all of one value.
        width: half of it, in standard deviations of a normal distribution.
    """
    from scipy.special import ndtr, ndtri

    rng, count = np.random.default_rng(0), units.size
    means = np.concatenate(
        [units[rng.integers(0, count, (rows, count))].mean(1) for rows in _rows(_RESAMPLES, count)]
    )
    bias = ndtri(((means < units.mean()).mean() + (means <= units.mean()).mean()) / 2)
    deviations = units - units.mean()
    acceleration = (deviations**3).sum() / (6 * (deviations**2).sum() ** 1.5)
    z = bias + np.array([-width, width])
    low, high = np.quantile(means, ndtr(bias + z / (1 - acceleration * z)))
    return float(low), float(high)


def _rows(times: int, count: int) -> Iterator[int]:
    """Yield how many of so many rows of `count` numbers to make at once."""
    step = max(1, _AT_ONCE // count)
    for first in range(0, times, step):
        yield min(step, times - first)


def difference(
    name: str,
    baseline: str,
    measure: str,
    own: np.ndarray,
    other: np.ndarray,
    prompts_per_unit: int = 1,
) -> Difference:
    """Return how two samplers differ in a measure; values as in `estimate`, of the same prompts.

    One of them may have one value a prompt, since no seed changes it. The p-value is not corrected.
    """
    values = own - other
    units, _, freedom = units_of(values)
    found = Difference(name, baseline, measure, estimate(values), prompts_per_unit=prompts_per_unit)
    if not freedom:
        return found
    if not np.any(units):  # the same texts, as an observation, not as a law
        return replace(found, p=1.0, deviation=0.0)
    return replace(found, p=sign_flips(units), deviation=float(units.std(ddof=1)))


def sign_flips(units: np.ndarray) -> float:
    """Return the share of ways to sign differences whose mean is at least as far from 0.

    Of signs that are drawn evenly none comes so far where the share is small. So they are drawn to
    lean towards what was seen, and each way counts for as much as it is likelier without that:
    importance sampling by exponential tilting (Siegmund, 1976). It tells a small share as well as a
    large one, to 2 or 3 % of itself.

    Args:
        units: floating point [units].

    >>> round(sign_flips(np.full(11, 0.5)) * 2 ** 10, 6)
    1.0
    """
    from scipy.optimize import brentq
    from scipy.special import expit

    sizes = abs(units)
    sizes = sizes[sizes > 1e-10 * sizes.max()]
    far = abs(units.sum()) / sizes.max() if sizes.size else 0.0
    if far < 1e-9:
        return 1.0
    sizes = sizes / sizes.max()
    most = 20 / sizes.min()  # with this lean all signs are those that were seen

    def short(lean: float) -> float:
        return float((sizes * np.tanh(lean * sizes)).sum() - far)

    lean = brentq(short, 0, most, maxiter=500) if short(most) > 1e-9 * far else most
    chances = expit(2 * lean * sizes)
    scale = (lean * sizes + np.log1p(np.exp(-2 * lean * sizes)) - math.log(2)).sum()
    rng, found = np.random.default_rng(0), 0.0
    for rows in _rows(_FLIPS, sizes.size):
        signed = 2 * (rng.random((rows, sizes.size), np.float32) < chances) @ sizes - sizes.sum()
        reached = signed[signed >= far * (1 - 1e-9)]
        found += float(np.exp(scale - lean * reached).sum())
    return min(1.0, 2 * found / _FLIPS)


def corrected(differences: list[Difference]) -> list[Difference]:
    """Return differences with p-values corrected for their number, as Holm (1979) does.

    >>> [d.corrected for d in corrected([
    ...     Difference("a", "b", "x", Estimate(1.0), p) for p in (0.01, 0.04, 0.5)])]
    [0.03, 0.08, 0.5]
    """
    ranked = sorted((d.p, i) for i, d in enumerate(differences) if d.p is not None)
    greatest, found = 0.0, list(differences)
    for rank, (p, i) in enumerate(ranked):
        greatest = max(greatest, min(1.0, p * (len(ranked) - rank)))
        found[i] = replace(differences[i], corrected=greatest)
    return found


def leaving_out(number: Callable[[int | None], float], prompts: int) -> np.ndarray:
    """Return values of the prompts for a number of all texts together, [prompts].

    Their mean is the number, and they differ as its pseudo-values do.

    Args:
        number: the number without a prompt, by its place, or (None) with all.
        prompts: how many there are.

    >>> leaving_out(lambda left_out: {None: 2.0, 0: 1.0, 1: 2.0}[left_out], 2)
    array([2.5, 1.5])
    """
    whole = number(None)
    if prompts < 2:
        return np.full(prompts, whole)
    without = np.array([number(place) for place in range(prompts)])
    return whole + (prompts - 1) * (without.mean() - without)
