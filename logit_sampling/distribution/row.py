"""One row of the eager engine: what is left of the vocabulary, and the cuts on it.

A row holds its survivors alone, so each cut makes what follows cheaper. Logits keep their precision
(float32 or float64) and are never rescaled: a row remembers its temperature, which leaves the order
alone, and applies it where weights are computed. Weights are relative to the greatest, float64, and
those of a wide row are computed part by part and not kept: see `weights`.
"""

import math
import sys
from collections.abc import Callable

import numpy as np

from logit_sampling.distribution.checks import InvalidRowError, warn_if_probabilities
from logit_sampling.distribution.decorators import quietly
from logit_sampling.distribution.rounding import AT_A_SUM, forgiving
from logit_sampling.distribution.selection import FEW, leading, leading_or_more, wanted_prefix
from logit_sampling.distribution.weights import BLOCK, Weights

_LEAST = sys.float_info.min  # of temperatures
Key = Callable[[np.ndarray], np.ndarray]  # from log weights to what orders them, greatest first


class EagerRow:
    """The survivors of one row: immutable, with lazy caches."""

    __slots__ = ("_peak", "_weights", "ids", "number", "temperature", "values")

    def __init__(
        self,
        values: np.ndarray,
        ids: np.ndarray | None,
        peak: float | None = None,
        temperature: float = 1.0,
        number: int | None = None,
    ) -> None:
        self.values: np.ndarray = values  # [survivors], logits as they came in
        self.ids: np.ndarray | None = ids  # [survivors], ascending; None: all of the vocabulary
        self.temperature: float = temperature
        self.number: int | None = number  # of the input, while it is as it came in
        self._peak = peak
        self._weights: Weights | None = None

    @property
    def peak(self) -> float:
        """The greatest logit; found when it is needed, and then the row is looked at for NaN."""
        if self._peak is None:
            self.look(float(self.values.max()))
        assert self._peak is not None
        return self._peak

    def look_for_nan(self) -> None:
        """Raise ValueError if there is a NaN in what came in."""
        if self.number is not None and self._peak is None:
            self.look(float(self.values.max()))

    def look(self, greatest: float) -> None:
        """Take note of the greatest logit, NaN if there is one; what came in is checked by it."""
        if self.number is not None:
            if greatest != greatest:
                raise InvalidRowError(
                    self.number, "logits hold NaN in {row}; look at the model or its input"
                )
            if 0 < greatest <= 1:
                warn_if_probabilities(self.values, f"row {self.number}")
        self._peak = greatest

    @property
    def empty(self) -> bool:
        """Whether every token is at -inf."""
        return self.peak == -math.inf

    @property
    def weights(self) -> Weights:
        """The weights of the survivors."""
        if self._weights is None:
            self._weights = Weights(self.values, self.peak, self.temperature)
        return self._weights

    @property
    def epsilon(self) -> float:
        """The rounding of the logits: what is between 1 and the next number."""
        return float(np.finfo(self.values.dtype).eps)

    def keep(self, places: np.ndarray, peak: float | None = None) -> "EagerRow":
        """Return the tokens at `places`, ascending; `peak` is their greatest, if known."""
        ids = places if self.ids is None else self.ids[places]
        return self._new(self.values[places], ids, peak)

    def _new(
        self, values: np.ndarray, ids: np.ndarray | None, peak: float | None = None
    ) -> "EagerRow":
        number = self.number if self._peak is None and peak is None else None
        return EagerRow(values, ids, peak, self.temperature, number)

    def keep_where(self, mask: np.ndarray, peak: float | None = None) -> "EagerRow":
        """Return the tokens for which `mask` is true."""
        count = np.count_nonzero(mask)
        if count == mask.size:
            return self
        # Most of a row takes less memory with -inf for the others than with its ids.
        if 4 * count > mask.size > BLOCK:
            limits = mask.astype(self.values.dtype)  # to inf and -inf: np.where takes 10 times that
            limits -= 0.5
            limits *= np.inf
            return self._new(np.minimum(self.values, limits, out=limits), self.ids, peak)
        return self.keep(np.flatnonzero(mask), peak)

    def with_values(self, values: np.ndarray, peak: float | None = None) -> "EagerRow":
        """Return other logits of the same tokens; `peak` is their greatest, if known."""
        row = self._new(values, self.ids, peak)
        row.temperature = 1.0
        return row

    def first(self) -> "EagerRow":
        """Return the first token in order alone."""
        place = self.values.argmax()  # of a NaN, if there is one
        if self._peak is None:
            self.look(float(self.values[place]))
        return self.keep(place.reshape(1), self._peak)

    def scale(self, temperature: float) -> "EagerRow":
        """Divide by `temperature`; 0 keeps the first in order."""
        if temperature == 0:
            row = self.first()
            row.temperature = 1.0
            return row
        product = min(max(self.temperature * temperature, _LEAST), 1 / _LEAST)
        return EagerRow(self.values, self.ids, self._peak, product, self.number)

    def top(self, k: int) -> "EagerRow":
        """Keep the first `k`."""
        if k >= self.values.size:
            return self
        kept = self.keep(leading(self.values, int(k)))
        greatest = float(kept.values.max())
        if self._peak is None:
            self.look(greatest)
        kept.number, kept._peak = None, greatest
        return kept

    def prefix(
        self, wanted: Callable, key: Key | None = None, with_terms: bool = False
    ) -> "EagerRow":
        """Keep the prefix in the order of a key (see `wanted_prefix`), never nothing."""
        peak = self.peak if key is None else None
        chosen = wanted_prefix(self._keys(key), self.weights, wanted, with_terms)
        if chosen.dtype == bool:
            return self.keep_where(chosen, peak)
        kept = self.keep(chosen, peak)
        if peak is not None:
            kept._weights = self.weights.kept(chosen, kept.values)
        return kept

    def _keys(self, key: Key | None) -> np.ndarray:
        if key is None:
            return self.values
        keys = np.empty(self.values.size)
        for part in self.weights.parts():
            keys[part] = key(self.weights.logs(part))
        return keys

    def reach(self, p: float, key: Key | None = None) -> "EagerRow":
        """Keep the shortest prefix, by logit or by a key, whose probability reaches `p`."""
        if p == 1 or self.empty:
            return self
        kept = None
        if key is not None:
            kept = self.prefix_of_few(p * self.weights.total, 0.0, key)
        elif self.values.size > FEW and not self.weights.known and not self.weights.flat():
            # An estimate of the total nearly always tells.
            total, error = self.weights.estimate()
            kept = self.prefix_of_few(p * total, p * error)
        return kept or self.prefix(self.short_of(p), key)

    def prefix_of_few(self, goal: float, error: float, key: Key | None = None) -> "EagerRow | None":
        """Keep the shortest prefix whose weight reaches `goal`, a number known up to `error`.

        Returns:
            None if the top candidates, which nearly always hold it, cannot tell.
        """
        for count in (FEW, 16 * FEW):
            if count >= self.values.size or goal > count:  # no weight is greater than 1
                continue
            places = leading_or_more(self.values, count)
            values = self.values[places]
            keys = values if key is None else key(self.weights.logs_at(places))
            order = (-keys).argsort(kind="stable")
            own = self.weights.at(places[order])
            missing = goal - (own.cumsum() - own) - AT_A_SUM * self.epsilon * own
            wanted = np.count_nonzero(missing + error > 0)
            if wanted == own.size or wanted != np.count_nonzero(missing - error > 0):
                continue
            # What is no candidate comes after the least of them.
            if key is None or keys[order[wanted]] > keys[values.argmin()]:
                peak = self.peak if key is None else None
                return self.keep(np.sort(places[order[: max(wanted, 1)]]), peak)
        return None

    def short_of(self, p: float) -> Callable:
        """Return what tells whether a token is wanted, from the weight before it and its own."""
        goal = p * self.weights.total
        slack = AT_A_SUM * self.epsilon
        return lambda before, terms, weight, term: goal - before > slack * weight

    def at_least(self, log_weight: float) -> "EagerRow":
        """Keep tokens of at least this log weight."""
        return self.within(-self.temperature * log_weight)

    def tolerance(self, log_weight: float) -> float:
        """Return how far rounding may move the log weight of a token that has this one."""
        logit = self.peak + self.temperature * log_weight
        return self.epsilon * max(abs(self.peak), abs(logit)) / self.temperature

    def within(self, distance: float) -> "EagerRow":
        """Keep tokens whose logit, as it came in, is at most `distance` below the greatest."""
        if distance == math.inf or self.empty:
            return self
        return self.keep_where(self.near(distance), self.peak)

    def near(self, distance: float) -> np.ndarray:
        """Tell which tokens `within` keeps; one at -inf is among them at a distance of inf."""
        least = self.peak
        if distance == math.inf:
            least = -math.inf
        elif distance > 0 and least < math.inf:
            least = forgiving(least - distance, self.epsilon)
        return self.values >= self.values.dtype.type(least)

    def drop_last(self) -> "EagerRow":
        """Remove the last token above -inf; what is left may be empty."""
        places = np.flatnonzero(self.values > -np.inf)
        values = self.values[places]
        return self.remove(places[np.flatnonzero(values == values.min(initial=np.inf))[-1:]])

    def without(self, other: "EagerRow") -> "EagerRow":
        """Remove the tokens that `other` holds above -inf; what is left may be empty."""
        places = np.flatnonzero(other.values > -np.inf)
        own, found = self._places(places if other.ids is None else other.ids[places])
        return self.remove(own[found])

    def remove(self, places: np.ndarray) -> "EagerRow":
        """Remove the tokens at `places`; what is left may be empty."""
        if not places.size:
            return self
        left = np.ones(self.values.size, bool)
        left[places] = False
        if not left.any():
            return self.with_values(np.full_like(self.values, -np.inf))
        return self.keep_where(left)

    def scaled(self, values: np.ndarray | None = None) -> np.ndarray:
        """Return logits divided by the temperature, as they came in otherwise."""
        values = self.values if values is None else values
        if self.temperature == 1:
            return values
        dtype = values.dtype
        # Near 0 the peak may overflow; shifting a row does not change its distribution.
        if np.isfinite(self.peak) and np.isinf(dtype.type(self.peak / self.temperature)):
            return ((values - np.float64(self.peak)) / self.temperature).astype(dtype)
        return np.divide(values, self.temperature, dtype=np.float64).astype(dtype)

    def change(self, tokens: np.ndarray, new: np.ndarray) -> "EagerRow":
        """Give the logits `new` to `tokens` that are left (see `logits_of`)."""
        places, found = self._places(tokens)
        if not found.any():
            return self
        peak, places, new = self.peak, places[found], new[found]  # looks at what came in
        base = self.scaled()
        values = base.copy() if base is self.values else base
        untouched = base is self.values and values[places].max() < peak
        most = np.finfo(values.dtype).max
        values[places] = np.where(np.isinf(new), new, np.clip(new, -most, most))
        return self.with_values(values, max(peak, values[places].max()) if untouched else None)

    def map(self, function: Callable[[np.ndarray], np.ndarray]) -> "EagerRow":
        """Give each token above -inf the logit that `function` makes of its log weight."""
        if self.empty:
            return self
        new = np.empty_like(self.values)
        with np.errstate(invalid="ignore"):  # of what is removed, whatever comes of it
            for part in self.weights.parts(16):  # a function may hold several arrays
                new[part] = function(self.weights.logs(part))
        new[self.values == -np.inf] = -np.inf
        return self.with_values(new)

    def add(self, amount: float, chosen: Callable[[np.ndarray], np.ndarray]) -> "EagerRow":
        """Add `amount`, 0 or more, to the logits of the tokens whose ids are `chosen`."""
        base = self.scaled()
        values, step = np.empty_like(base), base.dtype.type(amount)
        for part in self.weights.parts():
            ids = np.arange(*part.indices(base.size)) if self.ids is None else self.ids[part]
            np.add(base[part], chosen(ids.astype(np.uint32)) * step, out=values[part])
        return self.with_values(values)

    def logits_of(self, tokens: np.ndarray) -> np.ndarray:
        """Return the logits of `tokens`, -inf for one that was removed or is none."""
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
        """Put what was `kept` into a row of the whole vocabulary."""
        if self.ids is None:
            return kept
        row = np.full(vocabulary, fill, kept.dtype)
        row[self.ids] = kept
        return row

    @quietly
    def log_prob(self, token: int) -> float:
        """Return the log-probability of a token, -inf if it was removed."""
        places, found = self._places(np.asarray([token]))
        if self.values.size == 1 and not self.empty:
            return 0.0 if found else -math.inf
        return (
            float(self.weights.logs_at(places)[0]) - self.weights.log_total if found else -math.inf
        )

    @quietly
    def candidates(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Return the first `count` in order, or all above -inf: ids and log-probabilities."""
        places = leading(self.values, min(count, self.values.size))
        places = places[np.argsort(-self.values[places], kind="stable")]
        log_probs = self.weights.logs_at(places) - self.weights.log_total
        left = log_probs > -math.inf
        return (places if self.ids is None else self.ids[places])[left], log_probs[left]

    def top_log_probs(self, count: int) -> np.ndarray:
        """Return the log-probabilities of the first `count` in order, padded with -inf."""
        found = self.candidates(count)[1]
        return np.pad(found, (0, count - found.size), constant_values=-np.inf)

    @quietly
    def of_first(self, function: Callable, *parameters: float) -> float:
        """Return what `function` makes of the first tokens, of no more than it takes."""
        count, settled = FEW, False
        while not settled:
            places = leading(self.values, min(count, self.values.size))
            logs = np.sort(self.weights.logs_at(places))[::-1]
            value, settled = function(logs, *parameters)
            settled, count = settled or count >= self.values.size, 8 * count
        return float(value)

    def draw(self, uniform: float) -> int:
        """Return the token at which `uniform` of the mass falls."""
        place = self.weights.place_of(uniform)
        return int(place if self.ids is None else self.ids[place])
