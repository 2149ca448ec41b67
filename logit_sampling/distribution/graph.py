"""The distribution in compiled graphs: Keras operations on [batch, tokens] tensors.

Works inside `tf.function`, with and without XLA, and under `jax.jit`. A small top-k narrows
the tensors to the survivors; other cuts set -inf in place, at a threshold that is found without
sorting (see `search`). Nothing can raise here: a row without a distribution gets the id -1.

Weights are float64 where the backend has it, as in eager code; JAX has it only with
`jax_enable_x64`, and rounds to float32 otherwise.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np
from keras import ops

from logit_sampling.distribution.checks import check_returned
from logit_sampling.distribution.protocol import Distribution
from logit_sampling.distribution.rounding import AT_A_SUM, forgiving
from logit_sampling.distribution.search import (
    end_of_prefix,
    first_greatest,
    is_wide,
    leading,
    locate,
    pick,
    upto,
    wide,
)
from logit_sampling.distribution.symbol import Symbol, is_everywhere
from logit_sampling.distribution.tensors import (
    column,
    row_count,
    row_integers,
    seed_words,
    tensor_of,
    uniforms,
)

_SHORT = 1024
"""Up to this many tokens are put in order by `ops.top_k`; more are searched."""

_FEW = 128  # top candidates among which the end of a prefix is looked for first
_ALL = 2 * _FEW  # tokens that are put in order at once: XLA takes 26 us for 128 of 512, 70 for all
_FAR = -1e9  # a log weight that is as good as -inf


@dataclass(frozen=True, slots=True)
class GraphDistribution(Distribution):
    """The rows of a batch, what is left of them, and what of that is at hand.

    The methods without a docstring are those of `Distribution`.
    """

    xp: ClassVar[Any] = ops
    values: Any  # [batch, survivors], logits as they came in, -inf where removed
    ids: Any  # int32 [batch, survivors], ascending; None: all of the vocabulary
    temperature: Any  # [batch, 1] or 1.0
    valid: Any  # bool [batch]
    vocab_size: int
    seeds: Any = None  # uint32 [batch, 2]
    steps: Any = None  # int [batch]
    streams: int = 0  # how many coins the chain has tossed so far
    forced: tuple[bool, ...] = ()  # how the next coins fall
    peak: Any = None  # the greatest value [batch, 1], if it is at hand
    known: Any = None  # the weights [batch, survivors], if they are at hand
    few: tuple[Any, "GraphDistribution", Callable[[], "GraphDistribution"]] | None = None
    """Whether some top candidates are all survivors; those; the survivors if they are not.

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
        return replace(self, forced=coins)

    def seeded(self, seeds: Any, steps: Any) -> Self:
        return replace(self, seeds=seeds, steps=steps)

    def toss(self, probability: Any) -> tuple[Any, Self]:
        rows = row_count(self.values)
        if self.forced:
            coins = ops.full((rows,), self.forced[0], dtype="bool")
            return coins, replace(self, forced=self.forced[1:])
        following = replace(self, streams=self.streams + 1)
        seeds, steps = self.seeds, self.steps
        if seeds is None:
            seeds, steps = seed_words(None, rows), row_integers(0, rows)
        return uniforms(seeds, steps, following.streams) < self.per_row(probability), following

    def replaced(self, logits: Any, source: str) -> Self:
        tensor = ops.cast(ops.convert_to_tensor(logits), self.values.dtype)
        check_returned(tensor, (self.values.shape[0], self.vocab_size), source)
        fresh = self.of(tensor)
        valid = fresh.valid & self.valid
        return self._with(
            values=fresh.values, ids=None, temperature=1.0, valid=valid, peak=fresh.peak
        )

    def per_row(self, parameter: Any) -> Any:
        return ops.broadcast_to(tensor_of(parameter, wide()), (row_count(self.values),))

    def _raw_peak(self) -> Any:
        return ops.max(self.values, axis=-1, keepdims=True) if self.peak is None else self.peak

    def _keep(self, mask: Any, first_stays: bool = False) -> Self:
        values = ops.where(mask, self.values, -np.inf)
        if not first_stays:  # and weights would be relative to what is gone
            return self._with(values=values)
        known = ops.where(mask, self._weights(), 0)
        return self._with(values=values, peak=self.peak, known=known)

    def _at(self, places: Any, first_stays: bool = False) -> Self:
        """Return the tokens at `places`, in that order."""
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

    def _weights(self) -> Any:
        return ops.exp(self._exponents()) if self.known is None else self.known

    def _totals(self) -> Any:
        return ops.sum(self._weights(), axis=-1)

    def _terms(self) -> Any:
        """Return weight times log weight, a weight of 0 counting as 0."""
        return self._weights() * ops.maximum(self._exponents(), _FAR)

    def count(self) -> Any:
        return ops.sum(ops.cast(self.values > -np.inf, wide()), axis=-1)

    def log_total(self) -> Any:
        return ops.log(self._totals())

    def mean_log_weight(self) -> Any:
        return ops.sum(self._terms(), axis=-1) / self._totals()

    def entropy(self) -> Any:
        return self.log_total() - self.mean_log_weight()

    def log_collision(self) -> Any:
        return ops.log(ops.sum(self._weights() ** 2, axis=-1)) - 2 * self.log_total()

    def std(self) -> Any:
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

    def top_log_probs(self, count: int) -> Any:
        n = min(count, self.values.shape[-1])
        found = pick(self._exponents(), leading(self.values, n)) - self.log_total()[:, None]
        return ops.pad(found, ((0, 0), (0, count - n)), constant_values=-np.inf)

    def least_log_weight(self) -> Any:
        able = (self.values > -np.inf) & (self._raw_peak() < np.inf)
        return ops.min(ops.where(able, self._exponents(), 0.0), axis=-1)

    def of_first(self, function: Callable[..., tuple[Any, Any]], *parameters: Any) -> Any:
        logs, own, n = self._exponents(), self._columns(parameters), self.values.shape[-1]
        if n <= _SHORT:
            return function(ops.flip(ops.sort(logs, axis=-1), axis=-1), *own)[0]
        value, settled = function(pick(logs, leading(self.values, _FEW)), *own)

        def of_all() -> Any:
            return function(ops.flip(ops.sort(logs, axis=-1), axis=-1), *own)[0]

        return ops.cond(ops.all(settled), lambda: value, of_all)

    def _spread(self, kept: Any, fill: float) -> Any:
        """Put what was kept into rows of the whole vocabulary."""
        if self.ids is None:
            return kept
        rows = ops.shape(kept)[0]
        row_numbers = ops.zeros_like(self.ids) + ops.arange(rows, dtype="int32")[:, None]
        places = ops.reshape(ops.stack([row_numbers, self.ids], axis=-1), (-1, 2))
        full = ops.full((rows, self.vocab_size), fill, dtype=kept.dtype)
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
        return ops.where(self.valid[:, None], self._logits(), np.nan)

    def _logits(self) -> Any:
        return self._spread(self._scaled(), -np.inf)

    def _distribution(self) -> tuple[Any, Any]:
        """Return weights, and which rows have a distribution."""
        survivors = self._raw_peak()[:, 0] > -np.inf
        return self._weights(), self.valid & survivors

    def probabilities(self) -> Any:
        weights, valid = self._distribution()
        shares = weights / ops.sum(weights, axis=-1, keepdims=True)
        shares = self._spread(ops.cast(shares, "float32"), 0.0)
        return ops.where(valid[:, None], shares, np.nan)

    def log_prob(self, token_ids: Any) -> Any:
        weights, valid = self._distribution()
        tokens = row_integers(token_ids, row_count(weights))[:, None]
        own = ops.arange(self.vocab_size, dtype="int32")[None] if self.ids is None else self.ids
        exponents = ops.where(own == tokens, self._exponents(), -np.inf)
        result = ops.max(exponents, axis=-1) - ops.log(ops.sum(weights, axis=-1))
        inside = (tokens[:, 0] >= 0) & (tokens[:, 0] < self.vocab_size)
        return ops.where(valid & inside, ops.cast(result, "float32"), np.nan)

    def draw(self) -> Any:
        if self.few is not None:
            ended, few, wider = self.few
            return ops.cond(ended, few.draw, lambda: wider().draw())
        weights, valid = self._distribution()
        place = locate(weights, uniforms(self.seeds, self.steps, 0))
        if self.ids is not None:
            place = pick(self.ids, place[:, None])[:, 0]
        return ops.where(valid, ops.cast(place, "int32"), -1)

    def scale(self, temperature: Any) -> Self:
        if isinstance(temperature, int | float) and temperature == 0:
            first = first_greatest(self.values)
            return self._at(first, first_stays=True)._with(temperature=1.0)
        least, divisor = float(np.finfo(wide()).tiny), column(temperature, wide())
        product = ops.clip(divisor * self.temperature, least, 1 / least)  # TensorFlow inverts it
        scores = self._with(temperature=ops.where(divisor > 0, product, 1.0), peak=self.peak)
        if isinstance(temperature, int | float | tuple) and np.all(np.asarray(temperature) > 0):
            return scores
        first = first_greatest(self.values)
        places = ops.cast(ops.arange(self.values.shape[-1]), first.dtype)
        return scores._keep((places[None] == first) | (divisor > 0), first_stays=True)

    def top(self, k: Any) -> Self:
        n = self.values.shape[-1]
        if isinstance(k, int | tuple):
            k = np.minimum(k, n)
            most = int(np.max(k))
            if np.all(k == n):
                return self
            if most <= _SHORT:
                ordered = self._at(leading(self.values, most), first_stays=True)
                if np.all(k == most):
                    return ordered._by_id()
                kept = ops.arange(most)[None] < column(k, "int32")
                return ordered._keep(kept, first_stays=True)._by_id()
        elif isinstance(k, Symbol) and k.most is not None and (most := min(k.most, n)) <= _SHORT:
            ordered = self._at(leading(self.values, most), first_stays=True)
            kept = ops.arange(most)[None] < column(k, "int32")
            return ordered._keep(kept, first_stays=True)._by_id()
        goal = column(k, wide())
        ones = ops.ones_like(self.values, wide())
        end = end_of_prefix(self.values, ones, ones, lambda s, t, m, u: s < goal)
        return self._keep(upto(self.values, *end), first_stays=True)

    def _prefix(self, key: Any, wanted: Callable, with_terms: bool = False) -> Self:
        """Keep the prefix in the order of `key` (see `end_of_prefix`), never nothing."""
        weights, n = self._weights(), self.values.shape[-1]
        both, first_stays = (weights, self._terms() if with_terms else weights), key is self.values
        places = leading(key, n if n <= _ALL else _FEW)
        own, own_terms = (pick(x, places) for x in both)
        before, before_terms = (ops.cumsum(own, -1) - own, ops.cumsum(own_terms, -1) - own_terms)
        kept = wanted(before, before_terms, own, own_terms)
        kept = kept | (ops.arange(places.shape[-1])[None] == 0)
        few = self._at(places, first_stays)._keep(kept, first_stays)._by_id()
        if n <= _ALL:
            return few
        ended = ops.all(ops.logical_not(kept[:, -1]))
        last = ops.sum(ops.cast(kept, "int32"), axis=-1, keepdims=True) - 1

        def among_few() -> tuple[Any, Any]:
            place = pick(places, last)
            return pick(key, place), ops.cast(place, "int32")

        def searched() -> tuple[Any, Any]:
            return end_of_prefix(key, *both, wanted)

        mask = upto(key, *ops.cond(ended, among_few, searched))
        left = self._keep(mask, first_stays)
        if n <= _SHORT:  # which a draw looks at sooner than it puts a few in the order of their ids
            return left
        return replace(
            left,
            few=(ended, few, lambda: self._keep(upto(key, *searched()), first_stays)),
        )

    def _epsilon(self) -> float:
        return float(np.finfo("float64" if is_wide(self.values) else "float32").eps)

    def reach(self, p: Any, key: Callable[..., Any] | None = None, *parameters: Any) -> Self:
        if is_everywhere(1, p):
            return self
        goal = column(p, wide()) * self._totals()[:, None]
        slack, all_wanted = AT_A_SUM * self._epsilon(), column(p, wide()) == 1

        def wanted(before: Any, terms: Any, weight: Any, term: Any) -> Any:
            return (goal - before > slack * weight) | all_wanted

        if key is None:
            return self._prefix(self.values, wanted)
        return self._prefix(key(self._exponents(), *self._columns(parameters)), wanted)

    def prefix(self, wanted: Callable[..., Any], *parameters: Any) -> Self:
        own = self._columns(parameters)
        return self._prefix(self.values, lambda *sums: wanted(*sums, *own), with_terms=True)

    def _columns(self, parameters: tuple[Any, ...]) -> tuple[Any, ...]:
        """Return parameters so that they broadcast over [batch, tokens]."""
        return tuple(self.per_row(parameter)[:, None] for parameter in parameters)

    def tolerance(self, log_weight: Any) -> Any:
        peak = ops.cast(self._raw_peak(), wide())
        logit = peak + self.temperature * column(log_weight, wide())
        return (self._epsilon() * ops.maximum(abs(peak), abs(logit)) / self.temperature)[:, 0]

    def at_least(self, log_weight: Any) -> Self:
        distance = -self.temperature * column(log_weight, wide())
        return self._keep(self._near(distance), first_stays=True)

    def within(self, distance: Any) -> Self:
        return self._keep(self._near(column(distance, wide())), first_stays=True)

    def _near(self, distance: Any) -> Any:
        peak = ops.cast(self._raw_peak(), wide())
        least = forgiving(peak - distance, self._epsilon())
        least = ops.where((distance > 0) & (peak < np.inf), least, peak)
        return (self.values >= ops.cast(least, self.values.dtype)) | (distance == np.inf)

    def drop_last(self) -> Self:
        able = self.values > -np.inf
        values = ops.where(able, self.values, np.inf)
        tied = able & (values == ops.min(values, axis=-1, keepdims=True))
        n = self.values.shape[-1]
        last = n - 1 - ops.argmax(ops.flip(ops.cast(tied, "int32"), axis=-1), axis=-1)
        places = ops.cast(ops.arange(n), last.dtype)[None]
        return self._keep(places != last[:, None])

    def without(self, other: Self, where: Any) -> Self:
        held = other.values > -np.inf
        if other.ids is not self.ids:
            held = other._spread(held, False)
            held = held if self.ids is None else pick(held, self.ids)
        return self._keep(ops.logical_not(held & ops.cast(where, "bool")[:, None]))

    def adjust(self, token_ids: Any, change: Callable[[Any], Any]) -> Self:
        n, x = self.vocab_size, self._logits()
        tokens = ops.convert_to_tensor(token_ids, "int32")
        tokens = ops.broadcast_to(tokens, (row_count(x), tokens.shape[-1]))
        places = self._or_none(tokens)
        x = ops.concatenate([x, ops.full_like(x[:, :1], -np.inf)], axis=-1)
        new = self._saturated(change(ops.cast(pick(x, places), wide())))
        rows = ops.zeros_like(places) + ops.arange(row_count(x), dtype="int32")[:, None]
        indices = ops.reshape(ops.stack([rows, places], axis=-1), (-1, 2))
        x = ops.scatter_update(x, indices, ops.reshape(new, (-1,)))
        return self.replaced(x[:, :n], "a change of logits")

    def _or_none(self, tokens: Any) -> Any:
        """Return token ids, or for none the number of a column that is added to the vocabulary."""
        return ops.where((tokens >= 0) & (tokens < self.vocab_size), tokens, self.vocab_size)

    def _saturated(self, x: Any) -> Any:
        """Return `x` in the dtype of the logits; what is finite stays so."""
        most = float(np.finfo("float64" if is_wide(self.values) else "float32").max)
        return ops.cast(ops.where(ops.isinf(x), x, ops.clip(x, -most, most)), self.values.dtype)

    def lower(self, token_ids: Any, amounts: Any) -> Self:
        rows, width = row_count(token_ids), self.vocab_size + 1
        starts = width * ops.arange(rows, dtype="int32")[:, None]
        places = ops.reshape(self._or_none(token_ids) + starts, (-1,))
        greatest = ops.segment_max(ops.reshape(amounts, (-1,)), places, rows * width)
        greatest = ops.reshape(greatest, (-1, width))[:, :-1]
        x, most = ops.cast(self._logits(), wide()), float(np.finfo(wide()).max)
        # What is finite stays so.
        lowered = ops.maximum(x - ops.clip(greatest, 0.0, most), ops.minimum(x, -most))
        return self.replaced(self._saturated(lowered), "a change of logits")

    def own(self, array: Any) -> Any:
        return ops.cast(ops.convert_to_tensor(array), "int32")

    def without_rows(self, lost: Any) -> Self:
        values = ops.where(lost[:, None], np.nan, self.values)
        return self._with(values=values, valid=self.valid & ops.logical_not(lost))

    def only(self, token_ids: tuple[int, ...]) -> Self:
        allowed = np.isin(np.arange(self.vocab_size), token_ids)
        if self.ids is None:
            return self._keep(ops.convert_to_tensor(allowed)[None])
        return self._keep(ops.take(ops.convert_to_tensor(allowed), self.ids))

    def force(self, token_ids: Any) -> Self:
        x, token = self._logits(), ops.cast(token_ids, "int32")[:, None]
        own = ops.arange(self.vocab_size, dtype="int32")[None] == token
        one = ops.where(own, ops.zeros_like(x), -np.inf)
        return self.replaced(ops.where(token >= 0, one, x), "a forced token")

    def map(self, function: Callable[..., Any], *parameters: Any) -> Self:
        new = function(self._exponents(), *self._columns(parameters))
        values = ops.where(self.values > -np.inf, ops.cast(new, self.values.dtype), -np.inf)
        return self._with(values=values, temperature=1.0)

    def add(self, amount: Any, chosen: Callable[..., Any], *integers: Any) -> Self:
        ids = ops.arange(self.vocab_size, dtype="int32")[None] if self.ids is None else self.ids
        marked = chosen(ops.cast(ids, "uint32"), *(column(i, "uint32") for i in integers))
        values = self._scaled()
        values = ops.where(marked, values + column(amount, values.dtype), values)
        return self._with(values=values, temperature=1.0)
