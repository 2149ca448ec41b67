"""Sums over what is left of a row, compiled, and where a mass ends.

A weight is the exponential of a logit at the temperature, relative to the greatest; a term is a
weight times its logarithm. Sums are exact, in float64, or estimates with a bound of their error.
Each has the order that is written here, whatever the processor is.
"""

import math
from typing import Any

import numpy as np

from logit_sampling.distribution.kernels.arithmetic import (
    EXP_ERROR,
    EXP_ERROR_PER_LOG,
    LEAST,
    LEAST_32,
    compiled,
    exp,
    exp_32,
)
from logit_sampling.distribution.kernels.rows import COLUMNS, ROWS, block_of
from logit_sampling.distribution.weights import _ESTIMATE, _USUAL, BLOCK

NOWHERE = -1  # rounding left a mass behind the last token
DOUBT = -2  # an estimate cannot tell
_ROUNDING = 2.0**-24 * 1.1  # of a float32, and of what comes together of many
_ADDED = 22  # roundings of a sum over a block: its 16 rows, and 6 halvings
_PER_LOG = EXP_ERROR_PER_LOG + 3  # of a weight, for each unit of its logarithm, which has three


@compiled
def weight_of(logit: Any, peak: float, temperature: float) -> float:
    """Return the weight of a logit, float64."""
    log = (np.float64(logit) - peak) * (1 / temperature)
    return exp(log) if log > LEAST else 0.0


@compiled
def _added(lanes: Any) -> Any:
    """Return the sum of `COLUMNS` numbers, which it spoils; halves are added."""
    half = COLUMNS // 2
    while half:
        for c in range(half):
            lanes[c] += lanes[c + half]
        half //= 2
    return lanes[0]


@compiled
def sum_up(
    values: Any, tops: Any, least: Any, last: int, peak: float, temperature: float, sums: Any
) -> tuple[float, float, float]:
    """Sum up weights, terms, and squares of weights.

    Args:
        values, tops: a row, and the greatest of each block.
        least, last: what is left of it.
        peak, temperature: of the weights.
        sums: float64 [blocks]: gets the weight of each block.

    Returns:
        the three sums.
    """
    room, inverse = np.empty((ROWS, COLUMNS), np.float32), 1 / temperature
    weights, terms, squares = np.empty(COLUMNS), np.empty(COLUMNS), np.empty(COLUMNS)
    total = total_terms = total_squares = 0.0
    for number in range(tops.size):
        sums[number] = 0.0
        if tops[number] < least:
            continue
        block = block_of(values, number, least, last, room)
        for c in range(COLUMNS):
            weights[c] = terms[c] = squares[c] = 0.0
        for row in range(len(room)):
            for c in range(COLUMNS):
                log = (np.float64(block[row, c]) - peak) * inverse
                able = max(log, LEAST)
                weight = exp(able) if log > LEAST else 0.0
                weights[c] += weight
                terms[c] += weight * able
                squares[c] += weight * weight
        sums[number] = _added(weights)
        total += sums[number]
        total_terms += _added(terms)
        total_squares += _added(squares)
    return total, total_terms, total_squares


@compiled
def estimate(
    values: Any, tops: Any, least: Any, last: int, peak: float, temperature: float, sums: Any
) -> tuple[float, float]:
    """Sum up weights in float32; see `sum_up`.

    Returns:
        the sum, and a bound of its error.
    """
    if not _USUAL[0] < temperature < _USUAL[1]:  # beyond the range of float32
        return sum_up(values, tops, least, last, peak, temperature, sums)[0], 0.0
    room, weights = np.empty((ROWS, COLUMNS), np.float32), np.empty(COLUMNS, np.float32)
    inverse, greatest, lowest = np.float32(1 / temperature), np.float32(peak), LEAST_32
    total = 0.0
    for number in range(tops.size):
        sums[number] = 0.0
        if tops[number] < least:
            continue
        block = block_of(values, number, least, last, room)
        for c in range(COLUMNS):
            weights[c] = np.float32(0)
        for row in range(len(room)):
            for c in range(COLUMNS):
                log = (block[row, c] - greatest) * inverse
                weights[c] += exp_32(max(log, lowest))
        sums[number] = np.float64(_added(weights))
        total += sums[number]
    # The mean of the log weights cannot exceed ln(n / total).
    logs = max(math.log(values.size / total), 0.0)
    return total, _ROUNDING * (_ADDED + EXP_ERROR + _PER_LOG * logs) * total


