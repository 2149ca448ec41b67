"""A chain of cuts and a draw on one row of float32 logits, compiled with Numba.

It takes the steps of `row.EagerRow`, and decides nothing that these would decide in another way:
where an estimate leaves a doubt, or a row is unusual, it says so (`UNKNOWN`), and they decide.

No result depends on the processor: sums have the order that is written here, products and sums
are rounded one by one, and exponentials are made of these alone.
"""

import math
from typing import Any

import numpy as np
from numba import njit, types

from logit_sampling.distribution.random import _ROWS as _ROWS_STREAM
from logit_sampling.distribution.recorded import REACH, SCALE, TOP, WITHIN
from logit_sampling.distribution.rounding import AT_A_SUM
from logit_sampling.distribution.selection import FEW
from logit_sampling.distribution.weights import _ESTIMATE, _USUAL, BLOCK

UNKNOWN = -1
_EPSILON = float(np.finfo(np.float32).eps)
_LOWEST = np.finfo(np.float64).tiny  # of temperatures
_LEAST, _LEAST_32 = -700.0, np.float32(-87.0)  # log weights whose mass vanishes
_ROWS, _COLUMNS = 16, 64  # of a tile, a table of logits whose columns are looked at first
_TILE = _ROWS * _COLUMNS
# Where NumPy is faster: sorting more survivors than these, splitting a row that is wider.
_MOST, _WIDE = 4096, 65536
_ROUNDINGS = (22 + 2.6) * 2.0**-24 * 1.1  # of a sum of weights in float32, and of its weights
_MAGNITUDE, _INFINITE = np.int32(0x7FFFFFFF), np.int32(0x7F800000)  # bits of a float32
_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))  # of Threefry

# Exponentials: exp(z) = 2**k * exp(r). Adding the shift rounds z / ln 2 to the integer k, which
# then stands in the lowest bits; ln 2 has two parts, so that k times the first is exact.
_PER_LN2, _SHIFT = 1.4426950408889634, 6755399441055744.0
_LN2_HIGH, _LN2_LOW = 6.93147180369123816490e-01, 1.90821492927058770e-10
_PER_LN2_32, _SHIFT_32 = np.float32(_PER_LN2), np.float32(12582912.0)
_LN2_HIGH_32, _LN2_LOW_32 = np.float32(0.693359375), np.float32(-2.12194440e-4)

_compiled = njit(cache=True, nogil=True, error_model="numpy")
_inside = njit(error_model="numpy", nogil=True)


@_inside
def _exp(z: Any) -> Any:
    """Return the exponential of a float64 in [-708, 0], up to a unit in the last place."""
    shifted = z * _PER_LN2 + _SHIFT
    k = shifted - _SHIFT
    r = (z - k * _LN2_HIGH) - k * _LN2_LOW
    p = 1.6059043836821613e-10  # Taylor's series: 1 / 13! and so on
    p = p * r + 2.08767569878681e-09
    p = p * r + 2.505210838544172e-08
    p = p * r + 2.755731922398589e-07
    p = p * r + 2.7557319223985893e-06
    p = p * r + 2.48015873015873e-05
    p = p * r + 0.0001984126984126984
    p = p * r + 0.001388888888888889
    p = p * r + 0.008333333333333333
    p = p * r + 0.041666666666666664
    p = p * r + 0.16666666666666666
    p = p * r + 0.5
    p = p * r + 1.0
    p = p * r + 1.0
    bits = (np.float64(shifted).view(np.int64) << np.int64(52)) + np.float64(p).view(np.int64)
    return np.int64(bits).view(np.float64)


@_inside
def _exp_32(z: Any) -> Any:
    """Return the exponential of a float32 in [-87, 0], up to two roundings."""
    shifted = z * _PER_LN2_32 + _SHIFT_32
    k = shifted - _SHIFT_32
    r = (z - k * _LN2_HIGH_32) - k * _LN2_LOW_32
    p = np.float32(1.0 / 5040.0)
    p = p * r + np.float32(1.0 / 720.0)
    p = p * r + np.float32(1.0 / 120.0)
    p = p * r + np.float32(1.0 / 24.0)
    p = p * r + np.float32(1.0 / 6.0)
    p = p * r + np.float32(0.5)
    p = p * r + np.float32(1.0)
    p = p * r + np.float32(1.0)
    bits = (np.float32(shifted).view(np.int32) << np.int32(23)) + np.float32(p).view(np.int32)
    return np.int32(bits).view(np.float32)


