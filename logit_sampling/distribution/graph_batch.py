"""Batches of the graph engine: [batch, tokens] tensors, what is measured of them, and the draw.

Masses are float64 where the backend has it, as in the eager engine; JAX has it only with
``jax_enable_x64``, and rounds to float32 otherwise.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np
from keras import ops

from logit_sampling.distribution.checks import check_returned
from logit_sampling.distribution.search import is_wide, leading, locate, pick, wide
from logit_sampling.distribution.tensors import per_row, row_count, seed_words, tensor_of, uniforms

_FAR = -1e9  # a log-mass that is as good as -inf


@dataclass(frozen=True, slots=True)
class Batch:
    """The rows of a batch, what is left of them, and what of that is at hand."""

    xp: ClassVar[Any] = ops
    values: Any  # [batch, survivors], logits as they came in, -inf where removed
    ids: Any  # int32 [batch, survivors], ascending; None: all of the vocabulary
    temperature: Any  # [batch, 1] or 1.0
    valid: Any  # bool [batch]
    vocabulary: int
    seeds: Any = None  # uint32 [batch, 2]
    steps: Any = None  # int [batch]
    streams: int = 0  # how many coins the chain has tossed so far
    forced: tuple[bool, ...] = ()  # how the next coins fall
    peak: Any = None  # the greatest value [batch, 1], if it is at hand
    known: Any = None  # the masses [batch, survivors], if they are at hand
    few: tuple[Any, "Batch", Callable[[], "Batch"]] | None = None
    """Whether some leaders are all survivors; those leaders; the survivors if they are not.

    For a draw, which then need not look at the whole row.
    """

    @classmethod
    def of(cls, logits: Any) -> Self:
        """Take in logits, float [batch, vocab] with a vocabulary whose size the graph knows."""
        if logits.shape[-1] is None:
            raise ValueError("the vocabulary's size is unknown while tracing; set the static shape")
        x = ops.cast(logits, "float64" if is_wide(logits) else "float32")
        peak = ops.max(x, axis=-1, keepdims=True)
        valid = ops.logical_not(ops.any(ops.isnan(x), axis=-1))  # under XLA a maximum may hide it
        return cls(x, None, 1.0, valid, x.shape[-1], peak=peak)

    def _with(self, **changes: Any) -> Self:
        """Return other scores; what is at hand is forgotten unless it is given."""
        return replace(self, **({"peak": None, "known": None, "few": None} | changes))

    def fixed(self, coins: tuple[bool, ...]) -> Self:
        """Return the same scores, whose coins fall as given."""
        return replace(self, forced=coins)

    def seeded(self, seeds: Any, steps: Any) -> Self:
        """Return the same scores, whose random numbers are those of ``seeds`` and ``steps``."""
        return replace(self, seeds=seeds, steps=steps)

    def coins(self, probability: Any) -> tuple[Any, Self]:
        """Toss a coin for each row: bool [batch], and the scores then (see the eager engine)."""
        rows = row_count(self.values)
        if self.forced:
            coins = ops.full((rows,), self.forced[0], dtype="bool")
            return coins, replace(self, forced=self.forced[1:])
        following = replace(self, streams=self.streams + 1)
        seeds, steps = self.seeds, self.steps
        if seeds is None:
            seeds, steps = seed_words(None, rows), per_row(0, rows)
        return uniforms(seeds, steps, following.streams) < self.numbers(probability), following

    def replaced(self, logits: Any, source: str) -> Self:
        """Go on with the logits [batch, vocab] that the transform ``source`` returned."""
        tensor = ops.cast(ops.convert_to_tensor(logits), self.values.dtype)
        check_returned(tensor, (self.values.shape[0], self.vocabulary), source)
        fresh = self.of(tensor)
        valid = fresh.valid & self.valid
        return self._with(
            values=fresh.values, ids=None, temperature=1.0, valid=valid, peak=fresh.peak
        )

    def numbers(self, parameter: Any) -> Any:
        """Return a parameter, one number or one for each row, as [batch]."""
        return ops.broadcast_to(tensor_of(parameter, wide()), (row_count(self.values),))

    def _raw_peak(self) -> Any:
        return ops.max(self.values, axis=-1, keepdims=True) if self.peak is None else self.peak

    def _keep(self, mask: Any, first_stays: bool = False) -> Self:
        values = ops.where(mask, self.values, -np.inf)
        if not first_stays:  # and masses would be relative to what is gone
            return self._with(values=values)
        known = ops.where(mask, self._masses(), 0)
        return self._with(values=values, peak=self.peak, known=known)

    def _at(self, places: Any, first_stays: bool = False) -> Self:
        """Return the tokens at ``places``, in that order."""
        ids = places if self.ids is None else pick(self.ids, places)
        peak = self.peak if first_stays else None
        return self._with(values=pick(self.values, places), ids=ops.cast(ids, "int32"), peak=peak)

    def _by_id(self) -> Self:
        order = ops.argsort(self.ids, axis=-1)
        known = None if self.known is None else pick(self.known, order)
        return replace(self._at(order, first_stays=True), known=known)

    def _exponents(self) -> Any:
        peak = self._raw_peak()
        exponents = ops.cast(self.values, wide()) - ops.cast(peak, wide())
        if not isinstance(self.temperature, float):
            exponents = exponents / self.temperature
        return ops.where(self.values == peak, ops.cast(0.0, wide()), exponents)  # also at infinity

    def _masses(self) -> Any:
        return ops.exp(self._exponents()) if self.known is None else self.known

    def _totals(self) -> Any:
        return ops.sum(self._masses(), axis=-1)

    def _terms(self) -> Any:
        """Return mass times log-mass, a mass of 0 counting as 0."""
        return self._masses() * ops.maximum(self._exponents(), _FAR)

    def finite(self) -> Any:
        """Return how many tokens are above -inf, [batch]."""
        return ops.sum(ops.cast(self.values > -np.inf, wide()), axis=-1)

    def log_total(self) -> Any:
        """Return the log of the total mass, minus ln of the greatest probability, [batch]."""
        return ops.log(self._totals())

    def entropy(self) -> Any:
        """Return the entropy in nats, [batch]."""
        return self.log_total() - self.mean_log()

    def mean_log(self) -> Any:
        """Return the mean of the log-masses under the distribution, [batch]."""
        return ops.sum(self._terms(), axis=-1) / self._totals()

    def collision(self) -> Any:
        """Return the log of the sum of the squared probabilities, [batch]."""
        return ops.log(ops.sum(self._masses() ** 2, axis=-1)) - 2 * self.log_total()

    def deviation(self) -> Any:
        """Return the population deviation of the logits above -inf, as they came in, [batch]."""
        peak = ops.cast(self._raw_peak(), wide())
        able = (self.values > -np.inf) & (peak < np.inf)
        count = ops.maximum(ops.sum(ops.cast(able, wide()), axis=-1, keepdims=True), 1)
        # Below the peak, in a unit in which squares neither overflow nor vanish.
        depths = ops.where(able, peak / 2 - ops.cast(self.values, wide()) / 2, 0.0)
        unit = ops.max(depths, axis=-1, keepdims=True)
        depths = depths / ops.where(unit > 0, unit, 1.0)
        mean = ops.sum(depths, axis=-1, keepdims=True) / count
        squares = ops.sum(ops.where(able, depths - mean, 0.0) ** 2, axis=-1)
        return ops.sqrt(squares / count[:, 0]) * unit[:, 0] * 2

    def log_probs_in_order(self, count: int) -> Any:
        """Return the log-probabilities of the first ``count``, [batch, count], -inf for none."""
        n = min(count, self.values.shape[-1])
        found = pick(self._exponents(), leading(self.values, n)) - self.log_total()[:, None]
        return ops.pad(found, ((0, 0), (0, count - n)), constant_values=-np.inf)

    def _spread(self, kept: Any, fill: float) -> Any:
        """Put what was kept into rows of the whole vocabulary."""
        if self.ids is None:
            return kept
        rows = ops.shape(kept)[0]
        row_numbers = ops.zeros_like(self.ids) + ops.arange(rows, dtype="int32")[:, None]
        places = ops.reshape(ops.stack([row_numbers, self.ids], axis=-1), (-1, 2))
        full = ops.full((rows, self.vocabulary), fill, dtype=kept.dtype)
        return ops.scatter_update(full, places, ops.reshape(kept, (-1,)))

    def _scaled(self) -> Any:
        """Return logits divided by the temperature."""
        wide_scaled = ops.cast(self.values, wide()) / self.temperature
        scaled = ops.cast(wide_scaled, self.values.dtype)
        # Near 0 the peak may overflow; shifting a row does not change its distribution.
        peak = self._raw_peak()
        scaled_peak = ops.cast(ops.cast(peak, wide()) / self.temperature, self.values.dtype)
        overflow = ops.isinf(scaled_peak) & ops.logical_not(ops.isinf(peak))
        return ops.where(overflow, ops.cast(self._exponents(), self.values.dtype), scaled)

    def dense(self) -> Any:
        """Return logits, [batch, vocab], -inf for what was removed; NaN without a distribution."""
        return ops.where(self.valid[:, None], self._logits(), np.nan)

    def _logits(self) -> Any:
        return self._spread(self._scaled(), -np.inf)

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

    def draw(self) -> Any:
        """Return a token for each row, int32 [batch], -1 where there is none to draw."""
        if self.few is not None:
            ended, few, wider = self.few
            return ops.cond(ended, few.draw, lambda: wider().draw())
        masses, valid = self._distribution()
        place = locate(masses, uniforms(self.seeds, self.steps, 0))
        if self.ids is not None:
            place = pick(self.ids, place[:, None])[:, 0]
        return ops.where(valid, ops.cast(place, "int32"), -1)
