"""The eager engine: NumPy arrays, one row at a time (see ``numpy_row``)."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np

from logit_sampling.arrays import to_numpy
from logit_sampling.checks import check_returned
from logit_sampling.engines.numpy_row import Row
from logit_sampling.engines.rounding import AT_A_COIN, AT_AN_ENTROPY
from logit_sampling.random import threefry

_MANY = 16  # rows from which random numbers come faster from arrays than one by one


def _uniforms(seeds: np.ndarray, steps: np.ndarray, stream: int) -> list[float]:
    """Return a number in [0, 1) for each row, a multiple of 2**-53."""
    if len(seeds) > _MANY:
        counter = (steps.astype(np.uint32), np.uint32(stream))
        high, low = threefry((seeds[:, 0], seeds[:, 1]), counter)
        return ((high >> 5) * 2.0**-27 + (low >> 6) * 2.0**-53).tolist()
    words = (
        threefry((first, second), (step, stream))
        for (first, second), step in zip(seeds.tolist(), steps.tolist(), strict=True)
    )
    return [(high >> 5) * 2.0**-27 + (low >> 6) * 2.0**-53 for high, low in words]


@dataclass(frozen=True, slots=True)
class Scores:
    """The rows of a batch on their way through a chain.

    What the strategies call is the same on every engine. An argument or result "[batch]" is an
    array of the engine's kind; an argument may also be one number for all rows. Log-masses are
    relative to the greatest of the row, at the current temperature.
    """

    xp: ClassVar[Any] = np  # functions on the engine's arrays, by NumPy's names
    rows: tuple[Row, ...]
    vocabulary: int
    seeds: np.ndarray | None = None  # uint32 [batch, 2]
    steps: np.ndarray | None = None  # int [batch]
    streams: int = 0  # how many coins the chain has tossed so far
    forced: tuple[bool, ...] = ()  # how the next coins fall

    @classmethod
    def of(cls, logits: np.ndarray) -> Self:
        """Take in logits, float [batch, vocab]; raise ValueError for NaN."""
        return cls(_rows(logits), logits.shape[-1])

    def fixed(self, coins: tuple[bool, ...]) -> Self:
        """Return the same scores, whose coins fall as given."""
        return replace(self, forced=coins)

    def seeded(self, seeds: np.ndarray, steps: np.ndarray) -> Self:
        """Return the same scores, whose random numbers are those of ``seeds`` and ``steps``."""
        return replace(self, seeds=seeds, steps=steps)

    def coins(self, probability: Any) -> tuple[np.ndarray, Self]:
        """Toss a coin for each row: bool [batch], and the scores then.

        Each call in a chain tosses another; without a seed the coins are fresh.
        """
        if self.forced:
            return np.full(len(self.rows), self.forced[0]), replace(self, forced=self.forced[1:])
        following = replace(self, streams=self.streams + 1)
        if self.seeds is None or self.steps is None:
            uniforms = np.random.default_rng().random(len(self.rows))
        else:
            uniforms = np.asarray(_uniforms(self.seeds, self.steps, following.streams))
        return uniforms < self.numbers(probability), following

    def _each(self, method: Callable[..., Row], *parameters: Any) -> Self:
        lists = (self.numbers(parameter).tolist() for parameter in parameters)
        return self._with(method(*given) for given in zip(self.rows, *lists, strict=True))

    def _with(self, rows: Iterable[Row]) -> Self:
        return replace(self, rows=tuple(rows))

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
        return self._measure(Row.log_total)

    def entropy(self) -> np.ndarray:
        """Return the entropy in nats, [batch]."""
        return self._measure(Row.entropy)

    def collision(self) -> np.ndarray:
        """Return the log of the sum of the squared probabilities, [batch]."""
        return self._measure(Row.collision)

    def deviation(self) -> np.ndarray:
        """Return the population deviation of the logits above -inf, [batch]."""
        return self._measure(Row.deviation)

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
            offset = row.entropy() - row.log_total()
            distance = row.exponents() + offset  # entropy minus surprise
            # Of two at equal distances on paper the likelier is first.
            typical = row.peak - row.temperature * offset
            slack = row.epsilon * max(abs(row.peak), abs(typical)) / row.temperature
            key = np.where(distance > 0, np.minimum(slack - distance, 0), distance)
            return row.prefix(key, row.short_of(p))

        return self._each(cut, p)

    def entropy_prefix(self, bound: Any, renormalize: bool, first: int | None) -> Self:
        """Keep the longest prefix whose entropy is at most ``bound`` nats (see ``TopH``)."""

        def cut(row: Row, bound: float) -> Row:
            if row.empty:
                return row
            total, log_total = row.total, row.log_total()
            limit = bound * (1 + AT_AN_ENTROPY)

            def wanted(before: Any, terms: Any, mass: Any, term: Any) -> Any:
                mass, term = before + mass, terms + term
                if renormalize:
                    with np.errstate(divide="ignore", invalid="ignore"):
                        return ~(np.log(mass) - term / mass > limit)
                return (mass * log_total - term) / total <= limit

            kept = row.prefix(row.values, wanted, with_terms=True)
            return kept if first is None else kept.top_k(first)

        return self._each(cut, bound)

    def drop_top_choices(self, log_threshold: Any, chosen: Any, protected: tuple[int, ...]) -> Self:
        """Where ``chosen``, remove what has at least that log-mass but the last (see ``XTC``)."""

        def cut(row: Row, log_threshold: float, chosen: bool) -> Row:
            if row.empty or not chosen or log_threshold > AT_A_COIN:
                return row
            over = row.above(log_threshold)
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
            change: gets their logits, float [batch, n] (-inf for none), and returns the new ones.
        """
        tokens = np.broadcast_to(np.asarray(tokens), (len(self.rows), np.shape(tokens)[-1]))
        if tokens.size == 0:
            return self
        pairs = list(zip(self.rows, tokens, strict=True))
        new = change(np.stack([row.logits_of(own) for row, own in pairs]))
        new = np.asarray(new, self.rows[0].values.dtype)
        return self._with(row.change(own, n) for (row, own), n in zip(pairs, new, strict=True))

    def only(self, tokens: tuple[int, ...]) -> Self:
        """Remove all tokens but these."""

        def cut(row: Row) -> Row:
            ids = np.asarray(sorted({t for t in tokens if t < self.vocabulary}), np.intp)
            if row.ids is not None:
                ids = np.flatnonzero(np.isin(row.ids, ids))
            if not ids.size:
                return row.with_values(np.full_like(row.values, -np.inf))
            return row.keep(ids)

        return self._with(map(cut, self.rows))

    def force(self, tokens: Any) -> Self:
        """Leave one token, with logit 0, in each row; -1 leaves the row as it is."""

        def one(row: Row, token: int) -> Row:
            if token < 0:
                return row
            return Row(np.zeros(1, row.values.dtype), np.asarray([token]), 0.0)

        return self._each(one, tokens)

    def mapped(self, function: Callable[..., Any], *parameters: Any) -> Self:
        """Give each token above -inf the logit ``function(probability, *parameters)``."""

        def change(row: Row, *own: float) -> Row:
            if row.empty:
                return row
            new = function(row.masses / row.total, *own).astype(row.values.dtype)
            new[row.values == -np.inf] = -np.inf
            return row.with_values(new)

        return self._each(change, *parameters)

    def dense(self) -> np.ndarray:
        """Return logits, [batch, vocab], with -inf for what was removed."""
        return self._stack([r.spread(r.scaled(), self.vocabulary, -np.inf) for r in self.rows])

    def probabilities(self) -> np.ndarray:
        """Return the distribution of the draw, float32 [batch, vocab]."""
        self._check_survivors()
        return self._stack([r.spread(r.probabilities(), self.vocabulary, 0) for r in self.rows])

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
        assert self.seeds is not None and self.steps is not None
        pairs = zip(self.rows, _uniforms(self.seeds, self.steps, 0), strict=True)
        return np.asarray([row.draw(uniform) for row, uniform in pairs], np.int32)

    def _stack(self, rows: list[np.ndarray]) -> np.ndarray:
        return np.stack(rows) if rows else np.empty((0, self.vocabulary), np.float32)

    def _check_survivors(self) -> None:
        for index, row in enumerate(self.rows):
            if row.peak == -math.inf:
                raise ValueError(
                    f"every token of row {index} is at -inf: nothing is left to draw from"
                )


def _rows(logits: np.ndarray) -> tuple[Row, ...]:
    wide = logits.dtype.name == "float64"
    logits = logits.astype(np.float64 if wide else np.float32, copy=False)
    peaks = logits.max(axis=-1)
    bad = np.flatnonzero(np.isnan(peaks))
    if bad.size:
        raise ValueError(f"logits hold NaN in row {bad[0]}; look at the model or its input")
    return tuple(Row(x, None, peak) for x, peak in zip(logits, peaks.tolist(), strict=True))
