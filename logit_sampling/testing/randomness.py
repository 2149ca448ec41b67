"""Seeds, batches and independence: how the draws of a sampler hang together."""

import math
from collections.abc import Callable, Iterator
from itertools import combinations

import numpy as np

from logit_sampling.testing.bounds import bins_of_equal_mass, dependence, log_chance
from logit_sampling.testing.report import Check, Evidence, Finding
from logit_sampling.testing.rows import Row
from logit_sampling.testing.subject import Misbehaved, Subject

_BINS = 4  # on each side of a pair of draws
_CERTAIN = 0.99  # a token so likely leaves nothing to compare
_TRIALS = 20  # seeds with which a row is drawn in different batches
_BATCH = 6  # rows of those batches
_SEEDS = (0, 1, 2, 3, 2**16, 2**31 - 1)


def independence(subject: Subject, row: Row, draws: int, batch: int) -> Iterator[Finding]:
    """Statistical: pairs of draws that should not know of one another."""
    if row.probabilities.max() > _CERTAIN:
        yield Check("independence", "-", None, "the expected draw is all but certain")
        return
    every = np.arange(len(row.edge))
    bins = bins_of_equal_mass(row.probabilities, every, _BINS)
    logits = np.tile(row.logits, (batch, 1))
    try:
        ids = bins[subject.draws(row.logits, draws + batch)]
        half, even = batch // 2, len(ids) // 2 * 2
        pairs = {
            "neighbour rows": (ids[:, 0 : half * 2 : 2], ids[:, 1 : half * 2 : 2]),
            "rows far apart": (ids[:, :half], ids[:, half : half * 2]),
            "calls": (ids[0:even:2], ids[1:even:2]),
        }
        if subject.seeded:
            # Every other row: a sampler may give row i of seed s the stream of seed s + i.
            firsts = [subject.fresh_seed() for _ in range(max(1, draws // batch))]
            sides = [[subject.ids(logits, s + by)[::2] for s in firsts] for by in (0, 1)]
            pairs["neighbour seeds"] = (bins[np.stack(sides[0])], bins[np.stack(sides[1])])
    except Misbehaved as error:
        yield Check("independence", "-", False, str(error))
        return
    for name, (first, second) in pairs.items():
        statistic, freedom = dependence(first.reshape(-1), second.reshape(-1), _BINS)
        detail = f"{first.size} pairs share {statistic / first.size:.2g} nats each"
        numbers = {"pairs": first.size, "relative_entropy": statistic, "freedom": freedom}
        yield Evidence("independence", name, log_chance(statistic, freedom), detail, numbers)


def seeds(subject: Subject, row: Row, batch: int) -> Iterator[Finding]:
    """Equal seeds give equal draws; different ones do not."""
    if not subject.seeded:
        yield Check("seeds", "-", None, "fn takes no seed")
        return
    logits = np.tile(row.logits, (batch, 1))
    try:
        first, again = ([subject.ids(logits, s) for s in _SEEDS] for _ in range(2))
    except Misbehaved as error:
        yield Check("seeds", "equal", False, str(error))
        return
    unlike = [s for s, a, b in zip(_SEEDS, first, again, strict=True) if (a != b).any()]
    detail = f"{len(unlike)} of {len(_SEEDS)} seeds drew other tokens the second time"
    yield Check("seeds", "equal", not unlike, detail, {"seeds": unlike})
    if row.probabilities.max() > _CERTAIN:
        yield Check("seeds", "different", None, "the expected draw is all but certain")
        return
    collision = batch * math.log(np.square(row.probabilities).sum())
    pairs = list(combinations(range(len(_SEEDS)), 2))
    same = [(_SEEDS[a], _SEEDS[b]) for a, b in pairs if (first[a] == first[b]).all()]
    chance = min(0.0, math.log(len(pairs)) + collision) if same else 0.0
    detail = f"{len(same)} of {len(pairs)} pairs of different seeds drew the same {batch} tokens"
    if same:
        detail += f", such as {same[0][0]} and {same[0][1]}"
    yield Evidence("seeds", "different", chance, detail, {"pairs": same})


def batches(
    subject: Subject, vocabulary: int, rng: np.random.Generator, row_seeds: bool
) -> Iterator[Finding]:
    """Exact: the draw of a row does not depend on the batch around it."""
    if not subject.seeded:
        yield Check("batch", "-", None, "fn takes no seed, so draws cannot be compared")
        return
    rows, others = (rng.standard_normal((2, _BATCH, vocabulary)) * 0.5).astype(np.float32)
    tried = [subject.fresh_seed() for _ in range(_TRIALS)]

    def smaller(seed: int) -> Iterator[bool]:
        whole = subject.ids(rows, seed)
        for size in range(1, _BATCH):
            yield bool((subject.ids(rows[:size], seed) != whole[:size]).any())

    def beside(seed: int) -> Iterator[bool]:
        whole = subject.ids(rows, seed)
        for place in range(_BATCH):
            mixed = others.copy()
            mixed[place] = rows[place]
            yield bool(subject.ids(mixed, seed)[place] != whole[place])

    def own_seeds(seed: int) -> Iterator[bool]:
        own = [seed + 7 * place for place in range(_BATCH)]
        whole = subject.ids(rows, own)
        yield bool((subject.ids(rows[::-1], own[::-1])[::-1] != whole).any())
        for place in range(_BATCH):
            yield bool(subject.ids(rows[place : place + 1], [own[place]])[0] != whole[place])

    ways: dict[str, Callable[[int], Iterator[bool]]] = {
        "without those after": smaller,
        "beside other rows": beside,
    }
    if row_seeds:
        ways["a seed for each"] = own_seeds
    for name, way in ways.items():
        try:
            differ = [unlike for seed in tried for unlike in way(seed)]
        except Misbehaved as error:
            yield Check("batch", name, False, str(error))
            continue
        detail = f"{sum(differ)} of {len(differ)} batches changed the draw of a row in them"
        numbers = {"changed": sum(differ), "batches": len(differ)}
        yield Check("batch", name, not any(differ), detail, numbers)
