"""TensorFlow: one graph for all sizes, which writes into the tensors that it is given.

(Variables would not do: TensorFlow copies one that was written in part whenever it is read.)
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from logit_sampling.models.attention import Attention
from logit_sampling.models.sizes import Sizes

sizes = Sizes(few=False)
stacked = True  # each argument of a graph costs ten microseconds a call


class attention(Attention):
    """Attention in a graph."""

    _lines: Any = None

    def kept(self, arrays: list[Any], layer: int, new: Any) -> Any:
        """Write in place."""
        (array,) = arrays
        shape, size = tf.shape(array), array.shape[-1]
        if self._lines is None:  # they lie under one another: those of a row and head together
            own = self.column + tf.range(self.count)
            tables = tf.range(shape[1])[:, None] * shape[2]
            self._lines = tf.reshape(tables + own, [-1])
        flat = tf.reshape(array, [-1, size])
        lines = self._lines + layer * (tf.shape(flat)[0] // shape[0])
        new = tf.reshape(tf.cast(new, array.dtype), [-1, size])
        written = tf.raw_ops.InplaceUpdate(x=flat, i=lines, v=new)
        arrays[0] = tf.ensure_shape(tf.reshape(written, shape), array.shape)
        return arrays[0][layer]

    def scores(self, query: Any, keys: Any) -> Any:
        """Transpose nothing."""
        return tf.matmul(query, keys, transpose_b=True)


class _Graph:
    """A function with one graph."""

    def __init__(self, function: Callable[..., Any], signature: Sequence[Any]) -> None:
        specs = keras.tree.map_structure(lambda x: tf.TensorSpec(x.shape, x.dtype), signature)
        self._function = tf.function(function, input_signature=specs, autograph=False)
        # A call of the function would look for its graph anew, which costs half a millisecond.
        self.concrete: Any = self._function.get_concrete_function()

    @property
    def traces(self) -> int:
        return self._function.experimental_get_tracing_count()

    def __call__(self, *arguments: Any) -> Any:
        return self.concrete(*keras.tree.map_structure(tf.convert_to_tensor, list(arguments)))


class _Program:
    """A function, compiled by XLA for each size that it is called with."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = tf.function(function, jit_compile=True, autograph=False)

    @property
    def traces(self) -> int:
        return self._function.experimental_get_tracing_count()

    def __call__(self, *arguments: Any) -> Any:
        return self._function(*keras.tree.map_structure(tf.convert_to_tensor, list(arguments)))


def compiled(
    function: Callable[..., Any], model: Any, signature: Sequence[Any], kept: int
) -> _Graph:
    """Return the graph of a function; it reads variables when it runs."""
    return _Graph(function, signature)


def program(
    function: Callable[..., Any], model: Any, signature: Sequence[Any], kept: int
) -> _Program:
    """Return the programs of a function; a call copies what it is given to write into, once."""
    return _Program(function)


def put(arrays: list[Any], tables: np.ndarray, new: list[Any]) -> list[Any]:
    """Write in place."""
    written = []
    for array, own in zip(arrays, new, strict=True):
        *stack, every, columns, size = array.shape
        firsts = np.arange(math.prod(stack))[:, None] * every + tables  # of all layers
        lines = firsts[..., None] * columns + np.arange(own.shape[-2])
        flat = tf.raw_ops.InplaceUpdate(
            x=tf.reshape(array, [-1, size]),
            i=tf.constant(lines.ravel(), tf.int32),
            v=tf.reshape(own, [-1, size]),
        )
        written.append(tf.reshape(flat, array.shape))
    return written


def state(variables: Sequence[Any]) -> object:
    """Return sums over the bits of all variables: TensorFlow does not count what is assigned."""
    sums = []
    for variable in variables:
        bits = np.ascontiguousarray(variable.value).reshape(-1).view(np.uint8)
        words = bits[: bits.size // 8 * 8].view(np.uint64)
        sums.append(
            (int(words.sum()), int(np.bitwise_xor.reduce(words)), bits[words.nbytes :].sum())
        )
    return sums
