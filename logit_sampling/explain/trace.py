"""The trace of a row through a chain, as data."""

import os
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from logit_sampling.distribution.eager import EagerDistribution
from logit_sampling.distribution.row import EagerRow
from logit_sampling.plain import strict_json

if TYPE_CHECKING:
    from rich.console import RenderableType

Decode = Callable[[list[int]], str] | Sequence[str]


@dataclass(frozen=True)
class Stage:
    """What one stage of a chain did to one row.

    Attributes:
        name: the transform with its parameters; the last one of a `Greedy` is `Greedy()`.
        tokens_before: how many tokens could be drawn from what arrived.
        tokens_after: how many can be drawn from what the stage passes on.
        removed: how many of the former are no longer among the latter.
        removed_mass: their probability in the distribution that arrived.
        entropy_before: of what arrived, nats.
        entropy_after: of what is passed on, nats; 0 where nothing is left.
    """

    name: str
    tokens_before: int
    tokens_after: int
    removed: int
    removed_mass: float
    entropy_before: float
    entropy_after: float


@dataclass(frozen=True)
class Token:
    """What happened to one token.

    Attributes:
        id: the token id.
        text: its text, None if no `decode` was given.
        log_probs: its log-probability, nats, in the logits and after each stage; -inf once removed.
        removed_by: the stage that removed it, a position in `stages`; None if none did.
    """

    id: int
    text: str | None
    log_probs: tuple[float, ...]
    removed_by: int | None

    @property
    def raw_log_prob(self) -> float:
        """The log-probability under the softmax of the logits."""
        return self.log_probs[0]

    @property
    def final_log_prob(self) -> float:
        """The log-probability in the distribution of the draw."""
        return self.log_probs[-1]

    def to_dict(self) -> dict[str, Any]:
        """Return all of it, ready for `json.dumps`: None stands for -inf."""
        return strict_json(
            {
                "id": self.id,
                "text": self.text,
                "raw_log_prob": self.raw_log_prob,
                "final_log_prob": self.final_log_prob,
                "log_probs": self.log_probs,
                "removed_by": self.removed_by,
            }
        )


@dataclass(frozen=True, repr=False)
class Explanation:
    """What a chain did to one row of logits; `print` shows it as a table.

    Attributes:
        stages: one for each transform, in order, and for a `Greedy` its choice.
        tokens: those asked for: the likeliest before the chain, the likeliest after it, and the
            one drawn; the likeliest before the chain first.
        drawn: the token id that the seed and step draw; None without a seed.
        log_probs: float64 [stages + 1, vocab], nats: of the logits, and behind each stage.
        removed_by: int [vocab], for each token the position of the stage that removed it, or -1.
    """

    stages: tuple[Stage, ...]
    tokens: tuple[Token, ...]
    drawn: int | None
    log_probs: np.ndarray = field(compare=False)
    removed_by: np.ndarray = field(compare=False)

    @property
    def raw_log_probs(self) -> np.ndarray:
        """Of the logits, float64 [vocab], nats."""
        return self.log_probs[0]

    @property
    def final_log_probs(self) -> np.ndarray:
        """Of the distribution of the draw, float64 [vocab], nats."""
        return self.log_probs[-1]

    def token(self, id: int, text: str | None = None) -> Token:
        """Return what happened to any token.

        Args:
            id: the token.
            text: what to call it.
        """
        place = int(self.removed_by[id])
        log_probs = tuple(self.log_probs[:, id].tolist())
        return Token(int(id), text, log_probs, None if place < 0 else place)

    def to_dict(self) -> dict[str, Any]:
        """Return stages, tokens and the draw, without the arrays, ready for `json.dumps`."""
        return strict_json(
            {
                "vocab_size": self.raw_log_probs.size,
                "entropy": entropy(self.raw_log_probs),
                "stages": [asdict(stage) for stage in self.stages],
                "tokens": [token.to_dict() for token in self.tokens],
                "drawn": self.drawn,
            }
        )

    def plot(self, path: str | os.PathLike[str], title: str = "") -> None:
        """Draw it into a file: the whole vocabulary by rank, and the tokens as bars.

        Args:
            path: .png, .svg or .pdf; an existing file is replaced, whole or not at all.
            title: what to write above.

        Raises:
            ValueError: matplotlib is not installed, or the file cannot be made.
        """
        from logit_sampling.explain.picture import draw

        draw(self, path, title)

    def widget(self, decode: Decode | None = None, *others: "Explanation") -> Any:
        """Return a widget for a notebook: the whole distribution, before and behind the chain.

        Args:
            decode: for the texts of tokens: list of ids -> text, such as `model.decode`, or a list
                with the text of each. Without it their ids are shown.
            *others: what other chains do to the same logits, to be shown beside it.

        Raises:
            ValueError: anywidget is not installed (`pip install "logit-sampling[notebook]"`), or
                the others are of other logits.
        """
        from logit_sampling.explain.widget import widget

        return widget([self, *others], decode)

    def __rich__(self) -> "RenderableType":
        from logit_sampling.explain.table import tables

        return tables(self)

    def __str__(self) -> str:
        from logit_sampling.explain.table import as_text

        return as_text(self)

    __repr__ = __str__


