"""The engine of compiled graphs: Keras operations on [batch, tokens] tensors.

Works inside ``tf.function``, with and without XLA, and under ``jax.jit``. A small top-k narrows
the tensors to the survivors; other cuts set -inf in place, at a threshold that is found without
sorting (see ``keras_search``). Nothing can raise here: a row without a distribution gets the id -1.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Self

import numpy as np
from keras import ops

from logit_sampling.distribution.graph_batch import Batch
from logit_sampling.distribution.rounding import AT_A_COIN, AT_A_SUM, AT_AN_ENTROPY, forgiving
from logit_sampling.distribution.search import (
    end_of_prefix,
    first_greatest,
    is_wide,
    leading,
    pick,
    upto,
    wide,
)
from logit_sampling.distribution.symbol import is_everywhere
from logit_sampling.distribution.tensors import column, row_count

_SHORT = 1024
"""Up to this many tokens are put in order by ``ops.top_k``; more are searched."""

_FEW = 128  # leaders among which the end of a prefix is looked for first
_FAR = -1e9  # a log-mass that is as good as -inf


class Scores(Batch):
    """The rows of a batch on their way through a chain: the same methods as the eager engine's."""

    __slots__ = ()

    def scale(self, temperature: Any) -> Self:
        """Divide by ``temperature``; 0 keeps the first in order."""
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
        if is_everywhere(1, p):
            return self
        return self.prefix(self.values, self._short_of(p))

    def above(self, log_ratio: Any) -> Self:
        """Keep what has a log-mass of at least ``log_ratio``, and the greatest."""
        distance = -self.temperature * column(log_ratio, wide())
        return self._keep(self._near(distance), first_stays=True)

    def within(self, distance: Any) -> Self:
        """Keep what is at most ``distance``, of logits as they came in, below the greatest."""
        return self._keep(self._near(column(distance, wide())), first_stays=True)

    def _near(self, distance: Any) -> Any:
        peak = ops.cast(self._raw_peak(), wide())
        least = forgiving(peak - distance, self._epsilon())
        least = ops.where((distance > 0) & (peak < np.inf), least, peak)
        return (self.values >= ops.cast(least, self.values.dtype)) | (distance == np.inf)

    def typical(self, p: Any) -> Self:
        """Keep the likeliest typical tokens that reach ``p``: by distance from the entropy."""
        if is_everywhere(1, p):
            return self
        mean = self.mean_log()[:, None]
        distance = self._exponents() - mean  # entropy minus surprise
        # Of two at equal distances on paper the likelier is first.
        peak = ops.cast(self._raw_peak(), wide())
        typical = peak + self.temperature * mean
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
                some = ops.where(mass > 0, mass, 1.0)  # without a mass there is no term
                return ops.log(some) - term / some <= limit
            return (mass * log_total - term) / total <= limit

        return self.prefix(self.values, wanted, self._terms())

    def drop_top_choices(self, log_threshold: Any, chosen: Any, protected: tuple[int, ...]) -> Self:
        """Where ``chosen``, remove what has at least that log-mass but the last (see ``XTC``)."""
        log_threshold = column(log_threshold, wide())
        over = self._near(-self.temperature * log_threshold) & (log_threshold <= AT_A_COIN)
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
        n, x = self.vocabulary, self._logits()
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
        greatest = ops.reshape(greatest, (-1, width))[:, :-1]
        x, most = ops.cast(self._logits(), wide()), float(np.finfo(wide()).max)
        # What is finite stays so.
        lowered = ops.maximum(x - ops.clip(greatest, 0.0, most), ops.minimum(x, -most))
        return self.replaced(self._saturated(lowered), "a change of logits")

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
        x, token = self._logits(), ops.cast(tokens, "int32")[:, None]
        own = ops.arange(self.vocabulary, dtype="int32")[None] == token
        one = ops.where(own, ops.zeros_like(x), -np.inf)
        return self.replaced(ops.where(token >= 0, one, x), "a forced token")

    def mapped(self, function: Callable[..., Any], *parameters: Any) -> Self:
        """Give each token above -inf the logit ``function(probability, *parameters)``."""
        columns = (self.numbers(p)[:, None] for p in parameters)
        new = function(self._masses() / self._totals()[:, None], *columns)
        values = ops.where(self.values > -np.inf, ops.cast(new, self.values.dtype), -np.inf)
        return self._with(values=values, temperature=1.0)

    def raised(self, chosen: Callable[..., Any], by: Any, *integers: Any) -> Self:
        """Add ``by`` to the logits of some tokens (see the eager engine)."""
        n = self.vocabulary
        ids = ops.arange(n, dtype="int32")[None] if self.ids is None else self.ids
        marked = chosen(ops.cast(ids, "uint32"), *(column(i, "uint32") for i in integers))
        values = self._scaled()
        values = ops.where(marked, values + column(by, values.dtype), values)
        return self._with(values=values, temperature=1.0)
