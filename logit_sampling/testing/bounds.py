"""How unlikely counts are: bounds that hold for every number of draws, not only in the limit.

A chi-square tail is an approximation, and a poor one far out, where a check with few false alarms
needs it. Both bounds here are proven for any sample, so the stated chance of a false alarm is one.
"""

import math
from collections.abc import Sequence

import numpy as np

_STEEPEST = 32.0  # tilt of a distribution, as large as could matter
_HALVINGS = 40


def relative_entropy(counts: np.ndarray, probabilities: np.ndarray) -> float:
    """Return `n` times the divergence of the counts from the probabilities, in nats.

    This is half of the G statistic; infinite if something without probability was counted.

    Args:
        counts: int [kinds], of `n` draws in all.
        probabilities: float [kinds], summing to 1.

    Example:
        >>> import numpy as np
        >>> round(relative_entropy(np.array([60, 40]), np.array([0.5, 0.5])), 4)
        2.0136
    """
    return max(0.0, float(_times_log_ratio(counts, counts.sum() * probabilities).sum()))


def log_chance(statistic: float, freedom: int) -> float:
    """Return the log of a bound on the chance that a sum of relative entropies gets so great.

    Args:
        statistic: the sum of `relative_entropy` over independent sets of draws.
        freedom: the sum of their numbers of kinds, less one each.

    Source:
        Agrawal, Finite-Sample Concentration of the Multinomial in Relative Entropy, 2020, arXiv
        1904.02291: the moments are at most those of a gamma distribution of shape `freedom`.

    Example:
        >>> round(log_chance(40.0, 10), 2)
        -16.14
    """
    if statistic <= freedom or freedom == 0:
        return 0.0
    return freedom - statistic + freedom * math.log(statistic / freedom)


def log_chance_of_worst(counts: np.ndarray, probabilities: np.ndarray) -> tuple[float, int]:
    """Return the log of a bound on the chance of the strangest single count, and which it is.

    Chernoff's bound for a binomial count, on both sides, times the number of kinds.

    Args:
        counts: int [kinds], of `n` draws in all.
        probabilities: float [kinds], summing to 1.

    Example:
        >>> import numpy as np
        >>> log, kind = log_chance_of_worst(np.array([500, 500, 0]), np.array([0.5, 0.45, 0.05]))
        >>> round(log, 1), kind
        (-49.5, 2)
    """
    n = counts.sum()
    inside = _times_log_ratio(counts, n * probabilities)
    outside = _times_log_ratio(n - counts, n * np.maximum(1 - probabilities, 0))
    exponents = inside + outside
    worst = int(exponents.argmax())
    return min(0.0, math.log(2 * len(counts)) - float(exponents[worst])), worst


def log_chance_of_surprise(rows: Sequence[tuple[np.ndarray, np.ndarray]]) -> float:
    """Return the log of a bound on the chance of a mean surprise so far from the entropy.

    The surprise of a draw is minus the log of its probability. Chernoff's bound for its sum, on
    both sides: no test has more power to tell a wrong temperature.

    Args:
        rows: counts, int [kinds], and probabilities, float [kinds], none of them 0, of independent
            sets of draws.

    Example:
        >>> import numpy as np
        >>> p = np.array([0.5, 0.3, 0.2])
        >>> round(log_chance_of_surprise([(np.array([600, 270, 130]), p)]), 1)
        -24.0
    """
    logs = [(float(counts.sum()), np.log(p)) for counts, p in rows]
    seen = -sum(float(counts @ np.log(p)) for counts, p in rows)
    mean = -sum(float(n * (np.exp(log) @ log)) for n, log in logs)
    side = 1.0 if seen > mean else -1.0

    def exponent(tilt: float) -> float:
        """A bound for every tilt; concave, so that the best is easily found."""
        tilted = ((n, (1 - side * tilt) * log) for n, log in logs)
        return side * tilt * seen - sum(n * _log_sum(x) for n, x in tilted)

    low, high = 0.0, _STEEPEST
    for _ in range(_HALVINGS):
        left, right = low + (high - low) / 3, high - (high - low) / 3
        low, high = (left, high) if exponent(left) < exponent(right) else (low, right)
    return min(0.0, math.log(2) - exponent((low + high) / 2))


def dependence(first: np.ndarray, second: np.ndarray, bins: int) -> tuple[float, int]:
    """Return `n` times the mutual information of pairs, in nats, and its `freedom`.

    It is at most the relative entropy of the pairs from independent ones, whatever the
    distributions of the two sides are, so `log_chance` bounds it.

    Args:
        first: int [n], in [0, bins).
        second: int [n], the partners.
        bins: how many values there are.
    """
    table = np.bincount(first * bins + second, minlength=bins * bins).reshape(bins, bins)
    sides = np.outer(table.sum(axis=1), table.sum(axis=0)) / max(1, len(first))
    return max(0.0, float(_times_log_ratio(table, sides).sum())), bins * bins - 1


def bins_of_equal_mass(probabilities: np.ndarray, order: np.ndarray, bins: int) -> np.ndarray:
    """Return for each token one of at most `bins` bins of about the same mass, int [vocab].

    Args:
        probabilities: float [vocab], summing to 1.
        order: int [vocab], the token ids in the order in which they fill the bins.
        bins: how many.
    """
    mass = probabilities[order]
    middle = np.cumsum(mass) - mass / 2
    result = np.empty(len(order), np.int64)
    result[order] = np.clip((middle * bins).astype(np.int64), 0, bins - 1)
    return result


def _log_sum(x: np.ndarray) -> float:
    peak = float(x.max())
    return peak + math.log(float(np.exp(x - peak).sum()))


def _times_log_ratio(counts: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """Return `counts * log(counts / expected)`, 0 where nothing was counted."""
    with np.errstate(divide="ignore"):
        ratio = np.divide(counts, expected, out=np.ones(counts.shape), where=counts > 0)
    return counts * np.log(ratio)