@compiled
def estimate_moments(
    values: Any, tops: Any, least: Any, last: int, peak: float, temperature: float, blur: float
) -> Any:
    """Sum up weights, terms, and squares of weights in float32; see `sum_up`.

    Args:
        blur: by which part the temperature may differ from what is given.

    Returns:
        the three sums, and a bound of the error of each.
    """
    room, lowest = np.empty((ROWS, COLUMNS), np.float32), LEAST_32
    inverse, greatest = np.float32(1 / temperature), np.float32(peak)
    lanes = np.empty((4, COLUMNS), np.float32)
    weights, terms, squares, spread = lanes[0], lanes[1], lanes[2], lanes[3]
    total = total_terms = total_squares = total_spread = 0.0
    for number in range(tops.size):
        if tops[number] < least:
            continue
        block = block_of(values, number, least, last, room)
        for c in range(COLUMNS):
            weights[c] = terms[c] = squares[c] = spread[c] = np.float32(0)
        for row in range(len(room)):
            for c in range(COLUMNS):
                log = max((block[row, c] - greatest) * inverse, lowest)
                weight = exp_32(log)
                term = weight * log
                weights[c] += weight
                terms[c] += term
                squares[c] += weight * weight
                spread[c] += term * log
        total += np.float64(_added(weights))
        total_terms += np.float64(_added(terms))
        total_squares += np.float64(_added(squares))
        total_spread += np.float64(_added(spread))
    fixed, per_log = _ROUNDING * (_ADDED + EXP_ERROR), _ROUNDING * _PER_LOG + blur
    gone = 2e-36 * BLOCK * tops.size  # what is removed, and was lifted to the least
    logs, spread_of_logs = -total_terms, 1.1 * total_spread
    return (
        (total, total_terms, total_squares),
        (
            fixed * total + per_log * 1.1 * logs + gone,
            (fixed + 5 * _ROUNDING + blur) * 1.1 * logs + per_log * spread_of_logs + gone,
            2 * (fixed * total_squares + per_log * 1.1 * logs) + gone,
        ),
    )


@compiled
def deviation(values: Any, tops: Any, least: Any, last: int, peak: float) -> tuple[float, int]:
    """Return the standard deviation of the logits above -inf, and how many there are."""
    room = np.empty((ROWS, COLUMNS), np.float32)
    logits, squares, counts = np.empty(COLUMNS), np.empty(COLUMNS), np.empty(COLUMNS)
    total = total_squares = total_counts = 0.0
    centre = 0.0
    for number in range(tops.size):
        if tops[number] < least or tops[number] == -np.inf:
            continue
        if total_counts == 0:
            centre = float(tops[number])  # near the mean, whatever the peak is
        block = block_of(values, number, least, last, room)
        for c in range(COLUMNS):
            logits[c] = squares[c] = counts[c] = 0.0
        for row in range(len(room)):
            for c in range(COLUMNS):
                able = block[row, c] > -np.inf
                distance = np.float64(block[row, c]) - centre if able else 0.0
                logits[c] += distance
                squares[c] += distance * distance
                counts[c] += able
        total += _added(logits)
        total_squares += _added(squares)
        total_counts += _added(counts)
    mean = total / total_counts
    variance = max(total_squares / total_counts - mean * mean, 0.0)
    return math.sqrt(variance), int(total_counts)


@compiled
def flat(values: Any, peak: float, temperature: float) -> bool:
    """Tell whether tokens are so many and so equal that an estimate would seldom decide."""
    mass = squares = 0.0
    some = min(BLOCK // 4, values.size)
    for i in range(some):
        weight = weight_of(values[i], peak, temperature)
        mass += weight
        squares += weight * weight
    if squares == 0:
        return False
    return mass * mass / squares / some * values.size > 0.1 / _ESTIMATE


@compiled
def find(
    values: Any,
    tops: Any,
    least: Any,
    last: int,
    peak: float,
    temperature: float,
    uniform: float,
    sums: Any,
    error: float,
) -> int:
    """Return the token at which a part of the mass falls.

    Args:
        values, tops: a row, and the greatest of each block.
        least, last: what is left of it.
        peak, temperature: of the weights.
        uniform: the part, in [0, 1).
        sums: the weight of each block.
        error: of a sum over the blocks.

    Returns:
        its id, `NOWHERE` or `DOUBT`.
    """
    total = 0.0
    for number in range(sums.size):
        total += sums[number]
    target, mass, number = uniform * total, 0.0, 0
    while number < sums.size - 1 and mass + sums[number] <= target:
        mass += sums[number]
        number += 1
    # What the target may be is off by twice the error: so are the mass before, and the total. A
    # token is found where both ends of it fall on that.
    before, error = mass, 2 * error
    for i in range(number * BLOCK, min((number + 1) * BLOCK, values.size)):
        if values[i] > least or (values[i] == least and i <= last):
            weight = weight_of(values[i], peak, temperature)
            mass += weight
            if mass > target - error and weight > 0:
                if mass > target + error and (target - error > before or not error):
                    return i
                return DOUBT if error else NOWHERE
    return DOUBT if error else NOWHERE
