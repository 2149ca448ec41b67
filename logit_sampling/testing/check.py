"""The check itself: which rows are drawn from, and what is asked of the draws."""

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from logit_sampling.distribution.checks import FLOATS
from logit_sampling.testing.bounds import (
    bins_of_equal_mass,
    log_chance,
    log_chance_of_surprise,
    log_chance_of_worst,
    relative_entropy,
)
from logit_sampling.testing.randomness import batches, independence, seeds
from logit_sampling.testing.report import Check, Evidence, Finding, Report
from logit_sampling.testing.rows import Reference, Row, narrow_rows, rows_of_dtype, wide_rows
from logit_sampling.testing.subject import Misbehaved, Subject

_BINS = 8  # of equal mass, for the shape of a distribution
_WIDE_SHARE = 10  # a wide row gets one draw in so many
_WIDE_BATCH = 16

Drawn = tuple[np.ndarray, np.ndarray]
"""Counts of the tokens that may be drawn, and their probabilities."""


def check_sampler(
    fn: Callable[..., Any],
    expected: Any,
    *,
    vocab_size: int = 100,
    wide_vocab_size: int | None = 32_000,
    dtypes: Sequence[str] = ("float16", "bfloat16", "float64"),
    seeded: bool | None = None,
    row_seeds: bool = False,
    draws: int = 10_000,
    batch_size: int = 100,
    false_alarm: float = 1e-6,
    seed: int = 0,
) -> Report:
    """Check that a sampler draws from the distribution that it should, and from nothing else.

    What is checked, on rows that are spread, nearly flat, peaked, far from zero, partly at -inf,
    all equal, tied at the top and tied exactly at the cut, and on a wide vocabulary:

    - `support`: no token of probability zero is ever drawn.
    - `distribution`: each token and the shape as a whole are as frequent as they should be, and
      the mean surprise (minus log-probability) is the entropy; row by row, and over all together.
    - the same for logits of other `dtypes`; a type that `fn` refuses is reported, not failed.
    - `independence`: between rows of a batch, between calls, between neighbouring seeds.
    - `seeds`: equal seeds give equal draws, whatever was drawn in between; others give others.
    - `batch`: a row draws the same token alone, in a smaller batch and beside other rows.
    - `input`: the logits are left unchanged.

    Tokens that a change of the logits by 0.1 % lets in or out count neither way, so that rounding
    is not taken for a fault; rows are chosen to have none, but for those of the wide vocabulary.

    Args:
        fn: the sampler: `fn(logits, seed=...)` or `fn(logits)`. It gets a NumPy array
            [batch, vocab] and returns one integer for each row, as an array or tensor. The seed is
            a Python integer below 2**31 for the whole batch, and is passed by its name.
        expected: the distribution to follow: a `Sampler`, a transform, or a function from
            logits, float64 [batch, vocab], to probabilities of the same shape.
        vocab_size: tokens in the rows, at least 20.
        wide_vocab_size: tokens in the wide rows; None leaves them out, as for a sampler that is
            tied to one vocabulary.
        dtypes: further types of logits, of float16, bfloat16 and float64; float32 is always there.
        seeded: whether `fn` takes `seed`; None looks for an argument of that name.
        row_seeds: whether `seed` may also be a list with an integer for each row; then each row
            must draw the same token in any place of any batch.
        draws: tokens drawn for each row of `vocab_size`, at least 100; a tenth for wide ones.
        batch_size: rows in a call, at least 4.
        false_alarm: the chance, at most, that a correct sampler fails in any check. It is split
            over the statistical checks, and their bounds hold for any number of draws.
        seed: of the rows and of the calls. With a seeded `fn` equal seeds give equal reports.

    Returns:
        a `Report`: `ok`, `checks`, `failures`, `to_dict()`; `print(report)` shows all
        checks, and `report.raise_for_failures()` raises AssertionError with those that failed.

    Raises:
        ValueError: an argument out of range, or `expected` gives no distribution.

    Example:
        >>> import logit_sampling as ls
        >>> from logit_sampling.testing import check_sampler
        >>> sampler = ls.Sampler(ls.TopK(10))
        >>> quick = {"draws": 1000, "wide_vocab_size": None, "dtypes": ()}
        >>> check_sampler(sampler, sampler, **quick).ok
        True
        >>> report = check_sampler(ls.Sampler(ls.TopK(11)), sampler, **quick)
        >>> sorted({check.name for check in report.failures})
        ['support']
    """
    for name, value, least in (
        ("vocab_size", vocab_size, 20),
        ("draws", draws, 100),
        ("batch_size", batch_size, 4),
        ("wide_vocab_size", wide_vocab_size or 20, 20),
    ):
        if value < least:
            raise ValueError(f"{name} must be at least {least}, got {value}")
    if not 0 < false_alarm < 1:
        raise ValueError(f"false_alarm must be in (0, 1), got {false_alarm}")
    if unknown := set(dtypes) - set(FLOATS):
        raise ValueError(f"dtypes are of {', '.join(FLOATS)}; got {', '.join(sorted(unknown))}")
    reference, rng = Reference(expected), np.random.default_rng(seed)
    subject = Subject(fn, seeded, batch_size, seed)

    rows, left_out = narrow_rows(reference, vocab_size, rng)
    findings = list(_of_rows(subject, rows, draws))
    findings += [Check("support", name, None, reason) for name, reason in left_out.items()]
    least_certain = min(rows, key=lambda row: row.probabilities.max())
    findings += independence(subject, least_certain, draws, batch_size)
    findings += seeds(subject, least_certain, batch_size)
    findings += batches(subject, vocab_size, rng, row_seeds)
    for dtype in dtypes:
        findings += _dtype(subject, reference, vocab_size, rng, dtype, draws)
    if wide_vocab_size is not None:
        wide = Subject(fn, seeded, _WIDE_BATCH, subject.fresh_seed())
        for row in wide_rows(reference, wide_vocab_size, rng):
            findings += _of_row(wide, row, -(-draws // _WIDE_SHARE))[0]
    word = "changed" if subject.changed_input else "left as they were"
    findings.append(Check("input", "all", not subject.changed_input, f"the logits are {word}"))

    tests = max(1, sum(isinstance(finding, Evidence) for finding in findings))
    threshold = math.log(false_alarm / tests)
    settings = {
        "vocab_size": vocab_size,
        "wide_vocab_size": wide_vocab_size,
        "dtypes": list(dtypes),
        "seeded": subject.seeded,
        "row_seeds": row_seeds,
        "draws": draws,
        "batch_size": batch_size,
        "false_alarm": false_alarm,
        "seed": seed,
        "tests": tests,
        "log_threshold": threshold,
    }
    checks = (f.judged(threshold) if isinstance(f, Evidence) else f for f in findings)
    return Report(tuple(checks), settings)


def _of_rows(subject: Subject, rows: Sequence[Row], draws: int) -> Iterator[Finding]:
    """Support and distribution of each row, and the distribution over all of them together."""
    pooled = []
    for row in rows:
        findings, drawn = _of_row(subject, row, draws)
        yield from findings
        if not row.splits_ties:  # the wrong token of a tie is no fault of the whole
            pooled += drawn
    if pooled:
        yield _all_together(pooled)


def _of_row(subject: Subject, row: Row, draws: int) -> tuple[list[Finding], list[Drawn]]:
    """Return the findings of one row, and what was drawn unless only one token may be."""
    try:
        counts = np.bincount(subject.draws(row.logits, draws).reshape(-1), minlength=len(row.edge))
    except Misbehaved as error:
        return [Check("support", row.name, False, str(error))], []
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
    detail = f"{drawn} draws, all among the {row.kept} tokens of {vocabulary} that stay"
    if row.splits_ties:
        detail += ", which split a tie"
    if row.edge.any():
        detail += f" ({np.count_nonzero(row.edge)} at the edge not counted)"
    if strays.size:
        worst = strays[counts[strays].argmax()]
        detail = (
            f"{strays.size} tokens of probability 0 drawn {counts[strays].sum()} times of {drawn}, "
            f"such as {worst}, {counts[worst]} times; {row.kept} tokens of {vocabulary} stay, "
            f"{np.count_nonzero(counts)} were drawn"
        )
        if (row.logits[row.probabilities > 0] == row.logits[worst]).any():
            detail += f"; some that stay equal {worst}"
    numbers = {"draws": drawn, "kept": row.kept, "strays": strays.tolist()}
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
        f"mean surprise {seen:.4g} nats for {entropy:.4g}, relative entropy {statistic:.3g}; token "
        f"{able[worst]} is furthest off, drawn {counts[worst]} times for {wanted:.1f}"
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
    }
    return Evidence("distribution", row.name, _of_any(chances), detail, numbers)


def _all_together(pooled: list[Drawn]) -> Evidence:
    """Statistical: shape and surprise over all rows, which shows what is a little off in each."""
    statistic, freedom = (sum(values) for values in zip(*map(_shape, pooled), strict=True))
    chances = log_chance(statistic, int(freedom)), log_chance_of_surprise(pooled)
    seen, entropy = _surprise(pooled)
    detail = f"mean surprise {seen:.4g} nats for {entropy:.4g}, relative entropy {statistic:.4g}"
    numbers = {"relative_entropy": statistic, "freedom": freedom}
    numbers |= {"surprise": seen, "entropy": entropy}
    return Evidence("distribution", "all together", _of_any(chances), detail, numbers)


def _of_any(log_chances: Sequence[float]) -> float:
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


def _dtype(
    subject: Subject,
    reference: Reference,
    vocabulary: int,
    rng: np.random.Generator,
    name: str,
    draws: int,
) -> Iterator[Finding]:
    """Support and distribution with logits of another type, if `fn` takes it."""
    if name == "bfloat16":
        try:
            from ml_dtypes import bfloat16 as dtype
        except ImportError:
            yield Check("support", name, None, "NumPy has this type only with ml_dtypes installed")
            return
    else:
        dtype = name
    rows = rows_of_dtype(reference, vocabulary, rng, np.dtype(dtype))
    try:
        subject.ids(rows[0].logits[None])
    except Misbehaved as error:
        yield Check("support", name, None, f"refused: {error}")
        return
    for row in rows:
        yield from _of_row(subject, row, draws)[0]
