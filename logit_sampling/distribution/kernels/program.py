"""A chain on one row of float32 logits, and a draw from what it leaves, compiled.

It takes the steps of `row.EagerRow`, and decides nothing that these would decide in another way.
At first it uses estimates where they save time; if one of them leaves a doubt, it begins again
with exact sums. A row that is unusual it leaves to `EagerRow`.
"""

import math
from typing import Any

import numpy as np

from logit_sampling.distribution.kernels import rows, sums
from logit_sampling.distribution.kernels.arithmetic import compiled, uniform
from logit_sampling.distribution.kernels.machine import HIGH, LANES, LOW, push
from logit_sampling.distribution.kernels.prefixes import (
    ENDS,
    GOES_ON,
    UNCLEAR,
    cut,
    prefix,
    prefix_by_key,
)
from logit_sampling.distribution.kernels.rows import COLUMNS, ROWS
from logit_sampling.distribution.kernels.sums import DOUBT, NOWHERE, weight_of
from logit_sampling.distribution.recorded import (
    COUNT,
    EPSILON,
    EXCEPT,
    LOG_COLLISION,
    LOG_TOTAL,
    MEAN_LOG,
    PEAK,
    PREFIX,
    REACH,
    REACH_BY,
    SCALE,
    SLOTS,
    STD,
    STORE,
    TEMPERATURE,
    TOP,
    TOSS,
    WITHIN,
)
from logit_sampling.distribution.selection import FEW
from logit_sampling.distribution.weights import _USUAL, BLOCK

