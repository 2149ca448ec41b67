"""Weights of a NumPy row: exponentials of the logits, relative to the greatest.

They are float64, so that sums over the vocabulary are exact enough to draw the same token on every
engine. A wide row is computed part by part in a small buffer: only the sum of each block is kept.

An estimate in float32 takes half the time. Its error is bounded, and where the bound leaves no
doubt about a cut or a draw, the estimate has given the exact answer.
"""

import math
from collections.abc import Callable, Iterator

import numpy as np

BLOCK = 1024  # a longer row is searched in two levels
_MOST = 32  # blocks of a part: it fits the processor's cache
_ALL = slice(None)
_USUAL = (1e-30, 1e30)  # temperatures, and so their inverses, within the range of float32
_ESTIMATE = 5e-6  # of a sum of weights in float32
_LEAST = -700.0  # a log weight whose mass vanishes beside the greatest, but is no subnormal number
_VANISHING = np.exp(np.full(64, _LEAST))[0]  # as exponentials of arrays round
_FAR = -1e9  # a log weight that is as good as -inf


class Weights:
    """The weights of the logits `values` [n], whose greatest is `peak`, at a temperature."""

    __slots__ = ("_blocks", "_short", "_total", "peak", "temperature", "values")

    def __init__(self, values: np.ndarray, peak: float, temperature: float) -> None:
        self.values: np.ndarray = values
        self.peak: float = peak
        self.temperature: float = temperature
        self._blocks: np.ndarray | None = None
        self._total: float | None = None
        self._short: np.ndarray | None = None  # all weights, of a short row

    @property
    def known(self) -> bool:
        """Whether the exact total has been computed."""
        return self._total is not None

    def logs(self, part: slice = _ALL, out: np.ndarray | None = None) -> np.ndarray:
        """Return log-weights, float64 [n] or those of a part; the greatest is 0."""
        return self._logs(self.values[part], out)

    def _logs(self, values: np.ndarray, out: np.ndarray | None = None) -> np.ndarray:
        logs = np.empty(values.size) if out is None else out
        if math.isinf(self.peak):
            logs[:] = np.where(values == self.peak, 0.0, -np.inf)
            return logs
        logs[:] = values
        logs -= self.peak
        if self.temperature != 1:
            logs /= self.temperature
        return logs

    def of(self, part: slice = _ALL, out: np.ndarray | None = None) -> np.ndarray:
        """Return weights, float64 [n] or those of a part; the greatest is 1."""
        logs = self.logs(part, out)
        # Exponentials that underflow take many times as long as others, so a part with holes gets
        # weights just above 0, and these are taken off again.
        holes = logs.size > BLOCK and logs[:64].min() < _LEAST
        if holes:
            np.maximum(logs, _LEAST, out=logs)
        weights = np.exp(logs, out=logs)
        if holes:
            weights -= _VANISHING
        return weights

    def short(self) -> np.ndarray:
        """Return all weights of a row that is not wide, which are kept; float64 [n]."""
        if self._short is None:
            self._short = self.of()
        return self._short

    def kept(self, places: np.ndarray, values: np.ndarray) -> "Weights":
        """Return the weights at `places`, whose logits are `values`, relative to the same."""
        weights = Weights(values, self.peak, self.temperature)
        if self._short is not None:
            weights._short = self._short[places]
        return weights

    def logs_at(self, places: np.ndarray) -> np.ndarray:
        """Return the log-weights at `places`, float64."""
        return self._logs(self.values[places], None)

    def at(self, places: np.ndarray) -> np.ndarray:
        """Return the weights at `places`, float64."""
        return self.with_terms(places, False)[0]

    def with_terms(
        self, places: np.ndarray | slice, wanted: bool, buffer: np.ndarray | None = None
    ) -> list[np.ndarray]:
        """Return the weights at `places` and, if wanted, each times its log weight, float64."""
        if self._short is not None and not wanted:
            return [self._short[places]]
        values = self.values[places]
        logs = self._logs(values, None if buffer is None else buffer[: values.size])
        weights = np.exp(logs, out=None if wanted else logs)
        return [weights, weights * np.maximum(logs, _FAR)] if wanted else [weights]

    def part(self, share: int = 4) -> int:
        """Return the length of a part: whole blocks, about one of `share`, or less."""
        return min(-(-self.values.size // (share * BLOCK)), _MOST) * BLOCK

    def buffer(self, share: int = 4) -> np.ndarray:
        """Return room for a part, float64."""
        return np.empty(min(self.part(share), self.values.size))

    def parts(self, share: int = 4) -> Iterator[slice]:
        """Return slices that together are the whole row."""
        size = self.part(share)
        return (slice(i, i + size) for i in range(0, self.values.size, size))

    @property
    def total(self) -> float:
        """The sum of the weights."""
        if self._total is None:
            short = self.values.size <= BLOCK
            self._total = float((self.short() if short else self.blocks()).sum())
        return self._total

    @property
    def log_total(self) -> float:
        """The log of the sum: minus the log-probability of the greatest."""
        return math.log(self.total)

    def blocks(self) -> np.ndarray:
        """Return the sum of each block of `BLOCK` weights, float64."""
        if self._blocks is None:
            buffer = self.buffer()
            sums = [_sums(self.of(part, buffer[: self.values[part].size])) for part in self.parts()]
            self._blocks = np.concatenate(sums)
        return self._blocks

    def _sum_up(self, other: Callable[[np.ndarray, np.ndarray], float]) -> float:
        """Return the sum of `other(logs, weights)` over the parts; note the blocks."""
        logs, weights, sums, others = self.buffer(), self.buffer(), [], []
        for part in self.parts():
            own = self.logs(part, logs[: self.values[part].size])
            weight = np.exp(own, out=weights[: own.size])
            sums.append(_sums(weight))
            others.append(other(own, weight))
        self._blocks = np.concatenate(sums)
        return math.fsum(others)

    def entropy(self) -> float:
        """Return the entropy in nats."""
        mean = self.mean_log()  # which takes note of the total
        return self.log_total - mean

    def mean_log(self) -> float:
        """Return the mean of the log-weights under the distribution."""

        def moment(logs: np.ndarray, weights: np.ndarray) -> float:
            # A product and a sum, as BLAS would round as its threads happen to share the work.
            # A mass of 0 at -inf counts as 0.
            return float(np.multiply(np.maximum(logs, _FAR, out=logs), weights, out=logs).sum())

        sum_of_moments = self._sum_up(moment)
        return sum_of_moments / self.total

    def log_collision(self) -> float:
        """Return the log of the sum of the squared probabilities."""

        def squares(logs: np.ndarray, weights: np.ndarray) -> float:
            return float(np.multiply(weights, weights, out=logs).sum())

        sum_of_squares = self._sum_up(squares)
        return math.log(sum_of_squares) - 2 * self.log_total

    def least_log(self) -> float:
        """Return the log-weight of the least logit above -inf."""
        if math.isinf(self.peak):
            return 0.0
        least = self.values.min()
        if least == -np.inf:
            least = self.values.min(where=self.values > -np.inf, initial=np.inf)
        return float(self._logs(np.reshape(least, 1))[0])

    def std(self) -> float:
        """Return the population standard deviation of the logits above -inf, as they came in."""
        if math.isinf(self.peak):
            return 0.0
        count, total, squares = 0, 0.0, 0.0
        centre = float(self.values[:BLOCK].max())  # near the mean, whatever the peak is
        centre, unit = centre if centre > -math.inf else self.peak, self._unit()
        for part in self.parts():
            own = self.values[part]
            if own.min() == -np.inf:
                own = own[own > -np.inf]
            distances = own / unit - centre / unit
            count += distances.size
            total += float(distances.sum())
            squares += float(np.einsum("i,i", distances, distances))
        return math.sqrt(max(squares / count - (total / count) ** 2, 0.0)) * float(unit)

    def _unit(self) -> np.float64:
        """Return a power of 2 to measure logits in, so that squares neither overflow nor vanish."""
        if self.values.dtype == np.float32:
            return np.float64(1)
        greatest = np.abs(self.values).max(where=self.values > -np.inf, initial=0.0)
        return np.exp2(np.clip(np.frexp(greatest)[1], -1000, 1000), dtype=np.float64)

    def probabilities(self) -> np.ndarray:
        """Return the distribution, float32 [n]."""
        weights = np.empty(self.values.size)
        for part in self.parts():
            self.of(part, weights[part])
        return np.divide(weights, _sums(weights).sum(), dtype=np.float64).astype(np.float32)

    def estimate(self) -> tuple[float, float]:
        """Return the total and a bound of its error, from sums in float32."""
        sums, error = self._estimate()
        return float(sums.sum()), error

    def _estimate(self) -> tuple[np.ndarray, float]:
        if self.known or math.isinf(self.peak) or not _USUAL[0] < self.temperature < _USUAL[1]:
            return self.blocks(), 0.0
        size = 2 * self.part()  # longer parts: half as wide, and fewer arrays
        buffer, sums = np.empty(min(size, self.values.size), np.float32), []
        for start in range(0, self.values.size, size):
            values = self.values[start : start + size]
            logs = np.subtract(values, self.peak, out=buffer[: values.size])
            if self.temperature != 1:
                logs *= 1 / self.temperature
            sums.append(_sums(np.exp(logs, out=logs), fast=True))
        blocks = np.concatenate(sums).astype(np.float64)
        total = float(blocks.sum())
        # A mass is off by some roundings (2.6 for the exponential, less than 70 for the sum of a
        # block, which is added up in 16 places or more), and by up to three of its log weight,
        # whose mean cannot exceed ln(n / total).
        relative = _ESTIMATE + 2.4e-7 * max(math.log(self.values.size / total), 0.0)
        # Twice, as both what is below a token and the total may be off.
        return blocks, 2 * relative * total

    def flat(self) -> bool:
        """Tell whether tokens are so many and so equal that an estimate would seldom decide."""
        sample = self.of(slice(0, BLOCK // 4))
        squares = float((sample * sample).sum())
        alike = float(sample.sum()) ** 2 / squares if squares else 0.0
        return alike / sample.size * self.values.size > 0.1 / _ESTIMATE

    def place_of(self, uniform: float) -> int:
        """Return the place at which `uniform` of the total falls."""
        if self.values.size <= BLOCK:
            return find(self.short(), uniform)[0]
        if not self.known and not self.flat():
            sums, error = self._estimate()
            block, before, _ = _cumulated(sums, uniform)
            target = uniform * sums.sum() - before
            inside = np.cumsum(self.of(slice(block * BLOCK, (block + 1) * BLOCK)))
            low, high = np.searchsorted(inside, [target - error, target + error], side="right")
            if low == high < inside.size and target > error and target + error < inside[-1]:
                return block * BLOCK + int(low)
        block, part = find(self.blocks(), uniform)
        return block * BLOCK + find(self.of(slice(block * BLOCK, (block + 1) * BLOCK)), part)[0]


def _sums(weights: np.ndarray, fast: bool = False) -> np.ndarray:
    """Return the sum of each block, the last of which may be shorter."""
    whole = weights.size - weights.size % BLOCK
    table = weights[:whole].reshape(-1, BLOCK)
    sums = np.einsum("ij->i", table) if fast else np.add.reduce(table, axis=1)
    return sums if whole == weights.size else np.append(sums, weights[whole:].sum())


def _cumulated(weights: np.ndarray, uniform: float) -> tuple[int, float, float]:
    """Return where `uniform` of the total falls, the mass before it, and the target."""
    sums = weights.cumsum()
    target = uniform * float(sums[-1])  # below the total, since uniform is at most 1 - 2**-53
    place = int(sums.searchsorted(target, "right"))
    return place, float(sums[place - 1]) if place else 0.0, target


def find(weights: np.ndarray, uniform: float) -> tuple[int, float]:
    """Return where `uniform` of the total falls, and which part of that mass lies below it."""
    place, below, target = _cumulated(weights, uniform)
    return place, min((target - below) / float(weights[place]), 1 - 2**-53)
