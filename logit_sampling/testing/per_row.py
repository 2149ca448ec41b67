"""Parameters of each row in one batch: the check of mixed batches."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from logit_sampling.generation.arguments import check_at_least
from logit_sampling.testing.mixed import batches_of_each, draws_of_each, repeats, unchanged
from logit_sampling.testing.report import Check, Finding, Report, check_false_alarm, settled
from logit_sampling.testing.rows import Reference, narrow_rows
from logit_sampling.testing.subject import Subject, check_seed

_KINDS = ("spread", "nearly flat", "half at -inf", "tied at the cut 1")


def check_per_row(
    fn: Callable[..., Any],
    settings: Sequence[Any],
    expected: Callable[[Any], Any],
    *,
    vocab_size: int = 60,
    seeded: bool | None = None,
    draws: int = 10_000,
    batch_size: int = 100,
    false_alarm: float = 1e-6,
    seed: int = 0,
) -> Report:
    """Check a sampler that takes parameters for each row: each row must get its own and no other's.

    Each of the settings is drawn with on rows that are spread, nearly flat, half at -inf and tied
    at the cut; rows of all settings share the batches, in random order. What is checked:

    - `support` and `distribution` of each setting on each row, as in `check_sampler`.
    - `batch`: a row draws the same with fewer rows after it, beside rows of other settings, and in
      a batch of nothing but itself.
    - `seeds`: equal seeds give equal draws.
    - `input`: logits and settings are left unchanged.

    Args:
        fn: the sampler: `fn(logits, settings, seed=...)` or `fn(logits, settings)`. It gets logits,
            float32 [batch, vocab] of NumPy, and a list with the setting of each row, and returns
            one integer for each row.
        settings: at least two, of any type: numbers, tuples, dictionaries. They are copied.
        expected: a function from a setting to the distribution to follow: a `Sampler`, a transform,
            or a function from logits, float64 [batch, vocab], to probabilities.
        vocab_size: tokens in the rows, at least 20.
        seeded: whether `fn` takes `seed`; None looks for an argument of that name.
        draws: tokens drawn for each row, at least 100.
        batch_size: rows in a call, at least 4; each setting is in every call.
        false_alarm: as for `check_sampler`.
        seed: of the rows and of the calls.

    Returns:
        a `Report`.

    Raises:
        ValueError: an argument out of range, or `expected` gives no distribution.

    Example:
        >>> import logit_sampling as ls
        >>> from logit_sampling.testing import check_per_row
        >>> def fn(logits, settings, seed):
        ...     return ls.Sampler(ls.TopK(settings))(logits, seed=seed)
        >>> check_per_row(fn, [2, 10, 50], ls.TopK, draws=500).ok
        True
        >>> def of_the_first(logits, settings, seed):
        ...     return ls.Sampler(ls.TopK(settings[0]))(logits, seed=seed)
        >>> report = check_per_row(of_the_first, [2, 10, 50], ls.TopK, draws=500)
        >>> sorted({check.name for check in report.failures})
        ['batch', 'distribution', 'support']
    """
    if len(settings) < 2:
        raise ValueError(f"settings must be at least two, got {settings!r}")
    check_at_least(20, vocab_size=vocab_size)
    check_at_least(100, draws=draws)
    check_at_least(4, batch_size=batch_size)
    check_false_alarm(false_alarm)
    check_seed(seed)
    rng = np.random.default_rng(seed)
    rows, of_row, findings = [], [], list[Finding]()
    for setting in settings:
        made, left_out = narrow_rows(Reference(expected(setting)), vocab_size, rng)
        for row in made:
            if row.name in _KINDS:
                rows.append(row.named(f"{setting}, {row.name}"))
                of_row.append(setting)
        findings += [
            Check("support", f"{setting}, {name}", None, reason)
            for name, reason in left_out.items()
            if name in _KINDS
        ]

    def together(order: Sequence[int]) -> list[Any]:
        return [of_row[place] for place in order]

    subject = Subject(fn, seeded, max(batch_size, len(rows)), seed)
    findings += draws_of_each(subject, rows, together, draws, batch_size, seed)
    findings += batches_of_each(subject, rows, together, seed)
    findings += repeats(subject, rows, together, max(1, batch_size // len(rows)))
    findings.append(unchanged(subject))
    about = {
        "settings": [str(setting) for setting in settings],
        "vocab_size": vocab_size,
        "seeded": subject.seeded,
        "draws": draws,
        "batch_size": batch_size,
        "seed": seed,
    }
    return settled(findings, about, false_alarm)
