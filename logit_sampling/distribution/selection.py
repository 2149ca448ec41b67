"""Finding tokens in a NumPy row without sorting it."""

import functools
from collections.abc import Callable

import numpy as np

from logit_sampling.distribution.weights import Weights

FEW = 128  # top candidates among which the end of a prefix is looked for first
_SHARE = 16  # parts in which a row is counted
_BINS = 4096  # of keys, in which it is looked for then


def leading(x: np.ndarray, k: int) -> np.ndarray:
    """Return the ids of the `k` greatest of `x` [n], ascending; of equals the lower ids.

    If there is a NaN, its id alone.
    """
    ids = leading_or_more(x, k)
    return ids[_leading_of_few(x[ids], k)] if ids.size > k else ids


def leading_or_more(x: np.ndarray, k: int) -> np.ndarray:
    """Return the ids, ascending, of all scores above a threshold that at least `k` reach.

    If there is a NaN, its id alone.
    """
    n = x.size
    width = _width(n, k)
    if 4 * width > n or width < k:
        return _leading_of_few(x, k)
    # The greatest of each column of a [blocks, width] table, and in turn the greatest of groups of
    # these: k groups have at least `least` as theirs, so the k greatest of all are at least that,
    # and lie in columns whose greatest is.
    whole = n - n % width
    table = x[:whole].reshape(-1, width)
    best = table.max(axis=0)
    count = min(2 * k, width)
    groups = best[: width - width % count].reshape(-1, count).max(axis=0)
    greatest = max(best.max(), x[whole:].max()) if whole < n else best.max()
    if greatest != greatest:
        return x.argmax().reshape(1)
    groups.partition(groups.size - k)
    least = groups[groups.size - k]
    columns = (best >= least).nonzero()[0]
    inside = (table.take(columns, axis=1) >= least).ravel().nonzero()[0]
    rows, places = np.divmod(inside, columns.size)
    ids = rows * width + columns[places]
    if whole < n:
        ids = np.append(ids, whole + np.flatnonzero(x[whole:] >= least))
    return ids


@functools.lru_cache
def _width(n: int, k: int) -> int:
    """Return how wide a table to make of `n` scores, without a remainder where one is near."""
    blocks = max(round((n / k) ** 0.5), 1)
    near = [b for b in range(blocks // 2 + 1, 2 * blocks) if n % b == 0]
    return n // min(near, key=lambda b: abs(b - blocks), default=blocks)


def _leading_of_few(x: np.ndarray, k: int) -> np.ndarray:
    greatest = np.partition(x, x.size - k)[x.size - k :]
    least = greatest[0]
    if greatest.max() != greatest.max():
        return x.argmax().reshape(1)
    ids = (x >= least).nonzero()[0]
    excess = ids.size - k
    return np.delete(ids, (x[ids] == least).nonzero()[0][-excess:]) if excess else ids


def wanted_prefix(
    key: np.ndarray, weights: Weights, wanted: Callable, with_terms: bool = False
) -> np.ndarray:
    """Return the longest prefix of wanted tokens, the greatest key first; never nothing.

    `wanted(weight_before, terms_before, weight, term)` tells from the sums over the
    tokens before one and from its own whether it is wanted; once it is false it stays
    false. A term is a weight times its logarithm; unless `with_terms`, those that it gets are
    of no use.

    Returns:
        the places, ascending, or a mask, bool [n].
    """

    def prefix(places: np.ndarray, weight: float, term: float) -> tuple[np.ndarray, bool]:
        order = places[(-key[places]).argsort(kind="stable")]
        own, *rest = weights.with_terms(order, with_terms)
        before = own.cumsum() - own
        own_terms, before_terms = own, before
        if rest:
            own_terms, before_terms = rest[0], rest[0].cumsum() - rest[0]
        flags = wanted(weight + before, term + before_terms, own, own_terms)
        return order[: np.count_nonzero(flags)], not flags.all()

    # A few candidates nearly always hold it, but not if the greatest weight for each is too little.
    if key.size <= FEW or not wanted(float(FEW), 0.0, 0.0, 0.0):
        few = np.arange(key.size) if key.size <= FEW else leading(key, FEW)
        kept, ended = prefix(few, 0.0, 0.0)
        if ended or key.size <= FEW:
            return np.sort(kept) if kept.size else key.argmax().reshape(1)
    # Bins in the order of the keys: only the one in which the prefix ends is sorted.
    bins = _bins_of(key)
    totals, buffer = np.zeros((2, _BINS + 1)), weights.buffer(_SHARE)
    for part in weights.parts(_SHARE):
        numbers = bins(part)
        for total, own in zip(totals, weights.with_terms(part, with_terms, buffer), strict=False):
            total[1:] += np.bincount(numbers, weights=own, minlength=_BINS)
    sums, terms = np.cumsum(totals, axis=1)[:, :_BINS]
    last = max(int(np.count_nonzero(wanted(sums, terms, 0.0, 0.0))) - 1, 0)
    chosen, around = np.empty(key.size, bool), []
    for part in weights.parts(_SHARE):
        numbers = bins(part)
        np.less(numbers, last, out=chosen[part])
        around.append(part.start + np.flatnonzero(numbers == last))
    inside, _ = prefix(np.concatenate(around), sums[last], terms[last])
    chosen[inside] = True
    return chosen


def _bins_of(key: np.ndarray) -> Callable[[slice], np.ndarray]:
    """Return what numbers the bin of each key of a part: the greater the key, the lower the bin."""
    greatest, lowest = key.max(), key.min()
    if np.isinf(greatest) or np.isinf(lowest):  # those keys go to the first bin and to the last
        finite = np.isfinite(key)
        greatest = key.max(where=finite, initial=np.finfo(key.dtype).min)
        lowest = key.min(where=finite, initial=greatest)
    scale = key.dtype.type(_BINS / min(max(float(greatest) - float(lowest), 1e-30), 1e30))

    def bins(part: slice) -> np.ndarray:
        depth = np.subtract(greatest, key[part])
        depth *= scale
        return np.clip(depth, 0, _BINS - 1, out=depth).astype(np.intp)

    return bins
