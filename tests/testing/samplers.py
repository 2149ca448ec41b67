"""A sampler in plain NumPy that knows nothing of the library, and faults to plant in it."""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np


def order(logits: np.ndarray) -> np.ndarray:
    return np.argsort(-logits, kind="stable")


def top_k(k: int) -> Callable:
    return lambda logits: order(logits)[:k]


def top_p(p: float, reach: Callable = np.less) -> Callable:
    def kept(logits: np.ndarray) -> np.ndarray:
        mass = softmax(logits)[order(logits)]
        count = max(1, int(reach(np.cumsum(mass) - mass, p).sum()))
        return order(logits)[:count]

    return kept


def softmax(logits: np.ndarray) -> np.ndarray:
    mass = np.exp(logits - logits.max())
    return mass / mass.sum()


@dataclass(frozen=True)
class Plain:
    """Temperature, a filter, a draw. The fields are where faults are planted."""

    kept: Callable = lambda logits: np.arange(len(logits))
    temperature: float = 1.0
    stray: float = 0.0  # chance to draw any token at all

    def uniforms(self, seed: int, rows: int) -> np.ndarray:
        return np.random.default_rng(seed).random(rows)

    def probabilities(self, logits: np.ndarray) -> np.ndarray:
        wide = np.asarray(logits, np.float64) / self.temperature
        return np.stack([self._of_row(row.tobytes()) for row in wide])

    @functools.lru_cache(maxsize=64)  # noqa: B019
    def _of_row(self, held: bytes) -> np.ndarray:
        row = np.frombuffer(held)
        found, kept = np.zeros(row.shape), self.kept(row)
        found[kept] = softmax(row[kept])
        return found

    def __call__(self, logits: Any, seed: int) -> np.ndarray:
        uniforms = self.uniforms(seed, len(logits))
        cumulative = np.cumsum(self.probabilities(logits), axis=1)
        cumulative /= cumulative[:, -1:]
        ids = (cumulative <= uniforms[:, None]).sum(axis=1)
        return np.where(uniforms < self.stray, (uniforms * 1e9).astype(int) % logits.shape[1], ids)


class BatchSeed(Plain):
    def uniforms(self, seed: int, rows: int) -> np.ndarray:
        return super().uniforms(seed + rows, rows)


class SharedUniform(Plain):
    def uniforms(self, seed: int, rows: int) -> np.ndarray:
        return np.repeat(super().uniforms(seed, 1), rows)


class CorrelatedRows(Plain):
    """Every other number is close to the one before it; each alone is still uniform."""

    def uniforms(self, seed: int, rows: int) -> np.ndarray:
        u = super().uniforms(seed, rows)
        u[1::2] = (u[1::2] * 0.3 + u[: len(u[1::2]) * 2 : 2]) % 1
        return u


class WeakSeed(Plain):
    def uniforms(self, seed: int, rows: int) -> np.ndarray:
        return (super().uniforms(0, rows) + seed * 1e-3) % 1


class LastIsTheFirst(Plain):
    """The last row gets the number of the first, which each alone cannot show."""

    def uniforms(self, seed: int, rows: int) -> np.ndarray:
        u = super().uniforms(seed, rows)
        u[-1] = u[0]
        return u


class SeedIgnored(Plain):
    def uniforms(self, seed: int, rows: int) -> np.ndarray:
        return super().uniforms(0, rows)


class SeedForgotten(Plain):
    generator = np.random.default_rng(0)

    def uniforms(self, seed: int, rows: int) -> np.ndarray:
        return self.generator.random(rows)


class SeedCutShort(Plain):
    def uniforms(self, seed: int, rows: int) -> np.ndarray:
        return super().uniforms(seed % 2**16, rows)


class SeedCutTo20Bits(Plain):
    def uniforms(self, seed: int, rows: int) -> np.ndarray:
        return super().uniforms(seed % 2**20, rows)


class SeedRounded(Plain):
    def uniforms(self, seed: int, rows: int) -> np.ndarray:
        return super().uniforms(int(np.float32(seed)), rows)
