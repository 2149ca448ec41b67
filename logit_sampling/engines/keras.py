"""The engine of compiled graphs: Keras operations on [batch, tokens] tensors.

Works inside ``tf.function``, with and without XLA, and under ``jax.jit``. A small top-k narrows
the tensors to the survivors; other cuts set -inf in place, at a threshold that is found without
sorting (see ``keras_search``). Nothing can raise here: a row without a distribution gets the id -1.

Masses are float64 where the backend has it, as in the eager engine; JAX has it only with
``jax_enable_x64``, and rounds to float32 otherwise.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np
from keras import ops

from logit_sampling.checks import check_returned
from logit_sampling.engines.keras_arrays import column, per_row, row_count, seed_words, uniforms
from logit_sampling.engines.keras_search import (
    end_of_prefix,
    is_wide,
    leading,
    locate,
    pick,
    upto,
    wide,
)
from logit_sampling.engines.rounding import AT_A_COIN, AT_A_SUM, AT_AN_ENTROPY, forgiving

_SHORT = 1024
"""Up to this many tokens are put in order by ``ops.top_k``; more are searched."""

_FEW = 128  # leaders among which the end of a prefix is looked for first
_FAR = -1e9  # a log-mass that is as good as -inf


@dataclass(frozen=True, slots=True)
class Scores:
    """The rows of a batch on their way through a chain: the same methods as the eager engine's."""

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
    few: tuple[Any, "Scores", Callable[[], "Scores"]] | None = None
    """Whether some leaders are all survivors; those leaders; the survivors if they are not.

    For a draw, which then need not look at the whole row.
    """

    @classmethod
    def of(cls, logits: Any) -> Self:
        """Take in logits, float [batch, vocab] with a vocabulary whose size the graph knows."""
        if logits.shape[-1] is None:
            raise ValueError("the vocabulary's size is unknown while tracing; set the static shape")
        x = ops.cast(logits, "float64" if is_wide(logits) else "float32")
        peak = ops.max(x, axis=-1, keepdims=True)  # NaN if there is one
        return cls(x, None, 1.0, ops.logical_not(ops.isnan(peak[:, 0])), x.shape[-1], peak=peak)

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
        tensor = ops.convert_to_tensor(parameter, wide())
        return ops.broadcast_to(tensor, (row_count(self.values),))

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
        return self.log_total() - ops.sum(self._terms(), axis=-1) / self._totals()

    def collision(self) -> Any:
        """Return the log of the sum of the squared probabilities, [batch]."""
        return ops.log(ops.sum(self._masses() ** 2, axis=-1)) - 2 * self.log_total()

    def deviation(self) -> Any:
        """Return the population deviation of the logits above -inf, [batch]."""
        exponents = self._exponents()
        able = exponents > -np.inf
        count = ops.maximum(ops.sum(ops.cast(able, wide()), axis=-1, keepdims=True), 1)
        centred = ops.where(able, exponents, 0.0)
        centred = ops.where(able, exponents - ops.sum(centred, -1, keepdims=True) / count, 0.0)
        return ops.sqrt(ops.sum(centred**2, axis=-1) / count[:, 0])

    def log_probs_in_order(self, count: int) -> Any:
        """Return the log-probabilities of the first ``count``, [batch, count], -inf for none."""
        n = min(count, self.values.shape[-1])
        found = pick(self._exponents(), leading(self.values, n)) - self.log_total()[:, None]
        return ops.pad(found, ((0, 0), (0, count - n)), constant_values=-np.inf)

    def scale(self, temperature: Any) -> Self:
        """Divide by ``temperature``; 0 keeps the first in order."""
        if isinstance(temperature, int | float) and temperature == 0:
            first = ops.argmax(self.values, axis=-1)[:, None]
            return self._at(first, first_stays=True)._with(temperature=1.0)
        limits, divisor = np.finfo(wide()), column(temperature, wide())
        product = ops.clip(divisor * self.temperature, float(limits.tiny), float(limits.max))
        scores = self._with(temperature=ops.where(divisor > 0, product, 1.0), peak=self.peak)
        if isinstance(temperature, int | float | tuple) and np.all(np.asarray(temperature) > 0):
            return scores
        first = ops.argmax(self.values, axis=-1)[:, None]
        places = ops.cast(ops.arange(self.values.shape[-1]), first.dtype)
        return scores._keep((places[None] == first) | (divisor > 0), first_stays=True)

    def top_k(self, k: Any) -> Self:
        """Keep the first ``k``."""
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
        goal = column(k, wide())
        ones = ops.ones_like(self.values, wide())
        end = end_of_prefix(self.values, ones, ones, lambda s, t, m, u: s < goal)
        return self._keep(upto(self.values, *end), first_stays=True)

    def prefix(self, key: Any, wanted: Callable, terms: Any = None) -> Self:
        """Keep the prefix in the order of ``key`` (see ``end_of_prefix``), never nothing."""
        masses, n = self._masses(), self.values.shape[-1]
        weights, first_stays = (masses, masses if terms is None else terms), key is self.values
        places = leading(key, n if n <= _SHORT else _FEW)
        own, own_terms = (pick(weight, places) for weight in weights)
        before, before_terms = (ops.cumsum(own, -1) - own, ops.cumsum(own_terms, -1) - own_terms)
        kept = wanted(before, before_terms, own, own_terms)
        kept = kept | (ops.arange(places.shape[-1])[None] == 0)
        few = self._at(places, first_stays)._keep(kept, first_stays)._by_id()
        if n <= _SHORT:
            return few
        ended = ops.all(ops.logical_not(kept[:, -1]))
        last = ops.sum(ops.cast(kept, "int32"), axis=-1, keepdims=True) - 1

        def among_leaders() -> tuple[Any, Any]:
            place = pick(places, last)
            return pick(key, place), ops.cast(place, "int32")

        def searched() -> tuple[Any, Any]:
            return end_of_prefix(key, *weights, wanted)

        mask = upto(key, *ops.cond(ended, among_leaders, searched))
        return replace(
            self._keep(mask, first_stays),
            few=(ended, few, lambda: self._keep(upto(key, *searched()), first_stays)),
        )

    def _epsilon(self) -> float:
        return float(np.finfo("float64" if is_wide(self.values) else "float32").eps)

    def _short_of(self, p: Any) -> Callable:
        """Return what tells whether a token is wanted, from the mass before it and its own."""
        goal = column(p, wide()) * self._totals()[:, None]
        slack, all_wanted = AT_A_SUM * self._epsilon(), column(p, wide()) == 1
        return lambda before, terms, mass, term: (goal - before > slack * mass) | all_wanted

    def top_p(self, p: Any) -> Self:
        """Keep the shortest prefix whose mass reaches ``p``."""
        if np.all(np.asarray(p) == 1):
            return self
        return self.prefix(self.values, self._short_of(p))

    def above(self, log_ratio: Any) -> Self:
        """Keep what has a log-mass of at least ``log_ratio``, and the greatest."""
        return self._keep(self._reaches(log_ratio), first_stays=True)

    def _reaches(self, log_ratio: Any) -> Any:
        ratio, peak = column(log_ratio, wide()), ops.cast(self._raw_peak(), wide())
        least = forgiving(peak + self.temperature * ratio, self._epsilon())
        least = ops.where((ratio < 0) & (peak < np.inf), least, peak)
        return (self.values >= ops.cast(least, self.values.dtype)) | (ratio == -np.inf)

    def typical(self, p: Any) -> Self:
        """Keep the likeliest typical tokens that reach ``p``: by distance from the entropy."""
        if np.all(np.asarray(p) == 1):
            return self
        offset = (self.entropy() - self.log_total())[:, None]
        distance = self._exponents() + offset  # entropy minus surprise
        # Of two at equal distances on paper the likelier is first.
        peak = ops.cast(self._raw_peak(), wide())
        typical = peak - self.temperature * offset
        slack = self._epsilon() * ops.maximum(abs(peak), abs(typical)) / self.temperature
        key = ops.where(distance > 0, ops.minimum(slack - distance, 0.0), distance)
        return self.prefix(key, self._short_of(p))

    def entropy_prefix(self, bound: Any, renormalize: bool) -> Self:
        """Keep the longest prefix whose entropy is at most ``bound`` nats (see ``TopH``)."""
        total, log_total = self._totals()[:, None], self.log_total()[:, None]
        limit = column(bound, wide()) * (1 + AT_AN_ENTROPY)

        def wanted(before: Any, terms: Any, mass: Any, term: Any) -> Any:
            mass, term = before + mass, terms + term
            if renormalize:
                return ops.logical_not(ops.log(mass) - term / mass > limit)
            return (mass * log_total - term) / total <= limit

        return self.prefix(self.values, wanted, self._terms())

    def drop_top_choices(self, log_threshold: Any, chosen: Any, protected: tuple[int, ...]) -> Self:
        """Where ``chosen``, remove what has at least that log-mass but the last (see ``XTC``)."""
        over = self._reaches(log_threshold) & (column(log_threshold, wide()) <= AT_A_COIN)
        over = over & (self.values > -np.inf)  # a masked token is no choice
        values = ops.where(over, self.values, np.inf)
        tied = over & (values == ops.min(values, axis=-1, keepdims=True))
        n = self.values.shape[-1]
        last = n - 1 - ops.argmax(ops.flip(ops.cast(tied, "int32"), axis=-1), axis=-1)
        places = ops.cast(ops.arange(n), last.dtype)[None]
        dropped = over & (places != last[:, None]) & chosen[:, None]
        if protected:
            listed = ops.convert_to_tensor(sorted(protected), "int32")[None, None]
            ids = places if self.ids is None else self.ids
            safe = ops.any(ops.cast(ids, "int32")[..., None] == listed, axis=-1)
            dropped = dropped & ops.logical_not(safe)
        return self._keep(ops.logical_not(dropped))

    def adjust(self, tokens: Any, change: Callable[[Any], Any]) -> Self:
        """Change the logits of some tokens only (see the eager engine)."""
        n, x = self.vocabulary, self.dense()
        tokens = ops.convert_to_tensor(tokens, "int32")
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
        return ops.where((tokens >= 0) & (tokens < self.vocabulary), tokens, self.vocabulary)

    def _saturated(self, x: Any) -> Any:
        """Return ``x`` in the dtype of the logits; what is finite stays so."""
        most = float(np.finfo("float64" if is_wide(self.values) else "float32").max)
        return ops.cast(ops.where(ops.isinf(x), x, ops.clip(x, -most, most)), self.values.dtype)

    def lower(self, tokens: Any, levels: Any, amount: Callable, *parameters: Any) -> Self:
        """Lower the logits of some tokens (see the eager engine)."""
        rows, width = row_count(tokens), self.vocabulary + 1
        amounts = amount(levels, *(self.numbers(p)[:, None] for p in parameters))
        starts = width * ops.arange(rows, dtype="int32")[:, None]
        places = ops.reshape(self._or_none(tokens) + starts, (-1,))
        greatest = ops.segment_max(ops.reshape(amounts, (-1,)), places, rows * width)
        greatest = ops.maximum(ops.reshape(greatest, (-1, width))[:, :-1], 0.0)
        lowered = self._saturated(ops.cast(self.dense(), wide()) - greatest)
        return self.replaced(lowered, "a change of logits")

    def own(self, array: Any) -> Any:
        """Return an integer array as one of this engine."""
        return ops.cast(ops.convert_to_tensor(array), "int32")

    def without_rows(self, lost: Any) -> Self:
        """Go on without the distribution of the rows that are ``lost``, bool [batch]."""
        values = ops.where(lost[:, None], np.nan, self.values)
        return self._with(values=values, valid=self.valid & ops.logical_not(lost))

    def only(self, tokens: tuple[int, ...]) -> Self:
        """Remove all tokens but these."""
        allowed = np.isin(np.arange(self.vocabulary), tokens)
        if self.ids is None:
            return self._keep(ops.convert_to_tensor(allowed)[None])
        return self._keep(ops.take(ops.convert_to_tensor(allowed), self.ids))

    def force(self, tokens: Any) -> Self:
        """Leave one token, with logit 0, in each row; -1 leaves the row as it is."""
        x, token = self.dense(), ops.cast(tokens, "int32")[:, None]
        own = ops.arange(self.vocabulary, dtype="int32")[None] == token
        one = ops.where(own, ops.zeros_like(x), -np.inf)
        return self.replaced(ops.where(token >= 0, one, x), "a forced token")

    def mapped(self, function: Callable[..., Any], *parameters: Any) -> Self:
        """Give each token above -inf the logit ``function(probability, *parameters)``."""
        columns = (self.numbers(p)[:, None] for p in parameters)
        new = function(self._masses() / self._totals()[:, None], *columns)
        values = ops.where(self.values > -np.inf, ops.cast(new, self.values.dtype), -np.inf)
        return self._with(values=values, temperature=1.0)

    def _spread(self, kept: Any, fill: float) -> Any:
        """Put what was kept into rows of the whole vocabulary."""
        if self.ids is None:
            return kept
        rows = ops.shape(kept)[0]
        row_numbers = ops.zeros_like(self.ids) + ops.arange(rows, dtype="int32")[:, None]
        places = ops.reshape(ops.stack([row_numbers, self.ids], axis=-1), (-1, 2))
        full = ops.full((rows, self.vocabulary), fill, dtype=kept.dtype)
        return ops.scatter_update(full, places, ops.reshape(kept, (-1,)))

    def raised(self, chosen: Callable[..., Any], by: Any, *integers: Any) -> Self:
        """Add ``by`` to the logits of some tokens (see the eager engine)."""
        n = self.vocabulary
        ids = ops.arange(n, dtype="int32")[None] if self.ids is None else self.ids
        marked = chosen(ops.cast(ids, "uint32"), *(column(i, "uint32") for i in integers))
        values = self._scaled()
        values = ops.where(marked, values + column(by, values.dtype), values)
        return self._with(values=values, temperature=1.0)

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
        """Return logits, [batch, vocab], with -inf for what was removed."""
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
