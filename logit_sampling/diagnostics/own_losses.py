"""What a loss of the user's own expects, told by its values.

A loss is called on predictions that are chosen, and its values are compared with sums of the terms
that cross-entropies and their kin are made of: log p of the right class, log(1-p) of the others,
and so on, where p is the prediction itself or its softmax or sigmoid. No regression and no ranking
loss is such a sum. What fits none is a loss that nobody here knows.
"""

import contextlib
import io
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np

MISFIT = 2e-3  # of values from a sum, for each unit of their range
LARGE = 1_000_000  # numbers in a row; of more, the axes between rows and units are shortened
SPREAD = (
    np.array(  # of the probability of the right class; half are near 1, where min(loss, 1) acts
        [
            3e-3,
            0.01,
            0.03,
            0.08,
            0.15,
            0.25,
            0.35,
            0.45,
            0.55,
            0.62,
            0.7,
            0.77,
            0.84,
            0.9,
            0.95,
            0.98,
        ]
    )
)
GAMMAS = (0.5, 1, 1.5, 2, 2.5, 3, 4, 5)  # of focal losses
POWERS = np.arange(1, 20) / 20  # of generalised cross-entropies
SMOOTHS = (0, *np.geomspace(3e-3, 4, 24))  # what Dice adds to its fraction, for each right unit

Found = tuple[str | None, str | None, str]
UNKNOWN: Found = (None, None, "")
OVERLAP = "an overlap such as Dice"
SWAPPED = "a cross-entropy of swapped arguments"


class Sum(NamedTuple):
    """A sum of terms, and the signs of their factors.

    Attributes:
        name: of the loss that it makes.
        gains: terms that every such loss has, with a factor below 0.
        others: terms that it may have, with factors between that of the gains and 0: what smoothed
            labels and weights bring in.
        free: terms with any factor; a constant, unless said otherwise.
    """

    name: str
    gains: list[np.ndarray]
    others: list[np.ndarray] = []  # noqa: RUF012 - never changed
    free: list[np.ndarray] = [np.ones(SPREAD.size)]  # noqa: RUF012


def measure(loss: Callable, shape: tuple[int, ...]) -> Found:
    """Tell what a loss expects by its values.

    Args:
        loss: a function of labels and predictions.
        shape: of the predictions, [batch, ..., units].

    Returns:
        the form ("logits", "log_probabilities", "probabilities" or None), the family
        ("categorical", "binary" or None), and what kind of loss it behaves like; without a form,
        `SWAPPED` or nothing.
    """
    _, *middle, units = shape
    if np.prod([*middle, units]) > LARGE:
        middle = [min(size, 2) for size in middle]
    # An even number of rows, half of which can be a yes, and none that fits the units by chance.
    shape = (6 if units == 4 else 4, *middle, units)
    with (
        warnings.catch_warnings(action="ignore"),
        contextlib.redirect_stdout(io.StringIO()),
        np.errstate(all="ignore"),
    ):
        found = _of_classes(loss, shape) if units > 1 else UNKNOWN
        if found == UNKNOWN:
            found = _of_units(loss, shape)
        if found == UNKNOWN and units > 1 and _is_swapped(loss, shape):
            found = (None, None, SWAPPED)
        if found == UNKNOWN and units == 1 and _is_constant(loss, shape):
            found = _of_classes(loss, (*shape[:-1], 3))
    return found


