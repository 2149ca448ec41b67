"""One uniform number for each row and step, the same on every engine.

The generator is Threefry-2x32 with 20 rounds (Salmon et al., Parallel Random Numbers: As Easy as
1, 2, 3, SC 2011): the key is the row's 64-bit seed, the counter is the step. It needs 32-bit
additions, rotations and exclusive-ors only, so that every engine computes the same bits; 53 of the
64 bits that it returns make one double in [0, 1).
"""

import secrets
from collections.abc import Sequence
from typing import Any

import numpy as np

_ROTATIONS = (13, 15, 26, 6, 17, 29, 16, 24)
_PARITY = 0x1BD11BDA


def threefry(key: tuple[Any, Any], counter: tuple[Any, Any], xp: Any = np) -> tuple[Any, Any]:
    """Encrypt ``counter`` with ``key``.

    Args:
        key: two uint32 arrays of any shape.
        counter: two uint32 arrays of the same shape.
        xp: the module whose ``bitwise_*`` functions do the work: ``numpy`` or ``keras.ops``.

    Returns:
        two uint32 arrays of that shape.
    """

    def constant(value: int) -> Any:
        return np.asarray(value, np.uint32)

    def rotated(x: Any, by: int) -> Any:
        left = xp.bitwise_left_shift(x, constant(by))
        return xp.bitwise_or(left, xp.bitwise_right_shift(x, constant(32 - by)))

    keys = (*key, xp.bitwise_xor(xp.bitwise_xor(key[0], key[1]), constant(_PARITY)))
    x, y = counter[0] + keys[0], counter[1] + keys[1]
    for group in range(5):
        for by in _ROTATIONS[4 * (group % 2) : 4 * (group % 2) + 4]:
            x = x + y
            y = xp.bitwise_xor(rotated(y, by), x)
        x = x + keys[(group + 1) % 3]
        y = y + keys[(group + 2) % 3] + constant(group + 1)
    return x, y


def row_seeds(seed: int | Sequence[int] | None, rows: int) -> np.ndarray:
    """Return the seed of each row as two words, uint32 [rows, 2], the low one first.

    Args:
        seed: an integer s (row i uses s + i), one integer for each row, or None for fresh entropy.
            Integers count modulo 2**64.
        rows: how many rows there are.

    Raises:
        ValueError: a seed is no integer, or there is not one for each row.
    """
    if seed is None:
        return np.frombuffer(secrets.token_bytes(8 * rows), np.uint32).reshape(rows, 2)
    scalar = np.ndim(seed) == 0
    values: list[Any] = [seed] if scalar else list(seed)  # type: ignore[arg-type]
    if not all(isinstance(s, int | np.integer) and not isinstance(s, bool) for s in values):
        raise ValueError(f"seed must be an integer, a list with one per row, or None; got {seed!r}")
    if scalar:
        values = [int(values[0]) + row for row in range(rows)]
    if len(values) != rows:
        raise ValueError(f"seed has {len(values)} values for {rows} rows; give one per row")
    words = [(int(s) & 0xFFFFFFFF, (int(s) >> 32) & 0xFFFFFFFF) for s in values]
    return np.asarray(words, np.uint32).reshape(rows, 2)


def random_words(seeds: Any, steps: Any, xp: Any = np) -> tuple[Any, Any]:
    """Return two random uint32 arrays [rows].

    Args:
        seeds: uint32 [rows, 2], the key of each row.
        steps: uint32 [rows], the position in the sequence, the counter.
        xp: ``numpy`` or ``keras.ops``.
    """
    return threefry((seeds[:, 0], seeds[:, 1]), (steps, xp.zeros_like(steps)), xp)
