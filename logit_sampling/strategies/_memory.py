"""What a transform remembers of the tokens so far, as int32 arrays of fixed shape.

A log holds the latest tokens of each row, [batch, capacity], at the right in order, with -1 for
free columns at the left. Eager code doubles the capacity of an array that is full. In a graph,
where shapes are fixed, `LOST` fills the row instead, and it has no distribution from then on.
"""

from functools import lru_cache
from itertools import chain
from typing import Any

import numpy as np

from logit_sampling.distribution.intake import engine_of
from logit_sampling.distribution.protocol import Distribution
from logit_sampling.distribution.symbol import Symbol
from logit_sampling.strategies._history import check_columns, parted, with_room

LOST = -2
"""In place of a token id: the row had more tokens than the state has room for."""


def past_of(
    strategy: Any, history: Any, vocab_size: int, capacity: int, prompt_length: Any
) -> tuple[Any, Any, Any]:
    """Return where to compute, and a history as the state of a strategy takes it in.

    Both are int32 [batch, length + capacity], -1 where a token does not count: all tokens, and
    those behind the prompt. Every array has a column.
    """
    check_columns(history)
    prompt_length = history.shape[1] if prompt_length is None else prompt_length
    history = with_room(history, capacity)
    if not history.shape[1]:
        history = with_room(history, 1)
    xp, ids, prompt = parted(history, prompt_length, strategy.tensors())
    past = xp.where((ids >= 0) & (ids < vocab_size), ids, -1)
    return xp, past, xp.where(prompt, -1, past)


def accepted(ids: Any, state: tuple[Any, ...]) -> tuple[Any, Any, list[Any]]:
    """Return where to compute, the tokens that were accepted, int32 [batch, 1], and the state."""
    xp, (token, *arrays) = engine_of(ids, *state)
    return xp, token[:, None], arrays


def as_state(xp: Any, *arrays: Any) -> tuple[Any, ...]:
    """Return a state of int32 arrays."""
    if xp is np:
        return tuple(array.astype(np.int32, copy=False) for array in arrays)
    return tuple(xp.cast(array, "int32") for array in arrays)


def held(distribution: Distribution, state: tuple[Any, ...]) -> tuple[Distribution, list[Any]]:
    """Return a state as arrays of the distribution, which loses the rows that outgrew it."""
    arrays = [distribution.own(array) for array in state]
    for array in arrays:
        if len(array.shape) == 2 and array.shape[1]:
            distribution = distribution.without_rows(array[:, 0] == LOST)
    return distribution, arrays


def per_row(parameter: Any) -> Any:
    """Return a whole number, or one for each row, as int32 [1, 1] or [batch, 1]."""
    if not isinstance(parameter, Symbol):
        return np.asarray(parameter, np.int32).reshape(-1, 1)
    from keras import ops

    return ops.reshape(ops.cast(parameter.tensor, "int32"), (-1, 1))


def shifted(xp: Any, log: Any, by: int) -> Any:
    """Return a log as it was `by` tokens ago."""
    by = min(by, log.shape[1])
    return xp.pad(log[:, : log.shape[1] - by], ((0, 0), (by, 0)), constant_values=-1)


def log_of(xp: Any, ids: Any, limit: int | None = None) -> Any:
    """Return the log of the latest `limit` tokens of `ids` [batch, length], -1 for none."""
    if xp is np:  # a sort takes many times as long, and as much memory
        log = np.full_like(ids, -1)
        for own, row in zip(log, ids, strict=True):
            tokens = row[row >= 0]
            own[row.size - tokens.size :] = tokens
        return log if limit is None else log[:, max(ids.shape[1] - limit, 0) :]
    places = xp.arange(ids.shape[1], dtype="int32")
    order = xp.argsort(xp.where(ids < 0, places, places + ids.shape[1]), axis=1)
    log = xp.take_along_axis(ids, order, axis=1)
    return log if limit is None else log[:, max(ids.shape[1] - limit, 0) :]


def roomy(xp: Any, limit: int | None, token: Any, log: Any, *others: Any) -> tuple[Any, ...]:
    """Return a log and what belongs to its columns, in eager code with room for `token`."""
    size = log.shape[1]
    arrays = (log, *others)
    if xp is not np or size == limit or not ((log[:, :1] >= 0) & (token >= 0)).any():
        return arrays
    more = size if limit is None else min(size, limit - size)
    return tuple(np.pad(array, ((0, 0), (more, 0)), constant_values=-1) for array in arrays)


def appended(xp: Any, limit: int | None, token: Any, log: Any) -> Any:
    """Return a log with `token` [batch, 1]; the first column falls out of one of `limit`."""
    moved = xp.concatenate([log[:, 1:], token], axis=1)
    if log.shape[1] != limit:
        moved = xp.where(log[:, :1] >= 0, LOST, moved)
    return xp.where((token >= 0) & (log[:, :1] != LOST), moved, log)


