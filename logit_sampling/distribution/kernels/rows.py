"""One row of float32 logits, compiled: finding tokens in it without sorting it.

A row is looked at in blocks, tables of [`ROWS`, `COLUMNS`] logits. What is left of it is all tokens
whose logit is above `least`, and of those at it the ones up to the id `last`; or, once these are
few, their ids, ascending.
"""

from typing import Any

import numpy as np
from numba import njit, types

from logit_sampling.distribution.kernels.arithmetic import compiled
from logit_sampling.distribution.weights import BLOCK

ROWS, COLUMNS = 16, BLOCK // 16  # loops over `len(room)` rows: those over a known number of them
# become one long piece of code, which takes twice as long to compile
_LOGITS = types.Array(types.float32, 1, "C", readonly=True)


@compiled
def block_of(values: Any, number: int, least: Any, last: int, room: Any) -> Any:
    """Return a block [rows, columns]; what was removed, or lies behind the end, is -inf.

    Args:
        values: all logits.
        number: of the block.
        least, last: what is left.
        room: [rows, columns], for a block that is not as it came in.
    """
    start, end, none = number * BLOCK, (number + 1) * BLOCK, np.float32(-np.inf)
    if end <= values.size:
        block = values[start:end].reshape((ROWS, COLUMNS))
        if least == -np.inf:
            return block
        if not start <= last < end - 1:  # all that are equal are on one side
            edge = least if last >= start else np.nextafter(least, np.float32(np.inf))
            for row in range(len(room)):
                for c in range(COLUMNS):
                    value = block[row, c]
                    room[row, c] = value if value >= edge else none
            return room
    flat = room.reshape(BLOCK)
    for i in range(start, end):
        value = values[i] if i < values.size else none
        gone = value < least or (value == least and i > last)  # neither, of NaN
        flat[i - start] = none if gone else value
    return room


@compiled
def scan(values: Any, best: Any, tops: Any, room: Any) -> Any:
    """Find the greatest logits.

    Args:
        values: all logits.
        best: float32 [blocks, columns]: gets the greatest of each column of each block.
        tops: float32 [blocks]: gets the greatest of each block.
        room: see `block_of`.

    Returns:
        the greatest of all, or NaN if there is one.
    """
    greatest, unknown = np.float32(-np.inf), np.int32(0)
    for number in range(tops.size):
        block = block_of(values, number, np.float32(-np.inf), values.size, room)
        for c in range(COLUMNS):
            most, odd = np.float32(-np.inf), np.int32(0)
            for row in range(ROWS):
                value = block[row, c]
                most = value if value > most else most  # of NaN it is false
                odd |= np.int32(value != value)
            best[number, c] = most
            unknown |= odd
        top = np.float32(-np.inf)
        for c in range(COLUMNS):
            top = best[number, c] if best[number, c] > top else top
        tops[number] = top
        greatest = top if top > greatest else greatest
    return np.float32(np.nan) if unknown else greatest


@compiled
def any_below_0(values: Any) -> bool:
    """Tell whether there is a logit below 0: the first few nearly always tell."""
    for value in values:  # noqa: SIM110
        if value < 0:
            return True
    return False


@compiled
def lowest(values: Any, tops: Any, least: Any, last: int, room: Any) -> Any:
    """Return the least logit above -inf that is left."""
    found, lanes = np.float32(np.inf), np.empty(COLUMNS, np.float32)
    lanes[:] = np.inf
    for number in range(tops.size):
        if tops[number] >= least:
            block = block_of(values, number, least, last, room)
            for row in range(len(room)):
                for c in range(COLUMNS):
                    value = block[row, c]
                    lower = (value > -np.inf) & (value < lanes[c])
                    lanes[c] = value if lower else lanes[c]
    for c in range(COLUMNS):
        found = min(found, lanes[c])
    return found


@compiled
def hot(best: Any, tops: Any, least: Any) -> int:
    """Return in how many columns of blocks there are logits from `least` on."""
    count = 0
    for number in range(tops.size):
        if tops[number] >= least:
            for c in range(COLUMNS):
                count += best[number, c] >= least
    return count


@compiled
def first(values: Any, tops: Any, greatest: Any) -> Any:
    """Return the id of the first of the greatest logits, alone."""
    number = 0
    while tops[number] < greatest:
        number += 1
    place = number * BLOCK
    while values[place] < greatest:
        place += 1
    ids = np.empty(1, np.int32)
    ids[0] = place
    return ids


