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

    def find(self, text: Sequence[int]) -> tuple[int, tuple[int, ...]]:
        """Return how much of a text, all but its last token, was read, and what it is part of."""
        wanted, known, best = tuple(text[:-1]), 0, tuple[int, ...]()
        for kept in self._kept:
            if (count := common(kept, wanted)) >= max(LEAST, known + 1):
                known, best = count, kept
        return known, best

    def copy(self, kept: tuple[int, ...], lengths: Sequence[int]) -> Cache:
        """Return a cache with beginnings of a text that is kept, so long each."""
        self._kept.move_to_end(kept)
        cache = self._kept[kept].copy([0] * len(lengths))
        surplus = len(kept) - np.asarray(lengths)
        if surplus.any():
            cache.drop(surplus)
        return cache

    def keep(self, text: Sequence[int], cache: Cache, row: int = 0) -> None:
        """Keep what a cache holds of a text in a row, all of it, if that is worth it."""
        own = tuple(text)
        if not LEAST <= len(own) <= self._most or not hasattr(cache, "copy"):
            return
        shared = {kept: common(kept, own) for kept in self._kept}
        if any(count > len(own) - LEAST for count in shared.values()):
            return  # a copy would save less than it costs
        for kept, count in shared.items():
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
    return any(common(one, other) >= LEAST for one, other in pairwise(ordered))


def common(one: tuple[int, ...], other: tuple[int, ...]) -> int:
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
