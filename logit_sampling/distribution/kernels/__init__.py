"""The kernels: chains on rows of float32 logits, and draws, in code that Numba compiles."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
from numba import njit, types

from logit_sampling.distribution.kernels.arithmetic import threefry
from logit_sampling.distribution.kernels.program import UNKNOWN, draw_row
from logit_sampling.distribution.kernels.sums import DOUBT
from logit_sampling.distribution.random import _ROWS as _ROWS_STREAM

__all__ = ["UNKNOWN", "draw", "row_seeds"]

_SIGNATURE = types.int64(
    types.Array(types.float32, 2, "C", readonly=True),
    types.Array(types.int8, 1, "C"),
    types.Array(types.float64, 2, "C"),
    types.int64,
    types.Array(types.uint32, 2, "C", readonly=True),
    types.Array(types.int32, 1, "C", readonly=True),
    types.Array(types.int32, 1, "C"),
    types.Array(types.float64, 2, "C"),
)


def _compiled(version: int) -> tuple[Any, Any]:
    """Return the functions; what is kept on the disk belongs to a version of their code."""

    @njit(_SIGNATURE, cache=True, nogil=True, error_model="numpy")
    def draw(
        logits: Any,
        codes: Any,
        arguments: Any,
        depth: int,
        seeds: Any,
        steps: Any,
        token_ids: Any,
        log_probs: Any,
    ) -> int:
        """Apply a chain to each row, and draw from what is left.

        Args:
            logits: float32 [rows, n].
            codes: of a program, int8 [instructions].
            arguments: float64 [rows, instructions], or [1, instructions].
            depth: how much is on its stack at most.
            seeds: two words for each row, uint32 [rows, 2].
            steps: int32 [rows].
            token_ids: int32 [rows]: gets the ids, or `UNKNOWN`.
            log_probs: float64 [rows, 2], [rows, 1] or [rows, 0]: gets the log-probability of each
                token in what is left, and in the row as it came in.

        Returns:
            how many ids are `UNKNOWN`.
        """
        assert version >= 0
        left = 0
        for row in range(len(logits)):
            own, words = arguments[min(row, len(arguments) - 1)], seeds[row]
            for exact in (False, True):
                token_ids[row] = draw_row(
                    logits[row],
                    codes,
                    own,
                    depth,
                    words[0],
                    words[1],
                    steps[row],
                    exact,
                    log_probs[row],
                )
                if token_ids[row] != DOUBT:
                    break
            if token_ids[row] < 0:
                token_ids[row] = UNKNOWN
                left += 1
        return left

    @njit(
        types.void(types.uint32, types.uint32, types.Array(types.uint32, 2, "C")),
        cache=True,
        nogil=True,
    )
    def row_seeds(low: int, high: int, seeds: Any) -> None:
        """Give `seeds`, uint32 [rows, 2], the words of each row; see `random.row_seeds`."""
        assert version >= 0
        for row in range(len(seeds)):
            seeds[row, 0], seeds[row, 1] = low, high
            if row:
                seeds[row, 0], seeds[row, 1] = threefry(low, high, row, np.int64(_ROWS_STREAM))

    return draw, row_seeds


def _version() -> int:
    """Return a digest of the code that is compiled: Numba looks at this file alone."""
    own = Path(__file__).parent
    constants = ("random", "recorded", "rounding", "selection", "weights")
    files = [*sorted(own.glob("*.py")), *(own.parent / f"{name}.py" for name in constants)]
    digest = hashlib.sha256(b"".join(file.read_bytes() for file in files)).digest()
    return int.from_bytes(digest[:7])


draw, row_seeds = _compiled(_version())
