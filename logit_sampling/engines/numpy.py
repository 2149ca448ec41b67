"""The eager engine: NumPy arrays, one row at a time.

A row holds its survivors alone, so each cut makes what follows cheaper. Logits keep their precision
(float32 or float64) and are never rescaled: a row remembers its temperature, which leaves the order
alone, and applies it where masses are computed. Masses are float64.
"""

import math
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np

from logit_sampling.arrays import to_numpy
from logit_sampling.checks import check_returned
from logit_sampling.random import threefry

SUM_TOLERANCE = 16
"""A prefix reaches a mass if what is missing is below this many roundings of the next token."""

_BLOCK = 1024  # a longer row is searched in two levels
_LIMITS = sys.float_info
_FEW = 256  # leaders among which a nucleus is looked for first
_BINS = 4096  # of scores, in which it is looked for then
_MANY = 16  # rows from which random numbers come faster from arrays than one by one


def leading(x: np.ndarray, k: int) -> np.ndarray:
    """Return the ids of the ``k`` greatest of ``x`` [n], ascending; of equals the lower ids."""
    n = x.size
    width = int((n * k) ** 0.5)
    if 4 * width > n:
        return _leading_of_few(x, k)
    # At least k columns of a [blocks, width] table have a maximum of `least` or more, so the k
    # greatest are all at least that, and lie in those columns.
    whole = n - n % width
    table = x[:whole].reshape(-1, width)
    best = table.max(axis=0)
    np.maximum(best[: n - whole], x[whole:], out=best[: n - whole])
    least = np.partition(best, width - k)[width - k]
    columns = np.flatnonzero(best >= least)
    ids = (np.arange(0, whole, width)[:, None] + columns).reshape(-1)
    ids = np.concatenate([ids, columns[columns < n - whole] + whole])
    values = x[ids]
    able = np.flatnonzero(values >= least)
    return ids[able[_leading_of_few(values[able], k)]]


def _leading_of_few(x: np.ndarray, k: int) -> np.ndarray:
    least = np.partition(x, x.size - k)[x.size - k]
    ids = np.flatnonzero(x >= least)
    excess = ids.size - k
    return np.delete(ids, np.flatnonzero(x[ids] == least)[-excess:]) if excess else ids


