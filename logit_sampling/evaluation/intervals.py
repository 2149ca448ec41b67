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

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

UNITS = 20  # from so many on the intervals cover what they say: see tests/evaluation
_RESAMPLES = 2000
Over = Literal["prompts", "texts"]


@dataclass(frozen=True)
class Estimate:
    """A number and its 95 % interval.

    Attributes:
        mean: the number: a mean over prompts, or that of all texts together.
        low, high: ends of the interval; None where it is not known: fewer than 20 units, or
            all of one value.
        units: of how many values the interval was made.
        over: what a unit is: `"prompts"`, or `"texts"` of these prompts.
    """

    mean: float
    low: float | None = None
    high: float | None = None
    units: int = 1
    over: Over = "prompts"

    def format(self, digits: int, scale: float = 1.0) -> str:
        """Write `mean [low, high]`, or the mean alone where there is no interval.

        >>> Estimate(0.5, 0.45, 0.56, 30).format(2), Estimate(0.5).format(2)
        ('0.50 [0.45, 0.56]', '0.50')
        """
        mean = f"{self.mean * scale:.{digits}f}"
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
            None where there is no interval.
        corrected: the same, corrected for all comparisons that were made together (Holm, 1979).
        deviation: standard deviation of the difference between units.
    """

    name: str
    baseline: str
    measure: str
    estimate: Estimate
    p: float | None = None
    corrected: float | None = None
    deviation: float = float("nan")

    def needed(self, difference: float, power: float = 0.8) -> int:
        """Return how many units such as these (prompts) would show a difference of a given size.

        With so many, 95 % intervals leave out 0 in a share `power` of all comparisons.

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
        return int(np.ceil((quantiles * self.deviation / difference) ** 2))


def units_of(values: np.ndarray) -> tuple[np.ndarray, Over]:
    """Return the values of the units, [units], and what these are.

    Args:
        values: floating point [prompts, seeds], NaN where a text is missing.
    """
    known = ~np.isnan(values)
    there = known.any(1)
    prompts = np.array(
        [row[own].mean() for row, own in zip(values, known, strict=True) if own.any()]
    )
    texts = known.sum(1)
    if there.sum() >= UNITS or not (texts > 1).any():
        return prompts, "prompts"
    several = texts > 1  # the deviations of n values from their mean are too small by (n - 1) / n
    inflated = [
        (row[own] - row[own].mean()) * np.sqrt(own.sum() / (own.sum() - 1))
        for row, own in zip(values[several], known[several], strict=True)
    ]
    return np.concatenate(inflated) + prompts.mean(), "texts"


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
    units, over = units_of(values)
    if not units.size:
        return Estimate(float("nan") if mean is None else mean, units=0)
    centre = float(units.mean()) if mean is None else mean
    if units.size < UNITS or not np.isfinite(units).all():
        return Estimate(centre, units=units.size, over=over)
    low, high = _interval(units, share)
    return Estimate(centre, low, high, units.size, over)


def _interval(units: np.ndarray, share: bool) -> tuple[float | None, float | None]:
    from scipy import stats

    count = units.size
    if share and np.isin(units, (0.0, 1.0)).all():
        interval = stats.binomtest(int(units.sum()), count).proportion_ci(0.95, "wilson")
        return float(interval.low), float(interval.high)
    if np.ptp(units) < 1e-12 * max(1.0, abs(units).max()):
        return None, None
    wider = stats.t.ppf(0.975, count - 1) * np.sqrt(count / (count - 1))
    found = stats.bootstrap(
        (units,),
        np.mean,
        confidence_level=1 - 2 * stats.norm.cdf(-wider),
        n_resamples=_RESAMPLES,
        method="BCa",
        vectorized=True,
        rng=np.random.default_rng(0),
    ).confidence_interval
    return float(found.low), float(found.high)


def difference(
    name: str, baseline: str, measure: str, own: np.ndarray, other: np.ndarray
) -> Difference:
    """Return how two samplers differ in a measure; values as in `estimate`, of the same prompts.

    One of them may have one value a prompt, since no seed changes it. The p-value is not corrected.
    """
    values = own - other
    units, _ = units_of(values)
    found = estimate(values)
    same = units.size >= UNITS and not np.any(units)
    if same:  # the same texts, as an observation, not as a law
        return Difference(name, baseline, measure, found, 1.0, None, 0.0)
    if found.low is None:
        return Difference(name, baseline, measure, found)
    deviation = float(units.std(ddof=1))
    return Difference(name, baseline, measure, found, _sign_flips(units), None, deviation)


def _sign_flips(units: np.ndarray, times: int = 20_000) -> float:
    """Return the share of ways to sign differences whose mean is at least as far from 0."""
    signs = np.random.default_rng(0).integers(0, 2, (times, units.size), np.int8)
    sums = 2 * (signs.astype(np.float32) @ units.astype(np.float32)) - units.sum()
    least = abs(units.sum()) * (1 - 1e-5)
    return float((1 + np.count_nonzero(abs(sums) >= least)) / (1 + times))


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
