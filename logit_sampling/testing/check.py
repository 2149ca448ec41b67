"""The check itself: which rows are drawn from, and what is asked of the draws."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from logit_sampling.distribution.checks import FLOATS
from logit_sampling.generation.arguments import check_at_least
from logit_sampling.testing.batch import batches, own_support
from logit_sampling.testing.draws import Drawn, all_together, judged
from logit_sampling.testing.randomness import independence, seeds
from logit_sampling.testing.report import Check, Finding, Report, check_false_alarm, settled
from logit_sampling.testing.rows import Reference, Row, narrow_rows, rows_of_dtype, wide_rows
from logit_sampling.testing.subject import Misbehaved, Subject, check_seed

_WIDE_SHARE = 10  # a wide row gets one draw in so many
_WIDE_BATCH = 16


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

    - `support`: no token of probability zero is ever drawn, also in batches of rows that differ.
    - `distribution`: each token and the shape as a whole are as frequent as they should be, and
      the mean surprise (minus log-probability) is the entropy; row by row, and over all together.
    - the same for logits of other `dtypes`; a type that `fn` refuses is reported, not failed.
    - `independence`: between rows of a batch (no two draw alike), calls and neighbouring seeds.
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
        seed: of the rows and of the calls, below 2**31. With a seeded `fn` equal seeds give equal
            reports.

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
    check_at_least(20, vocab_size=vocab_size, wide_vocab_size=wide_vocab_size or 20)
    check_at_least(100, draws=draws)
    check_at_least(4, batch_size=batch_size)
    check_false_alarm(false_alarm)
    check_seed(seed)
    if unknown := set(dtypes) - set(FLOATS):
        raise ValueError(f"dtypes are of {', '.join(FLOATS)}; got {', '.join(sorted(unknown))}")
    reference, rng = Reference(expected), np.random.default_rng(seed)
    subject = Subject(fn, seeded, batch_size, seed)

    rows, left_out = narrow_rows(reference, vocab_size, rng)
    findings = list(_of_rows(subject, rows, draws))
    findings += [Check("support", name, None, reason) for name, reason in left_out.items()]
    findings.append(own_support(subject, reference, rows, batch_size, seed))
    least_certain = min(rows, key=lambda row: row.probabilities.max())
    findings += independence(subject, least_certain, draws, batch_size)
    findings += seeds(subject, least_certain, batch_size)
    findings += batches(subject, vocab_size, batch_size, rng, row_seeds)
    for dtype in dtypes:
        findings += _dtype(subject, reference, vocab_size, rng, dtype, draws)
    if wide_vocab_size is not None:
        wide = Subject(fn, seeded, _WIDE_BATCH, subject.fresh_seed())
        for row in wide_rows(reference, wide_vocab_size, rng):
            findings += _of_row(wide, row, -(-draws // _WIDE_SHARE))[0]
    word = "changed" if subject.changed_input else "left as they were"
    findings.append(Check("input", "all", not subject.changed_input, f"the logits are {word}"))

    settings = {
        "vocab_size": vocab_size,
        "wide_vocab_size": wide_vocab_size,
        "dtypes": list(dtypes),
        "seeded": subject.seeded,
        "row_seeds": row_seeds,
        "draws": draws,
        "batch_size": batch_size,
        "seed": seed,
    }
    return settled(findings, settings, false_alarm)


def _of_rows(subject: Subject, rows: Sequence[Row], draws: int) -> Iterator[Finding]:
    """Support and distribution of each row, and the distribution over all of them together."""
    pooled = []
    for row in rows:
        findings, drawn = _of_row(subject, row, draws)
        yield from findings
        if not row.splits_ties:  # the wrong token of a tie is no fault of the whole
            pooled += drawn
    if pooled:
        yield all_together(pooled)


def _of_row(subject: Subject, row: Row, draws: int) -> tuple[list[Finding], list[Drawn]]:
    """Return the findings of one row, and what was drawn unless only one token may be."""
    try:
        counts = np.bincount(subject.draws(row.logits, draws).reshape(-1), minlength=len(row.edge))
    except Misbehaved as error:
        return [Check("support", row.name, False, str(error))], []
    return judged(row, counts)


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
