"""The function under test: how it is called, and what it may return."""

import copy
import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from logit_sampling.distribution.arrays import to_numpy
from logit_sampling.generation.arguments import check_at_least

_STRIDE = 4096  # between the seeds of calls: rows may use the seeds that follow the one given
_SEEDS = 2**31


class Misbehaved(Exception):
    """The function raised, or returned something else than ids."""


def check_seed(seed: int) -> None:
    """Raise ValueError unless it is one that a sampler is called with."""
    check_at_least(0, seed=seed)
    if seed >= _SEEDS:
        raise ValueError(f"seed must be below 2**31, got {seed}")


class Seeds:
    """The seeds of calls: each call of it gives one far from those before, below 2**31."""

    def __init__(self, first: int, batch: int) -> None:
        self._next, self._stride = first, max(_STRIDE, batch)

    def __call__(self) -> int:
        """Return the next one."""
        self._next = (self._next + self._stride) % (_SEEDS - self._stride)
        return self._next


class Subject:
    """A sampler under test, and the seeds that its calls get."""

    def __init__(self, fn: Callable, seeded: bool | None, batch: int, seed: int) -> None:
        if not callable(fn):
            raise ValueError(f"fn must be a function from logits to token ids, got {fn!r}")
        self._fn = fn
        self.seeded: bool = _takes_seed(fn) if seeded is None else seeded
        self._batch = batch
        self.fresh_seed = Seeds(seed, batch)
        self.changed_input = False

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
