"""Searching rows of Keras tensors: the shortest prefix in order, and the place of a draw.

Neither sorts: the one bisects on the values, the other looks into one block of the cumulative sum.
"""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

_BLOCK = 512  # a longer row is drawn from in two levels


def wide() -> str:
    """Return the widest float type that the backend computes in."""
    if keras.config.backend() == "jax":
        import jax

        return "float64" if jax.config.jax_enable_x64 else "float32"
    return "float64"


def is_wide(x: Any) -> bool:
    """Tell whether a tensor holds float64."""
    return keras.backend.standardize_dtype(x.dtype) == "float64"


def _last_true(low: Any, high: Any, holds: Callable[[Any], Any]) -> Any:
    """Return the greatest integers in [low, high] for which ``holds`` does, by bisection.

    ``holds`` is true at ``low`` and, once false, stays false.
    """

    def middle(low: Any, high: Any) -> Any:
        # The mean, rounded up, without overflow.
        ones = ops.bitwise_and(ops.bitwise_xor(low, high), ops.cast(1, low.dtype))
        half = ops.right_shift(ops.bitwise_xor(low, high), ops.cast(1, low.dtype))
        return ops.bitwise_and(low, high) + half + ones

    def halve(low: Any, high: Any) -> tuple[Any, Any]:
        probe = middle(low, high)
        true = holds(probe)
        return ops.where(true, probe, low), ops.where(true, high, probe - 1)

    found, _ = ops.while_loop(lambda low, high: ops.any(low < high), halve, (low, high))
    return found


def _sortable(x: Any) -> Any:
    """Return integers in the order of the floats ``x``, which hold no NaN and no -0.0."""
    kind = "int64" if is_wide(x) else "int32"
    bits = ops.view(x, kind)
    magnitude = ops.cast(np.iinfo(kind).max, kind)
    return ops.where(bits < 0, ops.bitwise_xor(bits, magnitude), bits)


def leading(x: Any, weights: Any, goal: Any, slack: float) -> Any:
    """Return the mask of the shortest prefix in order whose weight reaches ``goal`` [batch, 1].

    Weights are equal where ``x`` [batch, tokens] is. A prefix counts as reaching the goal when what
    is missing is at most ``slack`` of the next token's weight.
    """
    keys = _sortable(x)

    def weight_from(key: Any) -> Any:
        return ops.sum(ops.where(keys >= key, weights, 0), axis=-1, keepdims=True)

    low, high = ops.min(keys, axis=-1, keepdims=True), ops.max(keys, axis=-1, keepdims=True)
    least = _last_true(low, high, lambda key: weight_from(key) >= goal)
    above, tied = keys > least, keys == least
    missing = goal - ops.sum(ops.where(above, weights, 0), axis=-1, keepdims=True)
    each = ops.max(ops.where(tied, weights, 0), axis=-1, keepdims=True)
    needed = ops.cast(ops.ceil(missing / each - slack), "int32")
    none_above = ops.logical_not(ops.any(above, axis=-1, keepdims=True))
    needed = ops.maximum(needed, ops.cast(none_above, "int32"))
    # Of equals the lower ids stay: up to the place at which enough of them are met.
    places = ops.arange(x.shape[-1], dtype="int32")[None]
    first = ops.zeros_like(least, dtype="int32") - 1

    def enough_not_met(place: Any) -> Any:
        return ops.sum(ops.cast(tied & (places <= place), "int32"), -1, True) <= needed

    last = _last_true(first, first + x.shape[-1], enough_not_met)
    return above | (tied & (places <= last))


def locate(masses: Any, uniform: Any) -> Any:
    """Return the place at which ``uniform`` [batch] of the total of ``masses`` falls, [batch]."""
    n = masses.shape[-1]
    if n <= _BLOCK:
        return _find(masses, uniform)[0]
    padded = ops.pad(masses, ((0, 0), (0, -n % _BLOCK)))
    table = ops.reshape(padded, (-1, padded.shape[-1] // _BLOCK, _BLOCK))
    block, uniform = _find(ops.sum(table, axis=-1), uniform)
    inside = ops.take_along_axis(table, block[:, None, None], axis=1)[:, 0]
    return block * _BLOCK + _find(inside, uniform)[0]


def _find(masses: Any, uniform: Any) -> tuple[Any, Any]:
    """Return where ``uniform`` of the total falls, and which part of that mass lies below it."""
    sums = ops.cumsum(masses, axis=-1)
    target = uniform[:, None] * sums[:, -1:]  # below the total, as uniform is below 1
    # XLA sums in another order for each place, so a place without mass may seem to add some.
    able = masses > 0
    hit = ops.cast((sums > target) & able, "int32")
    last = masses.shape[-1] - 1 - ops.argmax(ops.flip(ops.cast(able, "int32"), axis=-1), axis=-1)
    place = ops.where(ops.any(hit > 0, axis=-1), ops.argmax(hit, axis=-1), last)
    mass = ops.take_along_axis(masses, place[:, None], axis=-1)
    below = ops.take_along_axis(sums, place[:, None], axis=-1) - mass
    part = ops.clip((target - below) / mass, 0.0, 1 - float(np.finfo(wide()).eps) / 2)
    return place, part[:, 0]
