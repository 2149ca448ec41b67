"""Token ids seen so far: prompt first, -1 pads a shorter row."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from logit_sampling.distribution.arrays import is_symbolic, padded, to_int32, to_numpy
from logit_sampling.distribution.intake import engine_of

_WANTED = "history must be token ids, integers of shape [length] or [batch, length]"


def as_history(history: Any, rows: Any = None) -> Any:
    """Return token ids as int32 [batch, length], -1 where a row has none.

    Args:
        history: an int array or tensor [length] or [batch, length] (a ragged one too), nested lists
            of any lengths, or None for no tokens yet. Below 0 or masked is padding. In a graph an
            id that 32 bits do not hold becomes the greatest that they do, which never counts.
        rows: how many rows there must be (a tensor where a graph leaves it open); None: as many
            as there are.

    Raises:
        ValueError: no integers, a wrong rank, another number of rows, or an id of 2**31 or more.
    """
    history = padded(history, -1)
    if is_symbolic(history):
        from logit_sampling.distribution import tensors

        tensor = tensors.to_tensor(history)
        kind, shape = tensors.kind_of(tensor), tuple(tensor.shape)
        if "int" not in kind or len(shape) not in (1, 2):
            raise ValueError(f"{_WANTED}; got {kind} of shape {shape}")
        return tensors.to_ids(tensor if len(shape) == 2 else tensor[None])
    if history is None and is_symbolic(rows):  # a graph that leaves the batch size open
        from logit_sampling.distribution import tensors

        return tensors.no_history(rows)
    if history is None:
        return np.empty((1 if rows is None else rows, 0), np.int32)
    listed = isinstance(history, Sequence) and has_rows(history)
    array = _rows(history) if listed else _ids(to_numpy(history))
    array = array if array.ndim == 2 else array[None]
    if isinstance(rows, int) and rows != len(array):
        raise ValueError(f"history has {len(array)} rows, logits have {rows}")
    return array


def has_rows(history: Any) -> bool:
    """Tell whether token ids that hold numbers are those of several rows, not of one text."""
    history = padded(history, -1)
    if not isinstance(history, Sequence):
        return to_numpy(history).ndim == 2
    return any(not isinstance(row, int | np.generic) and np.ndim(row) for row in history)


def _rows(history: Any) -> np.ndarray:
    """Return rows of any lengths as one array."""
    rows = [to_numpy(row) for row in history]
    if not all(row.ndim for row in rows):
        raise ValueError(f"{_WANTED}; got both lists and numbers, {history!r}")
    array = np.full((len(rows), max(map(len, rows))), -1, np.int32)
    for own, row in zip(array, rows, strict=True):
        if row.ndim > 1:
            raise ValueError(f"{_WANTED}; got a row of shape {row.shape}")
        own[: len(row)] = _ids(row)
    return array


def _ids(array: np.ndarray) -> np.ndarray:
    """Return token ids as int32, -1 for none."""
    if array.size == 0:
        array = array.astype(np.int32)
    if array.dtype.kind not in "iu" or array.ndim not in (1, 2):
        raise ValueError(f"{_WANTED}; got {array.dtype.name} of shape {array.shape}")
    if array.size and array.max() >= 2**31:
        raise ValueError(f"{_WANTED} below 2**31; got {array.max()}")
    return np.maximum(to_int32(array), -1)


def as_prompt_length(prompt_length: Any, history: Any) -> Any:
    """Return how many columns of a history are the prompt.

    Args:
        prompt_length: an integer, or one for each row, as an array of any kind.
        history: what `as_history` returned, [batch, length].

    Returns:
        an int for all rows, or int32 [batch]; of a graph a tensor, [1] or [batch].

    Raises:
        ValueError: no integer of at least 0, more than the history has, or not one for each row.
    """
    rows, length = history.shape
    if type(prompt_length) is int and length is not None and 0 <= prompt_length <= length:
        return prompt_length
    if is_symbolic(prompt_length):
        from logit_sampling.distribution import tensors

        return tensors.prompt_lengths(prompt_length, rows)
    given = to_numpy(prompt_length)
    if given.dtype.kind not in "iu" or given.shape not in ((), (rows,)) or (given < 0).any():
        raise ValueError(
            f"prompt_length must be an integer of at least 0, got {prompt_length!r}; or one for "
            f"each of {'an open number of' if rows is None else rows} rows"
        )
    if length is not None and (given > length).any():
        raise ValueError(
            f"prompt_length is {given.max()}, but the history has {length} columns: it counts "
            "columns of the history that belong to the prompt"
        )
    return int(given) if given.ndim == 0 else given.astype(np.int32)


def with_room(history: Any, room: int) -> Any:
    """Return a history with `room` empty columns more."""
    if not room:
        return history
    if not is_symbolic(history):
        return np.pad(history, ((0, 0), (0, room)), constant_values=-1)
    from keras import ops

    return ops.pad(history, ((0, 0), (0, room)), constant_values=-1)


def parted(history: Any, prompt_length: Any, others: Any = ()) -> tuple[Any, Any, Any]:
    """Return where to compute, the history there, and which of its places are prompt.

    The last is bool, [length] or [batch, length]. For `others` see `engine_of`.
    """
    if isinstance(prompt_length, int):
        xp, (ids,) = engine_of(history, others=others)
        end = prompt_length
    else:
        xp, (ids, lengths) = engine_of(history, prompt_length, others=others)
        end = xp.reshape(lengths, (-1, 1))
    return xp, ids, xp.arange(xp.shape(ids)[1], dtype="int32") < end


def check_columns(history: Any) -> None:
    """Raise ValueError unless it is known how many columns a history has."""
    if history.shape[1] is None:
        raise ValueError("the length of the history is unknown while tracing; set its static shape")
