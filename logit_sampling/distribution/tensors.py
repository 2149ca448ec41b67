"""Keras tensors: taking in what callers hold, seeds and random numbers, small helpers."""

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from keras import ops

from logit_sampling.distribution.arrays import check_dense, is_symbolic, library_of, to_numpy
from logit_sampling.distribution.arrays import to_int32 as int32_of_numbers
from logit_sampling.distribution.random import (
    check_count,
    jax_key_words,
    next_words,
    row_seeds,
    seed_list,
    threefry,
)
from logit_sampling.distribution.search import wide
from logit_sampling.distribution.symbol import Symbol, tensor_of


def left_shift(words: Any, by: int) -> Any:
    """Shift uint32 words."""
    return ops.left_shift(words, ops.cast(by, "uint32"))


def right_shift(words: Any, by: int) -> Any:
    """Shift uint32 words, filling up with zeros."""
    return ops.right_shift(words, ops.cast(by, "uint32"))


def row_count(batch: Any) -> Any:
    """Return how many rows there are: an int where the graph knows it, else a tensor."""
    return batch.shape[0] if batch.shape[0] is not None else ops.shape(batch)[0]


def seed_words(seed: Any, rows: Any) -> Any:
    """Return the seed of each row, uint32 [rows, 2]; see `random.row_seeds`."""
    if seed is None:
        if keras.config.backend() != "tensorflow":
            raise ValueError("seed=None inside a compiled function would be frozen; pass a seed")
        import tensorflow as tf

        return tf.cast(tf.random.uniform((rows, 2), 0, 2**32, tf.int64), tf.uint32)
    if not is_symbolic(seed):
        if isinstance(rows, int):
            return ops.convert_to_tensor(row_seeds(seed, rows))
        if not isinstance(seed_list(seed), int):
            raise ValueError("a seed per row needs a batch whose size the graph knows")
        return row_words_of(ops.convert_to_tensor(row_seeds(seed, 1)), rows)
    words = jax_key_words(seed)
    words = _words_of(to_tensor(seed)) if words is None else words
    if len(words.shape) == 1:
        return row_words_of(words[None], rows)
    if isinstance(rows, int) and words.shape[0] is not None:
        check_count(words.shape[0], rows, seed)
    return words


def _words_of(seed: Any) -> Any:
    """Return integers of a graph as words, uint32 [..., 2], the low one first."""
    check_integers("seed", seed)
    kind = kind_of(seed)
    if kind == "uint32":
        return ops.stack([seed, ops.zeros_like(seed)], axis=-1)
    if kind in ("int64", "uint64"):
        signed, word = ops.cast(seed, "int64"), ops.cast(0xFFFFFFFF, "int64")
        low = ops.bitwise_and(signed, word)
        high = ops.bitwise_and(ops.right_shift(signed, 32), word)
    else:  # of an integer that fits 32 bits the sign alone fills the upper word
        low = ops.cast(seed, "int32")
        high = ops.right_shift(low, 31)
    return ops.stack([ops.cast(low, "uint32"), ops.cast(high, "uint32")], axis=-1)


def row_words_of(words: Any, rows: Any) -> Any:
    """Return the seeds of the rows of a batch, uint32 [rows, 2], of its seed, uint32 [1, 2]."""
    if isinstance(rows, int) and rows == 1:
        return words
    numbers = ops.cast(ops.arange(rows), "uint32")
    return ops.where(numbers[:, None] == 0, words, next_words_of(words, numbers))


def next_words_of(words: Any, numbers: Any) -> Any:
    """Return seeds, uint32 [n, 2], that a seed, uint32 [1, 2], makes; see `random.next_words`."""
    key = words[:, 0], words[:, 1]
    return ops.stack(next_words(key, numbers, left_shift, right_shift, np.uint32), axis=-1)


def check_integers(name: str, tensor: Any) -> None:
    """Raise ValueError unless `tensor` holds integers."""
    if "int" not in kind_of(tensor):
        raise ValueError(f"{name} must hold integers, got {kind_of(tensor)}")


def to_tensor(x: Any) -> Any:
    """Return `x`, an array of any kind or nested lists, as a tensor of the backend.

    Raises:
        ValueError: it belongs to another framework's graph, or is no dense array.
    """
    backend, family, symbolic = keras.config.backend(), library_of(x), is_symbolic(x)
    if symbolic and family in {"jax", "tensorflow"} - {backend}:
        raise ValueError(
            f"a graph of {family} is being traced, but Keras runs on {backend}: set the "
            f"environment variable KERAS_BACKEND={family} before Keras is first imported"
        )
    if symbolic and isinstance(x, list | tuple):
        return ops.stack([to_tensor(row) for row in x])
    check_dense(x)
    own = symbolic or family in (backend, "keras")
    tensor = ops.convert_to_tensor(x if own else to_numpy(x))
    return ops.cast(tensor, "float32") if "float8" in kind_of(tensor) else tensor


