"""Which tokens are green: a keyed permutation of the vocabulary, in 32-bit integers only.

Nothing here rounds, so every engine computes the same bits. Each token is looked at alone, without
a sort, so that the survivors of a cut cost no more than they are.
"""

import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from logit_sampling.distribution.random import threefry

_GOLDEN = np.uint32(0x9E3779B1)  # odd, near 2**32 over the golden ratio: spreads its multiples


def words_of(
    key: tuple[Any, Any],
    tokens: Sequence[Any],
    left: Callable = operator.lshift,
    right: Callable = operator.rshift,
    word: Callable = int,
) -> tuple[Any, Any, Any, Any]:
    """Return four words that depend on `key` and on each of `tokens`, in their order.

    Args:
        key: two words.
        tokens: at least one, Python integers or uint32 arrays of equal shapes.
        left: for this and what follows see `threefry`.
        right: see there.
        word: see there.
    """
    zero = tokens[0] ^ tokens[0]
    for token in tokens:
        key = threefry(key, (token, zero), left, right, word)
    one = zero + word(1)
    pairs = [threefry(key, (number, one), left, right, word) for number in (zero, one)]
    return pairs[0] + pairs[1]


def is_green(xp: Any, vocabulary: int, ids: Any, count: Any, *words: Any) -> Any:
    """Tell for each of `ids` whether a permutation of the vocabulary puts it below `count`.

    So exactly `count` ids are. All ids are first rotated by a random number, which alone makes
    each as likely as any other to be green (up to vocabulary / 2**32). They then fill a table of
    about as many rows as columns, row by row, and a row, a column and again a row is rotated by a
    hash of its number: each step takes the whole table onto itself. What does not fill a last row
    stays behind the table. Places in the table are counted column by column.

    Args:
        xp: functions on the arrays, `numpy` or `keras.ops`.
        vocabulary: how many ids there are, below 2**31.
        ids: uint32.
        count: how many are green; a number, or an array that broadcasts with the ids.
        *words: four (see `words_of`), uint32 like `count`.
    """
    bits = vocabulary.bit_length() // 2
    width, rows = 1 << bits, vocabulary >> bits
    table = width * rows

    def hashed(x: Any, word: Any) -> Any:
        """Return 16 bits."""
        x = (x + word) * (word | 1)
        x = (x ^ xp.right_shift(x, np.uint32(15))) * _GOLDEN
        return xp.right_shift(x, np.uint32(16))

    def wrapped(x: Any, end: int) -> Any:
        """Return `x` modulo `end`, of which it is below twice: below 0 are great numbers."""
        return xp.minimum(x, x - np.uint32(end))

    place = wrapped(ids + words[0] % vocabulary, vocabulary)
    row = xp.right_shift(place, np.uint32(bits))
    column = (place + hashed(row, words[1])) & (width - 1)
    row = wrapped(row + xp.right_shift(hashed(column, words[2]) * rows, np.uint32(16)), rows)
    column = (column + hashed(row, words[3])) & (width - 1)
    inside = (place < table) & (column * rows + row < count)
    return inside | ((place >= table) & (place < count))