def tally(xp: Any, ids: Any) -> tuple[Any, Any]:
    """Return the distinct ids of each row, [batch, length], and how often each occurs.

    They are at the left, ascending; further columns hold -1 and 0.
    """
    length, last = ids.shape[1], np.iinfo(np.int32).max
    ordered = xp.sort(xp.where(ids < 0, last, ids), axis=1)
    total = xp.sum(xp.where(ids < 0, 0, 1), axis=1, keepdims=True)
    first = (ordered != shifted(xp, ordered, 1)) & (ordered != last)
    starts = xp.sort(xp.where(first, xp.arange(length, dtype="int32"), total), axis=1)
    counts = xp.concatenate([starts[:, 1:], total], axis=1) - starts
    found = xp.take_along_axis(ordered, xp.minimum(starts, length - 1), axis=1)
    return xp.where(counts > 0, found, -1), counts


def counted(xp: Any, token: Any, ids: Any, counts: Any) -> tuple[Any, Any]:
    """Return a table of distinct ids and counts with `token` [batch, 1]; -1 is none."""
    best, place = _slot(xp, token, ids, counts)
    if xp is np and ((best == 0) & (token >= 0)).any():
        more = ((0, 0), (0, ids.shape[1]))
        ids, counts = np.pad(ids, more, constant_values=-1), np.pad(counts, more)
        best, place = _slot(xp, token, ids, counts)
    here = (xp.arange(ids.shape[1], dtype="int32") == place) & (token >= 0)
    taken = xp.where(here & (best > 0), token, ids)
    lost = (token >= 0) & (best == 0)
    return xp.where(lost, LOST, taken), xp.where(here, counts + 1, counts)


def _slot(xp: Any, token: Any, ids: Any, counts: Any) -> tuple[Any, Any]:
    """Return where `token` goes: 2, 1 or 0 for its own, a free or no place, and the place."""
    free = (counts == 0) & (ids != LOST)
    rank = xp.where(ids == token, 2, xp.where(free, 1, 0))
    return xp.max(rank, axis=1, keepdims=True), xp.argmax(rank, axis=1)[:, None]


@lru_cache(maxsize=16)
def table_of(sequences: tuple[tuple[int, ...], ...]) -> np.ndarray:
    """Return sequences of token ids at the right of the rows of a table, -1 before shorter ones."""
    lengths = np.fromiter(map(len, sequences), np.intp, len(sequences))
    longest = lengths.max(initial=0)
    table = np.full((len(sequences), longest), -1, np.int32)
    ids = np.fromiter(chain.from_iterable(sequences), np.int32, lengths.sum())
    table[np.arange(longest) >= longest - lengths[:, None]] = ids
    return table


def ends_with(xp: Any, log: Any, table: np.ndarray) -> Any:
    """Tell which rows of a table of sequences a log ends with, bool [batch, rows]; -1 is any id."""
    missing = table.shape[1] - log.shape[1]
    if missing > 0:
        log = xp.pad(log, ((0, 0), (missing, 0)), constant_values=-1)
    ends = log[:, log.shape[1] - table.shape[1] :]
    return xp.all((ends[:, None] == table) | (table < 0), axis=-1)


def hot_columns(xp: Any, hot: Any, *arrays: Any) -> tuple[Any, ...]:
    """Return `hot`, bool [batch, n], and others; in eager code the columns of hot ones alone."""
    if xp is not np:
        return hot, *arrays
    columns = np.flatnonzero(hot.any(axis=0))
    return tuple(array[:, columns] for array in (hot, *arrays))


def endings(tokens: np.ndarray, enough: int) -> np.ndarray:
    """Return how many tokens before each place are also the last ones of `tokens` [length].

    int32 [length]; they are counted to `enough` at least. Only places where all is equal so far
    are compared further. When these are so many that they overlap, what repeats there has a period,
    and is followed in one go to where the period ends: in all about length * log(length) steps.
    """
    size, length = tokens.size, 1
    lengths = np.zeros(size, np.int32)
    if not enough or not size:
        return lengths
    places = np.flatnonzero(tokens[:-1] == tokens[-1]) + 1
    lengths[places] = 1
    while places.size and length < enough:
        if places.size * length > 4 * size:
            period = int(np.diff(places).min(initial=size - places[-1]))
            breaks = np.flatnonzero(tokens[period:] != tokens[:-period])
            last = np.append(-1, breaks)[breaks.searchsorted(places - period)]
            reach, length = places - 1 - last, size - 1 - (breaks[-1] if breaks.size else -1)
            lengths[places] = np.minimum(reach, length)
            places = places[reach == length]
        places = places[places.searchsorted(length + 1) :]
        places = places[tokens[places - 1 - length] == tokens[size - 1 - length]]
        length += 1
        lengths[places] = length
    return lengths