def _of_classes(loss: Callable, shape: tuple[int, ...]) -> Found:
    """Every row is the same, so that means, sums, weights and masks only scale the result.

    A row has three probabilities: of the right class, of each class after it, of each before it.
    """
    groups, sizes = _layout(shape)
    rng = np.random.default_rng(0)
    rest = (1 - SPREAD) * rng.uniform(0.4, 0.95, SPREAD.size)  # rows need not sum to 1
    part = rng.uniform(0.1, 0.9, SPREAD.size) if sizes[1] else np.zeros(SPREAD.size)
    before = rest * (1 - part) / sizes[2]
    after = rest * part / sizes[1] if sizes[1] else before
    p = np.stack([SPREAD, after, before], 1)
    softmax = p / (p @ sizes)[:, None]
    scores = np.log(p) + rng.uniform(-3, 8, (SPREAD.size, 1))  # a softmax drops what is added
    linear = [size * score for size, score in zip(sizes, scores.T, strict=True)]
    nll = Sum("the negative log-likelihood", linear[:1], linear[1:])
    both, overlaps = _both_answers(p, sizes), _overlaps(p, sizes)
    of_one = [known for q in (p, softmax) for known in _one_answer(q, sizes)]
    mixed = [both, *(_cross_entropy(q, sizes) for q in (p, softmax))]
    for target in _labels(groups, sizes):
        values = _results(loss, target, groups, scores)
        if name := _first(values, _of_softmax(softmax, sizes)):
            return "logits", "categorical", name
        if _is(values, nll if target.max() < 1 else nll._replace(free=[])):
            return "log_probabilities", "categorical", nll.name
        values = _results(loss, target, groups, p)
        if _is(values, both):
            return "probabilities", "binary", both.name
        if name := _first(values, of_one):
            return "probabilities", "categorical", name
        if _is_overlap(values, p[:, sizes > 0], overlaps):
            return "probabilities", None, OVERLAP
        for known in mixed:
            if name := _mixed(values, known, overlaps):
                return "probabilities", "binary" if known is both else "categorical", name
        if np.isfinite(values).all():
            break  # these are the labels that it is for
    return UNKNOWN


def _of_units(loss: Callable, shape: tuple[int, ...]) -> Found:
    """Each unit is a question of its own: half of them a yes, as on a chessboard."""
    groups, sizes = np.indices(shape).sum(0) % 2, np.array([1, 1])
    p = np.stack([SPREAD, np.random.default_rng(1).permutation(SPREAD)], 1)
    scores = np.log(p / (1 - p))
    yes, no = p.T
    both, overlaps = _both_answers(p, sizes), _overlaps(p, sizes)
    sums = [both]
    for gamma in GAMMAS:
        gains = [(1 - yes) ** gamma * both.gains[0], no**gamma * both.gains[1]]
        sums.append(Sum("a focal loss", gains))
    absolute = Sum("an absolute error", [yes, -no])
    squared = Sum("a squared error", [-((1 - yes) ** 2), -(no**2)])
    for negative in (0, -1):
        target = np.where(groups == 0, 1, negative).astype(np.float32)
        values = _results(loss, target, groups, scores)
        if name := _first(values, [*sums, absolute, squared]) or _mixed(values, both, overlaps):
            return "logits", "binary", name
        if _is_overlap(values, p, overlaps):
            return "logits", "binary", OVERLAP
        values = _results(loss, target, groups, p)
        if name := _first(values, sums) or _mixed(values, both, overlaps):
            return "probabilities", "binary", name
        if _is_overlap(values, p, overlaps):
            return "probabilities", None, OVERLAP
        if shape[-1] == 1 and (name := _first(values, _one_answer(p, sizes))):
            return "probabilities", "categorical", name  # nothing is said of a no
        if np.ptp(_results(loss, target, groups, np.array([[0.5, 0.1], [0.5, 0.9]]))) > 0:
            break  # else a no may be a -1
    return UNKNOWN


