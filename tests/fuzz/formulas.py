"""The formulas of the strategies in float64 NumPy, and how far rounding may move each cut.

Nothing here is shared with the library but what it says that it forgives at a cut.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from tests.fuzz.rows import Row

AT_A_SUM, AT_AN_ENTROPY, AT_A_COIN = 16, 1e-12, 1e-12  # what the library says that it forgives


@dataclass(frozen=True)
class Cut:
    """What a rule keeps, and what else rounding excuses."""

    row: Row
    exact: np.ndarray  # bool [vocab]
    excused: Callable[[np.ndarray], bool]


def _mask(row: Row, ids: np.ndarray) -> np.ndarray:
    mask = np.zeros(row.values.size, bool)
    mask[ids] = True
    return mask


def first(row: Row, count: int, fewest: int | None = None, most: int | None = None) -> Cut:
    """Keep the first `count` in order; from `fewest` to `most` are excused."""
    total = row.order.size
    count, low, high = (
        min(max(1, n), total)
        for n in (count, count if fewest is None else fewest, count if most is None else most)
    )

    def excused(kept: np.ndarray) -> bool:
        n = np.count_nonzero(kept)
        return low <= n <= high and bool(kept[row.order[:n]].all())

    return Cut(row, _mask(row, row.order[:count]), excused)


def near(row: Row, distance: float, doubt: float) -> tuple[float, float]:
    """Return the least logit that is within `distance` of the greatest, and how far it is off.

    `doubt` is how far the distance may be off.
    """
    if distance == math.inf:
        return -math.inf, 0.0
    if distance <= -doubt or math.isinf(row.peak):
        return row.peak, 0.0
    least = row.peak - max(distance, 0.0)
    error = 1.01 * row.precision.epsilon * abs(least) + row.temperature * row.blur
    return least, error + doubt + row.precision.error * (abs(row.peak) + abs(distance))


def within(row: Row, distance: float, doubt: float) -> Cut:
    """Keep all that are within `distance` of the greatest: all of equals, or none."""
    least, error = near(row, distance, doubt)
    exact = row.alive & (row.values >= min(least, row.peak))

    def excused(kept: np.ndarray) -> bool:
        lowest = row.values[kept].min(initial=math.inf)
        above, below = least + error, least - error
        return (
            bool((kept == (row.alive & (row.values >= lowest))).all())
            and bool(kept[row.values >= min(above, row.peak)].all())
            and not kept[row.values < below].any()
        )

    return Cut(row, exact, excused)


def floor(row: Row, log_ratio: float, doubt: float) -> Cut:
    """Keep what has a log-mass, relative to the greatest, of at least `log_ratio`."""
    distance = -row.temperature * log_ratio
    if log_ratio == -math.inf:
        return within(row, math.inf, 0.0)
    return within(row, distance, row.temperature * doubt + abs(distance) * row.doubt)


def probability_floor(row: Row, log_share: float, doubt: float = 0.0) -> Cut:
    size = abs(log_share) if math.isfinite(log_share) else 0.0
    doubt = doubt + row.error + row.precision.error * size
    return floor(row, log_share + row.log_total, doubt)


def log(x: float) -> float:
    return math.log(x) if x > 0 else -math.inf


def top_p(row: Row, p: float) -> Cut:
    if p == 1:
        return first(row, row.order.size)
    own = row.shares[row.order]
    missing = p - (np.cumsum(own) - own) - AT_A_SUM * row.precision.epsilon * own
    error = row.error + float(np.finfo(row.precision.masses).eps)
    return first(row, *(int(np.count_nonzero(missing > e)) for e in (0.0, error, -error)))


def typical(row: Row, p: float) -> Cut:
    if p == 1 or math.isinf(row.peak):
        return top_p(row, p)
    centre = row.peak + row.temperature * row.mean_log
    distances = np.where(row.alive, abs(row.values - centre), np.inf)
    ids = row.order[np.argsort(distances[row.order], kind="stable")]
    before = np.cumsum(row.shares[ids]) - row.shares[ids]
    forgiven = AT_A_SUM * row.precision.epsilon
    count = max(1, np.count_nonzero(p - before > forgiven * row.shares[ids]))
    # Distances are told apart to some roundings of a logit.
    size = max(abs(row.peak), abs(centre))
    blur = 4 * row.precision.epsilon * size
    blur += row.temperature * (row.precision.error * (1 - row.mean_log) - row.doubt * row.mean_log)

    def excused(kept: np.ndarray) -> bool:
        furthest = distances[kept].max()
        own_blur = blur + 2 * row.precision.epsilon * furthest
        nearest = distances[row.alive & ~kept].min(initial=math.inf)
        last = kept & (distances >= furthest - own_blur)
        likeliest = row.shares[last].max()
        mass = math.fsum(row.shares[kept].tolist())
        equals = all(  # of equal logits the lower ids stay
            not (np.diff(kept[row.values == value].astype(int)) > 0).any()
            for value in np.unique(row.values[last])
        )
        return (
            equals
            and nearest >= furthest - own_blur
            and mass >= p - forgiven * 1.01 * likeliest - row.error
            and (mass - likeliest < p + row.error or np.count_nonzero(kept) == 1)
        )

    return Cut(row, _mask(row, ids[:count]), excused)


def top_h(row: Row, h: float, renormalize: bool) -> Cut:
    if h == 1 and renormalize:
        return first(row, row.order.size)
    own, logs = row.shares[row.order], row.logs[row.order]
    terms = np.where(own > 0, own * np.where(own > 0, logs - row.log_total, 0.0), 0.0)
    mass, terms = np.cumsum(own), np.cumsum(terms)
    entropies = np.log(mass) - terms / mass if renormalize else -terms
    excess = entropies - h * row.entropy * (1 + AT_AN_ENTROPY)
    error = row.error * (2 + row.entropy)
    # The entropy of longer prefixes is not less; where it is equal, rounding may say so.
    return first(row, *(int(np.count_nonzero(excess <= e)) for e in (0.0, -error, error)))


def xtc(row: Row, threshold: float, protected: tuple[int, ...]) -> Cut:
    """With the coin on heads."""
    log_ratio = log(threshold) + row.log_total
    doubt = row.error + row.precision.error * (abs(log(threshold)) if threshold else 0.0)

    def without(count: int) -> np.ndarray:
        """Return what stays if the first `count` are top choices."""
        gone = row.order[: max(count - 1, 0)]
        return row.alive & ~_mask(row, gone[~np.isin(gone, protected)])

    if log_ratio > AT_A_COIN + doubt:
        return Cut(row, row.alive, lambda kept: False)
    infinite = log_ratio == -math.inf
    distance = math.inf if infinite else -row.temperature * log_ratio
    least, error = near(
        row, distance, 0.0 if infinite else row.temperature * doubt + abs(distance) * row.doubt
    )
    ordered = row.values[row.order]
    counts = [
        np.count_nonzero(ordered >= min(v, row.peak)) for v in (least, least + error, least - error)
    ]

    def excused(kept: np.ndarray) -> bool:
        if log_ratio > -AT_A_COIN - doubt and (kept == row.alive).all():
            return True
        ends = [
            n
            for n in range(counts[1], counts[2] + 1)
            if n == ordered.size or ordered[n - 1] != ordered[n]
        ]
        return any((kept == without(n)).all() for n in ends)

    return Cut(row, without(counts[0]), excused)


def mirostat_count(row: Row, limit: float, m: int, vocabulary: int) -> Cut:
    """Keep as many tokens as Zipf's exponent, from the first `m` ranks, says."""
    logs = row.logs[row.order][:m]
    logs = logs[logs > -np.inf]
    if logs.size < 2:
        return first(row, row.order.size)
    t = np.log(np.arange(2, logs.size + 1) / np.arange(1, logs.size))
    slope = float((t * -np.diff(logs)).sum() / (t * t).sum())
    error = row.precision.error * (1 + float(-logs[-1])) + row.doubt * float(-logs[-1])
    surprise = limit * math.log(2)
    if slope <= 1e-9:
        log_count, off = surprise, error
    else:
        excess = slope - 1
        near_one = abs(excess) < 1e-9
        factor = 1 / math.log(vocabulary) if near_one else excess / (1 - vocabulary**-excess)
        log_count = (math.log(factor) + surprise) / slope
        off = error * (1 + abs(log_count) + 1 / max(abs(excess), 1e-9)) / slope + 1e-9
    if abs(slope) < 1e-8:
        return first(row, round(math.exp(min(log_count, 99))), 1, row.order.size)
    lowest, exact, highest = (
        row.order.size if c > math.log(vocabulary) else math.floor(math.exp(c) * (1 + 1e-9))
        for c in (log_count - off, log_count, log_count + off)
    )
    return first(row, exact, lowest, highest)


