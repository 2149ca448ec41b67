"""A penalty on each distinct token, by how often it occurred."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from logit_sampling.distribution.checks import Numbers, Whole, check_flag, number
from logit_sampling.distribution.protocol import Distribution
from logit_sampling.strategies._memory import (
    accepted,
    appended,
    as_state,
    counted,
    held,
    log_of,
    past_of,
    per_row,
    roomy,
    tally,
)
from logit_sampling.strategies._tokens import steady
from logit_sampling.strategies.transform import Strategy
from logit_sampling.types import ArrayLike, Integers


@dataclass(frozen=True)
class CountPenalty(Strategy):
    """A penalty on each distinct token, by how often it occurred.

    The state is a table of distinct ids and one of their counts, [batch, capacity], and with a
    window the log of its tokens.
    """

    penalty: Numbers = number()
    window: Whole = number(ge=1, le=2**31 - 1, integer=True, static=True, default=None)
    prompt: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        check_flag(self, "prompt")

    @property
    def _limit(self) -> int | None:
        return None if self.window is None else int(np.max(self.window))

    def _penalized(self, xp: Any, x: Any, penalty: Any, counts: Any) -> Any:
        """Return the new logits of tokens with `counts` above 0, all [batch, n]."""
        raise NotImplementedError(f"{type(self).__name__} does not write `_penalized`")

    def init(
        self,
        history: ArrayLike,
        vocab_size: int,
        capacity: int = 0,
        prompt_length: Integers | None = None,
    ) -> tuple[ArrayLike, ...]:
        """Return ids and counts, and with a window the log."""
        xp, past, generated = past_of(self, history, vocab_size, capacity, prompt_length)
        log = log_of(xp, past if self.prompt else generated, self._limit)
        within = log
        if self.window is not None:
            columns = xp.arange(log.shape[1], dtype="int32")
            within = xp.where(columns >= log.shape[1] - per_row(self.window), log, -1)
        ids, counts = tally(xp, within)
        if xp is np:  # as narrow as they get with the room that the history came with
            room = past.shape[1] - (past >= 0).sum(axis=1).max(initial=0)
            width = max((counts > 0).sum(axis=1).max(initial=0) + room, 1)
            ids, counts = ids[:, :width], counts[:, :width]
        return as_state(xp, ids, counts, *([] if self.window is None else [log]))

    def update(self, state: Any, ids: ArrayLike) -> tuple[ArrayLike, ...]:
        """Count the token, and no longer the one that the window leaves behind."""
        xp, token, (seen, counts, *logs) = accepted(ids, state)
        if self.window is None:
            return as_state(xp, *counted(xp, token, seen, counts))
        (log,) = roomy(xp, self._limit, token, *logs)
        column = log.shape[1] - per_row(self.window) + 0 * token
        leaving = xp.take_along_axis(log, xp.maximum(column, 0), axis=1)
        leaves = (leaving >= 0) & (token >= 0)
        counts = xp.where((seen == leaving) & leaves, counts - 1, counts)
        table = counted(xp, token, seen, counts)
        return as_state(xp, *table, appended(xp, self._limit, token, log))

    def apply(self, distribution: Distribution, state: Any = ()) -> Distribution:
        distribution, (ids, counts, *_) = held(distribution, state)
        xp, penalty = distribution.xp, distribution.per_row(self.penalty)[:, None]
        return distribution.adjust(
            xp.where(counts > 0, ids, -1),
            lambda x: steady(xp, x, self._penalized(xp, x, penalty, counts)),
        )
