"""What draws from a row show: nothing that may not come, all else as often as it should."""

import math
from collections.abc import Sequence

import numpy as np

from logit_sampling.testing.bounds import (
    bins_of_equal_mass,
    log_chance,
    log_chance_of_surprise,
    log_chance_of_worst,
    relative_entropy,
)
from logit_sampling.testing.report import Check, Evidence, Finding
from logit_sampling.testing.rows import Row

_BINS = 8  # of equal mass, for the shape of a distribution

Drawn = tuple[np.ndarray, np.ndarray]
"""Counts of the tokens that may be drawn, and their probabilities."""


def judged(row: Row, counts: np.ndarray) -> tuple[list[Finding], list[Drawn]]:
    """Return the findings of one row, and what was drawn unless only one token may be.

    Args:
        row: what is expected.
        counts: how often each token was drawn, int [vocab].
    """
    able = np.flatnonzero((row.probabilities > 0) & ~row.edge)
    support = _support(row, counts)
    if len(able) < 2 or not counts[able].any():
        return [support], []
    drawn = counts[able], row.probabilities[able] / row.probabilities[able].sum()
    return [support, _distribution(row, able, drawn)], [drawn]


def _support(row: Row, counts: np.ndarray) -> Check:
    """Exact: what has probability zero is never drawn."""
    forbidden = (row.probabilities == 0) & ~row.edge
    strays = np.flatnonzero(forbidden & (counts > 0))
    vocabulary, drawn = len(counts), int(counts.sum())
    detail = f"{drawn} draws, all among the {row.kept} {row.unit}s of {vocabulary} that stay"
    if row.splits_ties:
        detail += ", which split a tie"
    if row.edge.any():
        detail += f" ({np.count_nonzero(row.edge)} at the edge not counted)"
    if strays.size:
        worst = strays[counts[strays].argmax()]
        detail = (
            f"{strays.size} {row.unit}s of probability 0 drawn {counts[strays].sum()} times of "
            f"{drawn}, such as {row.shown(worst)}, {counts[worst]} times; {row.kept} {row.unit}s "
            f"of {vocabulary} stay, {np.count_nonzero(counts)} were drawn"
        )
        if (row.logits[row.probabilities > 0] == row.logits[worst]).any():
            detail += f"; some that stay equal {worst}"
    numbers = {"draws": drawn, "kept": row.kept, "strays": strays.tolist(), "tied": row.splits_ties}
    return Check("support", row.name, not strays.size, detail, numbers)


def _distribution(row: Row, able: np.ndarray, drawn: Drawn) -> Evidence:
    """Statistical: token by token, the shape in a few bins, and the mean surprise."""
    counts, probabilities = drawn
    of_worst, worst = log_chance_of_worst(counts, probabilities)
    statistic, freedom = _shape(drawn)
    chances = of_worst, log_chance(statistic, freedom), log_chance_of_surprise([drawn])
    wanted = counts.sum() * probabilities[worst]
    seen, entropy = _surprise([drawn])
    detail = (
        f"mean surprise {seen:.4g} nats for {entropy:.4g}, relative entropy {statistic:.3g}; "
        f"{row.unit} {row.shown(able[worst])} is furthest off, drawn {counts[worst]} times "
        f"for {wanted:.1f}"
    )
    numbers = {
        "draws": int(counts.sum()),
        "token": int(able[worst]),
        "count": int(counts[worst]),
        "wanted": float(wanted),
        "relative_entropy": statistic,
        "freedom": freedom,
        "surprise": seen,
        "entropy": entropy,
        "tied": row.splits_ties,
    }
    return Evidence("distribution", row.name, of_any(chances), detail, numbers)


def all_together(pooled: list[Drawn]) -> Evidence:
    """Statistical: shape and surprise over all rows, which shows what is a little off in each."""
    statistic, freedom = (sum(values) for values in zip(*map(_shape, pooled), strict=True))
    chances = log_chance(statistic, int(freedom)), log_chance_of_surprise(pooled)
    seen, entropy = _surprise(pooled)
    detail = f"mean surprise {seen:.4g} nats for {entropy:.4g}, relative entropy {statistic:.4g}"
    numbers = {"relative_entropy": statistic, "freedom": freedom}
    numbers |= {"surprise": seen, "entropy": entropy}
    return Evidence("distribution", "all together", of_any(chances), detail, numbers)


def of_any(log_chances: Sequence[float]) -> float:
    """Return the log of a bound on the chance that any of them is so low."""
    return min(0.0, math.log(len(log_chances)) + min(log_chances))


def _shape(drawn: Drawn) -> tuple[float, int]:
    """Return the relative entropy in bins of equal mass, likeliest first, and its freedom."""
    counts, probabilities = drawn
    bins = bins_of_equal_mass(probabilities, np.argsort(-probabilities, kind="stable"), _BINS)
    mass = np.bincount(bins, probabilities)
    statistic = relative_entropy(np.bincount(bins, counts)[mass > 0], mass[mass > 0])
    return statistic, int(np.count_nonzero(mass)) - 1


def _surprise(pooled: list[Drawn]) -> tuple[float, float]:
    """Return the mean surprise of the draws, and what it should be, in nats."""
    n = sum(counts.sum() for counts, _ in pooled)
    seen = -sum(counts @ np.log(p) for counts, p in pooled) / n
    wanted = -sum(counts.sum() * (p @ np.log(p)) for counts, p in pooled) / n
    return float(seen), float(wanted)
