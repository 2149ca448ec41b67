"""The rows of logits on which a sampler is tried, and what is expected on each."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import numpy as np

from logit_sampling.distribution.arrays import to_numpy
from logit_sampling.sampler import Sampler
from logit_sampling.strategies import Transform

EDGE = 1e-3
"""A token is at the edge of a cut if scaling the logits by 1 +- EDGE lets it in or out."""

_TRIES = 12  # rows drawn until none of their tokens is at the edge
_SUM_TOLERANCE = 1e-4
_GRID = 255  # steps of a staircase: integers that every floating type holds exactly


@dataclass(frozen=True)
class Row:
    """Logits, and the distribution that draws from them should follow."""

    name: str
    logits: np.ndarray  # [vocab], of the type that the sampler gets
    probabilities: np.ndarray  # float64 [vocab]
    edge: np.ndarray  # bool [vocab]: rounding may let these in or out, so they count for nothing
    splits_ties: bool = False  # of equal logits some stay and some go

    unit: ClassVar[str] = "token"  # what is drawn

    @property
    def kept(self) -> int:
        """How many tokens may be drawn."""
        return int(np.count_nonzero(self.probabilities))

    def named(self, name: str) -> Self:
        """Return the row under another name."""
        return replace(self, name=name)

    def shown(self, token: int) -> str:
        """Return what a message calls a token."""
        return str(token)


class NothingLeft(ValueError):
    """No row of a kind leaves anything to draw."""


class Reference:
    """What is expected, as a function from logits to probabilities in float64."""

    def __init__(self, expected: Any) -> None:
        if isinstance(expected, Transform):
            expected = Sampler(expected)
        if not isinstance(expected, Sampler) and not callable(expected):
            raise ValueError(
                "expected must be a Sampler, a transform, or a function from logits [batch, vocab] "
                f"to probabilities; got {expected!r}"
            )
        self._of = expected.probabilities if isinstance(expected, Sampler) else expected

    def __call__(self, logits: np.ndarray) -> np.ndarray:
        """Return the distribution, float64 [vocab], of logits [vocab] of any floating type.

        Raises:
            ValueError: the result is no distribution over the vocabulary.
        """
        wide = logits.astype(np.float64)[None]
        found = to_numpy(self._of(wide))
        if found.shape != wide.shape:
            raise ValueError(f"expected gave shape {found.shape} for logits of shape {wide.shape}")
        row = found[0].astype(np.float64)
        total = row.sum()
        if not (row >= 0).all() or abs(total - 1) > _SUM_TOLERANCE:
            raise ValueError(
                f"expected gave no distribution: minimum {row.min():g}, sum {total:.6g}"
            )
        return row / total

    def row(self, name: str, logits: np.ndarray) -> Row:
        """Return the row with what is expected of it."""
        probabilities = self(logits)
        kept = probabilities > 0
        wide = logits.astype(np.float64)
        scaled = [self(wide * (1 - EDGE)) > 0, self(wide * (1 + EDGE)) > 0]
        edge = np.logical_or.reduce([kept != other for other in scaled])
        return Row(name, logits, probabilities, edge, _splits_ties(logits, kept))


def narrow_rows(
    reference: Reference, vocabulary: int, rng: np.random.Generator
) -> tuple[list[Row], dict[str, str]]:
    """Return the float32 rows of the ordinary vocabulary, one of each kind.

    Also returns the kinds on which nothing is left to draw, each with the reason.
    """

    def normal(spread: float, shift: float = 0.0) -> np.ndarray:
        return (rng.standard_normal(vocabulary) * spread + shift).astype(np.float32)

    def peaked() -> np.ndarray:
        row = normal(1.5)
        row[rng.integers(vocabulary)] = np.log(np.exp(row).sum()) + rng.uniform(1.5, 3)
        return row

    def masked() -> np.ndarray:
        return np.where(rng.random(vocabulary) < 0.5, normal(1.5), np.float32(-np.inf))

    def equal() -> np.ndarray:
        # So many equal tokens that every sum of their masses is exact: where a share of the mass
        # falls between two of them the rule decides, never rounding.
        row = np.full(vocabulary, -np.inf, np.float32)
        row[rng.permutation(vocabulary)[: 2 ** (vocabulary.bit_length() - 1)]] = 0.5
        return row

    def top_tied() -> np.ndarray:
        row = normal(1.5)
        row[rng.permutation(vocabulary)[:3]] = row.max() + np.float32(0.5)
        return row

    def one_left() -> np.ndarray:
        row = np.full(vocabulary, -np.inf, np.float32)
        row[rng.integers(1, vocabulary)] = -3
        return row

    kinds: dict[str, Callable[[], np.ndarray]] = {
        "spread": lambda: normal(1.5),
        "nearly flat": lambda: normal(0.1),
        "peaked": peaked,
        "half at -inf": masked,
        "one not at -inf": one_left,
        "far above zero": lambda: normal(1.5, 150),
        "far below zero": lambda: normal(1.5, -150),
        "all equal": equal,
        "greatest tied": top_tied,
        "tied at the cut 1": lambda: _tied(reference, normal(0.3)),
        "tied at the cut 2": lambda: _tied(reference, normal(0.3)),
    }
    rows: list[Row] = []
    left_out: dict[str, str] = {}
    for name, make in kinds.items():
        try:
            rows.append(_settled(reference, name, make, tied=name.startswith("tied")))
        except NothingLeft as refusal:
            left_out[name] = str(refusal)
    return rows, left_out


def rows_of_dtype(
    reference: Reference, vocabulary: int, rng: np.random.Generator, dtype: np.dtype
) -> list[Row]:
    """Return rows whose values `dtype` holds exactly: distinct ones, and a tie at the cut."""

    def staircase() -> np.ndarray:
        steps = rng.permutation(_GRID)[: min(vocabulary, _GRID)] - _GRID // 2
        row = np.full(vocabulary, steps.min())
        row[rng.permutation(vocabulary)[: len(steps)]] = steps
        return (row / 16).astype(dtype)

    return [
        _settled(reference, f"{dtype.name}", staircase),
        _settled(
            reference, f"{dtype.name}, tied", lambda: _tied(reference, staircase()), tied=True
        ),
    ]


def wide_rows(reference: Reference, vocabulary: int, rng: np.random.Generator) -> Iterator[Row]:
    """Yield float32 rows of a wide vocabulary."""
    for name, spread in (("wide", 3.0), ("wide, nearly flat", 0.1)):
        logits = (rng.standard_normal(vocabulary) * spread).astype(np.float32)
        yield reference.row(name, logits)


def _splits_ties(logits: np.ndarray, kept: np.ndarray) -> bool:
    """Tell whether of equal logits some are kept and some are not."""
    gone = logits[~kept]
    return bool(np.isin(gone[gone > -np.inf], logits[kept]).any())


def _settled(
    reference: Reference, name: str, make: Callable[[], np.ndarray], tied: bool = False
) -> Row:
    """Return the first row without tokens at the edge (and with a split tie), or the last tried.

    Raises:
        NothingLeft: on none of them anything is left to draw, as behind a list of allowed tokens.
    """
    found: Row | None = None
    refusal = ""
    for _ in range(_TRIES):
        logits = make()
        try:
            found = reference.row(name, logits)
        except ValueError as error:
            if np.isfinite(logits).all():
                raise
            refusal = str(error)
            continue
        if not found.edge.any() and (found.splits_ties or not tied):
            break
    if found is None:
        raise NothingLeft(f"nothing is expected of such a row: {refusal}")
    return found


def _tied(reference: Reference, row: np.ndarray) -> np.ndarray:
    """Return the row with tokens on both sides of the cut set equal, so that the cut splits a tie.

    The cut is where membership changes along the order of the logits; without one, in the middle.
    """
    order = np.argsort(-row.astype(np.float64), kind="stable")
    kept = reference(row)[order] > 0
    cuts = np.append(np.flatnonzero(kept[1:] != kept[:-1]), len(row) // 2)
    for cut in cuts[:2]:
        for width in (3, 4, 5, 6):
            tied = row.copy()
            tied[order[max(0, cut + 1 - width) : cut + 1 + width]] = row[order[cut]]
            if _splits_ties(tied, reference(tied) > 0):
                return tied
    return tied
