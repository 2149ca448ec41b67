"""A rule on sequences: on the token that would complete one."""

from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np

from logit_sampling.distribution.protocol import Distribution
from logit_sampling.strategies._memory import (
    accepted,
    appended,
    as_state,
    ends_with,
    held,
    hot_columns,
    log_of,
    past_of,
    table_of,
)
from logit_sampling.strategies._tokens import biased
from logit_sampling.strategies.transform import Strategy
from logit_sampling.types import ArrayLike, Integers


@dataclass(frozen=True)
class SequenceRule(Strategy):
    """Add a bias to the last token of a sequence when the history ends with what is before it.

    The state is the latest tokens, as many as the longest sequence needs.
    """

    def _sequences(self) -> tuple[tuple[int, ...], ...]:
        """Return the sequences."""
        raise NotImplementedError(f"{type(self).__name__} does not write `_sequences`")

    def _biases(self) -> np.ndarray:
        """Return their biases, float64 [n]."""
        raise NotImplementedError(f"{type(self).__name__} does not write `_biases`")

    def token_ids_named(self) -> tuple[int, ...]:
        return tuple(chain.from_iterable(self._sequences()))

    def init(
        self,
        history: ArrayLike,
        vocab_size: int,
        capacity: int = 0,
        prompt_length: Integers | None = None,
    ) -> tuple[ArrayLike, ...]:
        """Return the log of the latest tokens."""
        xp, past, generated = past_of(self, history, vocab_size, capacity, prompt_length)
        size = max((len(ids) - 1 for ids in self._sequences()), default=0)
        past = past if getattr(self, "prompt", True) else generated
        padded = xp.pad(past, ((0, 0), (size, 0)), constant_values=-1)
        return as_state(xp, log_of(xp, padded, size))

    def update(self, state: Any, ids: ArrayLike) -> tuple[ArrayLike, ...]:
        """Append the token."""
        xp, token, (log,) = accepted(ids, state)
        return as_state(xp, appended(xp, log.shape[1], token, log) if log.shape[1] else log)

    def apply(self, distribution: Distribution, state: Any = ()) -> Distribution:
        distribution, (log,) = held(distribution, state)
        xp, table = distribution.xp, table_of(self._sequences())
        if not table.size:
            return distribution
        match = ends_with(xp, log, table[:, :-1])
        match, lasts, bias = hot_columns(xp, match, table.T[-1:], self._biases()[None])
        if not lasts.size:
            return distribution
        # What several sequences add to one token adds up, and -inf beats +inf. It is added one by
        # one, so that what else is in the list or in the batch changes no rounding.
        tokens, group, sizes = np.unique(lasts[0], return_inverse=True, return_counts=True)
        order = group.argsort(kind="stable")
        place = np.arange(order.size) - np.repeat(sizes.cumsum() - sizes, sizes)
        members = np.full((tokens.size, sizes.max()), order.size)
        members[group[order], place] = order
        added = xp.pad(xp.where(match, bias, 0.0), ((0, 0), (0, 1)))
        added = xp.take(added, members, axis=1)
        total = xp.cumsum(xp.where(added == -np.inf, 0.0, added), axis=-1)[..., -1]
        total = xp.where(xp.any(added == -np.inf, axis=-1), -np.inf, total)
        ids = xp.where(total == 0, -1, tokens)
        return distribution.adjust(ids, lambda x: biased(xp, x, total))
