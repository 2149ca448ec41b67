"""Batches of the eager engine: their rows, what is measured of them, and the draw."""

import math
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Self

import numpy as np

from logit_sampling.distribution.arrays import to_numpy
from logit_sampling.distribution.checks import check_returned
from logit_sampling.distribution.random import MANY, threefry
from logit_sampling.distribution.row import Row


def uniforms(seeds: Any, steps: Any, stream: int) -> list[float]:
    """Return a number in [0, 1) for each row, a multiple of 2**-53.

    ``seeds`` and ``steps`` are uint32 [batch, 2] and int [batch], or lists of Python integers.
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


class Batch:
    """The rows of a batch, what is left of them."""

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
        return self._measure(lambda row: float(np.count_nonzero(row.values > -np.inf)))

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
        """Return the population deviation of the logits above -inf, as they came in, [batch]."""
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
