"""Biases on sequences: on the token that would complete one."""

from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np

from logit_sampling.distribution.checks import check_flag
from logit_sampling.strategies.memory import (
    HistoryTransform,
    appended,
    ends_with,
    hot_columns,
    log_of,
    table_of,
)
from logit_sampling.strategies.tokens import biased, biases_of, sequences_of


@dataclass(frozen=True)
class SequenceRule(HistoryTransform):
    """Add a bias to the last token of a sequence when the history ends with what is before it.

    The state is the latest tokens, as many as the longest sequence needs.
    """

    def _sequences(self) -> tuple[tuple[int, ...], ...]:
        """Return the sequences."""
        raise NotImplementedError(f"{type(self).__name__} does not write `_sequences`")

    def _biases(self) -> np.ndarray:
        """Return their biases, float64 [n]."""
        raise NotImplementedError(f"{type(self).__name__} does not write `_biases`")

    def _names(self) -> tuple[int, ...]:
        return tuple(chain.from_iterable(self._sequences()))

    def remember(self, xp: Any, past: Any, generated: Any) -> tuple[Any]:
        """Return the log of the latest tokens."""
        size = max((len(ids) - 1 for ids in self._sequences()), default=0)
        past = past if getattr(self, "prompt", True) else generated
        padded = xp.pad(past, ((0, 0), (size, 0)), constant_values=-1)
        return (log_of(xp, padded, size),)

    def accept(self, xp: Any, token: Any, *state: Any) -> tuple[Any]:
        """Append the token."""
        (log,) = state
        return (appended(xp, log.shape[1], token, log) if log.shape[1] else log,)

    def narrow(self, scores: Any, *state: Any) -> Any:
        """Return the scores of an engine, with the biases of all sequences that match."""
        xp, (log,), table = scores.xp, state, table_of(self._sequences())
        if not table.size:
            return scores
        match = ends_with(xp, log, table[:, :-1])
        match, lasts, bias = hot_columns(xp, match, table.T[-1:], self._biases()[None])
        if not lasts.size:
            return scores
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
        return scores.adjust(ids, lambda x: biased(xp, x, total))


@dataclass(frozen=True)
class SequenceBias(SequenceRule):
    """Add a bias to the token that would complete a sequence; what several add, adds up.

    The prompt counts. A sequence of one token always gets its bias; -inf beats +inf.

    Args:
        bias: maps sequences of token ids (tuples), or single ids, to numbers.

    Raises:
        ValueError: it is no such mapping, or the vocabulary lacks one of the tokens.

    Source:
        Hugging Face transformers, `sequence_bias`, 2023.

    Example:
        >>> import numpy as np, logit_sampling as ls
        >>> bias = ls.SequenceBias({(0, 1): 2.0, (2, 0, 1): 3.0, (1, 2): 9.0})
        >>> bias(np.array([3.0, 1.0, -1.0]), history=[1, 2, 0])
        array([ 3.,  6., -1.])
    """

    bias: Any

    def __post_init__(self) -> None:
        object.__setattr__(self, "bias", biases_of(self, "bias"))

    def _sequences(self) -> tuple[tuple[int, ...], ...]:
        return tuple(ids for ids, _ in self.bias)

    def _biases(self) -> np.ndarray:
        return np.asarray([bias for _, bias in self.bias])


@dataclass(frozen=True)
class BadWords(SequenceRule):
    """Remove the token that would complete one of some sequences.

    A sequence of one token is never drawn.

    Args:
        sequences: lists of token ids, or single ids.
        prompt: whether a sequence may begin in the prompt.

    Raises:
        ValueError: they are none, or the vocabulary lacks one of the tokens.

    Source:
        Hugging Face transformers, `bad_words_ids`, 2019.

    Example:
        >>> import numpy as np, logit_sampling as ls
        >>> ls.BadWords([[0, 1], [2]])(np.array([3.0, 1.0, -1.0]), history=[1, 0])
        array([  3., -inf, -inf])
    """

    sequences: Any
    prompt: bool = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "sequences", sequences_of(self, "sequences"))
        check_flag(self, "prompt")

    def _sequences(self) -> tuple[tuple[int, ...], ...]:
        return self.sequences

    def _biases(self) -> np.ndarray:
        return np.full(len(self.sequences), -np.inf)
