"""The eager engine: NumPy arrays, one row at a time (see ``numpy_row``)."""

import math
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Self

import numpy as np

from logit_sampling.arrays import to_numpy
from logit_sampling.checks import check_returned
from logit_sampling.engines.numpy_masses import BLOCK
from logit_sampling.engines.numpy_row import Row
from logit_sampling.engines.rounding import AT_A_COIN, AT_AN_ENTROPY
from logit_sampling.random import threefry

_PART = 8 * BLOCK  # of a row, of which a function may hold several arrays
_MANY = 16  # rows from which random numbers come faster from arrays than one by one


def uniforms(seeds: Any, steps: Any, stream: int) -> list[float]:
    """Return a number in [0, 1) for each row, a multiple of 2**-53.

    ``seeds`` and ``steps`` are uint32 [batch, 2] and int [batch], or lists of Python integers.
    """
    if len(seeds) > _MANY:
        seeds, steps = np.asarray(seeds, np.uint32), np.asarray(steps)
        counter = (steps.astype(np.uint32), np.uint32(stream))
        high, low = threefry((seeds[:, 0], seeds[:, 1]), counter)
        return ((high >> 5) * 2.0**-27 + (low >> 6) * 2.0**-53).tolist()
    if isinstance(seeds, np.ndarray):
        seeds, steps = seeds.tolist(), steps.tolist()
    words = (threefry(key, (step, stream)) for key, step in zip(seeds, steps, strict=True))
    return [(high >> 5) * 2.0**-27 + (low >> 6) * 2.0**-53 for high, low in words]


