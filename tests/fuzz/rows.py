"""A row as the formulas see it, in float64, and how exactly an engine may know it."""

import math
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

ROUNDINGS = 64
"""How many roundings of a sum of masses, or of a logarithm of it, an engine may be off."""


@dataclass(frozen=True)
class Precision:
    """The floats of an engine: those that hold logits, and those that hold masses."""

    logits: str = "float32"
    masses: str = "float64"
    flushes: bool = False  # whether subnormal numbers count as 0

    @property
    def epsilon(self) -> float:
        return float(np.finfo(self.logits).eps)

    @property
    def error(self) -> float:
        return ROUNDINGS * float(np.finfo(self.masses).eps)

    def held(self, logits: np.ndarray) -> np.ndarray:
        """Return logits as the engine sees them, as float64."""
        logits = logits.astype(self.logits).astype(np.float64)
        if not self.flushes:
            return logits
        return np.where(abs(logits) < float(np.finfo(self.logits).tiny), 0.0, logits)


@dataclass(frozen=True)
class Row:
    """What is left of a row, and how exact an engine may know it."""

    values: np.ndarray  # float64 [vocab], logits before the temperature, -inf where removed
    precision: Precision
    temperature: float = 1.0
    doubt: float = 0.0  # of the temperature, relative
    blur: float = 0.0  # of each log-mass

    @cached_property
    def alive(self) -> np.ndarray:
        return self.values > -np.inf

    @cached_property
    def peak(self) -> float:
        return float(self.values.max())

    @cached_property
    def order(self) -> np.ndarray:
        """All ids that are left, the greatest first, of equals the lower id."""
        ids = np.argsort(-self.values, kind="stable")
        return ids[: np.count_nonzero(self.alive)]

    @cached_property
    def logs(self) -> np.ndarray:
        """Log-masses relative to the greatest, float64 [vocab]."""
        if math.isinf(self.peak):
            return np.where(self.values == self.peak, 0.0, -np.inf)
        return (self.values - self.peak) / self.temperature

    @cached_property
    def log_total(self) -> float:
        return math.log(math.fsum(np.exp(self.logs).tolist()))

    @cached_property
    def shares(self) -> np.ndarray:
        return np.exp(self.logs - self.log_total)

    @cached_property
    def mean_log(self) -> float:
        some = self.shares > 0
        return math.fsum((self.shares[some] * self.logs[some]).tolist())

    @cached_property
    def entropy(self) -> float:
        return self.log_total - self.mean_log

    @property
    def error(self) -> float:
        """How far a sum of shares, or its logarithm, may be off."""
        own = self.precision.error * (1 + self.log_total - self.mean_log)
        return own + self.doubt * abs(self.mean_log) + self.blur

    def scaled(self) -> np.ndarray:
        """Return the logits at the temperature, as a dense array of the engine's shows them."""
        most = float(np.finfo(self.precision.logits).max)
        if math.isfinite(self.peak) and abs(self.peak / self.temperature) > most:
            return self.logs
        return self.values / self.temperature

    def keep(self, mask: np.ndarray) -> "Row":
        return replace(self, values=np.where(mask, self.values, -np.inf))