UNKNOWN = -1
_LOWEST = np.finfo(np.float64).tiny  # of temperatures
_MOST = 4096  # tokens that are few: their ids are kept, and they are sorted
_MEASURES = TEMPERATURE + 1
# First tokens among which the end of a prefix is looked for.
_CANDIDATES = (FEW // 4, FEW, 4 * FEW, 16 * FEW)


@compiled
def _limit(peak: float, distance: float) -> Any:
    """Return the least logit at most so far below the greatest: see `EagerRow.near`."""
    if distance == math.inf:
        return np.float32(-np.inf)
    least = peak
    if distance > 0:
        least = peak - distance
        least -= abs(least) * (EPSILON / 2)
    return np.float32(least)


@compiled
def _moments_of_few(values: Any, ids: Any, peak: float, temperature: float) -> Any:
    """Return the sums of weights, terms, and squares of weights."""
    total = terms = squares = 0.0
    for i in ids:
        weight = weight_of(values[i], peak, temperature)
        total += weight
        terms += weight * max((np.float64(values[i]) - peak) * (1 / temperature), -1e9)
        squares += weight * weight
    return total, terms, squares


@compiled
def _deviation_of_few(values: Any, ids: Any, peak: float) -> tuple[float, int]:
    """Return the standard deviation of the logits above -inf, and how many there are."""
    count, total, squares = 0, 0.0, 0.0
    for i in ids:
        if values[i] > -np.inf:
            count += 1
            total += np.float64(values[i]) - peak
    mean = total / count
    for i in ids:
        if values[i] > -np.inf:
            distance = np.float64(values[i]) - peak - mean
            squares += distance * distance
    return math.sqrt(squares / count), count


@compiled
def _note_moments(found: Any, moments: Any, errors: Any) -> None:
    """Note what the sums of weights, terms and squares tell, each known up to an error."""
    total, terms, squares = moments
    least, most = total - errors[0], total + errors[0]
    found[LOW, LOG_TOTAL], found[HIGH, LOG_TOTAL] = math.log(least), math.log(most)
    low, high = terms - errors[1], min(terms + errors[1], 0.0)
    found[LOW, MEAN_LOG], found[HIGH, MEAN_LOG] = low / least, high / most
    fewest, greatest = squares - errors[2], squares + errors[2]
    low = math.log(fewest) - 2 * math.log(most) if fewest > 0 else -math.inf
    found[LOW, LOG_COLLISION], found[HIGH, LOG_COLLISION] = (
        low,
        math.log(greatest) - 2 * math.log(least),
    )


@compiled
def draw_row(
    values: Any,
    codes: Any,
    arguments: Any,
    depth_of_stack: int,
    low_word: int,
    high_word: int,
    step: int,
    exact: bool,
    log_probs: Any,
) -> int:
    """Apply a chain to a row, and draw from what is left.

    Args:
        values: logits, float32 [n].
        codes, arguments: the program, int8 and float64 [instructions].
        depth_of_stack: how much it pushes at most.
        low_word, high_word: of the seed.
        step: the position of the token.
        exact: whether to do without estimates.
        log_probs: float64 [2], [1] or [0]: gets the log-probability of the token in what is left,
            and in the row as it came in.

    Returns:
        its id, `UNKNOWN`, or `DOUBT`: then it has to be exact.
    """
    size, number_of_blocks = values.size, (values.size + BLOCK - 1) // BLOCK
    best = np.empty((number_of_blocks, COLUMNS), np.float32)
    tops, room = np.empty(number_of_blocks, np.float32), np.empty((ROWS, COLUMNS), np.float32)
    greatest = rows.scan(values, best, tops, room)
    # No number, and what may be probabilities: NumPy tells what to say of these.
    if not -math.inf < greatest < math.inf:
        return UNKNOWN
    if 0 < greatest <= 1 and size > 1 and not rows.any_below_0(values):
        return UNKNOWN
    peak, temperature, blur = float(greatest), 1.0, 0.0
    first_peak = peak
    exact = exact or size <= BLOCK
    masses = np.empty(number_of_blocks)
    # What is left: `ids`, where these are few, or what `least` and `last` tell.
    least, last, few, ids = np.float32(-np.inf), size, False, np.empty(0, np.int32)
    found, measured, deviated = np.empty((2, _MEASURES)), False, False
    summed, all_of_it = False, 0.0  # whether `masses` are exact, of what is left
    stack, slots = np.empty((depth_of_stack, 2, LANES)), np.empty((SLOTS, 2, LANES))
    # For a constant as an argument a function is compiled once more: these are none.
    depth, one, unsharp = np.int64(0), np.int64(1), np.bool_(False)
    sharp: Any = np.bool_(True)
    nothing, goal, raw = np.zeros(2), np.zeros(2), values

    place = 0
    while place < codes.size:
        code, argument = codes[place], arguments[place]
        place += 1
        if code < COUNT or TEMPERATURE < code < TOSS:
            depth = push(code, argument, stack, depth, slots, one, unsharp)
            continue
        if code == TOSS:
            chance = stack[depth - 1, LOW, 0]
            if chance != stack[depth - 1, HIGH, 0]:
                return UNKNOWN if exact else DOUBT
            falls = uniform(low_word, high_word, step, int(argument)) < chance
            stack[depth - 1, LOW, 0] = stack[depth - 1, HIGH, 0] = 1.0 if falls else 0.0
            continue
        if code <= TEMPERATURE:
            if code == PEAK:
                found[LOW, code] = found[HIGH, code] = peak
            elif code == TEMPERATURE:
                found[LOW, code] = temperature * (1 - blur)
                found[HIGH, code] = temperature * (1 + blur)
            elif code in (COUNT, STD):
                if not deviated:
                    if few:
                        deviation, count = _deviation_of_few(values, ids, peak)
                    else:
                        deviation, count = sums.deviation(values, tops, least, last, peak)
                    found[LOW, STD] = found[HIGH, STD] = deviation
                    found[LOW, COUNT] = found[HIGH, COUNT] = count
                    deviated = True
            elif not measured:
                if few:
                    if blur > 0:
                        return DOUBT
                    moments = _moments_of_few(values, ids, peak, temperature)
                    _note_moments(found, moments, (0.0, 0.0, 0.0))
                else:
                    unusual = not _USUAL[0] < temperature < _USUAL[1]
                    exact = exact or unusual or sums.flat(values, peak, temperature)
                    if not exact:
                        moments, errors = sums.estimate_moments(
                            values, tops, least, last, peak, temperature, blur
                        )
                        _note_moments(found, moments, errors)
                    else:
                        if blur > 0:
                            return DOUBT
                        moments = sums.sum_up(values, tops, least, last, peak, temperature, masses)
                        _note_moments(found, moments, (0.0, 0.0, 0.0))
                        summed, all_of_it = True, moments[0]
                measured = True
            stack[depth, LOW, 0], stack[depth, HIGH, 0] = found[LOW, code], found[HIGH, code]
            depth += 1
            continue

        # An operation.
        holds = low = high = 0.0
        if code == EXCEPT:
            depth -= 1
            holds = stack[depth, LOW, 0]
            if holds != stack[depth, HIGH, 0]:
                return UNKNOWN if exact else DOUBT
        if code != PREFIX:
            depth -= 1
            low, high = stack[depth, LOW, 0], stack[depth, HIGH, 0]
            if not low <= high:  # not known
                return UNKNOWN if exact else DOUBT
        if code == STORE:
            sharp = sharp and low == high
            for i in range(LANES):
                slots[int(argument), LOW, i], slots[int(argument), HIGH, i] = low, high
            continue
        if code == SCALE:
            if low == 0:
                if high > 0:
                    return DOUBT
                ids = rows.top(values, ids, one) if few else rows.first(values, tops, greatest)
                few, temperature, blur, deviated = True, 1.0, 0.0, False
            else:
                if low != high:
                    if exact:
                        return UNKNOWN
                    blur += (high - low) / (high + low) * (1 + blur)
                temperature = min(max(temperature * ((low + high) / 2), _LOWEST), 1 / _LOWEST)
            measured = summed = False
            continue
        if code in (WITHIN, EXCEPT):
            limit, other = _limit(peak, high), _limit(peak, low)
            if (limit == other == -np.inf) if code == WITHIN else not holds:
                continue
            if limit != other:
                if few:
                    for own in ids:
                        if limit <= values[own] < other:
                            return DOUBT
                elif rows.any_between(values, tops, least, last, limit, other, room):
                    return DOUBT
            before, had = ids.size, few
            if code == EXCEPT:
                measured = deviated = summed = False
                edge, end = (limit, size) if limit > least else (least, last)
                if not few and rows.hot(best, tops, edge) * ROWS > _MOST:
                    return UNKNOWN
                gone = ids if few else rows.above(values, best, tops, edge, end)
                gone = rows.all_but_last(values, rows.left_of(values, gone, limit, size))
                if few:
                    ids = rows.others(ids, gone)
                    greatest = rows.greatest_of(values, ids)
                elif gone.size:
                    values = rows.without(values, gone)
                    greatest = rows.scan(values, best, tops, room)
                peak = float(greatest)
            elif few:
                ids = rows.left_of(values, ids, limit, size)
            elif limit > least:
                if rows.hot(best, tops, limit) * ROWS <= _MOST:
                    few, ids = True, rows.above(values, best, tops, limit, size)
                elif limit > rows.lowest(values, tops, least, last, room):
                    least, last = limit, size
                    measured = deviated = summed = False
            if few and (not had or ids.size != before):
                measured = deviated = summed = False
            continue
        if low != high:
            return UNKNOWN if exact else DOUBT
        if code == TOP:
            if low < (ids.size if few else size):
                k = int(low)
                if few:
                    ids = rows.top(values, ids, k)
                else:
                    if size > _MOST < 4 * k:
                        return UNKNOWN
                    ids = rows.top(values, rows.leading_or_more(values, best, tops, k), k)
                    if least > -np.inf:
                        ids = rows.left_of(values, ids, least, last)
                    few = True
                measured = deviated = summed = False
            continue

        # A prefix.
        length = int(argument) if code >= REACH_BY else 0
        body = codes[place : place + length], arguments[place : place + length], stack, slots, sharp
        place += length
        sharp = np.bool_(True)
        if code != PREFIX and low >= 1:
            continue
        if blur > 0:
            return DOUBT
        alike = False
        if not few:
            alike = size > BLOCK and sums.flat(values, peak, temperature)
            if alike and code == REACH_BY:
                return UNKNOWN
            exact = exact or alike  # an estimate would seldom decide
        if code != PREFIX and (few or not alike):
            error = 0.0
            if few:
                total = _moments_of_few(values, ids, peak, temperature)[0]
            elif measured:
                total = math.exp((found[LOW, LOG_TOTAL] + found[HIGH, LOG_TOTAL]) / 2)
                error = math.exp(found[HIGH, LOG_TOTAL]) - math.exp(found[LOW, LOG_TOTAL])
            elif exact:
                total = sums.sum_up(values, tops, least, last, peak, temperature, masses)[0]
            else:
                total, error = sums.estimate(values, tops, least, last, peak, temperature, masses)
            goal[LOW], goal[HIGH] = low * (total - error), low * (total + error)
        state, missing = GOES_ON, 0.0
        for candidates in _CANDIDATES:
            if alike and code == REACH:
                break
            # No weight is above 1, nor above those that were seen; and where a prefix is long, it
            # takes less time to cut the row.
            beyond = missing > candidates or (code != PREFIX and goal[LOW] > candidates)
            beyond = beyond or (code != REACH_BY and FEW < candidates > best.size // 4)
            if beyond and not few and candidates < size:
                continue
            if code == REACH_BY and candidates > 4 * FEW and not body[4]:
                return DOUBT  # among so many an estimate seldom decides
            if few:
                some = rows.top(values, ids, candidates)
            elif candidates >= size:
                some = rows.above(values, best, tops, least, last)
            else:
                some = rows.leading_or_more(values, best, tops, candidates)
                if some.size > 4 * candidates:
                    some = rows.top(values, some, candidates)
                if least > -np.inf:
                    some = rows.left_of(values, some, least, last)
            complete = some.size == ids.size if few else candidates >= size
            if code == REACH_BY:
                some, state, missing = prefix_by_key(
                    values, some, peak, temperature, goal, body, complete
                )
                missing += some.size
            else:
                end, state, missing = prefix(values, some, peak, temperature, goal, body, nothing)
                missing = missing + some.size if code == REACH else 0.0
                some = rows.left_of(values, some, values[end], end)
            if complete and state == GOES_ON:
                state = ENDS
            if state == ENDS:
                few, ids = True, some
            if state != GOES_ON:
                break
        if state == UNCLEAR:
            return UNKNOWN if exact else DOUBT
        if state == GOES_ON:
            if code == REACH_BY:
                if not few:
                    return UNKNOWN
                ids, state, _ = prefix_by_key(values, ids, peak, temperature, goal, body, few)
            elif few:
                end, state, _ = prefix(values, ids, peak, temperature, goal, body, nothing)
                ids = rows.left_of(values, ids, values[end], end)
            else:
                least, last, state = cut(
                    values, tops, least, last, peak, temperature, low, goal, body
                )
                if rows.hot(best, tops, least) * ROWS <= _MOST:
                    few, ids = True, rows.above(values, best, tops, least, last)
            if state == UNCLEAR:
                return UNKNOWN if exact else DOUBT
        if code == REACH_BY:  # which may remove the greatest
            greatest = rows.greatest_of(values, ids)
            peak = float(greatest)
        measured = deviated = summed = False

    number = uniform(low_word, high_word, step, np.int64(0))
    noting, total, error = log_probs.size > 0, 0.0, 0.0
    if few:
        if blur > 0 and ids.size > 1:
            return DOUBT
        total, _, _ = _moments_of_few(values, ids, peak, temperature)
        target, mass = number * total, 0.0
        token = UNKNOWN
        for own in ids:
            mass += weight_of(values[own], peak, temperature)
            if mass > target:
                token = int(own)
                break
    else:
        if noting or exact or sums.flat(values, peak, temperature):
            if blur > 0:
                return DOUBT
            total = all_of_it
            if not summed:
                total, _, _ = sums.sum_up(values, tops, least, last, peak, temperature, masses)
        else:
            total, error = sums.estimate(values, tops, least, last, peak, temperature, masses)
            error += blur * total * max(math.log(size / total), 0.0)
        token = sums.find(values, tops, least, last, peak, temperature, number, masses, error)
        if token == NOWHERE:
            return UNKNOWN
    if noting and token >= 0:
        distance = np.float64(values[token]) - peak
        log_probs[0] = 0.0
        if not few or ids.size > 1:
            log_probs[0] = distance * (1 / temperature) - math.log(total)
        if log_probs.size > 1:
            all_of_them = np.float32(-np.inf)
            if few or temperature != 1 or least > -np.inf or peak != first_peak:
                total, _, _ = sums.sum_up(raw, tops, all_of_them, size, first_peak, 1.0, masses)
            log_probs[1] = np.float64(raw[token]) - first_peak - math.log(total)
    return token
