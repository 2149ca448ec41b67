"""The shortest prefix of a row that reaches a mass, and the longest of wanted tokens, compiled."""

from typing import Any

import numpy as np

from logit_sampling.distribution.kernels.arithmetic import LEAST, compiled, exp
from logit_sampling.distribution.kernels.machine import HIGH, LANES, LOW, run
from logit_sampling.distribution.kernels.rows import COLUMNS, ROWS, block_of, lowest, ordered
from logit_sampling.distribution.kernels.sums import weight_of
from logit_sampling.distribution.recorded import EPSILON
from logit_sampling.distribution.rounding import AT_A_SUM
from logit_sampling.distribution.weights import BLOCK

_BINS = 2048  # of log weights, where a prefix is long
_DEEPEST = 45.0  # below the greatest; what lies deeper shares the last bin
_SOME = 1024  # tokens of a bin that are looked at one by one
_SLACK = AT_A_SUM * EPSILON

GOES_ON, ENDS, UNCLEAR = 0, 1, 2
"""Whether a prefix ends among the tokens that were looked at."""


@compiled
def _tell(goal: Any, body: Any, lanes: int, surely: Any, maybe: Any) -> None:
    """Tell which tokens are surely wanted, and which may be.

    Args:
        goal: two float64, the mass to reach at least and at most; where there are no instructions.
        body: codes and arguments of the instructions, their stack and slots, and whether what
            stands there is sharp. The first slots hold, for each token, the sums of weights and
            of terms over those before it, and its own weight and term.
        lanes: how many tokens there are.
        surely, maybe: bool [LANES].
    """
    codes, arguments, stack, slots, sharp = body
    if codes.size:
        run(codes, arguments, stack, slots, lanes, sharp)
        for i in range(lanes):
            surely[i] = stack[0, LOW, i] == 1
            maybe[i] = stack[0, HIGH, i] != 0  # NaN may be anything
    else:
        for i in range(lanes):
            reached = slots[0, LOW, i] + _SLACK * slots[2, LOW, i]
            surely[i], maybe[i] = goal[LOW] > reached, goal[HIGH] > reached


@compiled
def prefix(
    values: Any, ids: Any, peak: float, temperature: float, goal: Any, body: Any, before: Any
) -> tuple[int, int, float]:
    """Find where the prefix of wanted tokens ends.

    Args:
        values: all logits.
        ids: those that are looked at, ascending.
        peak, temperature: of the weights.
        goal, body: see `_tell`.
        before: the sums over the tokens before them; where there are none, the first is wanted.

    Returns:
        the id of the last, -1 for none; whether it `ENDS` or `GOES_ON`, or that is `UNCLEAR`; and
        how many tokens are missing at least, if it goes on.
    """
    logits, slots = np.empty(ids.size), body[3]
    for i in range(ids.size):
        logits[i] = values[ids[i]]
    order, end = ordered(logits), -1
    surely, maybe = np.empty(LANES, np.bool_), np.empty(LANES, np.bool_)
    mass, terms, weight = before[0], before[1], 0.0
    for start in range(0, ids.size, LANES):
        lanes = min(LANES, ids.size - start)
        for j in range(lanes):
            logit = logits[order[start + j]]
            weight = weight_of(logit, peak, temperature)
            term = weight * max((np.float64(logit) - peak) * (1 / temperature), -1e9)
            slots[0, LOW, j] = slots[0, HIGH, j] = mass
            slots[1, LOW, j] = slots[1, HIGH, j] = terms
            slots[2, LOW, j] = slots[2, HIGH, j] = weight
            slots[3, LOW, j] = slots[3, HIGH, j] = term
            mass += weight
            terms += term
        _tell(goal, body, lanes, surely, maybe)
        for j in range(lanes):
            if not maybe[j] and (end >= 0 or before[0] > 0):
                return end, ENDS, 0.0
            if maybe[j] and not surely[j]:
                return end, UNCLEAR, 0.0
            end = ids[order[start + j]]
    missing = (goal[LOW] - mass) / weight if weight > 0 else np.inf
    return end, GOES_ON, missing