@_inside
def _weight(logit: Any, peak: Any, temperature: Any) -> Any:
    """Return the weight of a logit, float64."""
    log = (np.float64(logit) - peak) / temperature
    return _exp(log) if log > _LEAST else 0.0


@_compiled
def _added(lanes: Any) -> Any:
    """Return the sum of `_COLUMNS` numbers, which it spoils; halves are added."""
    half = _COLUMNS // 2
    while half:
        for c in range(half):
            lanes[c] += lanes[c + half]
        half //= 2
    return lanes[0]


@_compiled
def _sum_up(values: Any, peak: float, temperature: float, sums: Any) -> None:
    """Give `sums`, float64 [blocks], the sum of each block of weights: of the columns of a tile."""
    tiles, lanes = _tiles(values), np.empty(_COLUMNS)
    for tile in range(len(tiles)):
        for c in range(_COLUMNS):
            lanes[c] = 0.0
        for row in range(_ROWS):
            for c in range(_COLUMNS):
                log = (np.float64(tiles[tile, row, c]) - peak) / temperature
                weight = _exp(max(log, _LEAST))
                lanes[c] += weight if log > _LEAST else 0.0
        sums[tile] = _added(lanes)
    if sums.size > len(tiles):
        rest = 0.0
        for i in range(tiles.size, values.size):
            rest += _weight(values[i], peak, temperature)
        sums[len(tiles)] = rest


@_compiled
def _estimate(values: Any, peak: float, temperature: float, sums: Any) -> float:
    """Do the same in float32; return a bound of the error of the total (see `weights`).

    At a temperature beyond the range of float32, in float64.
    """
    if not _USUAL[0] < temperature < _USUAL[1]:
        _sum_up(values, peak, temperature, sums)
        return 0.0
    tiles, lanes = _tiles(values), np.empty(_COLUMNS, np.float32)
    inverse, greatest, least = np.float32(1 / temperature), np.float32(peak), _LEAST_32
    total = 0.0
    for tile in range(len(tiles)):
        for c in range(_COLUMNS):
            lanes[c] = np.float32(0)
        for row in range(_ROWS):
            for c in range(_COLUMNS):
                log = (tiles[tile, row, c] - greatest) * inverse
                lanes[c] += _exp_32(max(log, least))
        sums[tile] = np.float64(_added(lanes))
        total += sums[tile]
    if sums.size > len(tiles):
        rest = 0.0
        for i in range(tiles.size, values.size):
            rest += _weight(values[i], peak, temperature)
        sums[len(tiles)] = rest
        total += rest
    # As in `weights`, but that a sum has 22 roundings (16 rows of a tile, and 6 halvings).
    return 2 * (_ROUNDINGS + 2.4e-7 * max(math.log(values.size / total), 0.0)) * total


@_inside
def _tiles(values: Any) -> Any:
    """Return whole tiles of a row, [tiles, rows, columns]."""
    count = values.size // _TILE
    return values[: count * _TILE].reshape((count, _ROWS, _COLUMNS))


@_inside
def _in_order(bits: Any) -> Any:
    """Return the bits of a float32 as an int32 of the same order, and the other way round."""
    return np.int32(bits ^ ((bits >> np.int32(31)) & _MAGNITUDE))


