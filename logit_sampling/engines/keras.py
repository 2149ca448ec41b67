"""The engine of compiled graphs: Keras operations on [batch, tokens] tensors.

Works inside ``tf.function``, with and without XLA, and under ``jax.jit``. A small top-k narrows
the tensors to the survivors; other cuts set -inf in place, at a threshold that is found by
bisection and not by sorting. Nothing can raise here: a row that has no distribution gets the id -1.

Masses are float64 where the backend has it, as in the eager engine; JAX has it only with
``jax_enable_x64``, and rounds to float32 otherwise.
"""

from dataclasses import dataclass, replace
from typing import Any, Self

import keras
import numpy as np
from keras import ops

from logit_sampling.arrays import is_symbolic
from logit_sampling.checks import check_returned
from logit_sampling.engines.keras_search import is_wide, leading, locate, wide
from logit_sampling.engines.numpy import SUM_TOLERANCE
from logit_sampling.random import row_seeds, seed_list, threefry

_SHORT = 1024
"""Up to this many tokens are put in order by ``ops.top_k``; more are searched by bisection."""


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
    """Return the seed of each row, uint32 [rows, 2]; see ``random.row_seeds``."""
    if seed is None:
        if keras.config.backend() != "tensorflow":
            raise ValueError("seed=None inside a compiled function would be frozen; pass a seed")
        import tensorflow as tf

        return tf.cast(tf.random.uniform((rows, 2), 0, 2**32, tf.int64), tf.uint32)
    if not is_symbolic(seed):
        if isinstance(rows, int):
            return ops.convert_to_tensor(row_seeds(seed, rows))
        number = seed_list(seed)
        if not isinstance(number, int):
            raise ValueError("a seed per row needs a batch whose size the graph knows")
        number = (number + 2**63) % 2**64 - 2**63  # as a signed integer
        seed = ops.convert_to_tensor(number, "int64")
    check_integers("seed", seed)
    seed = ops.cast(seed, "int64")
    if len(seed.shape) == 0:
        seed = seed + ops.cast(ops.arange(rows), seed.dtype)
    if keras.backend.standardize_dtype(seed.dtype) == "int64":
        low = ops.bitwise_and(seed, ops.cast(0xFFFFFFFF, "int64"))
        high = ops.bitwise_and(ops.right_shift(seed, 32), ops.cast(0xFFFFFFFF, "int64"))
    else:  # JAX without 64-bit integers: the sign alone fills the upper word
        low, high = seed, ops.right_shift(seed, 31)
    return ops.stack([ops.cast(low, "uint32"), ops.cast(high, "uint32")], axis=-1)


def check_integers(name: str, tensor: Any) -> None:
    """Raise ValueError unless ``tensor`` holds integers."""
    kind = keras.backend.standardize_dtype(tensor.dtype)
    if "int" not in kind:
        raise ValueError(f"{name} must hold integers, got {kind}")


def to_tensor(x: Any) -> Any:
    """Return ``x`` as a tensor of the backend.

    Raises:
        ValueError: it belongs to another framework's graph.
    """
    backend = keras.config.backend()
    family = "jax" if type(x).__module__.startswith("jax") else "tensorflow"
    if is_symbolic(x) and family != backend:
        raise ValueError(
            f"a graph of {family} is being traced, but Keras runs on {backend}: set the "
            f"environment variable KERAS_BACKEND={family} before Keras is first imported"
        )
    return ops.convert_to_tensor(x)


def per_row(numbers: Any, rows: Any) -> Any:
    """Return a number or [batch] numbers as int32 [batch]."""
    tensor = ops.convert_to_tensor(numbers)
    check_integers("step and ids", tensor)
    return ops.broadcast_to(ops.cast(tensor, "int32"), (rows,))


def no_history(rows: Any) -> Any:
    """Return token ids of no tokens yet, int32 [rows, 0]."""
    return ops.zeros((rows, 0), "int32")


def lengths(history: Any) -> Any:
    """Return how many token ids each row of ``history`` [batch, length] holds, int32 [batch]."""
    return ops.sum(ops.cast(ops.convert_to_tensor(history) >= 0, "int32"), axis=-1)


def _column(parameter: Any, dtype: str) -> Any:
    """Return a number or [batch] numbers so that they broadcast over [batch, tokens]."""
    tensor = ops.convert_to_tensor(parameter, dtype)
    return tensor[:, None] if len(tensor.shape) else tensor


