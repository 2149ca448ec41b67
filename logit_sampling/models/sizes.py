"""The sizes that a step is compiled for."""

from collections.abc import Sequence
from dataclasses import dataclass

_BLOCK = 16  # columns by which a cache grows at least, where any number goes
CALL = 32  # tokens that a model reads in the time that a call of it takes at least


@dataclass(frozen=True)
class Sizes:
    """Which numbers of rows, tokens and columns a step takes.

    Args:
        few: whether each size is compiled for, so that a step is filled up to one of few sizes.
    """

    few: bool

    def rows(self, rows: int) -> int:
        """Return how many rows to make for so many.

        >>> [Sizes(few=True).rows(rows) for rows in (1, 3, 8, 9)]
        [1, 4, 8, 16]
        """
        return _power(rows) if self.few else rows

    def tokens(self, tokens: int) -> int:
        """Return how many tokens of each row to feed for so many."""
        return _power(tokens) if self.few else tokens

    def columns(self, tokens: int) -> int:
        """Return how many columns to make for so many tokens, with room for some more.

        >>> [Sizes(few=True).columns(tokens) for tokens in (1, 64, 100, 150, 200, 300)]
        [64, 96, 128, 192, 256, 384]
        """
        if not self.few:
            return -(-(tokens + max(2 * _BLOCK, tokens // 8)) // _BLOCK) * _BLOCK
        power = max(64, _power(tokens + 1))
        return power * 3 // 4 if power > 64 and tokens < power * 3 // 4 else power


def similar(sizes: Sequence[int], call: int = CALL) -> list[list[int]]:
    """Return the places of sizes in groups: filling up a group costs less than another call.

    Args:
        sizes: how many tokens there are to read.
        call: as many tokens as a call of the model takes the time of.

    >>> similar([8, 100, 7, 90, 8])
    [[2, 0, 4], [3, 1]]
    """
    groups: list[list[int]] = []
    for place in sorted(range(len(sizes)), key=sizes.__getitem__):
        if groups and len(groups[-1]) * (sizes[place] - sizes[groups[-1][-1]]) <= call:
            groups[-1].append(place)
        else:
            groups.append([place])
    return groups


def _power(number: int) -> int:
    """Return the lowest power of two that is no lower."""
    return 1 << (number - 1).bit_length()