def _layout(shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Which group each class is of (0: the right one, 1: after it, 2: before), and their sizes."""
    right = shape[-1] // 2  # seldom the padding, which masks leave out
    row = np.sign(np.arange(shape[-1]) - right) % 3
    return np.broadcast_to(row, shape), np.bincount(row, minlength=3)


def _labels(groups: np.ndarray, sizes: np.ndarray) -> Iterator[np.ndarray]:
    """The right class as losses take it: one-hot, most of a distribution, as an id."""
    hot = (groups == 0).astype(np.float32)
    yield hot
    yield 0.7 * hot + np.float32(0.3 / sizes.sum())
    for ids in (np.full(groups.shape[:-1], sizes[2], kind) for kind in (np.float32, np.int32)):
        yield ids[..., None]  # as `fit` gives ids to a function
        yield ids


def _logs(p: np.ndarray, sizes: np.ndarray) -> list[np.ndarray]:
    """The sum of log p over each group."""
    return [size * np.log(q) for size, q in zip(sizes, p.T, strict=True)]


def _cross_entropy(p: np.ndarray, sizes: np.ndarray) -> Sum:
    right, *others = _logs(p, sizes)
    return Sum("cross-entropy", [right], others)


def _both_answers(p: np.ndarray, sizes: np.ndarray) -> Sum:
    """Log p where the answer is yes and log(1-p) where it is no."""
    logs, negative = _logs(p, sizes), _logs(1 - p, sizes)
    sides = np.flatnonzero(sizes[1:]) + 1
    gains = [logs[0], *(negative[side] for side in sides)]
    return Sum("cross-entropy", gains, [negative[0], *(logs[side] for side in sides)])


def _one_answer(p: np.ndarray, sizes: np.ndarray) -> Iterator[Sum]:
    """Losses of one distribution."""
    plain = _cross_entropy(p, sizes)
    yield plain
    yield plain._replace(free=[*plain.free, (p * np.log(p)) @ sizes])  # with an entropy added
    for gamma in GAMMAS:
        right, *others = (
            w * log for w, log in zip((1 - p.T) ** gamma, _logs(p, sizes), strict=True)
        )
        yield Sum("a focal loss", [right], others)
    for power in POWERS:
        yield Sum("generalised cross-entropy", [p[:, 0] ** power])


def _of_softmax(p: np.ndarray, sizes: np.ndarray) -> Iterator[Sum]:
    """The same, and what proves something only if the softmax is the loss' own."""
    yield from _one_answer(p, sizes)
    yield _both_answers(p, sizes)
    right, *others = _logs(p, sizes)
    yield Sum("cross-entropy and an overlap", [right, p[:, 0]], others)
    yield Sum("an absolute error or an overlap", [p[:, 0]])
    yield Sum("a squared error", [2 * p[:, 0] - p**2 @ sizes])


def _overlaps(p: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Dice, Jaccard and Dice of squares over all units: a column for each that there may be."""
    right, rest, squares = p[:, 0], p[:, 1:] @ sizes[1:], p**2 @ sizes
    return np.stack(
        [
            overlap
            for smooth in SMOOTHS
            for overlap in (
                (right + smooth / 2) / (1 + right + rest + smooth),
                (right + smooth) / (1 + rest + smooth),
                (right + smooth / 2) / (1 + squares + smooth),
            )
        ],
        1,
    )


def _mixed(values: np.ndarray, known: Sum, overlaps: np.ndarray) -> str:
    """The name of the sum of `known` and the overlap that fits best; empty if that does not fit."""
    if not _vary(values):
        return ""
    x = np.stack([*known.gains, *known.others, *known.free], 1)
    y = np.insert(overlaps, 0, values, 1)
    y -= x @ np.linalg.lstsq(x, y, rcond=None)[0]  # what the terms of `known` leave over
    wanted, left = y[:, :1], y[:, 1:]
    factors = (left * wanted).sum(0) / (left**2).sum(0)
    best = overlaps[:, abs(wanted - factors * left).max(0).argmin()]
    name = "cross-entropy and an overlap"
    return _first(values, [Sum(name, [*known.gains, best], known.others)])


def _first(values: np.ndarray, sums: Iterable[Sum]) -> str:
    """The name of the first sum that the values are; empty if they are none."""
    return next((known.name for known in sums if _is(values, known)), "")


def _is(values: np.ndarray, known: Sum) -> bool:
    """Whether values are such a sum."""
    if not _vary(values):
        return False
    keep = np.ones(values.size, bool)
    for edge in (values.min(), values.max()):  # as min(loss, 1) has
        flat = abs(values - edge) < 1e-6 * np.ptp(values)
        keep &= ~flat if flat.sum() > 2 else True
    y, x = values[keep], np.stack([*known.gains, *known.others, *known.free], 1)[keep]
    if len(y) < x.shape[1] + 4:
        return False
    factors = np.linalg.lstsq(x, y, rcond=None)[0]
    if abs(x @ factors - y).max() > MISFIT * np.ptp(y):
        return False
    effects = factors * np.ptp(x, axis=0) / np.ptp(y)
    first, last = len(known.gains), len(known.gains) + len(known.others)
    return bool(
        (effects[:first] < -0.01).all()
        and (effects[first:last] < 0.005).all()
        and (factors[first:last] > 0.95 * factors[:first].min()).all()
    )


def _vary(values: np.ndarray) -> bool:
    return bool(np.isfinite(values).all() and np.ptp(values) > 1e-4 * abs(values).max())


def _is_overlap(values: np.ndarray, p: np.ndarray, overlaps: np.ndarray) -> bool:
    """Whether values are an overlap, or another fraction of two sums over all units (Tversky's).

    More where the answer is no makes what is below the line larger: an error of each unit by itself
    has no such line.
    """
    if not _vary(values):
        return False
    above = np.insert(p, 0, 1, 1)
    factors = np.linalg.lstsq(np.hstack([above, -values[:, None] * p]), values, rcond=None)[0]
    factors, below = factors[: above.shape[1]], factors[above.shape[1] :]
    line = 1 + p @ below
    fits = abs(above @ factors / line - values).max() < 1e-3 * np.ptp(values)
    if fits and (line > 0).all() and (below[1:] * np.ptp(p[:, 1:], axis=0) > 0.01).all():
        return True
    return bool(_mixed(values, Sum(OVERLAP, []), overlaps))


def _is_swapped(loss: Callable, shape: tuple[int, ...]) -> bool:
    """Whether the loss is linear in the prediction, with logarithms of the labels as factors.

    That is a cross-entropy that was given the labels for the prediction.
    """
    groups, sizes = _layout(shape)
    label = np.array([0.6, 0.3 / max(sizes[1], 1), 0.1 / sizes[2]])
    points = np.random.default_rng(2).uniform(0.05, 0.95, (8, 3))
    values = _results(loss, label.astype(np.float32)[groups], groups, points)
    if not _vary(values):
        return False
    x = np.insert(points * sizes, 3, 1, 1)
    factors = np.linalg.lstsq(x, values, rcond=None)[0]
    if abs(x @ factors - values).max() > 1e-3 * np.ptp(values):
        return False
    of_probabilities = -np.log(label), -np.log(label / (label @ sizes)), np.log(1 / label - 1)
    of_logits = np.log(np.exp(label) @ sizes) - label
    scales = [(factors[:3] / each)[sizes > 0] for each in (*of_probabilities, of_logits)]
    return any(scale[0] > 0 and np.ptp(scale) < 0.01 * scale[0] for scale in scales)


def _is_constant(loss: Callable, shape: tuple[int, ...]) -> bool:
    """Whether one unit gives the same loss whatever it is, as a softmax over it does."""
    zeros = np.zeros(shape, np.int32)
    hot = (np.indices(shape).sum(0) % 2).astype(np.float32)
    points = np.array([[-3.0], [-0.5], [0.2], [0.7], [4.0]])
    results = (_results(loss, target, zeros, points) for target in (hot, zeros[..., 0], zeros))
    return next((np.ptp(values) <= 1e-6 for values in results if np.isfinite(values).all()), False)


def _results(
    loss: Callable, target: np.ndarray, groups: np.ndarray, points: np.ndarray
) -> np.ndarray:
    """The mean of what `loss` returns for each point; NaN where it cannot be called.

    A point holds what is predicted for each group of units.
    """
    import keras

    values = np.full(len(points), np.nan)
    try:
        labels = keras.ops.convert_to_tensor(target)
        for index, point in enumerate(points):
            prediction = keras.ops.convert_to_tensor(point.astype(np.float32)[groups])
            value: Any = keras.ops.convert_to_numpy(loss(labels, prediction))
            values[index] = np.mean(value, dtype=np.float64)
            if not np.isfinite(values[index]):
                break
    except Exception:  # whatever a function of the user's raises for labels it is not for
        values[:] = np.nan
    return values
