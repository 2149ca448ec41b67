"""Chains that Numba has compiled, for eager code; without Numba there are none."""

import functools
import importlib.util
import os
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal, NamedTuple, Self

import numpy as np

from logit_sampling.distribution.arrays import in_graph, is_symbolic, library_of, like, to_numpy
from logit_sampling.distribution.checks import level_outside
from logit_sampling.distribution.protocol import Distribution
from logit_sampling.distribution.random import row_seeds
from logit_sampling.distribution.recorded import operations_of

_VARIABLE = "LOGIT_SAMPLING_ENGINE"
_PAYS = 1000  # rows that a process has drawn before it loads Numba: that takes longer
_LARGE = 2**19  # logits of a batch whose rows are drawn in threads: waking them takes a while
_WORD = 0xFFFFFFFF
_LIBRARIES = ("tensorflow", "jax", "torch")  # whose eager tensors hold numbers that can be read


class _Process:
    """What this process has done: rows drawn, and whether it failed to compile the kernels."""

    drawn = 0
    failed = False


def engine() -> Literal["numba", "numpy"]:
    """Tell what draws in eager code, from NumPy arrays and from tensors.

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


Chain = Callable[[Distribution], Distribution]
"""Applies all of a chain."""


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

    def draw(self, logits: Any, seed: Any, step: Any, chain: Chain) -> Any:
        """Draw a token for each row, as a call of the sampler does; None to leave it to NumPy.

        Rows that the kernels leave are drawn by `chain`.
        """
        if (
            type(step) is not int
            or not 0 <= step < 2**31
            or not (seed is None or type(seed) is int)
        ):
            return None
        rows = _rows_of(logits)
        kernels = None if rows is None else _ready(len(rows))
        if kernels is None or rows is None:
            return None
        if seed is None:
            seeds = row_seeds(None, len(rows))
        else:
            seeds = np.empty((len(rows), 2), np.uint32)
            kernels.row_seeds(seed & _WORD, seed >> 32 & _WORD, seeds)
        steps = np.full(len(rows), step, np.int32)
        return self._drawn(kernels, logits, rows, seeds, steps, chain)

    def draw_next(self, logits: Any, seeds: Any, steps: Any, chain: Chain) -> Any:
        """Draw a token for each row, from a state; see `draw`."""
        rows = _rows_of(logits)
        kernels = None if rows is None else _ready(len(rows))
        if kernels is None or rows is None:
            return None
        fitting = (
            (type(seeds), type(steps)) == (np.ndarray, np.ndarray)
            and (seeds.dtype, steps.dtype) == (np.uint32, np.int32)
            and (seeds.shape, steps.shape) == ((len(rows), 2), (len(rows),))
            and seeds.flags.c_contiguous
            and steps.flags.c_contiguous
        )
        return self._drawn(kernels, logits, rows, seeds, steps, chain) if fitting else None

    def _drawn(
        self,
        kernels: Any,
        logits: Any,
        rows: np.ndarray,
        seeds: np.ndarray,
        steps: np.ndarray,
        chain: Chain,
    ) -> Any:
        token_ids = np.empty(len(rows), np.int32)
        if rows.size < _LARGE or len(rows) == 1:
            kernels.draw(rows, self.operations, self.parameters, seeds, steps, token_ids)
        else:

            def draw(part: slice) -> None:
                own = rows[part], self.operations, self.parameters, seeds[part], steps[part]
                kernels.draw(*own, token_ids[part])

            _in_threads(draw, len(rows))
        left = np.flatnonzero(token_ids < 0) if token_ids.min() < 0 else token_ids[:0]
        if left.size == len(rows):
            return None
        if left.size:
            from logit_sampling.distribution.eager import EagerDistribution

            some = EagerDistribution.of(rows).select(left.tolist())
            try:
                token_ids[left] = chain(some.seeded(seeds[left], steps[left])).draw()
            except ValueError:
                return None  # it is raised again, with the number of the row
        found = token_ids if len(logits.shape) == 2 else token_ids[0, ...]
        return found if type(logits) is np.ndarray else like(logits)(found)


def _in_threads(work: Callable[[slice], None], rows: int) -> None:
    """Do work on slices of some rows at once."""
    parts = min(rows, _cores())
    bounds = [rows * part // parts for part in range(parts + 1)]
    first, *others = map(slice, bounds[:-1], bounds[1:])
    waiting = [_pool().submit(work, part) for part in others]
    work(first)
    for each in waiting:
        each.result()


@functools.cache
def _cores() -> int:
    """Return how many cores this process may use."""
    able = getattr(os, "sched_getaffinity", None)  # not everywhere
    return len(able(0)) if able else os.cpu_count() or 1


@functools.cache
def _pool() -> ThreadPoolExecutor:
    """Return threads, apart from those of TensorFlow, JAX and torch."""
    return ThreadPoolExecutor(max(_cores() - 1, 1), "logit_sampling")


if hasattr(os, "register_at_fork"):  # a child has none of them
    os.register_at_fork(after_in_child=_pool.cache_clear)


def _rows_of(logits: Any) -> np.ndarray | None:
    """Return float32 logits, [rows, vocab], as the kernels take them; None if they are others."""
    array = logits
    if type(logits) is not np.ndarray:
        if library_of(logits) not in _LIBRARIES or is_symbolic(logits):
            return None
        array = to_numpy(logits)
    if (
        array.dtype != np.float32
        or array.ndim not in (1, 2)
        or not array.size
        or not array.flags.c_contiguous
        or in_graph()
    ):
        return None
    return array if array.ndim == 2 else array[None]