@_compiled
def _scan(values: Any, best: Any, tops: Any) -> Any:
    """Find the greatest logits. (As integers: their maxima need not look for NaN at each step.)

    Args:
        values: all logits.
        best: float32 [tiles, columns]: gets the greatest of each column of each tile.
        tops: float32 [tiles]: gets the greatest of each tile.

    Returns:
        the greatest of all, or NaN if there is one.
    """
    tiles, keys = _tiles(values).view(np.int32), best.view(np.int32)
    lowest, magnitude = np.int32(-(2**31)), np.int32(0)
    greatest = lowest
    for tile in range(len(tiles)):
        for c in range(_COLUMNS):
            key, size = lowest, np.int32(0)
            for row in range(_ROWS):
                bits = tiles[tile, row, c]
                key = max(key, _in_order(bits))
                size = max(size, np.int32(bits & _MAGNITUDE))
            keys[tile, c] = key
            magnitude = max(magnitude, size)
        top = lowest
        for c in range(_COLUMNS):
            top = max(top, keys[tile, c])
            keys[tile, c] = _in_order(keys[tile, c])
        tops.view(np.int32)[tile] = _in_order(top)
        greatest = max(greatest, top)
    rest = values[tiles.size :].view(np.int32)
    for i in range(rest.size):
        greatest = max(greatest, _in_order(rest[i]))
        magnitude = max(magnitude, np.int32(rest[i] & _MAGNITUDE))
    if magnitude > _INFINITE:
        return np.float32(np.nan)
    return np.int32(_in_order(greatest)).view(np.float32)


