"""Seeds and independence: how the draws of a sampler hang together."""

import math
from collections.abc import Iterator
from itertools import combinations

import numpy as np

from logit_sampling.testing.bounds import (
    bins_of_equal_mass,
    dependence,
    log_chance,
    relative_entropy,
)
from logit_sampling.testing.report import Check, Evidence, Finding
from logit_sampling.testing.rows import Row
from logit_sampling.testing.subject import Misbehaved, Subject

_BINS = 4  # on each side of a pair of draws
_SEEDS = (0, 1, 2, 3, 2**16, 2**20, 2**24, 2**24 + 1, 2**30, 2**31 - 1)
CERTAIN = 0.99
"""What is so likely leaves nothing to compare."""


def independence(subject: Subject, row: Row, draws: int, batch: int) -> Iterator[Finding]:
    """Statistical: pairs of draws that should not know of one another."""
    if row.probabilities.max() > CERTAIN:
        yield Check("independence", "-", None, "the expected draw is all but certain")
        return
    every = np.arange(len(row.edge))
    bins = bins_of_equal_mass(row.probabilities, every, _BINS)
    logits = np.tile(row.logits, (batch, 1))
    try:
        tokens = subject.draws(row.logits, draws + batch)
        ids = bins[tokens]
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
    yield from copies(row, tokens)


def copies(row: Row, found: np.ndarray) -> Iterator[Evidence]:
    """Statistical: no two places of a batch draw the same more often than chance has it.

    Args:
        row: that all of them drew from.
        found: what they drew, int [calls, batch].
    """
    if row.edge.any():  # nobody knows the chance
        return
    calls, batch = found.shape
    same = np.sum([ids[:, None] == ids for ids in found], axis=0)
    same[np.tril_indices(batch)] = 0
    one, other = np.unravel_index(same.argmax(), same.shape)
    most, chance = int(same[one, other]), float(np.square(row.probabilities).sum())
    shares = np.array([chance, 1 - chance])
    of_pair = -relative_entropy(np.array([most, calls - most]), shares)  # Chernoff's bound
    pairs = math.log(batch * (batch - 1) / 2)
    found_chance = min(0.0, pairs + of_pair) if most > calls * chance else 0.0
    detail = f"rows {one} and {other} drew the same in {most} of {calls} calls, the most of any two"
    numbers = {"calls": calls, "same": most, "chance": chance}
    yield Evidence("independence", "any two rows", found_chance, detail, numbers)


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
    if row.probabilities.max() > CERTAIN:
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
