"""Finding tokens in a NumPy row without sorting it."""

from collections.abc import Callable

import numpy as np

_FEW = 256  # leaders among which the end of a prefix is looked for first
_BINS = 4096  # of keys, in which it is looked for then


def leading(x: np.ndarray, k: int) -> np.ndarray:
    """Return the ids of the ``k`` greatest of ``x`` [n], ascending; of equals the lower ids."""
    n = x.size
    width = int((n * k) ** 0.5)
    if 4 * width > n:
        return _leading_of_few(x, k)
    # At least k columns of a [blocks, width] table have a maximum of `least` or more, so the k
    # greatest are all at least that, and lie in those columns.
    whole = n - n % width
    table = x[:whole].reshape(-1, width)
    best = table.max(axis=0)
    np.maximum(best[: n - whole], x[whole:], out=best[: n - whole])
    least = np.partition(best, width - k)[width - k]
    columns = np.flatnonzero(best >= least)
    ids = (np.arange(0, whole, width)[:, None] + columns).reshape(-1)
    ids = np.concatenate([ids, columns[columns < n - whole] + whole])
    values = x[ids]
    able = np.flatnonzero(values >= least)
    return ids[able[_leading_of_few(values[able], k)]]


def _leading_of_few(x: np.ndarray, k: int) -> np.ndarray:
    least = np.partition(x, x.size - k)[x.size - k]
    ids = np.flatnonzero(x >= least)
    excess = ids.size - k
    return np.delete(ids, np.flatnonzero(x[ids] == least)[-excess:]) if excess else ids


def wanted_prefix(
    key: np.ndarray, masses: np.ndarray, terms: np.ndarray | None, wanted: Callable
) -> np.ndarray:
    """Return the places, ascending, of the longest prefix of wanted tokens, the greatest key first.

    ``wanted(mass_before, terms_before, mass, term)`` tells from the sums over the tokens before one
    and from its own whether it is wanted; once it is false it stays false.
    """
    if terms is None:
        terms = masses

    def prefix(places: np.ndarray, mass: float, term: float) -> tuple[np.ndarray, bool]:
        order = places[np.argsort(-key[places], kind="stable")]
        own, own_terms = masses[order], terms[order]
        before, before_terms = np.cumsum(own) - own, np.cumsum(own_terms) - own_terms
        flags = wanted(mass + before, term + before_terms, own, own_terms)
        return order[: np.count_nonzero(flags)], not flags.all()

    # A few leaders nearly always hold it.
    kept, ended = prefix(leading(key, min(_FEW, key.size)), 0.0, 0.0)
    if ended or key.size <= _FEW:
        return np.sort(kept)
    # Bins in the order of the keys: only the one in which the prefix ends is sorted.
    bins = _bins(key)
    sums, sums_of_terms = (
        np.concatenate([[0.0], np.cumsum(np.bincount(bins, weights=w, minlength=_BINS))])[:_BINS]
        for w in (masses, terms)
    )
    last = max(int(np.count_nonzero(wanted(sums, sums_of_terms, 0.0, 0.0))) - 1, 0)
    inside, _ = prefix(np.flatnonzero(bins == last), sums[last], sums_of_terms[last])
    chosen = bins < last
    chosen[inside] = True
    return np.flatnonzero(chosen)


def _bins(key: np.ndarray) -> np.ndarray:
    """Return the number of a bin for each key, int32: the greater the key, the lower the bin."""
    greatest, lowest = float(key.max()), float(key.min())
    if lowest == -np.inf:
        lowest = float(key.min(where=key > -np.inf, initial=greatest))
    span = min(max(greatest - lowest, 1e-300), 1e300)
    depth = np.subtract(greatest, key, dtype=np.float64)
    depth *= _BINS / span
    return np.minimum(depth, _BINS - 1, out=depth).astype(np.int32)


def find(masses: np.ndarray, uniform: float) -> tuple[int, float]:
    """Return where ``uniform`` of the total falls, and which part of that mass lies below it."""
    sums = np.cumsum(masses)
    target = uniform * sums[-1]  # below the total, since uniform is at most 1 - 2**-53
    place = int(np.searchsorted(sums, target, side="right"))
    below = sums[place - 1] if place else 0.0
    return place, min((target - below) / masses[place], 1 - 2**-53)