@compiled
def prefix_by_key(
    values: Any,
    ids: Any,
    peak: float,
    temperature: float,
    goal: Any,
    body: Any,
    complete: bool,
) -> tuple[Any, int, float]:
    """Return the shortest prefix in the order of a key that reaches a mass.

    Args:
        values: all logits.
        ids: those that are looked at, ascending.
        peak, temperature: of the weights.
        goal: two float64, the mass, at least and at most.
        body: see `_tell`: it makes a key of a log weight, which stands in the first slot.
        complete: whether `ids` are all that is left, and not only the first tokens.

    Returns:
        ids, ascending; whether the prefix `ENDS` or `GOES_ON`, or that is `UNCLEAR`; and how many
        tokens are missing at least, if it goes on.
    """
    size, least, together = ids.size, 0, 0.0
    for i in range(size):
        least = i if values[ids[i]] < values[ids[least]] else least
        together += weight_of(values[ids[i]], peak, temperature)
    if not complete and goal[LOW] > together:
        weight = weight_of(values[ids[least]], peak, temperature)
        return ids, GOES_ON, (goal[LOW] - together) / weight if weight > 0 else np.inf
    codes, arguments, stack, slots, sharp = body
    keys, middle = np.empty((2, size)), np.empty(size)
    for start in range(0, size, LANES):
        lanes = min(LANES, size - start)
        for j in range(lanes):
            log = (np.float64(values[ids[start + j]]) - peak) * (1 / temperature)
            slots[0, LOW, j] = slots[0, HIGH, j] = log
        run(codes, arguments, stack, slots, lanes, sharp)
        for j in range(lanes):
            keys[LOW, start + j], keys[HIGH, start + j] = stack[0, LOW, j], stack[0, HIGH, j]
            middle[start + j] = stack[0, LOW, j]
    order, mass, count = ordered(middle), 0.0, 0
    for i in order:
        weight = weight_of(values[ids[i]], peak, temperature)
        reached = mass + _SLACK * weight
        if goal[HIGH] <= reached:
            break
        if goal[LOW] <= reached:
            return ids, UNCLEAR, 0.0
        mass += weight
        count += 1
    # What is not looked at comes behind the least that is.
    if not complete and (count == size or not keys[LOW, order[count]] > keys[HIGH, least]):
        return ids, GOES_ON, 0.0
    count = max(count, 1)
    if not sharp:
        # The same tokens come first, and the same before the last of them, whatever the keys are.
        for some in range(count - 1, count + 1):
            lowest_key, highest_key = np.inf, -np.inf
            for i in range(size):
                if i < some:
                    lowest_key = min(lowest_key, keys[LOW, order[i]])
                else:
                    highest_key = max(highest_key, keys[HIGH, order[i]])
            if not lowest_key > highest_key:
                return ids, UNCLEAR, 0.0
    wanted, kept = np.zeros(size, np.bool_), 0
    for i in range(count):
        wanted[order[i]] = True
    chosen = np.empty(count, np.int32)
    for i in range(size):
        if wanted[i]:
            chosen[kept] = ids[i]
            kept += 1
    return chosen, ENDS, 0.0


@compiled
def _bins_of(block: Any, low: Any, high: Any, scale: float, bins: Any) -> None:
    """Number the bins of logits, from 1 on: 0 is above `high`, and `_BINS` + 1 below `low`."""
    for row in range(len(block)):
        for c in range(COLUMNS):
            value = block[row, c]
            depth = (np.float64(high) - np.float64(value)) * scale
            number = np.int32(min(max(depth, -1.0), _BINS - 1.0) + 1.0)
            bins[row, c] = np.int32(_BINS + 1) if value < low else number


