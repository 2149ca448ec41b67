"""One uniform number for each row and step, the same on every engine.

The generator is Threefry-2x32 with 20 rounds (Salmon et al., Parallel Random Numbers: As Easy as
1, 2, 3, SC 2011): the key is the row's 64-bit seed, the counter is the step. It needs 32-bit
additions, rotations and exclusive-ors only, so that every engine computes the same bits; 53 of the
64 bits that it returns make one double in [0, 1) (24 make a float32 where JAX has no doubles).
"""

import operator
import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from logit_sampling.arrays import to_numpy

_ROTATIONS = (13, 15, 26, 6, 17, 29, 16, 24)
_PARITY = 0x1BD11BDA
_WORD = 0xFFFFFFFF


def threefry(
    key: tuple[Any, Any],
    counter: tuple[Any, Any],
    left: Callable = operator.lshift,
    right: Callable = operator.rshift,
    word: Callable = int,
) -> tuple[Any, Any]:
    """Encrypt ``counter`` with ``key``.

    Args:
        key: two words: Python integers, which are fastest for a few rows, or uint32 arrays.
        counter: two words like those.
        left: shifts words, for tensors that lack the operator ``<<``.
        right: the same for ``>>``.
        word: makes a constant that combines with words.

    Returns:
        two words like those.
    """
    mask = word(_WORD)
    keys = (*key, key[0] ^ key[1] ^ word(_PARITY))
    x, y = counter[0] + keys[0], (counter[1] + keys[1]) & mask
    for group in range(5):
        for by in _ROTATIONS[4 * (group % 2) : 4 * (group % 2) + 4]:
            x = x + y  # of more than 32 bits, until it is returned
            y = ((left(y, by) | right(y, 32 - by)) ^ x) & mask
        x = x + keys[(group + 1) % 3]
        y = (y + keys[(group + 2) % 3] + word(group + 1)) & mask
    return x & mask, y


def seed_list(seed: Any) -> int | list[int]:
    """Return a seed, or a seed for each row, as Python integers.

    Raises:
        ValueError: something else than integers.
    """
    given = to_numpy(seed).tolist() if hasattr(seed, "dtype") else seed
    seeds = [given] if np.ndim(given) == 0 else list(given)
    if not all(isinstance(s, int | np.integer) and not isinstance(s, bool) for s in seeds):
        raise ValueError(f"seed must be an integer, a list with one per row, or None; got {seed!r}")
    return int(given) if np.ndim(given) == 0 else [int(s) for s in seeds]


def row_words(seed: int | Sequence[int] | None, rows: int) -> list[tuple[int, int]]:
    """Return the seed of each row as two words, the low one first; see ``row_seeds``."""
    if seed is None:
        words = np.frombuffer(os.urandom(8 * rows), np.uint32).reshape(rows, 2).tolist()
        return [(low, high) for low, high in words]
    given = seed if type(seed) is int else seed_list(seed)
    seeds = range(given, given + rows) if isinstance(given, int) else given
    if len(seeds) != rows:
        raise ValueError(f"seed has {len(seeds)} values for {rows} rows; give one per row")
    return [(s & _WORD, (s >> 32) & _WORD) for s in seeds]


def row_seeds(seed: int | Sequence[int] | None, rows: int) -> np.ndarray:
    """Return the seed of each row as two words, uint32 [rows, 2], the low one first.

    Args:
        seed: an integer s (row i uses s + i), one integer for each row, or None for fresh entropy.
            Integers count modulo 2**64.
        rows: how many rows there are.

    Raises:
        ValueError: a seed is no integer, or there is not one for each row.
    """
    return np.asarray(row_words(seed, rows), np.uint32).reshape(rows, 2)