def cut(row: Row, transform: Any) -> Cut:
    """Return what a transform keeps that looks at the row alone."""
    error, t = row.precision.error, transform
    match type(t).__name__:
        case "TopK":
            return first(row, t.k)
        case "TopP":
            return top_p(row, t.p)
        case "MinP":
            return floor(row, log(t.p), error * abs(log(t.p)) if t.p else 0.0)
        case "Typical":
            return typical(row, t.p)
        case "Epsilon":
            return probability_floor(row, log(t.epsilon))
        case "Eta":
            return probability_floor(
                row, min(log(t.epsilon), log(t.epsilon) / 2 - row.entropy), row.error
            )
        case "TopA":
            return probability_floor(row, log(t.a) - 2 * row.log_total, 2 * row.error)
        case "PLess":
            squares = math.fsum((row.shares**2).tolist())
            return probability_floor(row, math.log(squares), 3 * row.error)
        case "TopNSigma":
            finite = row.values[row.alive]
            deviation = 0.0 if math.isinf(row.peak) else _deviation(finite)
            # Squares are summed around a logit that may be far from the mean.
            double = row.precision.masses == "float64"
            return within(
                row, t.n * deviation, error * t.n * deviation * (finite.size if double else 1)
            )
        case "TopH":
            if t.first is None:
                return top_h(row, t.h, t.renormalize)
            inner = row.keep(first(row, t.first).exact)
            return replace(top_h(inner, t.h, t.renormalize), row=row)
    raise NotImplementedError(type(t).__name__)


def _deviation(values: np.ndarray) -> float:
    unit = float(abs(values).max()) or 1.0
    return float(np.std(values / unit)) * unit


def temperatures(row: Row, transform: Any) -> tuple[float, float, float]:
    """Return the temperature of `DynamicTemperature`, and the bounds of what rounding gives."""
    count = np.count_nonzero(row.alive)
    if count <= 1:
        return 1.0, 1.0, 1.0
    most = np.finfo(np.float64).max
    low = max(0.0, transform.temperature - transform.range)
    high = min(transform.temperature + transform.range, most)
    share, error = row.entropy / math.log(count), 4 * row.error / math.log(count)
    exact, least, greatest = (
        low + (high - low) * min(max(s, 0.0), 1.0) ** transform.exponent
        for s in (share, share - error, share + error)
    )
    return exact, least, greatest


def adaptive(row: Row, aim: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the logits of `AdaptiveP` and how far they may be off."""
    d = abs(row.shares - aim) / 0.3
    off = (row.error * 1.0 + 1e-15) / 0.3 * (10 + 10 * d)
    logits = np.where(row.alive, 5 - 10 * d * d / (1 + d), -np.inf)
    return logits, off + 4 * row.precision.epsilon * (5 + 10 * d)
