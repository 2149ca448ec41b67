"""The eager engine: NumPy arrays, one row at a time (see ``numpy_row``)."""

import math
from collections.abc import Callable
from typing import Any, Self

import numpy as np

from logit_sampling.distribution.arrays import to_numpy
from logit_sampling.distribution.eager_batch import Batch
from logit_sampling.distribution.rounding import AT_A_COIN, AT_AN_ENTROPY
from logit_sampling.distribution.row import Row


class Scores(Batch):
    """The rows of a batch on their way through a chain.

    What the strategies call is the same on every engine. An argument or result "[batch]" is an
    array of the engine's kind; an argument may also be one number for all rows. Log-masses are
    relative to the greatest of the row, at the current temperature.
    """

    __slots__ = ()

    def scale(self, temperature: Any) -> Self:
        """Divide by ``temperature``; 0 keeps the first in order."""
        return self._each(Row.scale, temperature)

    def top_k(self, k: Any) -> Self:
        """Keep the first ``k``."""
        return self._each(Row.top_k, k)

    def top_p(self, p: Any) -> Self:
        """Keep the shortest prefix whose mass reaches ``p``."""
        return self._each(Row.top_p, p)

    def above(self, log_ratio: Any) -> Self:
        """Keep what has a log-mass of at least ``log_ratio``, and the greatest."""
        return self._each(Row.above, log_ratio)

    def within(self, distance: Any) -> Self:
        """Keep what is at most ``distance``, of logits as they came in, below the greatest."""
        return self._each(Row.within, distance)

    def typical(self, p: Any) -> Self:
        """Keep the likeliest typical tokens that reach ``p``: by distance from the entropy."""

        def cut(row: Row, p: float) -> Row:
            if p == 1 or row.empty:
                return row
            if math.isinf(row.peak):  # all of them equally typical
                return row.top_p(p)
            # The logit of a token whose surprise is the entropy; of two that are equally far from
            # it on paper the likelier is first.
            typical = row.peak + row.temperature * row.masses.mean_log()
            slack = row.epsilon * max(abs(row.peak), abs(typical))

            def closeness(values: np.ndarray) -> np.ndarray:
                key = np.subtract(typical + slack, values, dtype=values.dtype)
                np.minimum(key, values - values.dtype.type(typical), out=key)
                return np.minimum(key, 0, out=key)

            kept = row.prefix_of_leaders(p * row.masses.total, 0.0, closeness)
            return kept or row.prefix(row.short_of(p), closeness)

        return self._each(cut, p)

    def entropy_prefix(self, bound: Any, renormalize: bool) -> Self:
        """Keep the longest prefix whose entropy is at most ``bound`` nats (see ``TopH``)."""

        def cut(row: Row, bound: float) -> Row:
            if bound == math.inf or row.empty:
                return row
            total, log_total = row.masses.total, row.masses.log_total
            limit = bound * (1 + AT_AN_ENTROPY)

            def wanted(before: Any, terms: Any, mass: Any, term: Any) -> Any:
                mass, term = before + mass, terms + term
                if renormalize:
                    some = np.where(mass > 0, mass, 1.0)  # without a mass there is no term
                    return np.log(some) - term / some <= limit
                return (mass * log_total - term) / total <= limit

            return row.prefix(wanted, with_terms=True)

        return self._each(cut, bound)

    def drop_top_choices(self, log_threshold: Any, chosen: Any, protected: tuple[int, ...]) -> Self:
        """Where ``chosen``, remove what has at least that log-mass but the last (see ``XTC``)."""

        def cut(row: Row, log_threshold: float, chosen: bool) -> Row:
            if row.empty or not chosen or log_threshold > AT_A_COIN:
                return row
            over = row.near(-row.temperature * log_threshold)
            over &= row.values > -math.inf  # a masked token is no choice
            places = np.flatnonzero(over)
            values = row.values[places]
            places = np.delete(places, np.flatnonzero(values == values.min())[-1])
            if protected:
                ids = places if row.ids is None else row.ids[places]
                places = places[np.isin(ids, protected, invert=True)]
            return row.without(places)

        return self._each(cut, log_threshold, chosen)

    def adjust(self, tokens: Any, change: Callable[[Any], Any]) -> Self:
        """Change the logits of some tokens only.

        Args:
            tokens: int [batch, n], each id once in a row; -1 is none, and none are ids beyond the
                vocabulary.
            change: gets their logits, the widest float [batch, n] (-inf for none), and returns the
                new ones; what is finite stays so, at the limit of the logits' dtype.
        """
        tokens = np.broadcast_to(np.asarray(tokens), (len(self.rows), np.shape(tokens)[-1]))
        if tokens.size == 0:
            return self
        pairs = list(zip(self.rows, tokens, strict=True))
        with np.errstate(invalid="ignore"):  # -inf for none, whatever comes of it
            new = change(np.stack([row.logits_of(own) for row, own in pairs], dtype=np.float64))
        return self._with(
            tuple(row.change(own, n) for (row, own), n in zip(pairs, new, strict=True))
        )

    def lower(self, tokens: Any, levels: Any, amount: Callable, *parameters: Any) -> Self:
        """Lower the logits of some tokens by what belongs to the greatest of their levels.

        Args:
            tokens: int [batch, n], -1 for none; an id may occur again.
            levels: int [batch, n], at least 0.
            amount: ``amount(level, *parameters)`` is how much, at least 0 and increasing.
        """
        most = np.finfo(np.float64).max

        def cut(row: Row, own: np.ndarray, level: np.ndarray, *given: float) -> Row:
            listed = np.flatnonzero((own >= 0) & (own < self.vocabulary))
            if not listed.size:
                return row
            own, marked = own[listed], np.zeros(self.vocabulary, bool)
            marked[own] = True
            ids, greatest = np.flatnonzero(marked), np.empty(self.vocabulary, np.int32)
            greatest[ids] = 0
            np.maximum.at(greatest, own, level[listed])
            amounts = np.minimum(amount(greatest[ids], *given), most)
            logits = row.logits_of(ids)
            # What is finite stays so.
            return row.change(ids, np.maximum(logits - amounts, np.minimum(logits, -most)))

        lists = (self.numbers(parameter).tolist() for parameter in parameters)
        return self._with(tuple(map(cut, self.rows, tokens, levels, *lists)))

    def own(self, array: Any) -> np.ndarray:
        """Return an integer array as one of this engine."""
        return to_numpy(array)

    def without_rows(self, lost: np.ndarray) -> Self:
        """Go on without the distribution of the rows that are ``lost``, bool [batch].

        Raises:
            ValueError: there are any; in a compiled graph they give the id -1.
        """
        if lost.any():
            raise ValueError(
                f"row {np.flatnonzero(lost)[0]} had more tokens in a compiled function than its "
                "state has room for; call `sampler.init` with `max_new_tokens`"
            )
        return self

    def only(self, tokens: tuple[int, ...]) -> Self:
        """Remove all tokens but these."""

        def cut(row: Row) -> Row:
            row.look_for_nan()  # also in what is removed
            ids = np.asarray(sorted({t for t in tokens if t < self.vocabulary}), np.intp)
            if row.ids is not None:
                ids = np.flatnonzero(np.isin(row.ids, ids))
            if not ids.size:
                return row.with_values(np.full_like(row.values, -np.inf))
            return row.keep(ids)

        return self._with(tuple(map(cut, self.rows)))

    def force(self, tokens: Any) -> Self:
        """Leave one token, with logit 0, in each row; -1 leaves the row as it is."""

        def one(row: Row, token: int) -> Row:
            row.look_for_nan()  # also in what is removed
            if token < 0:
                return row
            return Row(np.zeros(1, row.values.dtype), np.asarray([token]), 0.0)

        return self._each(one, tokens)

    def mapped(self, function: Callable[..., Any], *parameters: Any) -> Self:
        """Give each token above -inf the logit ``function(probability, *parameters)``."""

        def change(row: Row, *own: float) -> Row:
            if row.empty:
                return row
            new = np.empty_like(row.values)
            for part in row.masses.parts(16):  # a function may hold several arrays
                probability = row.masses.of(part)
                probability /= row.masses.total
                new[part] = function(probability, *own)
            new[row.values == -np.inf] = -np.inf
            return row.with_values(new)

        return self._each(change, *parameters)

    def raised(self, chosen: Callable[..., Any], by: Any, *integers: Any) -> Self:
        """Add ``by`` to the logits of some tokens.

        Args:
            chosen: ``chosen(ids, *integers)`` tells which, bool; all are uint32.
            by: at least 0, one number or [batch].
            *integers: one number or [batch] each.
        """

        def change(row: Row, by: float, *own: int) -> Row:
            return row.raised(lambda ids: chosen(ids, *own), by)

        return self._each(change, by, *integers)