def kind_of(tensor: Any) -> str:
    """Return the name of the dtype of a tensor of any backend."""
    return keras.backend.standardize_dtype(tensor.dtype)


def to_int32(x: Any) -> Any:
    """Return integers as int32; what does not fit is the nearest, which is no token's id."""
    if not is_symbolic(x):  # JAX would cut 64 bits
        return ops.convert_to_tensor(int32_of_numbers(x))
    tensor, limits = to_tensor(x), np.iinfo(np.int32)
    kind = kind_of(tensor)
    if kind in ("int64", "uint32", "uint64"):
        tensor = ops.minimum(tensor, ops.cast(limits.max, kind))
    if kind == "int64":
        tensor = ops.maximum(tensor, ops.cast(limits.min, kind))
    return ops.cast(tensor, "int32")


def to_ids(history: Any) -> Any:
    """Return token ids as int32, -1 for none."""
    return ops.maximum(to_int32(history), -1)


def row_integers(numbers: Any, rows: Any) -> Any:
    """Return a number or [batch] numbers as int32 [batch]."""
    check_integers("step and ids", to_tensor(numbers))
    return ops.broadcast_to(to_int32(numbers), (rows,))


def batch_of(numbers: Any, history: Any) -> Any:
    """Return a number or [batch] numbers as [batch] floats, for the rows of `history`."""
    rows = row_count(ops.convert_to_tensor(history))
    return ops.broadcast_to(tensor_of(numbers, wide()), (rows,))


def no_history(rows: Any) -> Any:
    """Return token ids of no tokens yet, int32 [rows, 0]."""
    return ops.zeros((rows, 0), "int32")


def prompt_lengths(prompt_length: Any, rows: int | None) -> Any:
    """Return the lengths of prompts of a graph as int32, [batch], or [1] for all rows."""
    tensor = to_tensor(prompt_length)
    check_integers("prompt_length", tensor)
    known = tensor.shape[0] if len(tensor.shape) == 1 else None
    if len(tensor.shape) > 1 or (None not in (known, rows) and known != rows):
        raise ValueError(
            f"prompt_length must be one integer, or one for each of {rows} rows; got shape "
            f"{tuple(tensor.shape)}"
        )
    return to_int32(ops.reshape(tensor, (-1,)))


def beyond(lengths: Any, history: Any) -> Any:
    """Return which lengths of prompts are no number of columns of `history`, bool [batch]."""
    wrong = (lengths < 0) | (lengths > ops.shape(history)[1])
    return ops.broadcast_to(wrong, (row_count(ops.convert_to_tensor(history)),))


def lengths(history: Any) -> Any:
    """Return how many token ids each row of `history` [batch, length] holds, int32 [batch]."""
    return ops.sum(ops.cast(ops.convert_to_tensor(history) >= 0, "int32"), axis=-1)


def column(parameter: Any, dtype: str) -> Any:
    """Return a number or [batch] numbers so that they broadcast over [batch, tokens]."""
    tensor = tensor_of(parameter, dtype)
    return tensor[:, None] if len(tensor.shape) else tensor


def symbol(value: Any) -> Symbol:
    """Return a parameter for a tensor of the graph, or for a list with one for each row."""
    rows = isinstance(value, list | tuple)
    tensor = ops.stack([to_tensor(v) for v in value]) if rows else to_tensor(value)
    return Symbol(tensor.read_value() if hasattr(tensor, "read_value") else tensor)


def outside(parameter: Symbol, bounds: Mapping[str, float], rows: Any) -> Any:
    """Tell which rows have a parameter that is out of bounds or not finite, bool [rows].

    A bound is rounded as the tensor is: 0.99 in float32 is at most 0.99.
    """
    kind = kind_of(parameter.tensor)
    kind = kind if "float" in kind else wide()
    tensor = ops.cast(parameter.tensor, kind)
    ge, gt, le, lt = (tensor_of(bounds[name], kind) for name in ("ge", "gt", "le", "lt"))
    inside = (tensor >= ge) & (tensor > gt) & (tensor <= le) & (tensor < lt) & ops.isfinite(tensor)
    if tensor.ndim and tensor.shape[0] is None:  # one value would do for all rows
        inside = inside & (ops.shape(tensor)[0] == rows)
    return ops.logical_not(ops.broadcast_to(inside, (rows,)))


def uniforms(seeds: Any, steps: Any, stream: int) -> Any:
    """Return a number in [0, 1) for each row, [batch], from seeds uint32 [batch, 2] and steps."""
    counter = ops.cast(steps, "uint32")
    key, second = (seeds[:, 0], seeds[:, 1]), ops.zeros_like(counter) + np.uint32(stream)
    words = threefry(key, (counter, second), left_shift, right_shift, np.uint32)
    if wide() == "float64":
        high, low = (
            ops.cast(right_shift(w, by), wide()) for w, by in zip(words, (5, 6), strict=True)
        )
        return high * 2.0**-27 + low * 2.0**-53
    return ops.cast(right_shift(words[0], 8), wide()) * np.float32(2.0**-24)