@dataclass(frozen=True, slots=True)
class _Row:
    values: np.ndarray  # [survivors], logits as they came in
    ids: np.ndarray | None  # [survivors], ascending; None: all of the vocabulary
    temperature: float
    peak: float  # the greatest of values

    def keep(self, places: np.ndarray) -> Self:
        values = self.values[places]
        ids = places if self.ids is None else self.ids[places]
        return replace(self, values=values, ids=ids, peak=float(values.max()))

    def exponents(self) -> np.ndarray:
        """Log-masses up to a constant, float64 [survivors]; the greatest is 0."""
        if np.isposinf(self.peak):
            return np.where(self.values == np.inf, 0.0, -np.inf)
        with np.errstate(over="ignore"):  # to -inf
            exponents = np.subtract(self.values, self.peak, dtype=np.float64)
            return exponents if self.temperature == 1 else exponents / self.temperature

    def masses(self) -> np.ndarray:
        with np.errstate(under="ignore"):
            return np.exp(self.exponents())

    def scale(self, temperature: float) -> Self:
        if temperature == 0:
            return replace(self.keep(np.asarray([self.values.argmax()])), temperature=1.0)
        product = self.temperature * temperature
        return replace(self, temperature=min(max(product, _LIMITS.min), _LIMITS.max))

    def top_k(self, k: int) -> Self:
        return self if k >= self.values.size else self.keep(leading(self.values, k))

    def top_p(self, p: float) -> Self:
        if p == 1 or np.isneginf(self.peak):
            return self
        exponents = self.exponents()
        masses = np.exp(exponents)
        goal = p * masses.sum()
        slack = SUM_TOLERANCE * np.finfo(self.values.dtype).eps

        def leaders(places: np.ndarray, before: float) -> tuple[np.ndarray, bool]:
            """Return those of ``places`` that are wanted; and whether one was not."""
            order = places[np.argsort(-self.values[places], kind="stable")]
            mass = masses[order]
            missing = goal - before - (np.cumsum(mass) - mass)
            count = np.count_nonzero(missing > slack * mass)
            return order[:count], bool(count < order.size)

        # A few leaders nearly always hold the mass.
        kept, enough = leaders(leading(self.values, min(_FEW, masses.size)), 0.0)
        if enough or masses.size <= _FEW:
            return self.keep(np.sort(kept) if kept.size else np.asarray([self.values.argmax()]))
        # Bins in the order of the values: only the one in which the goal lies is sorted.
        lowest = exponents.min()
        if np.isneginf(lowest):
            lowest = exponents.min(where=exponents > -np.inf, initial=0.0)
        exponents *= _BINS / min(lowest, -1e-300)
        bins = np.minimum(exponents, _BINS - 1, out=exponents).astype(np.int32)
        sums = np.cumsum(np.bincount(bins, weights=masses, minlength=_BINS))
        last = min(int(np.searchsorted(sums, goal)), _BINS - 1)
        inside, _ = leaders(np.flatnonzero(bins == last), sums[last - 1] if last else 0.0)
        chosen = bins < last
        chosen[inside] = True
        return self.keep(np.flatnonzero(chosen))

    def min_p(self, p: float) -> Self:
        if p == 0:
            return self
        # Rounded as the logits are, so that what is equal on paper is equal here.
        with np.errstate(over="ignore"):
            least = self.values.dtype.type(self.peak + self.temperature * math.log(p))
        return self.keep(np.flatnonzero(self.values >= least))

    def scaled(self) -> np.ndarray:
        """The logits divided by the temperature, as they came in otherwise."""
        if self.temperature == 1:
            return self.values
        dtype = self.values.dtype
        with np.errstate(over="ignore", under="ignore"):
            # Near 0 the peak may overflow; shifting a row does not change its distribution.
            if np.isfinite(self.peak) and np.isinf(dtype.type(self.peak / self.temperature)):
                return self.exponents().astype(dtype)
            return (self.values / np.float64(self.temperature)).astype(dtype)

    def spread(self, kept: np.ndarray, vocabulary: int, fill: float) -> np.ndarray:
        """Put what was ``kept`` into a row of the whole vocabulary."""
        if self.ids is None:
            return kept
        row = np.full(vocabulary, fill, kept.dtype)
        row[self.ids] = kept
        return row

    def probabilities(self) -> np.ndarray:
        masses = self.masses()
        return (masses / masses.sum()).astype(np.float32)

    def log_prob(self, token: int) -> float:
        place = token if self.ids is None else int(np.searchsorted(self.ids, token))
        if self.ids is not None and (place == self.ids.size or self.ids[place] != token):
            return -np.inf
        return self.exponents()[place] - np.log(self.masses().sum())

    def draw(self, uniform: float) -> int:
        masses = self.masses()
        start, target = 0, uniform
        if masses.size > _BLOCK:
            whole = masses.size - masses.size % _BLOCK
            sums = masses[:whole].reshape(-1, _BLOCK).sum(axis=1)
            sums = np.append(sums, masses[whole:].sum())
            block, target = _find(sums, uniform)
            start = block * _BLOCK
            masses = masses[start : start + _BLOCK]
        place = start + _find(masses, target)[0]
        return int(place if self.ids is None else self.ids[place])


def _find(masses: np.ndarray, uniform: float) -> tuple[int, float]:
    """Return where ``uniform`` of the total falls, and which part of that mass lies below it."""
    sums = np.cumsum(masses)
    target = uniform * sums[-1]  # below the total, since uniform is at most 1 - 2**-53
    place = int(np.searchsorted(sums, target, side="right"))
    below = sums[place - 1] if place else 0.0
    return place, min((target - below) / masses[place], 1 - 2**-53)