@dataclass(frozen=True, slots=True)
class Scores:
    """The rows of a batch on their way through a chain: the same methods as the eager engine's."""

    values: Any  # [batch, survivors], logits as they came in, -inf where removed
    ids: Any  # int32 [batch, survivors], ascending; None: all of the vocabulary
    temperature: Any  # [batch, 1] or 1.0
    valid: Any  # bool [batch]
    vocabulary: int

    @classmethod
    def of(cls, logits: Any) -> Self:
        """Take in logits, float [batch, vocab] with a vocabulary whose size the graph knows."""
        if logits.shape[-1] is None:
            raise ValueError("the vocabulary's size is unknown while tracing; set the static shape")
        x = ops.cast(logits, "float64" if is_wide(logits) else "float32")
        valid = ops.logical_not(ops.any(ops.isnan(x), axis=-1))
        # A zero without a sign, so that equals have equal bits.
        return cls(ops.where(x == 0, ops.zeros_like(x), x), None, 1.0, valid, x.shape[-1])

    def replaced(self, logits: Any, source: str) -> Self:
        """Go on with the logits [batch, vocab] that the transform ``source`` returned."""
        tensor = ops.cast(ops.convert_to_tensor(logits), self.values.dtype)
        check_returned(tensor, (self.values.shape[0], self.vocabulary), source)
        scores = self.of(tensor)
        return replace(scores, valid=scores.valid & self.valid)

    def _raw_peak(self) -> Any:
        return ops.max(self.values, axis=-1, keepdims=True)

    def _keep(self, mask: Any) -> Self:
        return replace(self, values=ops.where(mask, self.values, -np.inf))

    def _in_order(self, count: int) -> tuple[Any, Any]:
        """Return values and ids of the first ``count``, in order."""
        values, places = ops.top_k(self.values, count)
        if self.ids is None:
            return values, ops.cast(places, "int32")
        return values, ops.take_along_axis(self.ids, places, axis=-1)

    def _by_id(self, values: Any, ids: Any) -> Self:
        order = ops.argsort(ids, axis=-1)
        values, ids = (ops.take_along_axis(x, order, axis=-1) for x in (values, ids))
        return replace(self, values=values, ids=ids)

    def _exponents(self) -> Any:
        x, peak = ops.cast(self.values, wide()), ops.cast(self._raw_peak(), wide())
        infinite = ops.where(x == peak, 0.0, -np.inf)
        shifted = (x - peak) / self.temperature
        return ops.where(ops.isinf(peak), ops.cast(infinite, wide()), shifted)

    def _masses(self) -> Any:
        return ops.exp(self._exponents())

    def scale(self, temperature: Any) -> Self:
        """Divide by ``temperature``, a number or [batch]; 0 keeps the first in order."""
        column, limits = _column(temperature, wide()), np.finfo(wide())
        product = ops.clip(column * self.temperature, float(limits.tiny), float(limits.max))
        scores = replace(self, temperature=ops.where(column > 0, product, 1.0))
        if np.all(np.asarray(temperature) > 0):
            return scores
        first = ops.argmax(self.values, axis=-1)[:, None]
        places = ops.cast(ops.arange(self.values.shape[-1]), first.dtype)
        return scores._keep((places[None] == first) | (column > 0))

    def top_k(self, k: Any) -> Self:
        """Keep the first ``k``, a number or [batch]."""
        n = self.values.shape[-1]
        k = np.minimum(k, n)
        most = int(np.max(k))
        if np.all(k == n):
            return self
        if most <= _SHORT:
            values, ids = self._in_order(most)
            ranks = ops.arange(most)[None]
            values = ops.where(ranks < _column(k, ranks.dtype), values, -np.inf)
            return self._by_id(values, ids)
        goal = _column(k, "int32") + ops.zeros_like(self.values[:, :1], "int32")
        return self._keep(leading(self.values, ops.ones_like(self.values, "int32"), goal, 0.0))

    def top_p(self, p: Any) -> Self:
        """Keep the shortest prefix whose mass reaches ``p``, a number or [batch]."""
        if np.all(np.asarray(p) == 1):
            return self
        n = self.values.shape[-1]
        precision = np.finfo("float64" if is_wide(self.values) else "float32")
        slack = float(SUM_TOLERANCE * precision.eps)
        column = _column(p, wide())
        if n <= _SHORT:
            ordered = replace(self, **dict(zip(("values", "ids"), self._in_order(n), strict=True)))
            masses = ordered._masses()
            before = ops.cumsum(masses, axis=-1) - masses
            goal = column * ops.sum(masses, axis=-1, keepdims=True)
            wanted = (goal - before > slack * masses) | (ops.arange(n)[None] == 0) | (column == 1)
            return self._by_id(ops.where(wanted, ordered.values, -np.inf), ordered.ids)
        masses = self._masses()
        goal = column * ops.sum(masses, axis=-1, keepdims=True)
        return self._keep(leading(self.values, masses, goal, slack) | (column == 1))

    def min_p(self, p: Any) -> Self:
        """Keep what has at least ``p`` times the greatest mass, a number or [batch]."""
        with np.errstate(divide="ignore"):
            reach = self.temperature * _column(np.log(p), wide())
        # Rounded as the logits are, so that what is equal on paper is equal here.
        peak = ops.cast(self._raw_peak(), wide())
        least = ops.cast(peak + reach, self.values.dtype)
        return self._keep((self.values >= least) | (_column(p, wide()) == 0))

    def _spread(self, kept: Any, fill: float) -> Any:
        """Put what was kept into rows of the whole vocabulary."""
        if self.ids is None:
            return kept
        rows = ops.shape(kept)[0]
        row_numbers = ops.zeros_like(self.ids) + ops.arange(rows, dtype="int32")[:, None]
        places = ops.reshape(ops.stack([row_numbers, self.ids], axis=-1), (-1, 2))
        full = ops.full((rows, self.vocabulary), fill, dtype=kept.dtype)
        return ops.scatter_update(full, places, ops.reshape(kept, (-1,)))

    def dense(self) -> Any:
        """Return logits, [batch, vocab], with -inf for what was removed."""
        wide_scaled = ops.cast(self.values, wide()) / self.temperature
        scaled = ops.cast(wide_scaled, self.values.dtype)
        # Near 0 the peak may overflow; shifting a row does not change its distribution.
        peak = self._raw_peak()
        scaled_peak = ops.cast(ops.cast(peak, wide()) / self.temperature, self.values.dtype)
        overflow = ops.isinf(scaled_peak) & ops.logical_not(ops.isinf(peak))
        shifted = ops.cast(self._exponents(), self.values.dtype)
        return self._spread(ops.where(overflow, shifted, scaled), -np.inf)

    def _distribution(self) -> tuple[Any, Any]:
        """Return masses, and which rows have a distribution."""
        survivors = self._raw_peak()[:, 0] > -np.inf
        return self._masses(), self.valid & survivors

    def probabilities(self) -> Any:
        """Return the distribution of the draw, float32 [batch, vocab]; NaN where there is none."""
        masses, valid = self._distribution()
        shares = masses / ops.sum(masses, axis=-1, keepdims=True)
        shares = self._spread(ops.cast(shares, "float32"), 0.0)
        return ops.where(valid[:, None], shares, np.nan)

    def log_prob(self, ids: Any) -> Any:
        """Return the log-probability of ``ids`` [batch], float32 [batch]; NaN without one."""
        masses, valid = self._distribution()
        tokens = per_row(ids, row_count(masses))[:, None]
        own = ops.arange(self.vocabulary, dtype="int32")[None] if self.ids is None else self.ids
        exponents = ops.where(own == tokens, self._exponents(), -np.inf)
        result = ops.max(exponents, axis=-1) - ops.log(ops.sum(masses, axis=-1))
        inside = (tokens[:, 0] >= 0) & (tokens[:, 0] < self.vocabulary)
        return ops.where(valid & inside, ops.cast(result, "float32"), np.nan)

    def draw(self, seeds: Any, steps: Any) -> Any:
        """Return a token for each row, int32 [batch], -1 where there is none to draw."""
        counter = ops.cast(steps, "uint32")
        key, counter = (seeds[:, 0], seeds[:, 1]), (counter, ops.zeros_like(counter))
        words = threefry(key, counter, left_shift, right_shift, np.uint32)
        if wide() == "float64":
            high, low = (
                ops.cast(right_shift(w, by), wide()) for w, by in zip(words, (5, 6), strict=True)
            )
            uniform = high * 2.0**-27 + low * 2.0**-53
        else:
            uniform = ops.cast(right_shift(words[0], 8), wide()) * np.float32(2.0**-24)
        masses, valid = self._distribution()
        place = locate(masses, uniform)
        if self.ids is not None:
            place = ops.take_along_axis(self.ids, place[:, None], axis=-1)[:, 0]
        return ops.where(valid, ops.cast(place, "int32"), -1)