@compiled
def cut(
    values: Any,
    tops: Any,
    least: Any,
    last: int,
    peak: float,
    temperature: float,
    p: float,
    goal: Any,
    body: Any,
) -> tuple[Any, int, int]:
    """Find where a long prefix of wanted tokens ends.

    The tokens are counted in bins; those of the bin in which it ends are looked at one by one, or
    in bins again.

    Args:
        values, tops: a row, and the greatest of each block.
        least, last: what is left of it.
        peak, temperature: of the weights.
        p: which part of the mass to reach; where there are no instructions.
        goal, body: see `_tell`; `goal` gets the mass.

    Returns:
        what is left then, and whether that is `UNCLEAR`.
    """
    room, inverse = np.empty((ROWS, COLUMNS), np.float32), 1 / temperature
    weights, terms = np.empty((ROWS, COLUMNS)), np.empty((ROWS, COLUMNS))
    numbers, found = np.empty((ROWS, COLUMNS), np.int32), np.empty(_SOME, np.int32)
    surely, maybe = np.empty(LANES, np.bool_), np.empty(LANES, np.bool_)
    totals, before, with_terms = np.empty((2, _BINS + 2)), np.zeros(2), body[0].size > 0
    slots, unknown = body[3], not with_terms
    low, high = lowest(values, tops, least, last, room), np.float32(peak)
    while low < high:
        width = min(np.float64(high) - np.float64(low), _DEEPEST * temperature)
        scale = _BINS / width
        totals[:] = 0.0
        for block_number in range(tops.size):
            if tops[block_number] < low:
                continue
            block = block_of(values, block_number, least, last, room)
            _bins_of(block, low, high, scale, numbers)
            for row in range(len(room)):
                for c in range(COLUMNS):
                    log = (np.float64(block[row, c]) - peak) * inverse
                    able = max(log, LEAST)
                    weight = exp(able) if log > LEAST else 0.0
                    weights[row, c] = weight
                    terms[row, c] = weight * able
            for row in range(len(room)):
                for c in range(COLUMNS):
                    totals[0, numbers[row, c]] += weights[row, c]
            if with_terms:
                for row in range(len(room)):
                    for c in range(COLUMNS):
                        totals[1, numbers[row, c]] += terms[row, c]
        if unknown:
            total, unknown = 0.0, False
            for i in range(_BINS + 2):
                total += totals[0, i]
            goal[LOW] = goal[HIGH] = p * total
        # The last bin before which the prefix has not ended.
        number, mass, mass_terms, ended = 0, before[0], before[1], False
        while not ended and number < _BINS:
            lanes = min(LANES, _BINS - number)
            one, other = mass, mass_terms
            for j in range(lanes):
                slots[0, LOW, j] = slots[0, HIGH, j] = one
                slots[1, LOW, j] = slots[1, HIGH, j] = other
                slots[2, LOW, j] = slots[2, HIGH, j] = 0.0
                slots[3, LOW, j] = slots[3, HIGH, j] = 0.0
                one += totals[0, number + j + 1]
                other += totals[1, number + j + 1]
            _tell(goal, body, lanes, surely, maybe)
            for j in range(lanes):
                if maybe[j] and not surely[j]:
                    return least, last, UNCLEAR
                ended = not maybe[j] and number + j > 0
                if ended:
                    number += j
                    break
                before[0], before[1] = mass, mass_terms
                mass += totals[0, number + j + 1]
                mass_terms += totals[1, number + j + 1]
            if not ended:
                number += lanes
        count, fewest, most = 0, np.float32(np.inf), np.float32(-np.inf)
        for block_number in range(tops.size):
            if tops[block_number] < low:
                continue
            block = block_of(values, block_number, least, last, room)
            _bins_of(block, low, high, scale, numbers)
            for row in range(len(room)):
                inside = 0
                for c in range(COLUMNS):
                    inside += numbers[row, c] == number
                if not inside:
                    continue
                for c in range(COLUMNS):
                    if numbers[row, c] == number and block[row, c] > -np.inf:
                        if count < _SOME:
                            found[count] = block_number * BLOCK + row * COLUMNS + c
                        count += 1
                        fewest, most = min(fewest, block[row, c]), max(most, block[row, c])
        if count <= _SOME:
            end, state, _ = prefix(values, found[:count], peak, temperature, goal, body, before)
            if state == UNCLEAR:
                return least, last, UNCLEAR
            if end < 0:  # none of the bin
                return np.nextafter(most, np.float32(np.inf)), values.size, ENDS
            return values[end], end, ENDS
        low, high = fewest, most
    # All that are left to look at are equal.
    weight, count, one = weight_of(high, peak, temperature), 0, np.int64(1)
    term = weight * max((np.float64(high) - peak) * inverse, -1e9)
    for i in range(values.size):
        count += values[i] == high and (high > least or i <= last)
    if unknown:
        goal[LOW] = goal[HIGH] = p * (count * weight)
    wanted, most_wanted = 0 if before[0] > 0 else 1, count
    while wanted < most_wanted:  # how many are wanted lies between
        half = (wanted + most_wanted + 1) // 2
        slots[0, LOW, 0] = slots[0, HIGH, 0] = before[0] + (half - 1) * weight
        slots[1, LOW, 0] = slots[1, HIGH, 0] = before[1] + (half - 1) * term
        slots[2, LOW, 0] = slots[2, HIGH, 0] = weight
        slots[3, LOW, 0] = slots[3, HIGH, 0] = term
        _tell(goal, body, one, surely, maybe)
        if maybe[0] and not surely[0]:
            return least, last, UNCLEAR
        if maybe[0]:
            wanted = half
        else:
            most_wanted = half - 1
    if not wanted:
        return np.nextafter(high, np.float32(np.inf)), values.size, ENDS
    end = -1
    while wanted:
        end += 1
        wanted -= values[end] == high
    return high, end, ENDS
