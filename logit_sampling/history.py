"""Token ids seen so far: prompt first, -1 pads a shorter row."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from logit_sampling.arrays import is_symbolic, to_numpy

_WANTED = "history must be token ids, integers of shape [length] or [batch, length]"


def as_history(history: Any, rows: Any = None) -> Any:
    """Return token ids as int32 [batch, length], -1 where a row has none.

    Args:
        history: an int array or tensor [length] or [batch, length], nested lists of any lengths,
            or None for no tokens yet.
        rows: how many rows there must be (a tensor where a graph leaves it open); None: as many
            as there are.

    Raises:
        ValueError: no integers, a wrong rank, or another number of rows.
    """
    if is_symbolic(history):
        if "int" not in history.dtype.name or len(history.shape) not in (1, 2):
            raise ValueError(f"{_WANTED}; got {history.dtype.name} of shape {history.shape}")
        return history if len(history.shape) == 2 else history[None]
    if history is None and is_symbolic(rows):  # a graph that leaves the batch size open
        from logit_sampling.engines import keras_arrays

        return keras_arrays.no_history(rows)
    if history is None:
        return np.empty((1 if rows is None else rows, 0), np.int32)
    if isinstance(history, Sequence) and any(np.ndim(row) for row in history):
        if not all(np.ndim(row) for row in history):
            raise ValueError(f"{_WANTED}; got both lists and numbers, {history!r}")
        length = max(len(row) for row in history)
        history = [[*row, *[-1] * (length - len(row))] for row in history]
    array = to_numpy(history)
    if array.size == 0:
        array = array.astype(np.int32)
    if array.dtype.kind not in "iu" or array.ndim not in (1, 2):
        raise ValueError(f"{_WANTED}; got {array.dtype.name} of shape {array.shape}")
    if array.size and array.max() >= 2**31:
        raise ValueError(f"{_WANTED} below 2**31; got {array.max()}")
    array = array if array.ndim == 2 else array[None]
    if isinstance(rows, int) and rows != len(array):
        raise ValueError(f"history has {len(array)} rows, logits have {rows}")
    return array.astype(np.int32)


def with_room(history: Any, room: int) -> Any:
    """Return a history with ``room`` empty columns more."""
    if not room:
        return history
    if not is_symbolic(history):
        return np.pad(history, ((0, 0), (0, room)), constant_values=-1)
    from keras import ops

    return ops.pad(history, ((0, 0), (0, room)), constant_values=-1)


def replay(transform: Any, history: Any, prompt_length: int, vocab_size: int) -> Any:
    """Return the state of ``transform`` after a whole history, int [batch, length].

    Its first ``prompt_length`` tokens are the prompt, the others are accepted one by one.

    Raises:
        ValueError: ``prompt_length`` is negative or no integer, or the length of the history is
            open in a graph and the transform depends on it.
    """
    _check_length(prompt_length)
    state = transform.init(history[:, :prompt_length], vocab_size)
    if not transform.is_stateful():
        return state
    check_columns(history, prompt_length)
    for step in range(prompt_length, history.shape[1]):
        state = transform.update(state, history[:, step])
    return state


def check_columns(history: Any, prompt_length: Any) -> None:
    """Raise ValueError unless it is known which columns a history has, and which are generated."""
    if history.shape[1] is None:
        raise ValueError("the length of the history is unknown while tracing; set its static shape")
    _check_length(prompt_length)


def _check_length(prompt_length: Any) -> None:
    if not isinstance(prompt_length, int | np.integer) or prompt_length < 0:
        raise ValueError(f"prompt_length must be an integer of at least 0, got {prompt_length!r}")
