"""Speculative sampling: whether several tokens at once have the law that they would have singly."""

import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from logit_sampling.distribution.arrays import to_numpy
from logit_sampling.generation.arguments import check_at_least
from logit_sampling.testing.bounds import (
    bins_of_equal_mass,
    dependence,
    log_chance,
    relative_entropy,
)
from logit_sampling.testing.draws import Drawn, all_together, judged
from logit_sampling.testing.randomness import CERTAIN, copies
from logit_sampling.testing.report import (
    Check,
    Evidence,
    Finding,
    Report,
    check_false_alarm,
    settled,
)
from logit_sampling.testing.rows import Reference, Row
from logit_sampling.testing.subject import Misbehaved, Seeds, check_seed

_TRIES = 20  # tables drawn until no token is at the edge of a cut
_BINS = 4
_WIDE_BATCH, _WIDE_LENGTH, _WIDE_TOKENS = 8, 2, 480


class TinyModel:
    """A model whose logits depend on the last two tokens, so that every text can be enumerated.

    Args:
        table: float32 [vocab + 1, vocab + 1, vocab]: the logits after the last but one token and
            the last; `vocab` stands for none.
    """

    def __init__(self, table: np.ndarray) -> None:
        self._table = table
        self.vocab_size = table.shape[-1]

    def __call__(self, ids: Any) -> np.ndarray:
        """Return the logits of what follows, float32 [batch, vocab].

        Args:
            ids: the tokens so far, int [batch, length], length 0 at the start.
        """
        ids = np.asarray(ids).astype(np.int64)
        begun = np.pad(ids, ((0, 0), (2, 0)), constant_values=self.vocab_size)
        return self._table[begun[:, -2], begun[:, -1]].copy()


class OneRow:
    """A model of a wide vocabulary that says the same after every text."""

    def __init__(self, row: np.ndarray) -> None:
        self._row = row
        self.vocab_size = len(row)

    def __call__(self, ids: Any) -> np.ndarray:
        """Return the logits of what follows, float32 [batch, vocab]."""
        return np.tile(self._row, (len(ids), 1))


@dataclass(frozen=True)
class Texts(Row):
    """The law of whole texts: what a row is for tokens."""

    unit: ClassVar[str] = "text"
    texts: tuple[tuple[int, ...], ...] = ()

    def shown(self, token: int) -> str:
        """Return the tokens of a text."""
        return " ".join(map(str, self.texts[token]))


