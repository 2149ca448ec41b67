"""One uniform number for each row and step, the same on every engine.

The generator is Threefry-2x32 with 20 rounds (Salmon et al., Parallel Random Numbers: As Easy as
1, 2, 3, SC 2011): the key is the row's 64-bit seed, the counter is the step. It needs 32-bit
additions, rotations and exclusive-ors only, so that every engine computes the same bits; 53 of the
64 bits that it returns make one double in [0, 1) (24 make a float32 where JAX has no doubles).

Of one seed s for a batch, row 0 draws by s itself and row i > 0 by the 64 bits that the generator
makes of (s, i). So the rows of seeds 0, 1, 2, ... have nothing in common.
"""

import operator
import os
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from logit_sampling.distribution.arrays import to_list, to_numpy

MANY = 16  # rows from which numbers come faster from arrays than one by one

_ROTATIONS = (13, 15, 26, 6, 17, 29, 16, 24)
_PARITY = 0x1BD11BDA
_WORD = 0xFFFFFFFF
_ROWS = 2**32 - 3  # the stream of the seeds of rows, see `next_words`; draws use others


def threefry(
    key: tuple[Any, Any],
    counter: tuple[Any, Any],
    left: Callable = operator.lshift,
    right: Callable = operator.rshift,
    word: Callable = int,
) -> tuple[Any, Any]:
    """Encrypt `counter` with `key`.

    Args:
        key: two words: Python integers, which are fastest for a few rows, or uint32 arrays.
        counter: two words like those.
        left: shifts words, for tensors that lack the operator `<<`.
        right: the same for `>>`.
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


def next_words(
    key: tuple[Any, Any],
    number: Any,
    left: Callable = operator.lshift,
    right: Callable = operator.rshift,
    word: Callable = int,
) -> tuple[Any, Any]:
    """Return the seed, two words, of row `number` > 0 of a batch whose seed is `key`.

    Number 0, which is no row's, makes the seed of the next batch where one goes on by itself. The
    other arguments are those of `threefry`.
    """
    return threefry(key, (number, word(_ROWS)), left, right, word)


def jax_key_words(seed: Any) -> Any | None:
    """Return the words of JAX keys of the new style, uint32 [..., 2], the low one first; or None.

    Raises:
        ValueError: they belong to a generator whose keys are not two words.
    """
    if "key<" not in str(getattr(seed, "dtype", "")):
        return None
    words = sys.modules["jax"].random.key_data(seed)
    if words.shape[-1] != 2:
        raise ValueError(
            f"a JAX key as seed must have two words, as those of threefry2x32; got {seed.dtype}"
        )
    return words[..., ::-1]


def seed_list(seed: Any) -> int | list[int]:
    """Return a seed, or a seed for each row, as Python integers.

    Raises:
        ValueError: something else than integers or keys of JAX.
    """
    words = jax_key_words(seed)
    if words is not None:
        low, high = np.moveaxis(to_numpy(words).astype(object), -1, 0)
        seed = (low | high << 32).tolist() if np.ndim(low) else int(low | high << 32)
    given = to_list(seed)
    seeds = [given] if np.ndim(given) == 0 else list(given)
    if not all(isinstance(s, int | np.integer) and not isinstance(s, bool) for s in seeds):
        raise ValueError(f"seed must be an integer, a list with one per row, or None; got {seed!r}")
    return int(given) if np.ndim(given) == 0 else [int(s) for s in seeds]


def check_count(count: int, rows: int, seed: Any = None) -> None:
    """Raise ValueError unless there are as many seeds as rows; `seed` is what was given."""
    if count != rows:
        old_key = count == 2 and type(seed).__module__.startswith("jax")
        hint = " (of a JAX key of the old style, pass jax.random.wrap_key_data(key))"
        raise ValueError(
            f"seed has {count} values for {rows} rows; give one per row{hint if old_key else ''}"
        )


def row_words(seed: Any, rows: int) -> list[tuple[int, int]]:
    """Return the seed of each row as two words, the low one first; see `row_seeds`."""
    if seed is None:
        words = np.frombuffer(os.urandom(8 * rows), np.uint32).reshape(rows, 2).tolist()
        return [(low, high) for low, high in words]
    given = seed if type(seed) is int else seed_list(seed)
    if isinstance(given, int):
        key = given & _WORD, (given >> 32) & _WORD
        if rows <= MANY:
            return [next_words(key, row) if row else key for row in range(rows)]
        array_key = np.array([key[0]], np.uint32), np.array([key[1]], np.uint32)
        low, high = next_words(array_key, np.arange(1, rows, dtype=np.uint32), word=np.uint32)
        return [key, *zip(low.tolist(), high.tolist(), strict=True)]
    check_count(len(given), rows, seed)
    return [(s & _WORD, (s >> 32) & _WORD) for s in given]


def row_seeds(seed: Any, rows: int) -> np.ndarray:
    """Return the seed of each row as two words, uint32 [rows, 2], the low one first.

    Args:
        seed: an integer s, an integer for each row, or None for fresh entropy. Integers count
            modulo 2**64. Of one s, row 0 has s and row i > 0 a 64-bit hash of (s, i). A JAX key
            (`jax.random.key`) counts as the integer that its two words make.
        rows: how many rows there are.

    Raises:
        ValueError: a seed is no integer, or there is not one for each row.
    """
    return np.asarray(row_words(seed, rows), np.uint32).reshape(rows, 2)


def row_integers(seed: Any, rows: int) -> list[int]:
    """Return the seed of each row as an integer in [0, 2**64), which repeats the row alone."""
    return [low | high << 32 for low, high in row_words(seed, rows)]