def explain_rows(
    passed: Sequence[Any],
    transforms: Sequence[Any],
    selector: str,
    seeded: bool,
    top: int,
    decode: Decode | None,
) -> tuple[Explanation, ...]:
    """Return the trace of each row.

    Args:
        passed: the scores as they came in, after each transform, and those of the draw.
        transforms: the chain.
        selector: what to call the stage between the last two; it is none if they are the same.
        seeded: whether to tell what is drawn.
        top: how many of the likeliest tokens to show, before and after.
        decode: token ids -> text, or the text of each id, or None.

    Raises:
        ValueError: a row came in with nothing to draw from.
    """
    final = passed[-1]
    passed = passed[:-1] if final is passed[-2] else passed
    explanations = []
    for i in range(len(final.rows)):
        if passed[0].rows[i].empty:
            raise ValueError(f"every token of row {i} is at -inf: there is nothing to explain")
        log_probs = [_log_probs(scores.rows[i], scores.vocab_size) for scores in passed]
        names = [*(name_of(transform.of_row(i)) for transform in transforms), selector]
        names = names[: len(passed) - 1]
        drawn = _drawn(final, i) if seeded and not final.rows[i].empty else None
        explanations.append(_explanation(log_probs, names, drawn, top, decode))
    return tuple(explanations)


def check_arguments(top: Any, decode: Any, vocabulary: int) -> None:
    """Raise ValueError unless `top` is a count and `decode` can name each token."""
    if not isinstance(top, int | np.integer) or isinstance(top, bool) or top < 1:
        raise ValueError(f"top must be an integer of at least 1, got {top!r}")
    if decode is None or callable(decode):
        return
    if isinstance(decode, str) or not hasattr(decode, "__len__") or len(decode) < vocabulary:
        raise ValueError(
            f"decode must be a function from a list of token ids to text, or a list with the text "
            f"of each of the {vocabulary} tokens; got {decode!r:.60}"
        )


def _explanation(
    log_probs: list[np.ndarray],
    names: Iterable[str],
    drawn: int | None,
    top: int,
    decode: Decode | None,
) -> Explanation:
    stages, removed_by = [], np.full(log_probs[0].size, -1)
    entropies = [entropy(p) for p in log_probs]
    steps = zip(names, log_probs[:-1], log_probs[1:], strict=True)
    for place, (name, before, after) in enumerate(steps):
        there, stays = before > -np.inf, after > -np.inf
        gone = there & ~stays
        removed_by[gone] = place
        stages.append(
            Stage(
                name=name,
                tokens_before=int(there.sum()),
                tokens_after=int(stays.sum()),
                removed=int(gone.sum()),
                removed_mass=float(np.exp(before[gone]).sum()),
                entropy_before=entropies[place],
                entropy_after=entropies[place + 1],
            )
        )
    raw, final = log_probs[0], log_probs[-1]
    removed_by[final > -np.inf] = -1  # a stage may bring a token back
    shown = {int(i) for p in (raw, final) for i in likeliest(p, top) if p[i] > -np.inf}
    shown |= set() if drawn is None else {drawn}
    made = Explanation(tuple(stages), (), drawn, np.stack(log_probs), removed_by)
    order = sorted(shown, key=lambda i: (-raw[i], i))
    return replace(made, tokens=tuple(made.token(i, _text(decode, i)) for i in order))


def name_of(transform: Any) -> str:
    """Return the repr, without the places of functions in memory.

    >>> name_of(print), name_of(check_arguments)
    ('<built-in function print>', '<function check_arguments>')
    """
    return re.sub(r" at 0x[0-9A-Fa-f]+>", ">", repr(transform))


def in_order(log_probs: np.ndarray) -> np.ndarray:
    """Return all token ids, the likeliest first and of equals the lower id."""
    return np.argsort(-log_probs, kind="stable")


def likeliest(log_probs: np.ndarray, count: int) -> np.ndarray:
    """Return the first of all token ids in that order, without sorting the others.

    >>> likeliest(np.log([0.2, 0.1, 0.2, 0.5]), 2).tolist()
    [3, 0]
    """
    if count >= log_probs.size:
        return in_order(log_probs)
    least = np.partition(log_probs, -count)[-count]
    there = np.flatnonzero(log_probs >= least)
    return there[in_order(log_probs[there])][:count]


def entropy(log_probs: np.ndarray) -> float:
    """Return the entropy in nats; 0 where nothing is left."""
    finite = log_probs[log_probs > -np.inf]
    return max(0.0, -float(np.dot(np.exp(finite), finite)))


def _log_probs(row: EagerRow, vocabulary: int) -> np.ndarray:
    """Return log-probabilities, float64 [vocab], all -inf where nothing is left."""
    if row.empty:
        return np.full(vocabulary, -np.inf)
    return row.spread(row.weights.logs() - row.weights.log_total, vocabulary, -np.inf)


def _drawn(scores: EagerDistribution, i: int) -> int:
    """Return the token drawn for one row, whatever the others hold."""
    assert scores.seeds is not None and scores.steps is not None
    part = slice(i, i + 1)
    seeds, steps = scores.seeds[part], scores.steps[part]
    return int(EagerDistribution(scores.rows[part], scores.vocab_size, seeds, steps).draw()[0])


def _text(decode: Decode | None, token: int) -> str | None:
    if decode is None:
        return None
    return decode([token]) if callable(decode) else decode[token]
