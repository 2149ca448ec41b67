"""Texts that were read, for others that begin alike."""

from collections import OrderedDict
from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from logit_sampling.models.model import Cache

LEAST = 32
"""Tokens that a common beginning has at least: for fewer a copy saves nothing."""


class Beginnings:
    """Caches of texts that were read, the latest ones: what others begin with is not read again.

    Args:
        most: how many tokens they have together.
    """

    def __init__(self, most: int) -> None:
        self._most, self._tokens = most, 0
        self._kept: OrderedDict[tuple[int, ...], Cache] = OrderedDict()

    def find(self, text: Sequence[int]) -> tuple[int, Cache] | None:
        """Return how much of a text, all but its last token, was read, and a cache with that."""
        wanted, known, best = tuple(text[:-1]), LEAST - 1, None
        for kept in self._kept:
            if (count := _common(kept, wanted)) > known:
                known, best = count, kept
        if best is None:
            return None
        self._kept.move_to_end(best)
        cache = self._kept[best].copy([0])
        if len(best) > known:
            cache.drop(np.array([len(best) - known]))
        return known, cache

    def keep(self, text: Sequence[int], cache: Cache, row: int = 0) -> None:
        """Keep what a cache holds of a text in a row, all of it, if that is worth it."""
        own = tuple(text)
        if not LEAST <= len(own) <= self._most or not hasattr(cache, "copy"):
            return
        common = {kept: _common(kept, own) for kept in self._kept}
        if any(count > len(own) - LEAST for count in common.values()):
            return  # a copy would save less than it costs
        for kept, count in common.items():
            if count == len(kept):  # it tells nothing more
                self._forget(kept)
        self._kept[own] = cache.copy([row])
        self._tokens += len(own)
        while self._tokens > self._most:
            self._forget(next(iter(self._kept)))

    def _forget(self, kept: tuple[int, ...]) -> None:
        del self._kept[kept]
        self._tokens -= len(kept)


def begin_alike(texts: Sequence[Sequence[int]]) -> bool:
    """Tell whether any two different texts have a beginning in common that is worth keeping."""
    ordered = sorted(set(map(tuple, texts)))
    return any(_common(one, other) >= LEAST for one, other in pairwise(ordered))


def _common(one: tuple[int, ...], other: tuple[int, ...]) -> int:
    """Return how many tokens two texts begin with alike."""
    low, high = 0, min(len(one), len(other))
    if one[:high] == other[:high]:
        return high
    while high - low > 1:  # alike up to low, not up to high
        middle = (low + high) // 2
        if one[low:middle] == other[low:middle]:
            low = middle
        else:
            high = middle
    return low
