"""Batches whose rows each come with something of their own: a history, or parameters."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from logit_sampling.testing.batch import verdict
from logit_sampling.testing.draws import Drawn, all_together, judged
from logit_sampling.testing.report import Check, Finding
from logit_sampling.testing.rows import Row
from logit_sampling.testing.subject import Misbehaved, Subject

_TRIALS = 10  # seeds with which a row is drawn in different batches

Together = Callable[[Sequence[int]], Any]
"""What the rows of a batch come with, from their places among all rows."""


def draws_of_each(
    subject: Subject, rows: Sequence[Row], together: Together, draws: int, batch: int, seed: int
) -> Iterator[Finding]:
    """Support and distribution of each row, drawn in batches that mix them in a random order."""
    rng = np.random.default_rng(seed)
    copies = max(1, batch // len(rows))
    counts = [np.zeros(len(row.logits), np.int64) for row in rows]
    logits = np.stack([row.logits for row in rows])
    try:
        for _ in range(-(-draws // copies)):
            order = rng.permutation(np.repeat(np.arange(len(rows)), copies))
            for place, token in zip(
                order, subject.ids(logits[order], None, together(order.tolist())), strict=True
            ):
                counts[place][token] += 1
    except Misbehaved as error:
        yield Check("support", "all", False, str(error))
        return
    pooled = list[Drawn]()
    for row, own in zip(rows, counts, strict=True):
        findings, drawn = judged(row, own)
        yield from findings
        pooled += [] if row.splits_ties else drawn
    if pooled:
        yield all_together(pooled)


def batches_of_each(
    subject: Subject, rows: Sequence[Row], together: Together, seed: int
) -> Iterator[Finding]:
    """Exact: a row draws the same alone, beside others, and among copies of itself."""
    if not subject.seeded:
        yield Check("batch", "-", None, "fn takes no seed, so draws cannot be compared")
        return
    rng = np.random.default_rng(seed)
    logits, every = np.stack([row.logits for row in rows]), np.arange(len(rows))

    def ids(order: np.ndarray, own: int) -> np.ndarray:
        return subject.ids(logits[order], own, together(order.tolist()))

    def smaller(order: np.ndarray, place: int) -> np.ndarray:
        return order[: place + 1]

    def beside(order: np.ndarray, place: int) -> np.ndarray:
        other = rng.choice(every, len(every))
        other[place] = order[place]
        return other

    def alike(order: np.ndarray, place: int) -> np.ndarray:
        return np.repeat(order[place], len(order))

    ways = {"without those after": smaller, "beside other rows": beside, "among equals": alike}
    for name, way in ways.items():
        differ = []
        try:
            for _ in range(_TRIALS):
                order, own = rng.permutation(every), subject.fresh_seed()
                whole = ids(order, own)
                for place in range(len(rows)):
                    again = ids(way(order, place), own)[place]
                    differ.append(bool(again != whole[place]))
        except Misbehaved as error:
            yield Check("batch", name, False, str(error))
            continue
        yield verdict(name, differ)


def repeats(
    subject: Subject, rows: Sequence[Row], together: Together, copies: int
) -> Iterator[Finding]:
    """Exact: equal seeds draw the same, whatever came in between."""
    if not subject.seeded:
        yield Check("seeds", "-", None, "fn takes no seed")
        return
    order = np.tile(np.arange(len(rows)), copies)
    logits, beside = np.stack([row.logits for row in rows])[order], together(order.tolist())
    try:
        first, _, again = (subject.ids(logits, s, beside) for s in (1, 2, 1))
    except Misbehaved as error:
        yield Check("seeds", "equal", False, str(error))
        return
    changed = int((first != again).sum())
    detail = f"{changed} of {len(order)} rows drew another token the second time"
    yield Check("seeds", "equal", not changed, detail)


def unchanged(subject: Subject) -> Check:
    """Exact: what was passed is left as it was."""
    word = "changed" if subject.changed_input else "left as it was"
    return Check("input", "all", not subject.changed_input, f"what was passed is {word}")
