"""Searching rows of Keras tensors: the shortest prefix in order, and the place of a draw.

Neither sorts: the one looks among a few candidates and then at histograms, the other into one block
of the cumulative sum.
"""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

_BLOCK = 512  # a longer row is drawn from in two levels
_BITS = 12  # of a key, by which a histogram tells keys apart
_BINS = 2**_BITS


def wide() -> str:
    """Return the widest float type that the backend computes in."""
    if keras.config.backend() == "jax":
        import jax

        return "float64" if jax.config.jax_enable_x64 else "float32"
    return "float64"


def is_wide(x: Any) -> bool:
    """Tell whether a tensor holds float64."""
    return keras.backend.standardize_dtype(x.dtype) == "float64"


def pick(x: Any, places: Any) -> Any:
    """Return what is at `places` [batch, m] of `x` [batch, n, ...], [batch, m, ...]."""
    if keras.config.backend() == "tensorflow":
        import tensorflow as tf

        return tf.gather(x, places, batch_dims=1)  # one operation instead of fifteen
    return ops.take_along_axis(x, ops.reshape(places, (*places.shape, *[1] * (x.ndim - 2))), axis=1)


def _in_bins(bins: Any, weights: Any, count: int) -> Any:
    """Return the weight that falls into each of `count` bins; all are one-dimensional."""
    if keras.config.backend() == "tensorflow":
        import tensorflow as tf

        return tf.raw_ops.Bincount(arr=bins, size=count, weights=weights)  # in several threads
    return ops.segment_sum(weights, bins, count)


