"""How many tokens each row has generated: the state of what acts at some steps."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from logit_sampling.distribution.protocol import Distribution
from logit_sampling.strategies._memory import accepted, as_state, past_of
from logit_sampling.strategies.transform import Strategy
from logit_sampling.types import ArrayLike, Integers


@dataclass(frozen=True)
class TokenCount(Strategy):
    """A strategy whose state is how many tokens each row has generated, int32 [batch].

    One with a true `prompt` counts those of the prompt too.
    """

    def init(
        self,
        history: ArrayLike,
        vocab_size: int,
        capacity: int = 0,
        prompt_length: Integers | None = None,
    ) -> tuple[ArrayLike, ...]:
        """Return the number of tokens."""
        xp, past, generated = past_of(self, history, vocab_size, capacity, prompt_length)
        counted = past if getattr(self, "prompt", False) else generated
        return as_state(xp, xp.sum(xp.where(counted >= 0, 1, 0), axis=1))

    def update(self, state: Any, ids: ArrayLike) -> tuple[ArrayLike, ...]:
        """Count the token."""
        xp, token, (count,) = accepted(ids, state)
        return as_state(xp, count + xp.where(token[:, 0] >= 0, 1, 0))


def without_tokens(
    distribution: Distribution, token_ids: tuple[int, ...], when: Any
) -> Distribution:
    """Remove tokens in the rows for which `when` holds, bool [batch, 1]."""
    return distribution.adjust([token_ids], lambda x: distribution.xp.where(when, -np.inf, x))
