"""The distribution in eager code: NumPy arrays, one row at a time (see `row`)."""

import math
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Self

import numpy as np

from logit_sampling.distribution.arrays import to_numpy
from logit_sampling.distribution.checks import InvalidRowError, check_returned
from logit_sampling.distribution.protocol import Distribution
from logit_sampling.distribution.random import MANY, threefry
from logit_sampling.distribution.row import EagerRow


def uniforms(seeds: Any, steps: Any, stream: int) -> list[float]:
    """Return a number in [0, 1) for each row, a multiple of 2**-53.

    `seeds` and `steps` are uint32 [batch, 2] and int [batch], or lists of Python integers.
    """
    if len(seeds) > MANY:
        seeds, steps = np.asarray(seeds, np.uint32), np.asarray(steps)
        counter = (steps.astype(np.uint32), np.uint32(stream))
        high, low = threefry((seeds[:, 0], seeds[:, 1]), counter)
        return ((high >> 5) * 2.0**-27 + (low >> 6) * 2.0**-53).tolist()
    if isinstance(seeds, np.ndarray):
        seeds, steps = seeds.tolist(), steps.tolist()
    words = (threefry(key, (step, stream)) for key, step in zip(seeds, steps, strict=True))
    return [(high >> 5) * 2.0**-27 + (low >> 6) * 2.0**-53 for high, low in words]


