"""One row of the eager engine: what is left of the vocabulary, and the cuts on it.

A row holds its survivors alone, so each cut makes what follows cheaper. Logits keep their precision
(float32 or float64) and are never rescaled: a row remembers its temperature, which leaves the order
alone, and applies it where masses are computed. Masses are float64, relative to the greatest.
"""

import math
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from logit_sampling.engines.rounding import AT_A_SUM, forgiving
from logit_sampling.engines.select import find, leading, wanted_prefix

_BLOCK = 1024  # a longer row is searched in two levels
_PART = 16 * _BLOCK  # a longer row is computed part by part
_ALL = slice(None)
_FAR = -1e9  # a log-mass that is as good as -inf
_LIMITS = sys.float_info


class Row:
    """The survivors of one row; nothing on it changes but what it has computed of itself."""

    __slots__ = ("_masses", "_total", "ids", "peak", "temperature", "values")

    def __init__(
        self, values: np.ndarray, ids: np.ndarray | None, peak: float, temperature: float = 1.0
    ) -> None:
        self.values = values  # [survivors], logits as they came in
        self.ids = ids  # [survivors], ascending; None: all of the vocabulary
        self.peak = peak  # the greatest of values
        self.temperature = temperature
        self._masses: np.ndarray | None = None
        self._total: float | None = None

    @property
    def epsilon(self) -> float:
        """The rounding of the logits: what is between 1 and the next number."""
        return float(np.finfo(self.values.dtype).eps)

    @property
    def empty(self) -> bool:
        """Whether every token is at -inf."""
        return self.peak == -math.inf

    def exponents(self, part: slice = _ALL, out: np.ndarray | None = None) -> np.ndarray:
        """Return log-masses, float64 [survivors]; the greatest is 0."""
        values = self.values[part]
        if math.isinf(self.peak):
            return np.where(values == self.peak, 0.0, -np.inf)
        with np.errstate(over="ignore"):  # to -inf
            exponents = np.subtract(values, self.peak, out=out, dtype=np.float64)
            if self.temperature != 1:
                exponents /= self.temperature
        return exponents

    @property
    def masses(self) -> np.ndarray:
        """Masses, float64 [survivors]; the greatest is 1."""
        if self._masses is None:
            self._masses = np.empty(self.values.size)
            with np.errstate(under="ignore"):
                for part in self._parts():
                    own = self._masses[part]
                    np.exp(self.exponents(part, own), out=own)
        return self._masses

    def _parts(self) -> list[slice]:
        """Return slices that fit the processor's cache."""
        return [slice(i, i + _PART) for i in range(0, self.values.size, _PART)]

    @property
    def total(self) -> float:
        """The sum of the masses."""
        if self._total is None:
            self._total = float(self.masses.sum())
        return self._total

    def finite(self) -> int:
        """Return how many tokens are above -inf."""
        return int(np.count_nonzero(self.values > -np.inf))

    def log_total(self) -> float:
        """Return the log of the sum of the masses: minus the log-probability of the greatest."""
        return math.log(self.total)

    def entropy(self) -> float:
        """Return the entropy in nats."""
        return math.log(self.total) - sum(map(self._moment, self._parts())) / self.total

    def _moment(self, part: slice) -> float:
        masses, exponents = self.masses[part], self.exponents(part)
        with np.errstate(invalid="ignore"):
            moment = float(np.dot(masses, exponents))
        # A mass of 0 at -inf counts as 0.
        return float(np.dot(masses, np.maximum(exponents, _FAR))) if moment != moment else moment

    def collision(self) -> float:
        """Return the log of the sum of the squared probabilities."""
        return math.log(np.dot(self.masses, self.masses)) - 2 * math.log(self.total)

    def deviation(self) -> float:
        """Return the population deviation of the finite logits."""
        if math.isinf(self.peak):
            return 0.0
        exponents = self.exponents()
        if math.isinf(exponents.min()):
            exponents = exponents[exponents > -np.inf]
        return float(exponents.std())

    def terms(self) -> np.ndarray:
        """Return mass times log-mass, float64 [survivors]."""
        return self.masses * np.maximum(self.exponents(), _FAR)

    def keep(self, places: np.ndarray, peak: float | None = None) -> "Row":
        """Return the tokens at ``places``, ascending; ``peak`` is their greatest, if known."""
        values = self.values[places]
        ids = places if self.ids is None else self.ids[places]
        if peak is None:
            peak = float(values.max())
        row = Row(values, ids, peak, self.temperature)
        if peak == self.peak:  # what is relative to the greatest stays as it is
            row._masses = None if self._masses is None else self._masses[places]
        return row

    def with_values(self, values: np.ndarray) -> "Row":
        """Return other logits of the same tokens."""
        return Row(values, self.ids, float(values.max()))

    def place_of(self, token: int) -> int | None:
        """Return the place of a token, None if it was removed."""
        if self.ids is None:
            return token
        place = int(self.ids.searchsorted(token))
        return place if place < self.ids.size and self.ids[place] == token else None

    def first(self) -> "Row":
        """Return the first token in order alone."""
        return self.keep(np.asarray([self.values.argmax()]), self.peak)

    def scale(self, temperature: float) -> "Row":
        """Divide by ``temperature``; 0 keeps the first in order."""
        if temperature == 0:
            row = self.first()
            row.temperature = 1.0
            return row
        product = min(max(self.temperature * temperature, _LIMITS.min), _LIMITS.max)
        return Row(self.values, self.ids, self.peak, product)

    def top_k(self, k: int) -> "Row":
        """Keep the first ``k``."""
        if k >= self.values.size:
            return self
        return self.keep(leading(self.values, int(k)), self.peak)

    def prefix(self, key: np.ndarray, wanted: Callable, with_terms: bool = False) -> "Row":
        """Keep the prefix in the order of ``key`` (see ``wanted_prefix``), never nothing."""
        terms = self.terms() if with_terms else None
        kept = wanted_prefix(key, self.masses, terms, wanted)
        return self.keep(kept if kept.size else np.asarray([key.argmax()]))

    def top_p(self, p: float) -> "Row":
        """Keep the shortest prefix whose mass reaches ``p``."""
        if p == 1 or self.empty:
            return self
        return self.prefix(self.values, self.short_of(p))

    def short_of(self, p: float) -> Callable:
        """Return what tells whether a token is wanted, from the mass before it and its own."""
        goal = p * self.total
        slack = AT_A_SUM * self.epsilon
        return lambda before, terms, mass, term: goal - before > slack * mass

    def above(self, log_ratio: float) -> "Row":
        """Keep tokens whose log-mass, relative to the greatest, is at least ``log_ratio``."""
        if log_ratio == -math.inf or self.empty:
            return self
        least = self.peak
        if log_ratio < 0 and least < math.inf:
            least = forgiving(least + self.temperature * log_ratio, self.epsilon)
        with np.errstate(over="ignore"):
            reached = self.values >= self.values.dtype.type(least)
        return self.keep(np.flatnonzero(reached), self.peak)

    def without(self, places: np.ndarray) -> "Row":
        """Remove the tokens at ``places``; what is left may be empty."""
        left = np.ones(self.values.size, bool)
        left[places] = False
        if not left.any():
            return self.with_values(np.full_like(self.values, -np.inf))
        return self.keep(np.flatnonzero(left))

    def scaled(self, values: np.ndarray | None = None) -> np.ndarray:
        """Return logits divided by the temperature, as they came in otherwise."""
        values = self.values if values is None else values
        if self.temperature == 1:
            return values
        dtype = values.dtype
        with np.errstate(over="ignore", under="ignore"):
            # Near 0 the peak may overflow; shifting a row does not change its distribution.
            if np.isfinite(self.peak) and np.isinf(dtype.type(self.peak / self.temperature)):
                return ((values - np.float64(self.peak)) / self.temperature).astype(dtype)
            return (values / np.float64(self.temperature)).astype(dtype)

    def change(self, tokens: np.ndarray, new: np.ndarray) -> "Row":
        """Give the logits ``new`` to ``tokens`` that are left (see ``logits_of``)."""
        base = self.scaled()
        values = base.copy() if base is self.values else base
        places, found = self._places(tokens)
        values[places[found]] = new[found]
        return self.with_values(values)

    def logits_of(self, tokens: np.ndarray) -> np.ndarray:
        """Return the logits of ``tokens``, -inf for one that was removed or is none."""
        places, found = self._places(tokens)
        logits = np.full(tokens.shape, -np.inf, self.values.dtype)
        logits[found] = self.scaled(self.values[places[found]])
        return logits

    def _places(self, tokens: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        if self.ids is None:
            return tokens, (tokens >= 0) & (tokens < self.values.size)
        places = np.minimum(self.ids.searchsorted(tokens), self.ids.size - 1)
        return places, self.ids[places] == tokens

    def spread(self, kept: np.ndarray, vocabulary: int, fill: float) -> np.ndarray:
        """Put what was ``kept`` into a row of the whole vocabulary."""
        if self.ids is None:
            return kept
        row = np.full(vocabulary, fill, kept.dtype)
        row[self.ids] = kept
        return row

    def probabilities(self) -> np.ndarray:
        """Return the distribution of the survivors, float32."""
        return (self.masses / self.total).astype(np.float32)

    def log_prob(self, token: int) -> float:
        """Return the log-probability of a token, -inf if it was removed."""
        place = self.place_of(token)
        return (
            -math.inf
            if place is None
            else float(self.exponents(slice(place, place + 1))[0]) - self.log_total()
        )

    def log_probs_in_order(self, count: int) -> np.ndarray:
        """Return the log-probabilities of the first ``count`` in order, padded with -inf."""
        places = leading(self.values, min(count, self.values.size))
        found = np.sort(self.exponents()[places])[::-1] - self.log_total()
        return np.pad(found, (0, count - found.size), constant_values=-np.inf)

    def draw(self, uniform: float) -> int:
        """Return the token at which ``uniform`` of the mass falls."""
        masses = self.masses
        start, target = 0, uniform
        if masses.size > _BLOCK:
            whole = masses.size - masses.size % _BLOCK
            sums = masses[:whole].reshape(-1, _BLOCK).sum(axis=1)
            sums = np.append(sums, masses[whole:].sum())
            block, target = find(sums, uniform)
            start = block * _BLOCK
            masses = masses[start : start + _BLOCK]
        place = start + find(masses, target)[0]
        return int(place if self.ids is None else self.ids[place])


def per_row(parameter: Any, rows: int) -> np.ndarray:
    """Return a number or [batch] numbers as [batch]."""
    return np.broadcast_to(np.asarray(parameter), (rows,))
