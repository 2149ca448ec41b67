"""A budget for what stands between two markers."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self, cast

import numpy as np

from logit_sampling.distribution.checks import Kept, Whole, check_flag, concrete, number
from logit_sampling.distribution.protocol import Distribution
from logit_sampling.strategies._formula import Row
from logit_sampling.strategies._memory import (
    accepted,
    appended,
    as_state,
    held,
    log_of,
    past_of,
    per_row,
    shifted,
)
from logit_sampling.strategies._tokens import parameter, sequence
from logit_sampling.strategies.transform import Strategy
from logit_sampling.types import ArrayLike, Integers

Marker = Kept[int | Sequence[int], tuple[int, ...]]


@dataclass(frozen=True)
class SpanBudget(Strategy):
    """Close a span that gets too long: a chain of thought, a quotation, a block of code.

    A span is what stands behind `start`, and goes on to the next `end`. Once it has `budget` tokens
    the tokens of `closing` come, one a step, each with logit 0 (even from -inf), and `end` behind
    them. A `start` within a span is part of it.

    Args:
        budget: how many tokens a span has before it is closed, at least 0, or one for each row.
        start: the id, or the ids in a row, that open it.
        end: the id, or the ids in a row, that close it.
        closing: ids that come before `end` where it is closed so; none by default.
        prompt: whether a span may begin in the prompt, whose tokens count then.

    Raises:
        ValueError: a value is out of range, `start` ends as `end` does, or the vocabulary lacks one
            of the tokens.

    Source:
        Muennighoff et al., s1: Simple test-time scaling, 2025, arXiv 2501.19393 (budget forcing).

    Example:
        >>> # Token 1 opens the span, 2 closes it, and 3 says that it is enough.
        >>> import numpy as np, logit_sampling as ls
        >>> budget, x = ls.SpanBudget(2, start=1, end=2, closing=3), np.array([3.0, 2.0, -1.0, 0.0])
        >>> budget(x, history=[1, 0])
        array([ 3.,  2., -1.,  0.])
        >>> budget(x, history=[1, 0, 0])
        array([-inf, -inf, -inf,   0.])
        >>> budget(x, history=[1, 0, 0, 3])
        array([-inf, -inf,   0., -inf])
        >>> budget(x, history=[1, 0, 0, 3, 2])
        array([ 3.,  2., -1.,  0.])
    """

    budget: Whole = number(ge=0, le=2**31 - 1, integer=True)
    start: Marker = parameter()
    end: Marker = parameter()
    closing: Marker = parameter(default=())
    prompt: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("start", "end"):
            object.__setattr__(self, name, sequence(self, name, concrete(self, name)))
        closing = concrete(self, "closing")
        empty = isinstance(closing, list | tuple) and not closing
        object.__setattr__(self, "closing", () if empty else sequence(self, "closing", closing))
        check_flag(self, "prompt")
        if self.start[-len(self.end) :] == self.end:
            raise ValueError(
                f"SpanBudget needs a `start` that does not end as `end`, {self.end}, which would "
                f"close it at once; got {self.start}"
            )

    @classmethod
    def from_text(
        cls,
        tokenizer: object,
        budget: int,
        start: str,
        end: str,
        closing: str = "",
        prompt: bool = True,
    ) -> Self:
        """Return the same for markers and a closing that are text.

        Args:
            tokenizer: a model of `load_model`, or what has `encode(text)`; a start token that it
                puts before each text is left out.
            budget, start, end, closing, prompt: see above.

        Raises:
            ValueError: it finds no token in a marker.
        """
        encode: Any = getattr(tokenizer, "encode", None)
        if not callable(encode):
            raise ValueError(f"a tokenizer needs encode(text); got {tokenizer!r}")

        def encoded(text: str) -> tuple[int, ...]:
            found = encode(text)
            return tuple(int(i) for i in getattr(found, "ids", found))

        before = encoded("")

        def ids(text: str) -> tuple[int, ...]:
            found = encoded(text)
            return found[len(before) :] if found[: len(before)] == before else found

        return cls(budget, ids(start), ids(end), ids(closing) if closing else (), prompt)

    def token_ids_named(self) -> tuple[int, ...]:
        return (*self.start, *self.end, *self.closing)

    def formula(self, x: Row, past: list[int], generated: list[int]) -> Row:
        tokens, inside = past if self.prompt else generated, -1
        for place in range(1, len(tokens) + 1):
            text = tuple(tokens[:place])
            if text[-len(self.end) :] == self.end:
                inside = -1
            elif inside >= 0:
                inside += 1
            elif text[-len(self.start) :] == self.start:
                inside = 0
        if inside < self.budget:
            return x
        forced = (*self.closing, *self.end)
        token = forced[min(inside - self.budget, len(forced) - 1)]
        return [0.0 if i == token else -math.inf for i in range(len(x))]

    def init(
        self,
        history: ArrayLike,
        vocab_size: int,
        capacity: int = 0,
        prompt_length: Integers | None = None,
    ) -> tuple[ArrayLike, ...]:
        """Return the log of the latest tokens, and how many stand in an open span, -1 for none."""
        xp, past, generated = past_of(self, history, vocab_size, 0, prompt_length)
        size = max(len(self.start), len(self.end))
        past = past if self.prompt else generated
        log = log_of(xp, xp.pad(past, ((0, 0), (size, 0)), constant_values=-1))
        places, length = xp.arange(log.shape[1], dtype="int32")[None], log.shape[1]
        closed = xp.max(xp.where(_comes(xp, log, self.end), places, -1), axis=1, keepdims=True)
        opens = _comes(xp, log, self.start) & (places > closed)
        opened = xp.min(xp.where(opens, places, length), axis=1)
        inside = xp.where(opened < length, length - 1 - opened, -1)
        return as_state(xp, log[:, length - size :], inside)

    def update(self, state: tuple[ArrayLike, ...], ids: ArrayLike) -> tuple[ArrayLike, ...]:
        """Append the token, and count it where a span is open."""
        xp, token, (log, inside) = accepted(ids, state)
        new = appended(xp, log.shape[1], token, log)
        opens, closes = (_comes(xp, new, ids)[:, -1] for ids in (self.start, self.end))
        following = xp.where(inside >= 0, inside + 1, xp.where(opens, 0, -1))
        following = xp.where(closes, -1, following)
        return as_state(xp, new, xp.where(token[:, 0] >= 0, following, inside))

    def apply(self, distribution: Distribution, state: object = ()) -> Distribution:
        distribution, (_, inside) = held(distribution, cast(tuple[Any, ...], state))
        xp, forced = distribution.xp, np.asarray([*self.closing, *self.end], np.int32)
        over = inside[:, None] - per_row(self.budget)
        places = xp.clip(over[:, 0], 0, forced.size - 1)
        return distribution.force(
            xp.where((inside >= 0) & (over[:, 0] >= 0), xp.take(forced, places), -1)
        )


def _comes(xp: Any, log: Any, ids: tuple[int, ...]) -> Any:
    """Tell at which places of a log a sequence is complete, bool [batch, length]."""
    found = log == ids[-1]
    for by, token in enumerate(reversed(ids[:-1]), 1):
        found = found & (shifted(xp, log, by) == token)
    return found