def _width(n: int, wanted: int) -> int:
    """Return a width of blocks of `n` tokens: one that leaves no remainder, if one is near."""
    near = (w for w in range(wanted // 2 + 1, 2 * wanted) if n % w == 0)
    return min(near, key=lambda w: abs(w - wanted), default=wanted)


def _in_blocks(x: Any, width: int, fill: float) -> Any:
    """Return `x` [batch, n] as [batch, blocks, width], filled up with `fill`."""
    if missing := -x.shape[-1] % width:
        x = ops.pad(x, ((0, 0), (0, missing)), constant_values=fill)
    return ops.reshape(x, (-1, x.shape[-1] // width, width))


def _one_zero(x: Any) -> Any:
    """Return `x` without -0.0, which some sorts put behind 0.0."""
    return ops.where(x == 0, ops.zeros_like(x), x)


def _first_true(low: Any, high: Any, holds: Callable[[Any], Any]) -> Any:
    """Return the least integers in [low, high] for which `holds` does, by bisection.

    `holds` is true at `high` and, once true, stays true.
    """

    def halve(low: Any, high: Any) -> tuple[Any, Any]:
        # The mean, rounded down, without overflow.
        half = ops.right_shift(ops.bitwise_xor(low, high), ops.cast(1, low.dtype))
        probe = ops.bitwise_and(low, high) + half
        true = holds(probe)
        return ops.where(true, low, probe + 1), ops.where(true, probe, high)

    _, found = ops.while_loop(lambda low, high: ops.any(low < high), halve, (low, high))
    return found


def leading(x: Any, k: int) -> Any:
    """Return the places of the `k` greatest of `x` [batch, n], in order, [batch, k].

    Of equals the lower places come first.
    """
    n = x.shape[-1]
    width = _width(n, int((n / k) ** 0.5))
    if 4 * width * k > n:
        return ops.top_k(_one_zero(x), k)[1]
    # The k greatest lie in the k blocks with the greatest maxima, of equals in the lower blocks.
    table = _in_blocks(x, width, -np.inf)
    chosen = ops.sort(ops.top_k(_one_zero(ops.max(table, axis=-1)), k)[1], axis=-1)
    values = _one_zero(ops.reshape(pick(table, chosen), (-1, k * width)))
    places = ops.top_k(values, k)[1]
    return pick(chosen, places // width) * width + places % width


def first_greatest(x: Any) -> Any:
    """Return the first place of the greatest of `x` [batch, n], [batch, 1]."""
    return ops.argmax(_one_zero(x), axis=-1)[:, None]


def _sortable(x: Any) -> Any:
    """Return integers in the order of the floats `x`, which hold no NaN and no -0.0."""
    kind = "int64" if is_wide(x) else "int32"
    bits = ops.view(x, kind)
    magnitude = ops.cast(np.iinfo(kind).max, kind)
    return ops.where(bits < 0, ops.bitwise_xor(bits, magnitude), bits)


def upto(key: Any, least: Any, place: Any) -> Any:
    """Return the mask of the keys above `least`, and of its equals up to a place."""
    places = ops.arange(key.shape[-1], dtype="int32")[None]
    return (key > least) | ((key == least) & (places <= place))


def end_of_prefix(key: Any, weights: Any, terms: Any, wanted: Callable) -> tuple[Any, Any]:
    """Return key and place of the last token in the longest prefix of wanted ones, [batch, 1] each.

    The greatest key is first. `wanted(weight_before, terms_before, weight, term)` tells from the
    sums over the tokens before one and from its own whether it is wanted; once it is false it stays
    false. The first token is kept in any case. Of equal keys, whose weights must be equal, the
    lower place is first. Histograms of weight over ever narrower ranges of keys find the end
    without sorting.
    """
    keys = _sortable(_one_zero(key))
    several = terms is not weights
    size = ops.cast(64 if is_wide(key) else 32, keys.dtype)
    spare = 1 if is_wide(key) or wide() == "float32" else 0  # the span is rounded
    rows = ops.shape(keys)[0] if keys.shape[0] is None else keys.shape[0]
    offsets = ops.arange(rows, dtype="int32")[:, None] * (_BINS + 1)

    def histogram(bins: Any, weights: Any) -> Any:
        """Return the weight of each bin, [batch, bins]; what is in none goes to one bin more."""
        sums = _in_bins(ops.reshape(bins, (-1,)), ops.reshape(weights, (-1,)), rows * (_BINS + 1))
        return ops.reshape(sums, (-1, _BINS + 1))[:, :_BINS]

    def narrow(low: Any, high: Any, weight: Any, term: Any) -> tuple[Any, ...]:
        span = ops.cast(high, wide()) - ops.cast(low, wide())
        shift = ops.cast(ops.maximum(ops.ceil(ops.log2(span + 1)) - (_BITS - spare), 0), keys.dtype)
        # A difference may need the sign's bit, which is then no sign.
        sign = ops.left_shift(ops.cast(-1, keys.dtype), size - ops.maximum(shift, 1))
        unsigned = ops.bitwise_not(ops.where(shift > 0, sign, 0))
        bins, lowest = (
            ops.bitwise_and(ops.right_shift(high - key, shift), unsigned) for key in (keys, low)
        )
        inside = (keys >= low) & (keys <= high)
        bins = ops.where(inside, ops.cast(bins, "int32"), _BINS) + offsets
        own = histogram(bins, weights)
        own_terms = histogram(bins, terms) if several else own
        before, before_terms = (
            base + ops.cumsum(sums, axis=-1) - sums
            for base, sums in ((weight, own), (term, own_terms))
        )
        # The keys of the last bin before which the prefix has not ended.
        flags = ops.cast(wanted(before, before_terms, 0.0, 0.0), "int32")
        last = ops.maximum(ops.sum(flags, axis=-1, keepdims=True) - 1, 0)
        last = ops.minimum(last, ops.cast(lowest, "int32"))  # those behind it are empty
        high = high - ops.left_shift(ops.cast(last, keys.dtype), shift)
        width = ops.left_shift(ops.cast(1, keys.dtype), shift)
        low = ops.maximum(low, high - width + 1)
        weight, term = (pick(x, last) for x in (before, before_terms))
        return low, high, weight, term

    def unfinished(low: Any, high: Any, weight: Any, term: Any) -> Any:
        return ops.any(low < high)

    nothing = ops.zeros_like(weights[:, :1])
    low, high = ops.min(keys, axis=-1, keepdims=True), ops.max(keys, axis=-1, keepdims=True)
    _, least, weight, term = ops.while_loop(unfinished, narrow, (low, high, nothing, nothing))
    above, tied = keys > least, keys == least
    own, own_term = (ops.max(ops.where(tied, w, -np.inf), -1, True) for w in (weights, terms))

    def unwanted(count: Any) -> Any:
        number = ops.cast(count, weights.dtype)
        return ops.logical_not(
            wanted(weight + number * own, term + number * own_term, own, own_term)
        )

    some = ops.cast(tied, weights.dtype)
    count = ops.sum(some, axis=-1, keepdims=True)
    ended = count == 0  # by the rounding of a sum, between two keys
    none = ops.zeros_like(least, dtype="int32")
    needed = _first_true(none, ops.cast(count, "int32"), unwanted)
    first = ops.logical_not(ops.any(above, axis=-1, keepdims=True))
    needed = ops.maximum(needed, ops.cast(first, "int32"))
    share = (ops.cast(needed, weights.dtype) - 0.5) / ops.maximum(count, 1.0)
    place = ops.cast(locate(some, share[:, 0])[:, None], "int32")
    value = ops.max(ops.where(tied, key, -np.inf), axis=-1, keepdims=True)
    value = ops.where(ended, ops.min(ops.where(above, key, np.inf), -1, True), value)
    place = ops.where(needed > 0, place, -1)
    return value, ops.where(ended, key.shape[-1], place)


def locate(weights: Any, uniform: Any) -> Any:
    """Return the place at which `uniform` [batch] of the total of `weights` falls, [batch]."""
    n = weights.shape[-1]
    if n == 1:
        return ops.zeros_like(weights[:, 0], "int32")
    if n <= _BLOCK:
        return _find(weights, uniform)[0]
    width = _width(n, _BLOCK)
    table = _in_blocks(weights, width, 0.0)
    block, uniform = _find(ops.sum(table, axis=-1), uniform)
    return block * width + _find(pick(table, block[:, None])[:, 0], uniform)[0]


def _find(weights: Any, uniform: Any) -> tuple[Any, Any]:
    """Return where `uniform` of the total falls, and which part of that weight lies below it."""
    sums = ops.cumsum(weights, axis=-1)
    target = uniform[:, None] * sums[:, -1:]  # below the total, as uniform is below 1
    # XLA sums in another order for each place, so a place without weight may seem to add some.
    places = ops.arange(weights.shape[-1], dtype="int32")[None]
    last = ops.max(ops.where(weights > 0, places, 0), axis=-1, keepdims=True)
    hits = (sums > target) & (weights > 0)
    place = ops.min(ops.where(hits, places, last), axis=-1, keepdims=True)
    weight = pick(weights, place)
    part = (target - (pick(sums, place) - weight)) / weight
    return place[:, 0], ops.clip(part, 0.0, 1 - float(np.finfo(wide()).eps) / 2)[:, 0]
