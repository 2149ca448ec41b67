"""The function under test: how it is called, and what it may return."""

import copy
import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from logit_sampling.distribution.arrays import to_numpy

SEED_STRIDE = 4096
"""Between the seeds of calls, for samplers whose rows use the seeds that follow the one given."""


class Misbehaved(Exception):
    """The function raised, or returned something else than ids."""


class Subject:
    """A sampler under test, and the seeds that its calls get."""

    def __init__(self, fn: Callable, seeded: bool | None, batch: int, seed: int) -> None:
        if not callable(fn):
            raise ValueError(f"fn must be a function from logits to token ids, got {fn!r}")
        self._fn = fn
        self.seeded: bool = _takes_seed(fn) if seeded is None else seeded
        self._batch = batch
        self._stride = max(SEED_STRIDE, batch)
        self._next = seed
        self.changed_input = False

    def fresh_seed(self) -> int:
        """Return a seed far from those given before."""
        self._next += self._stride
        return self._next

    def ids(
        self, logits: np.ndarray, seed: int | Sequence[int] | None = None, *others: Any
    ) -> np.ndarray:
        """Return the tokens that one call draws, int64 [batch].

        Args:
            logits: [batch, vocab].
            seed: None takes a fresh one. A function without seeds gets none.
            others: what the function gets behind the logits, such as a history.

        Raises:
            Misbehaved: the call raised, or did not return one id in the vocabulary for each row.
        """
        given, beside = logits.copy(), copy.deepcopy(others)
        seeds = {"seed": self.fresh_seed() if seed is None else seed} if self.seeded else {}
        try:
            ids = to_numpy(self._fn(given, *beside, **seeds))
        except Exception as error:
            line = (str(error).strip().splitlines() or [""])[0][:160]
            raise Misbehaved(f"fn raised {type(error).__name__}: {line}") from error
        self.changed_input |= given.tobytes() != logits.tobytes()
        self.changed_input |= any(map(_differ, others, beside))
        if ids.shape != logits.shape[:1] or ids.dtype.kind not in "iu":
            raise Misbehaved(
                f"fn returned {ids.dtype.name} of shape {ids.shape} for {len(logits)} rows; "
                "one integer for each row is wanted"
            )
        outside = ids[(ids < 0) | (ids >= logits.shape[-1])]
        if outside.size:
            raise Misbehaved(f"fn drew {outside[0]}, no token of {logits.shape[-1]}")
        return ids.astype(np.int64)

    def draws(self, row: np.ndarray, count: int) -> np.ndarray:
        """Return at least `count` tokens drawn from one row [vocab], int64 [calls, batch]."""
        logits = np.tile(row, (self._batch, 1))
        return np.stack([self.ids(logits) for _ in range(-(-count // self._batch))])


def _differ(one: Any, other: Any) -> bool:
    same = np.array_equal(one, other) if isinstance(one, np.ndarray) else one == other
    return not same


def _takes_seed(fn: Callable) -> bool:
    try:
        return "seed" in inspect.signature(fn).parameters
    except (TypeError, ValueError):  # a builtin without a signature
        return False
