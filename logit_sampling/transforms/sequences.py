"""Biases on sequences: on the token that would complete one."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from logit_sampling.checks import check_flag
from logit_sampling.transforms.memory import HistoryTransform, appended, log_of
from logit_sampling.transforms.tokens import biased, biases_of, sequences_of


@dataclass(frozen=True)
class SequenceRule(HistoryTransform):
    """Add a bias to the last token of a sequence when the history ends with what is before it.

    The state is the latest tokens, as many as the longest sequence needs.
    """

    def _pairs(self) -> tuple[tuple[tuple[int, ...], float], ...]:
        """Return the sequences and their biases."""
        raise NotImplementedError(f"{type(self).__name__} does not write `_pairs`")

    def _names(self) -> tuple[int, ...]:
        return tuple(token for ids, _ in self._pairs() for token in ids)

    def remember(self, xp: Any, past: Any, generated: Any) -> tuple[Any]:
        """Return the log of the latest tokens."""
        size = max((len(ids) - 1 for ids, _ in self._pairs()), default=0)
        past = past if getattr(self, "prompt", True) else generated
        padded = xp.pad(past, ((0, 0), (size, 0)), constant_values=-1)
        return (log_of(xp, padded, size),)

    def accept(self, xp: Any, token: Any, *state: Any) -> tuple[Any]:
        """Append the token."""
        (log,) = state
        return (appended(xp, log.shape[1], token, log) if log.shape[1] else log,)

    def narrow(self, scores: Any, *state: Any) -> Any:
        """Return the scores of an engine, with the biases of all sequences that match."""
        xp, (log,), pairs = scores.xp, state, self._pairs()
        if not pairs:
            return scores
        heads = np.full((len(pairs), log.shape[1]), -1, np.int32)  # -1 is any token
        for head, (ids, _) in zip(heads, pairs, strict=True):
            head[log.shape[1] + 1 - len(ids) :] = ids[:-1]
        match = xp.all((log[:, None] == heads) | (heads < 0), axis=-1)
        bias = np.asarray([bias for _, bias in pairs])
        # What several sequences add to one token adds up, and -inf beats +inf.
        lasts, group = np.unique([ids[-1] for ids, _ in pairs], return_inverse=True)
        sizes = np.bincount(group)
        members = np.full((len(lasts), sizes.max()), len(pairs))
        for token, size in enumerate(sizes):
            members[token, :size] = np.flatnonzero(group == token)
        added = xp.pad(xp.where(match, bias, 0.0), ((0, 0), (0, 1)))
        added = xp.take(added, members, axis=1)
        total = xp.sum(xp.where(added == -np.inf, 0.0, added), axis=-1)
        total = xp.where(xp.any(added == -np.inf, axis=-1), -np.inf, total)
        ids = xp.where(total == 0, -1, lasts.astype(np.int32))
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

    def _pairs(self) -> tuple[tuple[tuple[int, ...], float], ...]:
        return self.bias


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

    def _pairs(self) -> tuple[tuple[tuple[int, ...], float], ...]:
        return tuple((ids, -np.inf) for ids in self.sequences)
