"""Chains that Numba has compiled, for logits in NumPy arrays; without Numba there are none."""

import functools
import importlib.util
import os
import warnings
from typing import Any, Literal, NamedTuple, Self

import numpy as np

from logit_sampling.distribution.arrays import in_graph
from logit_sampling.distribution.checks import level_outside
from logit_sampling.distribution.random import row_seeds
from logit_sampling.distribution.recorded import operations_of

_VARIABLE = "LOGIT_SAMPLING_ENGINE"
_PAYS = 1000  # rows that a process has drawn before it loads Numba: that takes longer
_WORD = 0xFFFFFFFF


class _Process:
    """What this process has done: rows drawn, and whether it failed to compile the kernels."""

    drawn = 0
    failed = False


def engine() -> Literal["numba", "numpy"]:
    """Tell what draws from NumPy arrays.

    Numba, where it is installed (`pip install "logit-sampling[fast]"`), draws from float32 rows by
    chains of `Temperature`, `TopK`, `TopP`, `MinP` and `Greedy`, once a process has drawn 1,000
    rows: loading it takes longer than these. NumPy draws all others. Both draw the same tokens.

    The environment variable `LOGIT_SAMPLING_ENGINE` says "numpy" to keep it out, and "numba" to
    load it for the first row.

    Returns:
        "numba" or "numpy".

    Raises:
        ValueError: the variable says something else, or "numba" where that is not installed.

    Example:
        >>> import logit_sampling as ls
        >>> ls.engine() in ("numba", "numpy")
        True
    """
    wanted, installed = os.environ.get(_VARIABLE), importlib.util.find_spec("numba") is not None
    if wanted not in (None, "", "numba", "numpy"):
        raise ValueError(f'{_VARIABLE} must be "numba" or "numpy", got {wanted!r}')
    if wanted == "numba" and not installed:
        raise ValueError(
            f'{_VARIABLE} is "numba", and that is not installed: pip install "logit-sampling[fast]"'
        )
    return "numba" if installed and wanted != "numpy" and not _Process.failed else "numpy"


@functools.cache
def _kernels() -> Any:
    """Return the kernels, or None where there are none; the first call ever compiles them."""
    if engine() == "numpy":
        return None
    try:
        from logit_sampling.distribution import kernels
    except Exception as error:  # whatever a compiler raises
        _Process.failed = True
        why = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
        warnings.warn(
            f"Numba cannot compile the kernels, so that NumPy draws, which is slower ({why})",
            stacklevel=level_outside(),
        )
        return None
    return kernels


def _ready(rows: int) -> Any:
    """Return the kernels, if they are worth loading for some more rows."""
    if _Process.drawn <= _PAYS:
        _Process.drawn += rows
        if _Process.drawn <= _PAYS and os.environ.get(_VARIABLE) != "numba":
            return None
    return _kernels()


class Program(NamedTuple):
    """A chain as the kernels take it."""

    operations: np.ndarray  # int8 [operations]
    parameters: np.ndarray  # float64 [operations]

    @classmethod
    def of(cls, sampler: Any) -> Self | None:
        """Return the program of a sampler, None if there is none."""
        recorded = operations_of(sampler)
        if recorded is None:
            return None
        operations, parameters = zip(*recorded, strict=True) if recorded else ((), ())
        return cls(np.array(operations, np.int8), np.array(parameters, np.float64))

    def draw(self, logits: np.ndarray, seed: Any, step: Any) -> np.ndarray | None:
        """Draw a token for each row, as a call of the sampler does; None to leave it to NumPy."""
        if (
            type(step) is not int
            or not 0 <= step < 2**31
            or not (seed is None or type(seed) is int)
        ):
            return None
        kernels = self._kernels_for(logits)
        if kernels is None:
            return None
        count = len(logits) if logits.ndim == 2 else 1
        if seed is None:
            seeds = row_seeds(None, count)
        else:
            seeds = np.empty((count, 2), np.uint32)
            kernels.row_seeds(seed & _WORD, seed >> 32 & _WORD, seeds)
        return self._drawn(kernels, logits, seeds, np.full(count, step, np.int32))

    def draw_next(self, logits: np.ndarray, seeds: Any, steps: Any) -> np.ndarray | None:
        """Draw a token for each row, from a state; None to leave it to NumPy."""
        kernels = self._kernels_for(logits)
        if kernels is None:
            return None
        count = len(logits) if logits.ndim == 2 else 1
        fitting = (
            (type(seeds), type(steps)) == (np.ndarray, np.ndarray)
            and (seeds.dtype, steps.dtype) == (np.uint32, np.int32)
            and (seeds.shape, steps.shape) == ((count, 2), (count,))
            and seeds.flags.c_contiguous
            and steps.flags.c_contiguous
        )
        return self._drawn(kernels, logits, seeds, steps) if fitting else None

    def _kernels_for(self, logits: np.ndarray) -> Any:
        if (
            logits.dtype != np.float32
            or logits.ndim not in (1, 2)
            or not logits.size
            or not logits.flags.c_contiguous
            or in_graph()
        ):
            return None
        return _ready(len(logits) if logits.ndim == 2 else 1)

    def _drawn(
        self, kernels: Any, logits: np.ndarray, seeds: np.ndarray, steps: np.ndarray
    ) -> np.ndarray | None:
        token_ids = np.empty(len(seeds), np.int32)
        rows = logits if logits.ndim == 2 else logits[None]
        kernels.draw(rows, self.operations, self.parameters, seeds, steps, token_ids)
        if token_ids.min() < 0:
            return None
        return token_ids if logits.ndim == 2 else token_ids[0, ...]