def _uniforms(seeds: np.ndarray, steps: np.ndarray) -> list[float]:
    """Return a number in [0, 1) for each row, a multiple of 2**-53."""
    if len(seeds) > _MANY:
        high, low = threefry((seeds[:, 0], seeds[:, 1]), (steps.astype(np.uint32), np.uint32(0)))
        return ((high >> 5) * 2.0**-27 + (low >> 6) * 2.0**-53).tolist()
    words = (
        threefry((first, second), (step, 0))
        for (first, second), step in zip(seeds.tolist(), steps.tolist(), strict=True)
    )
    return [(high >> 5) * 2.0**-27 + (low >> 6) * 2.0**-53 for high, low in words]


def _per_row(parameter: Any, rows: int) -> np.ndarray:
    return np.broadcast_to(np.asarray(parameter), (rows,))


@dataclass(frozen=True, slots=True)
class Scores:
    """The rows of a batch on their way through a chain."""

    rows: tuple[_Row, ...]
    vocabulary: int

    @classmethod
    def of(cls, logits: np.ndarray) -> Self:
        """Take in logits, float [batch, vocab]; raise ValueError for NaN."""
        wide = logits.dtype.name == "float64"
        logits = logits.astype(np.float64 if wide else np.float32, copy=False)
        peaks = logits.max(axis=-1)
        bad = np.flatnonzero(np.isnan(peaks))
        if bad.size:
            raise ValueError(f"logits hold NaN in row {bad[0]}; look at the model or its input")
        rows = (_Row(x, None, 1.0, float(peak)) for x, peak in zip(logits, peaks, strict=True))
        return cls(tuple(rows), logits.shape[-1])

    def _each(self, method: Callable[..., _Row], parameter: Any) -> Self:
        parameters = _per_row(parameter, len(self.rows)).tolist()
        rows = tuple(method(*pair) for pair in zip(self.rows, parameters, strict=True))
        return replace(self, rows=rows)

    def replaced(self, logits: Any, source: str) -> Self:
        """Go on with the logits [batch, vocab] that the transform ``source`` returned."""
        array, shape = to_numpy(logits), (len(self.rows), self.vocabulary)
        check_returned(array, shape, source)
        dtype = self.rows[0].values.dtype if self.rows else np.float32
        return self.of(array.astype(dtype, copy=False))

    def scale(self, temperature: Any) -> Self:
        """Divide by ``temperature``, a number or [batch]; 0 keeps the first in order."""
        return self._each(_Row.scale, temperature)

    def top_k(self, k: Any) -> Self:
        """Keep the first ``k``, a number or [batch]."""
        return self._each(_Row.top_k, k)

    def top_p(self, p: Any) -> Self:
        """Keep the shortest prefix whose mass reaches ``p``, a number or [batch]."""
        return self._each(_Row.top_p, p)

    def min_p(self, p: Any) -> Self:
        """Keep what has at least ``p`` times the greatest mass, a number or [batch]."""
        return self._each(_Row.min_p, p)

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
        ids = _per_row(ids, len(self.rows)).tolist()
        for row, token in enumerate(ids):
            if not 0 <= token < self.vocabulary:
                raise ValueError(f"id {token} in row {row} is not in [0, {self.vocabulary})")
        pairs = zip(self.rows, ids, strict=True)
        log_prob = np.asarray([row.log_prob(token) for row, token in pairs])
        with np.errstate(over="ignore"):
            return log_prob.astype(np.float32)

    def draw(self, seeds: np.ndarray, steps: np.ndarray) -> np.ndarray:
        """Return a token for each row, int32 [batch], from seeds uint32 [batch, 2] and steps."""
        self._check_survivors()
        pairs = zip(self.rows, _uniforms(seeds, steps), strict=True)
        return np.asarray([row.draw(uniform) for row, uniform in pairs], np.int32)

    def _stack(self, rows: list[np.ndarray]) -> np.ndarray:
        return np.stack(rows) if rows else np.empty((0, self.vocabulary), np.float32)

    def _check_survivors(self) -> None:
        for index, row in enumerate(self.rows):
            if np.isneginf(row.peak):
                raise ValueError(
                    f"every token of row {index} is at -inf: nothing is left to draw from"
                )