class EagerDistribution(Distribution):
    """The rows of a batch, each a `EagerRow` of what is left of it.

    The methods without a docstring are those of `Distribution`.
    """

    __slots__ = ("coins_tossed", "forced", "rows", "seeds", "steps", "vocab_size", "whole")

    xp: ClassVar[Any] = np

    def __init__(
        self,
        rows: tuple[EagerRow, ...],
        vocab_size: int,
        seeds: Any = None,
        steps: Any = None,
        coins_tossed: int = 0,
        forced: tuple[bool, ...] = (),
        whole: np.ndarray | None = None,
    ) -> None:
        self.rows: tuple[EagerRow, ...] = rows
        self.vocab_size: int = vocab_size
        self.seeds: Any = seeds  # see uniforms
        self.steps: Any = steps
        self.coins_tossed: int = coins_tossed
        self.forced: tuple[bool, ...] = forced  # how the next coins fall
        # The logits of all rows, float32 [batch, vocab], while nothing else is known of them.
        self.whole: np.ndarray | None = whole

    @classmethod
    def of(cls, logits: np.ndarray) -> Self:
        """Take in logits, float [batch, vocab]; NaN raises when a row is looked at."""
        rows = _rows(logits)
        fits = logits.dtype == np.float32 and logits.flags.c_contiguous
        return cls(rows, logits.shape[-1], whole=logits if fits and logits.size else None)

    def select(self, rows: Sequence[int]) -> Self:
        """Return some rows, for what needs no random numbers of theirs."""
        some = tuple([self.rows[row] for row in rows])
        return type(self)(some, self.vocab_size, coins_tossed=self.coins_tossed)

    def _with(self, rows: tuple[EagerRow, ...]) -> Self:
        return type(self)(
            rows, self.vocab_size, self.seeds, self.steps, self.coins_tossed, self.forced
        )

    def _each(self, method: Callable[..., EagerRow], *parameters: Any) -> Self:
        """Call `method(row, *parameters)` for each row, with its own number of each parameter."""
        if not any(isinstance(p, (tuple, np.ndarray)) for p in parameters):
            return self._with(tuple([method(row, *parameters) for row in self.rows]))
        lists = (self.per_row(parameter).tolist() for parameter in parameters)
        return self._with(tuple(method(*given) for given in zip(self.rows, *lists, strict=True)))

    # What can be measured.

    def per_row(self, parameter: Any) -> np.ndarray:
        return np.broadcast_to(np.asarray(parameter), (len(self.rows),))

    def _measure(self, of_row: Callable[[EagerRow], float]) -> np.ndarray:
        return np.asarray([0.0 if row.empty else of_row(row) for row in self.rows], np.float64)

    def count(self) -> np.ndarray:
        return self._measure(lambda row: float(np.count_nonzero(row.values > -np.inf)))

    def log_total(self) -> np.ndarray:
        return self._measure(lambda row: row.weights.log_total)

    def mean_log_weight(self) -> np.ndarray:
        return self._measure(lambda row: row.weights.mean_log())

    def entropy(self) -> np.ndarray:
        return self._measure(lambda row: row.weights.entropy())

    def log_collision(self) -> np.ndarray:
        return self._measure(lambda row: row.weights.log_collision())

    def std(self) -> np.ndarray:
        return self._measure(lambda row: row.weights.std())

    def top_log_probs(self, count: int) -> np.ndarray:
        none = np.full(count, -np.inf)
        rows = [none if row.empty else row.top_log_probs(count) for row in self.rows]
        return np.asarray(rows).reshape(-1, count)

    def least_log_weight(self) -> np.ndarray:
        return self._measure(lambda row: row.weights.least_log())

    def of_first(self, function: Callable[..., tuple[Any, Any]], *parameters: Any) -> np.ndarray:
        own = [self.per_row(parameter).tolist() for parameter in parameters]
        given = zip(self.rows, *own, strict=True)
        found = (0.0 if row.empty else row.of_first(function, *of_row) for row, *of_row in given)
        return np.asarray(list(found), np.float64)

    def tolerance(self, log_weight: Any) -> np.ndarray:
        pairs = zip(self.rows, self.per_row(log_weight).tolist(), strict=True)
        return np.asarray([row.tolerance(own) for row, own in pairs], np.float64)

    # What keeps some tokens.

    def top(self, k: Any) -> Self:
        return self._each(EagerRow.top, k)

    def reach(self, p: Any, key: Callable[..., Any] | None = None, *parameters: Any) -> Self:
        if key is None:
            return self._each(EagerRow.reach, p)

        def cut(row: EagerRow, p: float, *own: float) -> EagerRow:
            return row.reach(p, lambda log_weights: key(log_weights, *own))

        return self._each(cut, p, *parameters)

    def prefix(self, wanted: Callable[..., Any], *parameters: Any) -> Self:
        def cut(row: EagerRow, *own: float) -> EagerRow:
            if row.empty:
                return row
            return row.prefix(lambda *sums: wanted(*sums, *own), with_terms=True)

        return self._each(cut, *parameters)

    def at_least(self, log_weight: Any) -> Self:
        return self._each(EagerRow.at_least, log_weight)

    def within(self, distance: Any) -> Self:
        return self._each(EagerRow.within, distance)

    def drop_last(self) -> Self:
        return self._each(EagerRow.drop_last)

    def without(self, other: Self, where: Any) -> Self:
        given = zip(self.rows, other.rows, self.per_row(where).tolist(), strict=True)
        return self._with(tuple(row.without(own) if here else row for row, own, here in given))

    def only(self, token_ids: tuple[int, ...]) -> Self:
        def cut(row: EagerRow) -> EagerRow:
            row.look_for_nan()  # also in what is removed
            ids = np.asarray(sorted({t for t in token_ids if t < self.vocab_size}), np.intp)
            if row.ids is not None:
                ids = np.flatnonzero(np.isin(row.ids, ids))
            if not ids.size:
                return row.with_values(np.full_like(row.values, -np.inf))
            return row.keep(ids)

        return self._each(cut)

    def force(self, token_ids: Any) -> Self:
        def one(row: EagerRow, token: int) -> EagerRow:
            row.look_for_nan()  # also in what is removed
            if token < 0:
                return row
            return EagerRow(np.zeros(1, row.values.dtype), np.asarray([token]), 0.0)

        return self._each(one, token_ids)

    # What changes logits.

    def scale(self, temperature: Any) -> Self:
        return self._each(EagerRow.scale, temperature)

    def map(self, function: Callable[..., Any], *parameters: Any) -> Self:
        def change(row: EagerRow, *own: float) -> EagerRow:
            return row.map(lambda log_weights: function(log_weights, *own))

        return self._each(change, *parameters)

    def add(self, amount: Any, chosen: Callable[..., Any], *integers: Any) -> Self:
        def change(row: EagerRow, amount: float, *own: int) -> EagerRow:
            return row.add(amount, lambda token_ids: chosen(token_ids, *own))

        return self._each(change, amount, *integers)

    def adjust(self, token_ids: Any, change: Callable[[Any], Any]) -> Self:
        tokens = np.broadcast_to(np.asarray(token_ids), (len(self.rows), np.shape(token_ids)[-1]))
        if tokens.size == 0:
            return self
        if (changed := self._changed_at_once(tokens, change)) is not None:
            return changed
        pairs = list(zip(self.rows, tokens, strict=True))
        with np.errstate(invalid="ignore"):  # -inf for none, whatever comes of it
            new = change(np.stack([row.logits_of(own) for row, own in pairs], dtype=np.float64))
        return self._with(
            tuple(row.change(own, n) for (row, own), n in zip(pairs, new, strict=True))
        )

    def _changed_at_once(self, tokens: np.ndarray, change: Callable[[Any], Any]) -> Self | None:
        """Return what `adjust` does, by operations on the batch; None to look at each row."""
        if self.whole is None:
            return None
        greatest = self.whole.max(axis=1)
        if not np.isfinite(greatest).all() or ((greatest > 0) & (greatest <= 1)).any():
            return None  # which a row has something to say of
        places = np.flatnonzero((tokens >= 0) & (tokens < self.vocab_size))
        rows, ids = places // tokens.shape[1], tokens.ravel()[places]
        if not ids.size:
            return self
        logits = np.full(tokens.size, -np.inf)
        logits[places] = self.whole[rows, ids]
        with np.errstate(invalid="ignore"):  # -inf for none, whatever comes of it
            new = np.broadcast_to(change(logits.reshape(tokens.shape)), tokens.shape).ravel()[
                places
            ]
        if np.isnan(new).any():
            return None
        most = np.finfo(np.float32).max
        whole = self.whole.copy()
        whole[rows, ids] = np.where(np.isinf(new), new, np.clip(new, -most, most))
        own = tuple([EagerRow(values, None) for values in whole])
        return type(self)(
            *(own, self.vocab_size, self.seeds, self.steps, self.coins_tossed, self.forced, whole)
        )

    def lower(self, token_ids: Any, amounts: Any) -> Self:
        most = np.finfo(np.float64).max
        tokens = np.where((token_ids >= 0) & (token_ids < self.vocab_size), token_ids, -1)
        amounts = np.broadcast_to(np.minimum(amounts, most), tokens.shape)
        # Of a token that is there again the last one counts, which has the greatest amount.
        order = np.lexsort((amounts, tokens))
        tokens, amounts = (np.take_along_axis(x, order, axis=1) for x in (tokens, amounts))
        tokens[:, :-1][tokens[:, :-1] == tokens[:, 1:]] = -1
        # What is finite stays so.
        return self.adjust(tokens, lambda x: np.maximum(x - amounts, np.minimum(x, -most)))

    # What belongs to a step.

    def toss(self, probability: Any) -> tuple[np.ndarray, Self]:
        count, tossed = len(self.rows), self.coins_tossed + 1
        after = type(self)(
            *(self.rows, self.vocab_size, self.seeds, self.steps, tossed, self.forced[1:]),
            whole=self.whole,
        )
        if self.forced:
            return np.full(count, self.forced[0]), after
        if self.seeds is None:
            numbers = np.random.default_rng().random(count)
        else:
            numbers = np.asarray(uniforms(self.seeds, self.steps, tossed))
        return numbers < self.per_row(probability), after

    def own(self, array: Any) -> np.ndarray:
        return to_numpy(array)

    def without_rows(self, lost: np.ndarray) -> Self:
        if lost.any():
            raise InvalidRowError(
                int(np.flatnonzero(lost)[0]),
                "{row} had more tokens in a compiled function than its state has room for; call "
                "`sampler.init` with `max_new_tokens`",
            )
        return self

    def replaced(self, logits: Any, source: str) -> Self:
        array, shape = to_numpy(logits), (len(self.rows), self.vocab_size)
        check_returned(array, shape, source)
        dtype = self.rows[0].values.dtype if self.rows else np.float32
        return self._with(_rows(array.astype(dtype, copy=False)))

    def seeded(self, seeds: Any, steps: Any) -> Self:
        return type(self)(
            self.rows, self.vocab_size, seeds, steps, self.coins_tossed, whole=self.whole
        )

    def fixed(self, coins: tuple[bool, ...]) -> Self:
        return type(self)(
            self.rows, self.vocab_size, self.seeds, self.steps, self.coins_tossed, coins
        )

    # What comes out.

    def dense(self) -> np.ndarray:
        for row in self.rows:
            row.look_for_nan()
        return self._stack([r.spread(r.scaled(), self.vocab_size, -np.inf) for r in self.rows])

    def probabilities(self) -> np.ndarray:
        self._check_survivors()
        return self._stack(
            [r.spread(r.weights.probabilities(), self.vocab_size, 0) for r in self.rows]
        )

    def log_prob(self, token_ids: Any) -> np.ndarray:
        self._check_survivors()
        ids = self.per_row(token_ids).tolist()
        for row, token in enumerate(ids):
            if not 0 <= token < self.vocab_size:
                raise InvalidRowError(
                    row, "id {id} in {row} is not in [0, {n})", id=token, n=self.vocab_size
                )
        pairs = zip(self.rows, ids, strict=True)
        return np.asarray([row.log_prob(token) for row, token in pairs]).astype(np.float32)

    def draw(self) -> np.ndarray:
        self._check_survivors()
        if self.rows and all(row.ids is not None and row.values.size == 1 for row in self.rows):
            return np.concatenate([row.ids for row in self.rows]).astype(np.int32)
        drawn = map(EagerRow.draw, self.rows, uniforms(self.seeds, self.steps, 0))
        return np.asarray(list(drawn), np.int32)

    def _stack(self, rows: list[np.ndarray]) -> np.ndarray:
        return np.stack(rows) if rows else np.empty((0, self.vocab_size), np.float32)

    def _check_survivors(self) -> None:
        for index, row in enumerate(self.rows):
            if row.peak == -math.inf:
                raise InvalidRowError(
                    index, "every token of {row} is at -inf: nothing is left to draw from"
                )


def _rows(logits: np.ndarray) -> tuple[EagerRow, ...]:
    dtype = np.float64 if logits.dtype == np.float64 else np.float32
    logits = logits.astype(dtype, copy=False)
    return tuple([EagerRow(x, None, number=number) for number, x in enumerate(logits)])
