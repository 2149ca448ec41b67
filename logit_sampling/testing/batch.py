"""What stands beside a row must not matter to it: batches of rows that differ."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from logit_sampling.testing.report import Check, Finding
from logit_sampling.testing.rows import Reference, Row
from logit_sampling.testing.subject import Misbehaved, Subject

_CALLS = 20  # full batches of rows that differ
_SMALL, _TRIALS = 6, 20  # rows of a small batch, and seeds with which it is drawn
_OF_FULL = 3  # seeds with which a full batch is


def own_support(
    subject: Subject, reference: Reference, rows: Sequence[Row], batch: int, seed: int
) -> Finding:
    """Exact, and needs no seeds: in a full batch each row draws what it, and maybe no other, may.

    Half of the rows have one token that is not at -inf, each another one at another height: a row
    that is taken for one of them, or compared with its greatest logit, draws a wrong token.
    """
    rng = np.random.default_rng(seed)
    rows = [row for row in rows if not row.splits_ties]  # the wrong one of equals is no stranger
    vocabulary = len(rows[0].logits)
    alone = []
    for token in rng.permutation(vocabulary)[:batch]:
        logits = np.full(vocabulary, -np.inf, np.float32)
        logits[token] = rng.normal(0, 5)
        try:
            alone.append(reference.row("", logits))
        except ValueError:  # nothing is left to draw, as behind a list of allowed tokens
            continue
    pool = [*rows, *alone]
    logits = np.stack([row.logits for row in pool])
    able = np.stack([(row.probabilities > 0) | row.edge for row in pool])
    wrong = 0
    try:
        for _ in range(_CALLS):
            kinds = rng.integers(0, len(rows), batch)
            if alone:
                half = rng.random(batch) < 0.5
                kinds[half] = rng.integers(len(rows), len(pool), int(half.sum()))
            wrong += int((~able[kinds, subject.ids(logits[kinds])]).sum())
    except Misbehaved as error:
        return Check("support", "beside others", False, str(error))
    detail = f"{wrong} of {_CALLS * batch} draws were of a token of probability 0 in their row"
    numbers = {"strays": wrong, "draws": _CALLS * batch}
    return Check("support", "beside others", not wrong, detail, numbers)


def batches(
    subject: Subject, vocabulary: int, batch: int, rng: np.random.Generator, row_seeds: bool
) -> Iterator[Finding]:
    """Exact: the draw of a row does not depend on the batch around it."""
    if not subject.seeded:
        yield Check("batch", "-", None, "fn takes no seed, so draws cannot be compared")
        return
    size = max(_SMALL, batch)
    every = (rng.standard_normal((2, size, vocabulary)) * 0.5).astype(np.float32)
    # A small batch is tried place by place, a full one in halves.
    tried = [(_SMALL, list(np.eye(_SMALL, dtype=bool))) for _ in range(_TRIALS)]
    for _ in range(_OF_FULL):
        half = rng.random(size) < 0.5
        tried.append((size, [half, ~half]))
    seeds = [subject.fresh_seed() for _ in tried]

    def smaller(seed: int, size: int, kept: Sequence[np.ndarray]) -> Iterator[bool]:
        rows = every[0, :size]
        whole = subject.ids(rows, seed)
        for fewer in sorted({*range(1, _SMALL), size // 2, size - 1}):
            yield bool((subject.ids(rows[:fewer], seed) != whole[:fewer]).any())

    def beside(seed: int, size: int, kept: Sequence[np.ndarray]) -> Iterator[bool]:
        rows, others = every[:, :size]
        whole = subject.ids(rows, seed)
        for stay in kept:
            mixed = np.where(stay[:, None], rows, others)
            yield bool((subject.ids(mixed, seed) != whole)[stay].any())

    def own_seeds(seed: int, size: int, kept: Sequence[np.ndarray]) -> Iterator[bool]:
        rows, own = every[0, :size], np.array([seed + 7 * place for place in range(size)])
        whole = subject.ids(rows, own.tolist())
        yield bool((subject.ids(rows[::-1], own[::-1].tolist())[::-1] != whole).any())
        for stay in kept:
            yield bool((subject.ids(rows[stay], own[stay].tolist()) != whole[stay]).any())

    ways: dict[str, Callable[[int, int, Sequence[np.ndarray]], Iterator[bool]]] = {
        "without those after": smaller,
        "beside other rows": beside,
    }
    if row_seeds:
        ways["a seed for each"] = own_seeds
    for name, way in ways.items():
        try:
            differ = [
                unlike
                for seed, of_size in zip(seeds, tried, strict=True)
                for unlike in way(seed, *of_size)
            ]
        except Misbehaved as error:
            yield Check("batch", name, False, str(error))
            continue
        yield verdict(name, differ)


def verdict(name: str, differ: Sequence[bool]) -> Check:
    """Return the check of batches, from whether each changed the draw of a row in it."""
    detail = f"{sum(differ)} of {len(differ)} batches changed the draw of a row in them"
    numbers = {"changed": sum(differ), "batches": len(differ)}
    return Check("batch", name, not any(differ), detail, numbers)
