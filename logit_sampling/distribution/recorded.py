"""What a chain asks of a distribution, as data: operations with a number each."""

import numbers
from typing import Any, NoReturn, Self

SCALE, TOP, REACH, WITHIN = range(4)
"""Operations on a row: divide by a temperature; keep the first k; keep the shortest prefix that
reaches a probability; keep what has at least this log weight."""


class _Other(Exception):
    """A chain does something that no kernel does."""


class _Recorder:
    """Stands for a distribution, and notes what a chain does with it."""

    def __init__(self, done: tuple[tuple[int, float], ...] = ()) -> None:
        self.done = done

    def _and(self, operation: int, parameter: Any) -> Self:
        if not isinstance(parameter, numbers.Real):  # one for each row, or of a graph
            raise _Other
        return type(self)((*self.done, (operation, float(parameter))))

    def scale(self, temperature: Any) -> Self:
        return self._and(SCALE, temperature)

    def top(self, k: Any) -> Self:
        return self._and(TOP, k)

    def reach(self, p: Any, key: Any = None) -> Self:
        if key is not None:
            raise _Other
        return self._and(REACH, p)

    def at_least(self, log_weight: Any) -> Self:
        return self._and(WITHIN, log_weight)

    def log_total(self) -> NoReturn:
        raise _Other

    def __getattr__(self, name: str) -> NoReturn:
        raise _Other


def operations_of(sampler: Any) -> tuple[tuple[int, float], ...] | None:
    """Return the operations of a sampler in their order; None if it does something else."""
    if not sampler._stateless:
        return None
    for transform in sampler.transforms:
        # Code of one's own may do something else each time.
        home, _, module = type(transform).__module__.rpartition(".")
        if home != "logit_sampling.strategies" or module.startswith("_"):
            return None
    try:
        done: tuple[tuple[int, float], ...] = sampler._last_stage(
            _Recorder(), [()] * len(sampler.transforms)
        ).done
    except _Other:
        return None
    return done