@_compiled
def _kth(x: Any, k: int) -> Any:
    """Return the k-th greatest of `x`, which it reorders."""
    low, high, place = 0, x.size - 1, k - 1
    while low < high:
        pivot, i, j = x[(low + high) // 2], low, high
        while i <= j:
            while x[i] > pivot:
                i += 1
            while x[j] < pivot:
                j -= 1
            if i <= j:
                x[i], x[j] = x[j], x[i]
                i += 1
                j -= 1
        if place <= j:
            high = j
        elif place >= i:
            low = i
        else:
            break
    return x[place]


@_compiled
def _hot(best: Any, tops: Any, least: Any) -> int:
    """Return in how many columns of tiles there are logits from `least` on."""
    hot = 0
    for tile in range(len(tops)):
        if tops[tile] >= least:
            for c in range(_COLUMNS):
                hot += best[tile, c] >= least
    return hot


@_compiled
def _first(values: Any, tops: Any, greatest: Any) -> Any:
    """Return the id of the first of the greatest logits, alone."""
    start = 0
    while start < len(tops) and tops[start] < greatest:
        start += 1
    place = start * _TILE
    while values[place] < greatest:
        place += 1
    return np.full(1, place, np.int32)


@_compiled
def _above(values: Any, best: Any, tops: Any, least: Any) -> Any:
    """Return the ids, ascending, of all logits from `least` on; `best` and `tops` as of `_scan`."""
    hot, rest = _hot(best, tops, least), best.size * _ROWS
    ids, count = np.empty(hot * _ROWS + values.size - rest, np.int32), 0
    columns = np.empty(_COLUMNS, np.int32)
    for tile in range(len(tops)):
        if tops[tile] >= least:
            hot = 0
            for c in range(_COLUMNS):
                columns[hot] = c
                hot += best[tile, c] >= least
            for row in range(_ROWS):
                start = tile * _TILE + row * _COLUMNS
                for h in range(hot):
                    ids[count] = start + columns[h]
                    count += values[start + columns[h]] >= least
    for i in range(rest, values.size):
        ids[count] = i
        count += values[i] >= least
    return ids[:count]


@_compiled
def _leading_or_more(values: Any, best: Any, tops: Any, k: int) -> Any:
    """Return the ids, ascending, of all logits from a threshold on that at least `k` reach."""
    # k groups of columns have at least the threshold as their greatest, and so have k logits.
    groups = 2 * k
    if groups > best.size:
        return _above(values, best, tops, np.float32(-np.inf))
    columns, greatest = best.reshape(best.size), np.full(groups, -np.inf, np.float32)
    for turn in range(best.size // groups):
        own = columns[turn * groups : (turn + 1) * groups]
        for i in range(groups):
            greatest[i] = max(greatest[i], own[i])
    return _above(values, best, tops, _kth(greatest, k))


@_compiled
def _first_of(values: Any, ids: Any, least: Any, equal: int) -> Any:
    """Return the ids of logits above `least`, and the first `equal` ones of those at it."""
    kept, count = np.empty(ids.size, np.int32), 0
    for i in ids:
        kept[count] = i
        if values[i] > least:
            count += 1
        elif values[i] == least and equal > 0:
            equal -= 1
            count += 1
    return kept[:count]


@_compiled
def _top(values: Any, ids: Any, k: int) -> Any:
    """Return which `k` of some ids have the greatest logits, of equal ones the lower ids."""
    own = np.empty(ids.size, np.float32)
    for i in range(ids.size):
        own[i] = values[ids[i]]
    least, above = _kth(own, k), 0
    for i in ids:
        above += values[i] > least
    return _first_of(values, ids, least, k - above)


@_compiled
def _cut(values: Any, peak: float, temperature: float, p: float) -> tuple[Any, int]:
    """Find where the shortest prefix of a whole row ends whose probability reaches `p`.

    The row is split at a logit into greater, equal and lesser ones, and then the part in which the
    prefix ends.

    Returns:
        the least logit of the prefix, and how many of those equal to it are in it; NaN if rounding
        leaves a doubt.
    """
    own, weights, total = values.copy(), np.empty(values.size), 0.0
    for i in range(own.size):
        log = (np.float64(own[i]) - peak) / temperature
        weight = _exp(max(log, _LEAST))
        weights[i] = weight if log > _LEAST else 0.0
    for i in range(own.size):
        total += weights[i]
    slack, none = AT_A_SUM * _EPSILON, np.float32(np.nan)
    short, low, high = p * total, 0, own.size  # what is missing before the part
    while low < high:
        one, two, three = own[low], own[(low + high) // 2], own[high - 1]
        pivot = max(min(one, two), min(max(one, two), three))
        i, j, k, greater = low, low, high, 0.0  # pivots lie from i to j, lesser ones from k on
        while j < k:
            if own[j] > pivot:
                greater += weights[j]
                own[i], own[j] = own[j], own[i]
                weights[i], weights[j] = weights[j], weights[i]
                i += 1
                j += 1
            elif own[j] < pivot:
                k -= 1
                own[j], own[k] = own[k], own[j]
                weights[j], weights[k] = weights[k], weights[j]
            else:
                j += 1
        weight, missing = weights[i], short - greater
        if missing <= slack * weight:  # not even the first pivot is wanted
            if i == low:
                return none, 0
            high = i
            continue
        left = missing - (k - i) * weight
        if left > slack * weight:  # all pivots are, and the first lesser one
            short, low = left, k
            continue
        if weight == 0 or left > 0:  # whether a lesser one is depends on its weight
            return none, 0
        return pivot, min(math.ceil(missing / weight - slack), k - i)
    return none, 0


@_compiled
def _ordered(values: Any, ids: Any) -> Any:
    """Return ids, which are ascending, the greatest logit first: pairs of runs are merged."""
    size, run = ids.size, 1
    order, other = ids.copy(), np.empty(size, np.int32)
    while run < size:
        for start in range(0, size, 2 * run):
            i, middle, end = start, min(start + run, size), min(start + 2 * run, size)
            j = middle
            for k in range(start, end):
                if i < middle and (j >= end or values[order[i]] >= values[order[j]]):
                    other[k] = order[i]
                    i += 1
                else:
                    other[k] = order[j]
                    j += 1
        order, other = other, order
        run *= 2
    return order


@_compiled
def _prefix(
    values: Any, ids: Any, peak: float, temperature: float, goal: float, error: float
) -> tuple[Any, bool]:
    """Return the shortest prefix of some ids whose weight reaches `goal`, ascending.

    Args:
        values: all logits.
        ids: ascending.
        peak, temperature: what their weights are relative to.
        goal: known up to `error`.
        error: of it.

    Returns:
        the prefix, which has a token at least, and whether it is known to end among the ids.
    """
    order = _ordered(values, ids)
    mass, wanted, surely = 0.0, 0, 0
    for i in range(order.size):
        weight = _weight(values[order[i]], peak, temperature)
        missing = goal - mass - AT_A_SUM * _EPSILON * weight
        if missing + error <= 0:
            break
        wanted += 1
        surely += missing - error > 0
        mass += weight
    last, equal = max(wanted, 1), 0
    least = values[order[last - 1]]
    for i in range(last):
        equal += values[order[i]] == least
    kept = _first_of(values, ids, least, equal)
    return kept, wanted == surely and wanted < order.size


@_inside
def _flat(values: Any, peak: Any, temperature: Any) -> Any:
    """Tell whether tokens are so many and so equal that an estimate would seldom decide."""
    mass = squares = 0.0
    for i in range(min(BLOCK // 4, values.size)):
        weight = _weight(values[i], peak, temperature)
        mass += weight
        squares += weight * weight
    if squares == 0:
        return False
    return mass * mass / squares / min(BLOCK // 4, values.size) * values.size > 0.1 / _ESTIMATE


@_compiled
def _find(values: Any, peak: float, temperature: float, uniform: float, sums: Any) -> int:
    """Return the token at which `uniform` of the mass of a whole row falls.

    Args:
        values: all logits.
        peak, temperature: what their weights are relative to.
        uniform: in [0, 1).
        sums: float64 [blocks], room.
    """
    error = 0.0
    if values.size <= BLOCK or _flat(values, peak, temperature):
        _sum_up(values, peak, temperature, sums)
    else:
        error = _estimate(values, peak, temperature, sums)
    while True:
        total = 0.0
        for block in range(sums.size):
            total += sums[block]
        target, mass, block = uniform * total, 0.0, 0
        while block < sums.size - 1 and mass + sums[block] <= target:
            mass += sums[block]
            block += 1
        # A token is found where both ends of what the target may be fall on it.
        before = mass
        for i in range(block * BLOCK, min((block + 1) * BLOCK, values.size)):
            weight = _weight(values[i], peak, temperature)
            mass += weight
            if mass > target - error and weight > 0:
                if mass > target + error and (target - error > before or not error):
                    return i
                break
        if not error:  # rounding left the target behind the last
            return UNKNOWN
        _sum_up(values, peak, temperature, sums)
        error = 0.0


@_compiled
def _threefry(low: Any, high: Any, step: Any, stream: Any) -> tuple[Any, Any]:
    """Return two words: see `random.threefry`."""
    first, second = np.uint32(low), np.uint32(high)
    third = np.uint32(first ^ second ^ np.uint32(0x1BD11BDA))
    keys = (first, second, third)
    x, y = np.uint32(np.uint32(step) + first), np.uint32(np.uint32(stream) + second)
    for group in range(5):
        for turn in range(4):
            by = np.uint32(_ROTATIONS[group % 2][turn])
            x = np.uint32(x + y)
            y = np.uint32(np.uint32((y << by) | (y >> np.uint32(np.uint32(32) - by))) ^ x)
        x = np.uint32(x + keys[(group + 1) % 3])
        y = np.uint32(y + keys[(group + 2) % 3] + np.uint32(group + 1))
    return x, y


@_inside
def _uniform(low: Any, high: Any, step: Any) -> Any:
    """Return the number in [0, 1) of a draw: see `eager.uniforms`."""
    x, y = _threefry(low, high, step, 0)
    return (x >> np.uint32(5)) * 2.0**-27 + (y >> np.uint32(6)) * 2.0**-53


@_compiled
def _draw(values: Any, operations: Any, parameters: Any, low: int, high: int, step: int) -> int:
    """Apply a chain to a row, and draw from what is left.

    Args:
        values: logits, float32 [n].
        operations: `SCALE` and so on, int8 [operations].
        parameters: of each, float64 [operations].
        low, high: the two words of the seed.
        step: the position of the token.

    Returns:
        its id, or `UNKNOWN`.
    """
    size = values.size
    best = np.empty((size // _TILE, _COLUMNS), np.float32)
    tops = np.empty(len(best), np.float32)
    greatest = _scan(values, best, tops)
    if not -math.inf < greatest < math.inf or 0 < greatest <= 1:
        return UNKNOWN
    peak, temperature, whole = float(greatest), 1.0, True
    ids = np.empty(0, np.int32)
    sums = np.empty((size + BLOCK - 1) // BLOCK)
    for place in range(operations.size):
        parameter, left = parameters[place], size if whole else ids.size
        if operations[place] == SCALE:
            if parameter == 0:
                parameter, temperature = 1.0, 1.0
                ids = _first(values, tops, greatest) if whole else _top(values, ids, 1)
                whole = False
            temperature = min(max(temperature * parameter, _LOWEST), 1 / _LOWEST)
        elif operations[place] == TOP:
            if parameter < left:
                k = int(parameter)
                if size > _MOST < 4 * k:
                    return UNKNOWN
                found = _leading_or_more(values, best, tops, k) if whole else ids
                ids, whole = _top(values, found, k), False
        elif operations[place] == WITHIN:
            distance = -temperature * parameter
            if distance == math.inf:
                continue
            least = peak
            if distance > 0:
                least = peak - distance
                least -= abs(least) * (_EPSILON / 2)
            limit = np.float32(least)
            if whole:
                if _hot(best, tops, limit) * _ROWS > _MOST:
                    return UNKNOWN
                ids, whole = _above(values, best, tops, limit), False
            else:
                count = 0
                for i in range(left):
                    ids[count] = ids[i]
                    count += values[ids[i]] >= limit
                ids = ids[:count]
        elif operations[place] == REACH and parameter < 1:
            if whole and size > FEW:
                known, goal, flat = False, 0.0, _flat(values, peak, temperature)
                if size > _MOST and flat:
                    return UNKNOWN
                if not flat:
                    error = parameter * _estimate(values, peak, temperature, sums)
                    for block in range(sums.size):
                        goal += sums[block]
                    goal *= parameter
                    if goal <= FEW:  # no weight is greater than 1
                        found = _leading_or_more(values, best, tops, FEW)
                        ids, known = _prefix(values, found, peak, temperature, goal, error)
                if not known and size > _WIDE:
                    return UNKNOWN
                if not known:
                    least, equal = _cut(values, peak, temperature, parameter)
                    if least != least:
                        return UNKNOWN
                    ids = _first_of(values, _above(values, best, tops, least), least, equal)
            else:
                found = _above(values, best, tops, np.float32(-np.inf)) if whole else ids
                if found.size > _MOST:
                    return UNKNOWN
                total = 0.0
                for i in range(found.size):
                    total += _weight(values[found[i]], peak, temperature)
                ids, _ = _prefix(values, found, peak, temperature, parameter * total, 0.0)
            whole = False
    if whole:
        return _find(values, peak, temperature, _uniform(low, high, step), sums)
    if ids.size == 1:
        return ids[0]
    total = 0.0
    for i in range(ids.size):
        total += _weight(values[ids[i]], peak, temperature)
    target, mass = _uniform(low, high, step) * total, 0.0
    for i in range(ids.size):
        mass += _weight(values[ids[i]], peak, temperature)
        if mass > target:
            return ids[i]
    return UNKNOWN


_ROWS_OF = types.Array(types.float32, 2, "C", readonly=True)
_SIGNATURE = types.void(
    _ROWS_OF,
    types.Array(types.int8, 1, "C"),
    types.Array(types.float64, 1, "C"),
    types.Array(types.uint32, 2, "C", readonly=True),
    types.Array(types.int32, 1, "C", readonly=True),
    types.Array(types.int32, 1, "C"),
)


@njit(_SIGNATURE, cache=True, nogil=True, error_model="numpy")
def draw(
    logits: Any, operations: Any, parameters: Any, seeds: Any, steps: Any, token_ids: Any
) -> None:
    """Apply a chain to each row, and draw from what is left.

    Args:
        logits: float32 [rows, n].
        operations: `SCALE` and so on, int8 [operations].
        parameters: of each, float64 [operations].
        seeds: two words for each row, uint32 [rows, 2].
        steps: int32 [rows].
        token_ids: int32 [rows]: gets the ids, or `UNKNOWN`.
    """
    for row in range(len(logits)):
        low, high = seeds[row]
        token_ids[row] = _draw(logits[row], operations, parameters, low, high, steps[row])


@njit(
    types.void(types.uint32, types.uint32, types.Array(types.uint32, 2, "C")),
    cache=True,
    nogil=True,
)
def row_seeds(low: int, high: int, seeds: Any) -> None:
    """Give `seeds`, uint32 [rows, 2], the words of each row; see `random.row_seeds`."""
    for row in range(len(seeds)):
        seeds[row, 0], seeds[row, 1] = low, high
        if row:
            seeds[row, 0], seeds[row, 1] = _threefry(low, high, row, _ROWS_STREAM)
