"""Penalties, bans and all that looks at the tokens so far: the check with histories."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from logit_sampling.generation.arguments import check_at_least
from logit_sampling.sampler import Sampler
from logit_sampling.strategies import Transform
from logit_sampling.testing.mixed import batches_of_each, draws_of_each, repeats, unchanged
from logit_sampling.testing.report import Report, check_false_alarm, settled
from logit_sampling.testing.rows import Reference, Row
from logit_sampling.testing.subject import Subject, check_seed

_LONG = 150  # tokens of the longest history
_TRIES = 12  # rows made until none of their tokens is at the edge of a cut


def check_history(
    fn: Callable[..., Any],
    expected: Any,
    *,
    vocab_size: int = 40,
    window: int | None = None,
    seeded: bool | None = None,
    draws: int = 10_000,
    batch_size: int = 100,
    false_alarm: float = 1e-6,
    seed: int = 0,
) -> Report:
    """Check a sampler whose draw depends on the tokens so far, such as one with penalties.

    Rows of all kinds share the batches, in random order: without a history, with one token, a token
    five times, two in turn, 150 tokens, with all logits below or above zero (where the sign
    matters), with the first and the last token of the vocabulary in the history or left out (which
    padding may be taken for), and with tokens at -inf. What is checked:

    - `support` and `distribution` of each row, as in `check_sampler`.
    - `batch`: a row draws the same with fewer rows, beside other histories, shorter or longer, and
      among copies of itself.
    - `seeds`: equal seeds give equal draws.
    - `input`: logits and histories are left unchanged.

    Args:
        fn: the sampler: `fn(logits, history, seed=...)` or `fn(logits, history)`. It gets NumPy
            arrays: float32 [batch, vocab], and int32 [batch, length] with the tokens of each row
            from the left, the latest last, and -1 behind them. It returns one integer for each row.
        expected: the distribution to follow: a `Sampler`, a transform, or a function from logits,
            float64 [batch, vocab], and history to probabilities.
        vocab_size: tokens in the rows, at least 20.
        window: how many of the latest tokens count, if not all do: two rows more have a token at
            the edge of it, just inside and just outside.
        seeded: whether `fn` takes `seed`; None looks for an argument of that name.
        draws: tokens drawn for each row, at least 100.
        batch_size: rows in a call, at least 4; each kind of row is in every call.
        false_alarm: as for `check_sampler`.
        seed: of the rows and of the calls.

    Returns:
        a `Report`.

    Raises:
        ValueError: an argument out of range, or `expected` gives no distribution.

    Example:
        >>> import logit_sampling as ls
        >>> from logit_sampling.testing import check_history
        >>> sampler = ls.Sampler(ls.RepetitionPenalty(1.5))
        >>> def fn(logits, history, seed):
        ...     return sampler(logits, history=history, seed=seed)
        >>> check_history(fn, sampler, draws=500).ok
        True
        >>> report = check_history(fn, ls.RepetitionPenalty(3.0), draws=500)
        >>> sorted({check.name for check in report.failures})
        ['distribution']
    """
    check_at_least(20, vocab_size=vocab_size)
    check_at_least(100, draws=draws)
    check_at_least(4, batch_size=batch_size)
    check_at_least(1, window=1 if window is None else window)
    check_false_alarm(false_alarm)
    check_seed(seed)
    if isinstance(expected, Transform):
        expected = Sampler(expected)
    rng = np.random.default_rng(seed)
    rows, histories = [], []
    for name, logits, history in _kinds(vocab_size, window, rng):
        rows.append(_row(name, logits, history, expected, rng))
        histories.append(history)

    def together(order: Sequence[int]) -> np.ndarray:
        longest = max(len(histories[place]) for place in order)
        padded = np.full((len(order), longest), -1, np.int32)
        for row, place in enumerate(order):
            padded[row, : len(histories[place])] = histories[place]
        return padded

    subject = Subject(fn, seeded, max(batch_size, len(rows)), seed)
    findings = [*draws_of_each(subject, rows, together, draws, batch_size, seed)]
    findings += batches_of_each(subject, rows, together, seed)
    findings += repeats(subject, rows, together, max(1, batch_size // len(rows)))
    findings.append(unchanged(subject))
    settings = {
        "vocab_size": vocab_size,
        "window": window,
        "seeded": subject.seeded,
        "draws": draws,
        "batch_size": batch_size,
        "seed": seed,
    }
    return settled(findings, settings, false_alarm)


def _kinds(
    vocabulary: int, window: int | None, rng: np.random.Generator
) -> list[tuple[str, np.ndarray, list[int]]]:
    """Return a name, logits and a history for each kind of row."""

    def normal(shift: float = 0.0) -> np.ndarray:
        return (rng.standard_normal(vocabulary) * 1.5 + shift).astype(np.float32)

    def likely(logits: np.ndarray, count: int) -> list[int]:
        return np.argsort(-logits)[:count].tolist()

    kinds = []

    def add(name: str, history: Callable[[np.ndarray], Sequence[int]], shift: float = 0.0) -> None:
        logits = normal(shift)
        kinds.append((name, logits, [int(token) for token in history(logits)]))

    add("no history", lambda x: [])
    add("one token", lambda x: likely(x, 1))
    add("one five times", lambda x: likely(x, 1) * 5)
    add("two in turn", lambda x: (likely(x, 2) * 3)[:5])
    add("three repeated", lambda x: likely(x, 3) * 4)
    add("long", lambda x: [*likely(x, 3), *rng.choice(np.argsort(-x)[3:], _LONG - 3)])
    # Only some of them penalised: of a shift of all logits nothing would show.
    add("all below zero", lambda x: likely(x, 4), -8.0)
    add("all above zero", lambda x: likely(x, 4), 8.0)
    ends = [0, vocabulary - 1]
    for name, used in (("first and last", True), ("without the ends", False)):
        logits = normal()
        logits[ends] = logits.max() + np.float32(0.5)
        inner = [token for token in likely(logits, 5) if token not in ends]
        kinds.append((name, logits, ends if used else inner))
    logits = normal()
    masked = rng.permutation(vocabulary)[: vocabulary // 2]
    logits[masked] = -np.inf
    kinds.append(("half at -inf", logits, [int(masked[0]), *likely(logits, 2), int(masked[1])]))
    if window is not None:
        for name, age in (("just inside", window), ("just outside", window + 1)):
            logits = normal()
            first, *others = likely(logits, 4)
            kinds.append((f"{name} of {window}", logits, [first, *(others * window)[: age - 1]]))
    return kinds


def _row(
    name: str, logits: np.ndarray, history: list[int], expected: Any, rng: np.random.Generator
) -> Row:
    """Return what is expected; logits are moved a little until no token is at the edge of a cut."""
    own = np.array(history, np.int32)

    def of(wide: np.ndarray) -> np.ndarray:
        tiled = np.tile(own, (len(wide), 1))
        if isinstance(expected, Sampler):
            return expected.probabilities(wide, history=tiled)
        return expected(wide, tiled)

    reference = Reference(of)
    row = reference.row(name, logits)
    for _ in range(_TRIES):
        if not row.edge.any():
            break
        logits = (logits + 0.05 * rng.standard_normal(len(logits))).astype(np.float32)
        row = reference.row(name, logits)
    return row