def check_speculative(
    fn: Callable[..., Any],
    expected: Any = None,
    *,
    vocab_size: int = 4,
    length: int = 4,
    wide_vocab_size: int | None = 262_144,
    draws: int = 10_000,
    batch_size: int = 100,
    false_alarm: float = 1e-6,
    seed: int = 0,
) -> Report:
    """Check that texts written with a draft model have the law of the target model alone.

    Draft and target are functions whose logits depend on the tokens before, and the vocabulary is
    so small that the chance of every text of `length` tokens is known in float64. They are alike,
    far apart and the same; the draft is certain; the target is certain; either has tokens at -inf;
    and the draft proposes nothing that the target takes. What is checked:

    - `support`: no text of probability zero is ever written; on the wide vocabulary, where all
      drafts are rejected, not one token but the only possible.
    - `distribution`: each text, the shape as a whole and the mean surprise are right, pair by pair
      of models and over all together.
    - `independence`: between the rows of a batch and between calls.
    - `seeds`: equal seeds write the same; others others.
    - `batch`: a row writes the same alone as with rows behind it.

    Args:
        fn: the sampler: `fn(draft, target, batch, length, seed)` returns integers [batch, length].
            `draft` and `target` are functions from the tokens written so far, int [batch, any
            length], to logits, float32 [batch, vocab]; each has `vocab_size`. Whatever is written
            beyond `length` is cut off by `fn`.
        expected: what the sampler does to the logits of the target: a `Sampler`, a transform, a
            function from logits to probabilities, or None for nothing.
        vocab_size: tokens of the tiny models, from 3 to 6.
        length: tokens of a text, from 2 to 5: more than `fn` drafts in a round, so that two rounds
            are seen.
        wide_vocab_size: tokens of the wide models; None leaves them out.
        draws: texts of each pair of models, at least 100.
        batch_size: texts in a call, at least 4.
        false_alarm: as for `check_sampler`.
        seed: of the models and of the calls.

    Returns:
        a `Report`.

    Raises:
        ValueError: an argument out of range, or `expected` gives no distribution.

    Example:
        >>> import logit_sampling as ls
        >>> from logit_sampling.testing import check_speculative
        >>> def target_alone(draft, target, batch, length, seed):
        ...     ids = np.zeros((batch, 0), int)
        ...     for step in range(length):
        ...         token = ls.Sampler()(target(ids), seed=seed, step=step)
        ...         ids = np.concatenate([ids, token[:, None]], axis=1)
        ...     return ids
        >>> quick = {"draws": 500, "wide_vocab_size": None}
        >>> check_speculative(target_alone, **quick).ok
        True
        >>> def draft_alone(draft, target, batch, length, seed):
        ...     return target_alone(target, draft, batch, length, seed)
        >>> report = check_speculative(draft_alone, **quick)
        >>> sorted({check.name for check in report.failures})
        ['distribution', 'support']
    """
    for name, value, least, most in (("vocab_size", vocab_size, 3, 6), ("length", length, 2, 5)):
        if not least <= value <= most:
            raise ValueError(f"{name} must be from {least} to {most}, got {value!r}")
    check_at_least(100, draws=draws)
    check_at_least(4, batch_size=batch_size)
    check_at_least(20, wide_vocab_size=20 if wide_vocab_size is None else wide_vocab_size)
    check_false_alarm(false_alarm)
    check_seed(seed)
    reference = Reference(_softmax if expected is None else expected)
    subject, rng = _Writer(fn, Seeds(seed, batch_size)), np.random.default_rng(seed)
    findings, pooled = list[Finding](), list[Drawn]()
    calls = -(-draws // batch_size)
    for name, draft, target in _pairs(reference, vocab_size, rng):
        row = law(name, reference, target, length)
        try:
            found = subject.texts(draft, target, batch_size, length, calls)
        except Misbehaved as error:
            findings.append(Check("support", name, False, str(error)))
            continue
        counts = np.bincount(found.reshape(-1), minlength=len(row.texts))
        of_pair, drawn = judged(row, counts)
        findings += of_pair
        pooled += drawn
        if drawn:
            findings.append(_places(row, drawn[0], length))
        if name == "far apart":
            findings += _independence(row, found)
            findings += _repeats(subject, row, draft, target, batch_size, length)
    if pooled:
        findings.append(all_together(pooled))
    if wide_vocab_size is not None:
        findings.append(_wide(subject, wide_vocab_size))
    settings = {
        "vocab_size": vocab_size,
        "length": length,
        "wide_vocab_size": wide_vocab_size,
        "draws": draws,
        "batch_size": batch_size,
        "seed": seed,
    }
    return settled(findings, settings, false_alarm)


class _Writer:
    """The function under test, and the seeds that its calls get."""

    def __init__(self, fn: Callable[..., Any], fresh_seed: Seeds) -> None:
        if not callable(fn):
            raise ValueError(f"fn must be a function from two models to token ids, got {fn!r}")
        self._fn, self._fresh_seed = fn, fresh_seed

    def ids(self, draft: Any, target: Any, batch: int, length: int, seed: int | None) -> np.ndarray:
        """Return the tokens of one call, int64 [batch, length].

        Raises:
            Misbehaved: the call raised, or returned something else.
        """
        seed = self._fresh_seed() if seed is None else seed
        try:
            ids = to_numpy(self._fn(draft, target, batch, length, seed))
        except Exception as error:
            line = (str(error).strip().splitlines() or [""])[0][:160]
            raise Misbehaved(f"fn raised {type(error).__name__}: {line}") from error
        if ids.shape != (batch, length) or ids.dtype.kind not in "iu":
            raise Misbehaved(
                f"fn returned {ids.dtype.name} of shape {ids.shape}; integers of shape "
                f"{(batch, length)} are wanted"
            )
        outside = ids[(ids < 0) | (ids >= target.vocab_size)]
        if outside.size:
            raise Misbehaved(f"fn wrote {outside[0]}, no token of {target.vocab_size}")
        return ids.astype(np.int64)

    def texts(self, draft: Any, target: Any, batch: int, length: int, calls: int) -> np.ndarray:
        """Return which of all texts were written, int64 [calls, batch]."""
        places = target.vocab_size ** np.arange(length)[::-1]
        return np.stack(
            [self.ids(draft, target, batch, length, None) @ places for _ in range(calls)]
        )


def law(name: str, reference: Reference, target: TinyModel, length: int) -> Texts:
    """Return the law of the texts of a model, all in float64."""
    every = tuple(itertools.product(range(target.vocab_size), repeat=length))
    after: dict[tuple[int, ...], np.ndarray] = {}
    chances, edge = np.ones(len(every)), np.zeros(len(every), bool)
    for place, text in enumerate(every):
        for size, token in enumerate(text):
            past = text[max(0, size - 2) : size]
            if past not in after:
                row = reference.row(name, target(np.array(past, np.int64)[None])[0])
                after[past] = np.stack([row.probabilities, row.edge])
            chances[place] *= after[past][0, token]
            edge[place] |= bool(after[past][1, token])
    with np.errstate(divide="ignore"):
        return Texts(name, np.log(chances), chances, edge, texts=every)


def _pairs(
    reference: Reference, vocabulary: int, rng: np.random.Generator
) -> Iterator[tuple[str, TinyModel, TinyModel]]:
    """Yield the name, the draft and the target of each pair."""
    shape = (vocabulary + 1, vocabulary + 1, vocabulary)

    def table(spread: float = 1.2) -> np.ndarray:
        return (rng.standard_normal(shape) * spread).astype(np.float32)

    def settled_table(change: Callable[[np.ndarray], np.ndarray] = lambda x: x) -> np.ndarray:
        for _ in range(_TRIES):
            found = change(table())
            rows = found.reshape(-1, vocabulary)
            if not any(reference.row("", row).edge.any() for row in rows):
                break
        return found

    def one_of(chosen: np.ndarray, other: float = -np.inf) -> np.ndarray:
        return np.where(np.arange(vocabulary) == chosen[..., None], 0, other).astype(np.float32)

    def masked(x: np.ndarray) -> np.ndarray:
        gone = (
            rng.permuted(np.tile(np.arange(vocabulary), (*shape[:2], 1)), axis=-1) < vocabulary // 2
        )
        return np.where(gone, np.float32(-np.inf), x)

    def choice() -> np.ndarray:
        return rng.integers(0, vocabulary, shape[:2])

    target = settled_table()
    models = {
        "alike": ((target + table(0.4)), target),
        "far apart": (table(), target),
        "the same": (target, target),
        "draft certain": (one_of(choice()), target),
        "draft nearly certain": (one_of(choice(), -6.0), target),
        "draft half at -inf": (masked(table()), target),
        "target half at -inf": (table(), settled_table(masked)),
        "target certain": (table(), one_of(choice())),
    }
    never = choice()
    models["always rejected"] = (
        one_of(never),
        settled_table(lambda x: np.where(np.isfinite(one_of(never)), np.float32(-np.inf), x)),
    )
    for name, (draft, of_target) in models.items():
        yield name, TinyModel(draft), TinyModel(of_target)


def _places(row: Texts, drawn: Drawn, length: int) -> Evidence:
    """Statistical: the token at each place, and all texts one by one."""
    counts, chances = drawn
    able = np.flatnonzero((row.probabilities > 0) & ~row.edge)
    tokens = np.array(row.texts)[able]
    worst, said = log_chance(relative_entropy(counts, chances), len(able) - 1), "texts"
    for place in range(length):
        own, mass = (np.bincount(tokens[:, place], weights) for weights in (counts, chances))
        statistic = relative_entropy(own[mass > 0], mass[mass > 0])
        found = log_chance(statistic, int(np.count_nonzero(mass)) - 1)
        if found < worst:
            worst, said = found, f"tokens at place {place + 1}"
    found = min(0.0, math.log(length + 1) + worst)
    return Evidence("distribution", f"{row.name}, places", found, f"{said} are furthest off")


def _independence(row: Texts, found: np.ndarray) -> Iterator[Finding]:
    """Statistical: texts that should not know of one another."""
    if row.probabilities.max() > CERTAIN:
        yield Check("independence", "-", None, "the expected text is all but certain")
        return
    bins = bins_of_equal_mass(row.probabilities, np.arange(len(row.texts)), _BINS)[found]
    rows, calls = found.shape[1] // 2 * 2, len(found) // 2 * 2
    pairs = {
        "neighbour rows": (bins[:, 0:rows:2], bins[:, 1:rows:2]),
        "calls": (bins[0:calls:2], bins[1:calls:2]),
    }
    for name, (first, second) in pairs.items():
        statistic, freedom = dependence(first.reshape(-1), second.reshape(-1), _BINS)
        detail = f"{first.size} pairs share {statistic / max(1, first.size):.2g} nats each"
        yield Evidence("independence", name, log_chance(statistic, freedom), detail)
    yield from copies(row, found)


def _repeats(
    subject: _Writer, row: Texts, draft: TinyModel, target: TinyModel, batch: int, length: int
) -> Iterator[Finding]:
    """Exact: equal seeds write the same, and a row alone what it writes with others behind it."""
    try:
        first, other, again = (subject.ids(draft, target, batch, length, s) for s in (1, 2, 1))
        seeds = range(1, 21)
        whole = [subject.ids(draft, target, 3, length, s)[0] for s in seeds]
        alone = [subject.ids(draft, target, 1, length, s)[0] for s in seeds]
    except Misbehaved as error:
        yield Check("seeds", "equal", False, str(error))
        return
    changed = int((first != again).any(axis=1).sum())
    detail = f"{changed} of {batch} texts were others the second time"
    yield Check("seeds", "equal", not changed, detail)
    if row.probabilities.max() > CERTAIN:
        yield Check("seeds", "different", None, "the expected text is all but certain")
    else:
        same = bool((first == other).all())
        chance = batch * math.log(np.square(row.probabilities).sum()) if same else 0.0
        detail = f"two seeds wrote {'the same texts' if same else 'different texts'}"
        yield Evidence("seeds", "different", chance, detail)
    unlike = sum(bool((a != b).any()) for a, b in zip(whole, alone, strict=True))
    detail = f"{unlike} of {len(whole)} texts were others with two rows behind them"
    yield Check("batch", "without those after", not unlike, detail)


def _wide(subject: _Writer, vocabulary: int) -> Check:
    """Exact: of a wide vocabulary the target takes one token, and the draft proposes another."""
    only, proposed = 7, 3
    rows = np.full((2, vocabulary), -np.inf, np.float32)
    rows[0, only] = rows[1, proposed] = 0
    target, draft = OneRow(rows[0]), OneRow(rows[1])
    calls = -(-_WIDE_TOKENS // (_WIDE_BATCH * _WIDE_LENGTH))
    wrong = 0
    try:
        for _ in range(calls):
            ids = subject.ids(draft, target, _WIDE_BATCH, _WIDE_LENGTH, None)
            wrong += int((ids != only).sum())
    except Misbehaved as error:
        return Check("support", "wide", False, str(error))
    tokens = calls * _WIDE_BATCH * _WIDE_LENGTH
    detail = f"{wrong} of {tokens} tokens had probability 0, of a vocabulary of {vocabulary}"
    return Check("support", "wide", not wrong, detail, {"strays": wrong, "draws": tokens})


def _softmax(logits: np.ndarray) -> np.ndarray:
    mass = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return mass / mass.sum(axis=-1, keepdims=True)
