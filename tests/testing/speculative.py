"""Speculative sampling in plain NumPy that knows nothing of the library, with faults to plant."""

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Plain:
    """Leviathan's rule, a row at a time. The fields are where faults are planted."""

    num_draft: int = 2
    accept: Any = lambda p, q, token: p[token] / q[token]
    rest: Any = lambda p, q: np.maximum(p - q, 0)
    drafts_best: bool = False  # drafts by argmax, and counts with the chance of a draw
    bonus_of: str = "target"
    stray: float = 0.0  # added to each chance of what is drawn instead
    seed_used: bool = True

    def __call__(self, draft: Any, target: Any, batch: int, length: int, seed: int) -> np.ndarray:
        rows = [self.row(draft, target, length, [seed * self.seed_used, i]) for i in range(batch)]
        return np.array(rows)

    def row(self, draft: Any, target: Any, length: int, seed: Any) -> list[int]:
        rng, ids = np.random.default_rng(seed), []
        while len(ids) < length:
            ids += self.round(draft, target, ids, rng)
        return ids[:length]

    def round(self, draft: Any, target: Any, ids: list[int], rng: Any) -> list[int]:
        drafted: list[int] = []
        guesses = []
        for _ in range(self.num_draft):
            guesses.append(after(draft, ids + drafted))
            drafted.append(
                int(guesses[-1].argmax()) if self.drafts_best else draw(guesses[-1], rng)
            )
        kept: list[int] = []
        for token, q in zip(drafted, guesses, strict=True):
            p = after(target, ids + kept)
            if rng.random() < self.accept(p, q, token):
                kept.append(token)
                continue
            rest = self.rest(p, q)
            rest = (rest if rest.sum() > 0 else p) + self.stray
            return [*kept, draw(rest / rest.sum(), rng)]
        last = after(target if self.bonus_of == "target" else draft, ids + kept)
        return [*kept, draw(last, rng)]


def after(model: Any, ids: list[int]) -> np.ndarray:
    logits = model(np.array([ids], int)).astype(np.float64)[0]
    mass = np.exp(logits - logits.max())
    return mass / mass.sum()


def draw(p: np.ndarray, rng: Any) -> int:
    return int(
        min(np.searchsorted(np.cumsum(p), rng.random(), side="right"), np.flatnonzero(p)[-1])
    )