@compiled
def above(values: Any, best: Any, tops: Any, least: Any, last: int) -> Any:
    """Return the ids of what is left, ascending."""
    ids, count = np.empty(hot(best, tops, least) * ROWS, np.int32), 0
    columns = np.empty(COLUMNS, np.int32)
    for number in range(tops.size):
        if tops[number] >= least:
            some = 0
            for c in range(COLUMNS):
                if best[number, c] >= least:
                    columns[some] = c
                    some += 1
            for row in range(ROWS):
                start = number * BLOCK + row * COLUMNS
                for h in range(some):
                    i = start + columns[h]
                    if i < values.size:
                        value = values[i]
                        ids[count] = i
                        count += value > least or (value == least and i <= last)
    return ids[:count]


@compiled
def any_between(
    values: Any, tops: Any, least: Any, last: int, low: Any, high: Any, room: Any
) -> bool:
    """Tell whether there is a logit from `low` on, below `high`, among what is left."""
    for number in range(tops.size):
        if tops[number] >= max(low, least):
            block, found = block_of(values, number, least, last, room), 0
            for row in range(len(room)):
                for c in range(COLUMNS):
                    found += (low <= block[row, c]) & (block[row, c] < high)
            if found:
                return True
    return False


@compiled
def kth(x: Any, k: int) -> Any:
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


@compiled
def leading_or_more(values: Any, best: Any, tops: Any, k: int) -> Any:
    """Return the ids, ascending, of all logits from a threshold on that at least `k` reach."""
    # k groups of columns have at least the threshold as their greatest, and so have k logits.
    groups, size = 2 * k, values.size
    if k > size:
        return above(values, best, tops, np.float32(-np.inf), size)
    if groups > best.size:
        return above(values, best, tops, kth(values.copy(), k), size)
    columns, greatest = best.reshape(best.size), np.empty(groups, np.float32)
    greatest[:] = -np.inf
    for turn in range(best.size // groups):
        own = columns[turn * groups : (turn + 1) * groups]
        for i in range(groups):
            greatest[i] = max(greatest[i], own[i])
    return above(values, best, tops, kth(greatest, k), size)


@compiled
def first_of(values: Any, ids: Any, least: Any, equal: int) -> Any:
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


@compiled
def left_of(values: Any, ids: Any, least: Any, last: int) -> Any:
    """Return which of some ids are left."""
    kept, count = np.empty(ids.size, np.int32), 0
    for i in ids:
        kept[count] = i
        count += values[i] > least or (values[i] == least and i <= last)
    return kept[:count]


@compiled
def top(values: Any, ids: Any, k: int) -> Any:
    """Return which `k` of some ids have the greatest logits, of equal ones the lower ids."""
    if k >= ids.size:
        return ids
    own = np.empty(ids.size, np.float32)
    for i in range(ids.size):
        own[i] = values[ids[i]]
    least, greater = kth(own, k), 0
    for i in ids:
        greater += values[i] > least
    return first_of(values, ids, least, k - greater)


@compiled
def ordered(keys: Any) -> Any:
    """Return the places of keys, the greatest first, of equals the lower: runs are merged."""
    size, run = keys.size, 1
    order, other = np.arange(size), np.empty(size, np.int64)
    while run < size:
        for start in range(0, size, 2 * run):
            i, middle, end = start, min(start + run, size), min(start + 2 * run, size)
            j = middle
            for k in range(start, end):
                if i < middle and (j >= end or keys[order[i]] >= keys[order[j]]):
                    other[k] = order[i]
                    i += 1
                else:
                    other[k] = order[j]
                    j += 1
        order, other = other, order
        run *= 2
    return order


@compiled
def greatest_of(values: Any, ids: Any) -> Any:
    """Return the greatest logit of some ids."""
    found = np.float32(-np.inf)
    for i in ids:
        found = values[i] if values[i] > found else found
    return found


@compiled
def all_but_last(values: Any, ids: Any) -> Any:
    """Return which of some ids, ascending, are above -inf, but for the last in order."""
    end = -1
    for i in ids:
        if values[i] > -np.inf and (end < 0 or values[i] <= values[end]):
            end = i
    kept, count = np.empty(ids.size, np.int32), 0
    for i in ids:
        kept[count] = i
        count += i != end and values[i] > -np.inf
    return kept[:count]


@njit(_LOGITS(_LOGITS, types.Array(types.int32, 1, "C")), nogil=True, no_cfunc_wrapper=True)
def without(values: Any, ids: Any) -> Any:
    """Return a copy of a row in which some logits are -inf: read-only, as the row is."""
    kept = values.copy()
    for i in ids:
        kept[i] = -np.inf
    return kept


@compiled
def others(ids: Any, gone: Any) -> Any:
    """Return ids that are not among `gone`; both are ascending."""
    kept, count, place = np.empty(ids.size, np.int32), 0, 0
    for i in ids:
        if place < gone.size and gone[place] == i:
            place += 1
        else:
            kept[count] = i
            count += 1
    return kept[:count]
