"""What followed the latest tokens before: the state of rules on repetition."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from logit_sampling.strategies._memory import (
    accepted,
    appended,
    as_state,
    endings,
    log_of,
    past_of,
    roomy,
    shifted,
)
from logit_sampling.strategies.transform import Strategy
from logit_sampling.types import ArrayLike, Integers


@dataclass(frozen=True)
class Repeats(Strategy):
    """A rule for tokens that once followed the latest ones.

    The state is the log, and for each of its columns how many tokens before it are also the latest
    ones, [batch, capacity]; further than `_enough` nobody needs to know.
    """

    def _enough(self) -> Any:
        """Return up to which length a repetition matters, int32 [1, 1] or [batch, 1]."""
        raise NotImplementedError(f"{type(self).__name__} does not write `_enough`")

    @property
    def _limit(self) -> int | None:
        """How many of the latest tokens the log holds, or None for all."""
        return None

    def init(
        self,
        history: ArrayLike,
        vocab_size: int,
        capacity: int = 0,
        prompt_length: Integers | None = None,
    ) -> tuple[ArrayLike, ...]:
        """Return the log, and what repeats before each of its columns."""
        xp, past, _ = past_of(self, history, vocab_size, capacity, prompt_length)
        log = log_of(xp, past, self._limit)
        if xp is not np:
            return as_state(xp, log, _repeats(xp, log, self._enough()))
        lengths = np.zeros_like(log)
        enough = np.broadcast_to(self._enough(), (len(log), 1))
        for own, row, most in zip(lengths, log, enough[:, 0], strict=True):
            tokens = row[row >= 0]
            own[row.size - tokens.size :] = endings(tokens, int(most))
        return as_state(xp, log, lengths)

    def update(self, state: Any, ids: ArrayLike) -> tuple[ArrayLike, ...]:
        """Append the token; what went on with it repeats one token more."""
        xp, token, arrays = accepted(ids, state)
        log, lengths = roomy(xp, self._limit, token, *arrays)
        longer = xp.where(log == token, lengths + 1, 0)
        log = appended(xp, self._limit, token, log)
        return as_state(xp, log, xp.where(token < 0, lengths, longer))


def _repeats(xp: Any, log: Any, enough: Any) -> Any:
    """Return how many tokens before each column of a log are also the latest ones, in a graph."""
    size = log.shape[1]
    known = isinstance(enough, np.ndarray)
    most, few = min(int(enough.max()), size - 1) if known else size - 1, 3
    still, lengths = log >= 0, xp.zeros_like(log)
    for back in range(1, min(most, few) + 1):  # the usual case, without a loop
        latest = log[:, size - back : size - back + 1]
        still = still & (shifted(xp, log, back) == latest) & (latest >= 0) & (enough >= back)
        lengths = xp.where(still, back, lengths)
    if most <= few:
        return lengths
    columns, wanted = xp.arange(size, dtype="int32"), xp.convert_to_tensor(enough)

    def longer(back: Any, still: Any, lengths: Any) -> tuple[Any, ...]:
        before = xp.take(log, xp.maximum(columns - back, 0), axis=1)
        latest = xp.take(log, xp.reshape(size - back, (1,)), axis=1)
        still = still & (before == latest) & (latest >= 0) & (columns >= back) & (wanted >= back)
        return back + 1, still, xp.where(still, back, lengths)

    start = (xp.convert_to_tensor(few + 1, "int32"), still, lengths)
    return xp.while_loop(lambda back, still, _: xp.any(still) & (back <= most), longer, start)[2]
