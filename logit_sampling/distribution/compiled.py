"""Chains that Numba has compiled, for eager code; without Numba there are none."""

import functools
import importlib.util
import os
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self

import numpy as np

from logit_sampling.distribution.arrays import in_graph, is_symbolic, library_of, like, to_numpy
from logit_sampling.distribution.checks import level_outside
from logit_sampling.distribution.protocol import Distribution
from logit_sampling.distribution.random import row_seeds
from logit_sampling.distribution.recorded import depth_of, program_of

_VARIABLE = "LOGIT_SAMPLING_ENGINE"
_LOADING, _COMPILING = 1000, 50_000  # rows after which a process has Numba do so: each takes longer
_LARGE = 2**19  # logits of a batch whose rows are drawn in threads: waking them takes a while
_WORD = 0xFFFFFFFF
_LIBRARIES = ("tensorflow", "jax", "torch")  # whose eager tensors hold numbers that can be read


class _Process:
    """What this process has done: rows drawn, and whether it failed to compile the kernels."""

    drawn = 0
    failed = False


def engine() -> Literal["numba", "numpy"]:
    """Tell what draws in eager code, from NumPy arrays and from tensors.

    Numba, where it is installed (`pip install "logit-sampling[fast]"`), draws from float32 rows. Of
    a chain it applies what comes behind the last transform that it does not know: those with a
    state, `Quadratic`, `MinK`, `AllowTokens`, `LogitBias`, and `XTC` with protected tokens. NumPy
    does the rest. Both draw the same tokens.

    Compiling takes 20 seconds, once on a machine, and is begun when a process has drawn 50,000
    rows; a later one loads what was compiled, in less than a second, when it has drawn 1,000.

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


@functools.cache
def _pays() -> int:
    """Return how many rows a process draws before it has the kernels."""
    kept = (Path(__file__).parent / "kernels" / "__pycache__").glob("*.nbi")
    return _LOADING if any(kept) else _COMPILING


def _ready(rows: int) -> Any:
    """Return the kernels, if they are worth having for some more rows."""
    if _Process.drawn <= _COMPILING:
        _Process.drawn += rows
        if _Process.drawn <= _pays() and os.environ.get(_VARIABLE) != "numba":
            return None
    return _kernels()


Chain = Callable[[Distribution, Sequence[int]], Distribution]
"""Applies all of a chain to some rows, whose numbers it gets."""


class Program(NamedTuple):
    """A chain, or the end of one, as the kernels take it."""

    codes: np.ndarray  # int8 [instructions]
    arguments: np.ndarray  # float64 [rows, instructions], or [1, instructions]
    depth: int  # of its stack

    @classmethod
    def of(
        cls, transforms: Sequence[Any], record: Callable[[Any], Any], coins: int = 0
    ) -> Self | None:
        """Return the program of what `record` does, None if there is none; see `program_of`."""
        recorded = program_of(transforms, record, coins)
        if recorded is None:
            return None
        codes = np.array([code for code, _ in recorded], np.int8)
        columns = [np.atleast_1d(np.asarray(argument, np.float64)) for _, argument in recorded]
        rows = max([column.size for column in columns], default=1)
        if any(column.size not in (1, rows) for column in columns):
            return None  # which raises as soon as there are logits
        arguments = np.empty((rows, len(columns)))
        for place, column in enumerate(columns):
            arguments[:, place] = column
        return cls(codes, arguments, max(depth_of(recorded), 1))

    def kernels_for(self, rows: np.ndarray | None) -> Any:
        """Return the kernels, if they serve some rows."""
        if rows is None or len(self.arguments) not in (1, len(rows)):
            return None
        return _ready(len(rows))

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
        rows = rows_of(logits)
        kernels = self.kernels_for(rows)
        if kernels is None or rows is None:
            return None
        if seed is None:
            seeds = row_seeds(None, len(rows))
        else:
            seeds = np.empty((len(rows), 2), np.uint32)
            kernels.row_seeds(seed & _WORD, seed >> 32 & _WORD, seeds)
        steps = np.empty(len(rows), np.int32)
        steps[:] = step
        return self._completed(kernels, rows, seeds, steps, logits, chain)

    def draw_next(self, logits: Any, seeds: Any, steps: Any, chain: Chain) -> Any:
        """Draw a token for each row, from a state; see `draw`."""
        rows = rows_of(logits)
        kernels = self.kernels_for(rows)
        if kernels is None or rows is None:
            return None
        fitting = (
            (type(seeds), type(steps)) == (np.ndarray, np.ndarray)
            and (seeds.dtype, steps.dtype) == (np.uint32, np.int32)
            and (seeds.shape, steps.shape) == ((len(rows), 2), (len(rows),))
            and seeds.flags.c_contiguous
            and steps.flags.c_contiguous
        )
        return self._completed(kernels, rows, seeds, steps, logits, chain) if fitting else None

    def _completed(
        self, kernels: Any, rows: np.ndarray, seeds: Any, steps: Any, logits: Any, chain: Chain
    ) -> Any:
        token_ids, _, left_out = self.drawn(kernels, rows, seeds, steps)
        if left_out == len(rows):
            return None
        if left_out:
            left = np.flatnonzero(token_ids < 0)
            from logit_sampling.distribution.eager import EagerDistribution

            some = EagerDistribution.of(rows).select(left.tolist())
            try:
                seeded = some.seeded(seeds[left], steps[left])
                token_ids[left] = chain(seeded, left.tolist()).draw()
            except ValueError:
                return None  # it is raised again, with the number of the row
        found = token_ids if len(logits.shape) == 2 else token_ids[0, ...]
        return found if type(logits) is np.ndarray else like(logits)(found)

    def drawn(
        self,
        kernels: Any,
        rows: np.ndarray,
        seeds: np.ndarray,
        steps: np.ndarray,
        log_probs: int = 0,
    ) -> tuple[np.ndarray, np.ndarray, int]:
        """Draw a token for each row.

        Args:
            kernels: those that serve them.
            rows: logits, float32 [rows, vocab].
            seeds: of the rows, uint32 [rows, 2].
            steps: int32 [rows].
            log_probs: how many to tell of a token: of 2, that in what is left, and that in the row
                as it came in.

        Returns:
            the tokens, int32 [rows], below 0 for a row that is left to NumPy; float64
            [rows, log_probs]; and how many rows are left.
        """
        token_ids = np.empty(len(rows), np.int32)
        told = np.empty((len(rows), log_probs))
        codes, arguments, depth = self.codes, self.arguments, self.depth
        if rows.size < _LARGE or len(rows) == 1:
            left = kernels.draw(rows, codes, arguments, depth, seeds, steps, token_ids, told)
            return token_ids, told, left
        several = len(arguments) > 1

        def draw(part: slice) -> int:
            left: int = kernels.draw(
                *(rows[part], codes, arguments[part] if several else arguments, depth),
                *(seeds[part], steps[part], token_ids[part], told[part]),
            )
            return left

        return token_ids, told, _in_threads(draw, len(rows))


def _in_threads(work: Callable[[slice], int], rows: int) -> int:
    """Do work on slices of some rows at once, and return the sum of what it returns."""
    parts = min(rows, _cores())
    bounds = [rows * part // parts for part in range(parts + 1)]
    first, *others = map(slice, bounds[:-1], bounds[1:])
    waiting = [_pool().submit(work, part) for part in others]
    return work(first) + sum(each.result() for each in waiting)


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


def rows_of(logits: Any) -> np.ndarray | None:
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