class Scores:
    """The rows of a batch on their way through a chain.

    What the strategies call is the same on every engine. An argument or result "[batch]" is an
    array of the engine's kind; an argument may also be one number for all rows. Log-masses are
    relative to the greatest of the row, at the current temperature.
    """

    __slots__ = ("coins_tossed", "forced", "rows", "seeds", "steps", "vocabulary")

    xp: ClassVar[Any] = np  # functions on the engine's arrays, by NumPy's names

    def __init__(
        self,
        rows: tuple[Row, ...],
        vocabulary: int,
        seeds: Any = None,
        steps: Any = None,
        coins_tossed: int = 0,
        forced: tuple[bool, ...] = (),
    ) -> None:
        self.rows, self.vocabulary = rows, vocabulary
        self.seeds, self.steps = seeds, steps  # see uniforms
        self.coins_tossed = coins_tossed
        self.forced = forced  # how the next coins fall

    @classmethod
    def of(cls, logits: np.ndarray) -> Self:
        """Take in logits, float [batch, vocab]; NaN raises when a row is looked at."""
        return cls(_rows(logits), logits.shape[-1])

    def fixed(self, coins: tuple[bool, ...]) -> Self:
        """Return the same scores, whose coins fall as given."""
        return type(self)(self.rows, self.vocabulary, forced=coins)

    def seeded(self, seeds: Any, steps: Any) -> Self:
        """Return the same scores, whose random numbers are those of ``seeds`` and ``steps``."""
        return type(self)(self.rows, self.vocabulary, seeds, steps)

    def coins(self, probability: Any) -> tuple[np.ndarray, Self]:
        """Toss a coin for each row: bool [batch], and the scores then.

        Each call in a chain tosses another; without a seed the coins are fresh.
        """
        count, tossed = len(self.rows), self.coins_tossed + 1
        after = type(self)(
            self.rows, self.vocabulary, self.seeds, self.steps, tossed, self.forced[1:]
        )
        if self.forced:
            return np.full(count, self.forced[0]), after
        if self.seeds is None:
            numbers = np.random.default_rng().random(count)
        else:
            numbers = np.asarray(uniforms(self.seeds, self.steps, tossed))
        return numbers < self.numbers(probability), after

    def _each(self, method: Callable[..., Row], *parameters: Any) -> Self:
        if not any(isinstance(p, (tuple, np.ndarray)) for p in parameters):
            return self._with(tuple([method(row, *parameters) for row in self.rows]))
        lists = (self.numbers(parameter).tolist() for parameter in parameters)
        return self._with(tuple(method(*given) for given in zip(self.rows, *lists, strict=True)))

    def _with(self, rows: tuple[Row, ...]) -> Self:
        return type(self)(
            rows, self.vocabulary, self.seeds, self.steps, self.coins_tossed, self.forced
        )

    def select(self, rows: Sequence[int]) -> Self:
        """Return the scores of some rows, for what needs no random numbers."""
        return type(self)(tuple([self.rows[row] for row in rows]), self.vocabulary)

    def numbers(self, parameter: Any) -> np.ndarray:
        """Return a parameter, one number or one for each row, as [batch]."""
        return np.broadcast_to(np.asarray(parameter), (len(self.rows),))

    def _measure(self, of_row: Callable[[Row], float]) -> np.ndarray:
        return np.asarray([0.0 if row.empty else of_row(row) for row in self.rows], np.float64)

    def finite(self) -> np.ndarray:
        """Return how many tokens are above -inf, float64 [batch]."""
        return self._measure(Row.finite)

    def log_total(self) -> np.ndarray:
        """Return the log of the total mass, minus ln of the greatest probability, [batch]."""
        return self._measure(lambda row: row.masses.log_total)

    def entropy(self) -> np.ndarray:
        """Return the entropy in nats, [batch]."""
        return self._measure(lambda row: row.masses.entropy())

    def collision(self) -> np.ndarray:
        """Return the log of the sum of the squared probabilities, [batch]."""
        return self._measure(lambda row: row.masses.collision())

    def deviation(self) -> np.ndarray:
        """Return the population deviation of the logits above -inf, [batch]."""
        return self._measure(lambda row: row.masses.deviation())

    def log_probs_in_order(self, count: int) -> np.ndarray:
        """Return the log-probabilities of the first ``count``, [batch, count], -inf for none."""
        none = np.full(count, -np.inf)
        rows = [none if row.empty else row.log_probs_in_order(count) for row in self.rows]
        return np.asarray(rows).reshape(-1, count)

    def replaced(self, logits: Any, source: str) -> Self:
        """Go on with the logits [batch, vocab] that the transform ``source`` returned."""
        array, shape = to_numpy(logits), (len(self.rows), self.vocabulary)
        check_returned(array, shape, source)
        dtype = self.rows[0].values.dtype if self.rows else np.float32
        return self._with(_rows(array.astype(dtype, copy=False)))

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

    def typical(self, p: Any) -> Self:
        """Keep the likeliest typical tokens that reach ``p``: by distance from the entropy."""

        def cut(row: Row, p: float) -> Row:
            if p == 1 or row.empty:
                return row
            if math.isinf(row.peak):  # all of them equally typical
                return row.top_p(p)
            offset = row.masses.entropy() - row.masses.log_total
            # The logit of a token whose surprise is the entropy; of two that are equally far from
            # it on paper the likelier is first.
            typical = row.peak - row.temperature * offset
            slack = row.epsilon * max(abs(row.peak), abs(typical))

            def closeness(values: np.ndarray) -> np.ndarray:
                with np.errstate(invalid="ignore"):
                    key = np.subtract(typical + slack, values, dtype=values.dtype)
                    np.minimum(key, values - values.dtype.type(typical), out=key)
                return np.minimum(key, 0, out=key)

            kept = row.prefix_of_leaders(p * row.masses.total, 0.0, closeness)
            return kept or row.prefix(row.short_of(p), closeness)

        return self._each(cut, p)

    def entropy_prefix(self, bound: Any, renormalize: bool) -> Self:
        """Keep the longest prefix whose entropy is at most ``bound`` nats (see ``TopH``)."""

        def cut(row: Row, bound: float) -> Row:
            if row.empty:
                return row
            total, log_total = row.masses.total, row.masses.log_total
            limit = bound * (1 + AT_AN_ENTROPY)

            def wanted(before: Any, terms: Any, mass: Any, term: Any) -> Any:
                mass, term = before + mass, terms + term
                if renormalize:
                    with np.errstate(divide="ignore", invalid="ignore"):
                        return ~(np.log(mass) - term / mass > limit)
                return (mass * log_total - term) / total <= limit

            return row.prefix(wanted, with_terms=True)

        return self._each(cut, bound)

    def drop_top_choices(self, log_threshold: Any, chosen: Any, protected: tuple[int, ...]) -> Self:
        """Where ``chosen``, remove what has at least that log-mass but the last (see ``XTC``)."""

        def cut(row: Row, log_threshold: float, chosen: bool) -> Row:
            if row.empty or not chosen or log_threshold > AT_A_COIN:
                return row
            over = row.above(log_threshold)
            if log_threshold == -math.inf:  # a masked token is no choice
                over = row.keep(np.flatnonzero(row.values > -math.inf), row.peak)
            ids = np.arange(row.values.size) if over.ids is None else over.ids
            last = np.flatnonzero(over.values == over.values.min())[-1]
            dropped = np.delete(ids, last)
            if protected:
                dropped = np.setdiff1d(dropped, protected)
            places = dropped if row.ids is None else row.ids.searchsorted(dropped)
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
        with np.errstate(over="ignore", invalid="ignore"):  # -inf for none, whatever comes of it
            new = change(np.stack([row.logits_of(own) for row, own in pairs], dtype=np.float64))
        return self._with(
            tuple(row.change(own, n) for (row, own), n in zip(pairs, new, strict=True))
        )

    def lower(self, tokens: Any, levels: Any, amount: Callable, *parameters: Any) -> Self:
        """Lower the logits of some tokens by what belongs to the greatest of their levels.

        Args:
            tokens: int [batch, n], -1 for none; an id may occur again.
            levels: int [batch, n].
            amount: ``amount(level, *parameters)`` is how much, finite and increasing.
        """

        def cut(row: Row, own: np.ndarray, level: np.ndarray, *given: float) -> Row:
            listed = np.flatnonzero(own >= 0)
            if not listed.size:
                return row
            falling = listed[np.argsort(-level[listed])]
            ids, first = np.unique(own[falling], return_index=True)
            return row.change(ids, row.logits_of(ids) - amount(level[falling][first], *given))

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
            for part in row.masses.parts(_PART):
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

    def dense(self) -> np.ndarray:
        """Return logits, [batch, vocab], with -inf for what was removed."""
        for row in self.rows:
            row.look_for_nan()
        return self._stack([r.spread(r.scaled(), self.vocabulary, -np.inf) for r in self.rows])

    def probabilities(self) -> np.ndarray:
        """Return the distribution of the draw, float32 [batch, vocab]."""
        self._check_survivors()
        return self._stack(
            [r.spread(r.masses.probabilities(), self.vocabulary, 0) for r in self.rows]
        )

    def log_prob(self, ids: Any) -> np.ndarray:
        """Return the log-probability of ``ids`` [batch], float32 [batch]."""
        self._check_survivors()
        ids = self.numbers(ids).tolist()
        for row, token in enumerate(ids):
            if not 0 <= token < self.vocabulary:
                raise ValueError(f"id {token} in row {row} is not in [0, {self.vocabulary})")
        pairs = zip(self.rows, ids, strict=True)
        log_prob = np.asarray([row.log_prob(token) for row, token in pairs])
        with np.errstate(over="ignore"):
            return log_prob.astype(np.float32)

    def draw(self) -> np.ndarray:
        """Return a token for each row, int32 [batch]."""
        self._check_survivors()
        if self.rows and all(row.ids is not None and row.values.size == 1 for row in self.rows):
            return np.concatenate([row.ids for row in self.rows]).astype(np.int32)
        drawn = map(Row.draw, self.rows, uniforms(self.seeds, self.steps, 0))
        return np.asarray(list(drawn), np.int32)

    def _stack(self, rows: list[np.ndarray]) -> np.ndarray:
        return np.stack(rows) if rows else np.empty((0, self.vocabulary), np.float32)

    def _check_survivors(self) -> None:
        for index, row in enumerate(self.rows):
            if row.peak == -math.inf:
                raise ValueError(
                    f"every token of row {index} is at -inf: nothing is left to draw from"
                )


def _rows(logits: np.ndarray) -> tuple[Row, ...]:
    dtype = np.float64 if logits.dtype == np.float64 else np.float32
    logits = logits.astype(dtype, copy=False)
    return tuple([Row(x, None, number=number) for number, x in enumerate(logits)])
