"""Penalties on tokens that were there before."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from logit_sampling.distribution.checks import Numbers, check_flag, number
from logit_sampling.strategies.memory import (
    HistoryTransform,
    appended,
    counted,
    endings,
    hot_columns,
    log_of,
    per_row,
    roomy,
    shifted,
    tally,
)
from logit_sampling.strategies.tokens import steady


@dataclass(frozen=True)
class CountPenalty(HistoryTransform):
    """A penalty on each distinct token, by how often it occurred.

    The state is a table of distinct ids and one of their counts, [batch, capacity], and with a
    window the log of its tokens.
    """

    penalty: Numbers = number()
    window: Any = number(ge=1, le=2**31 - 1, integer=True, static=True, default=None)
    prompt: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        check_flag(self, "prompt")

    @property
    def _limit(self) -> int | None:
        return None if self.window is None else int(np.max(self.window))

    def penalized(self, xp: Any, x: Any, penalty: Any, counts: Any) -> Any:
        """Return the new logits of tokens with ``counts`` above 0, all [batch, n]."""
        raise NotImplementedError(f"{type(self).__name__} does not write `penalized`")

    def remember(self, xp: Any, past: Any, generated: Any) -> tuple[Any, ...]:
        """Return ids and counts, and with a window the log."""
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
        return (ids, counts) if self.window is None else (ids, counts, log)

    def accept(self, xp: Any, token: Any, *state: Any) -> tuple[Any, ...]:
        """Count the token, and no longer the one that the window leaves behind."""
        ids, counts, *logs = state
        if self.window is None:
            return counted(xp, token, ids, counts)
        (log,) = roomy(xp, self._limit, token, *logs)
        column = log.shape[1] - per_row(self.window) + 0 * token
        leaving = xp.take_along_axis(log, xp.maximum(column, 0), axis=1)
        leaves = (leaving >= 0) & (token >= 0)
        counts = xp.where((ids == leaving) & leaves, counts - 1, counts)
        return *counted(xp, token, ids, counts), appended(xp, self._limit, token, log)

    def narrow(self, scores: Any, *state: Any) -> Any:
        """Return the scores of an engine, changed at the tokens in the table."""
        ids, counts = state[:2]
        penalty = scores.numbers(self.penalty)[:, None]
        return scores.adjust(
            scores.xp.where(counts > 0, ids, -1),
            lambda x: steady(scores.xp, x, self.penalized(scores.xp, x, penalty, counts)),
        )


@dataclass(frozen=True)
class RepetitionPenalty(CountPenalty):
    """Divide the logits above 0 of tokens seen by ``penalty``, and multiply the others by it.

    Once for each distinct token; infinite logits stay. A constant added to a row changes what it
    does: apply it to raw logits, before all else.

    Args:
        penalty: above 0, or one for each row; above 1 discourages, 1 changes nothing.
        window: how many of the latest tokens count, or None for all, or one for each row.
        prompt: whether those of the prompt count.

    Raises:
        ValueError: a value is out of range.

    Source:
        Keskar et al., CTRL: A Conditional Transformer Language Model for Controllable Generation,
        2019, arXiv 1909.05858; the rule for the sign from Hugging Face transformers, 2020.

    Example:
        >>> import numpy as np, logit_sampling as ls
        >>> ls.RepetitionPenalty(2.0)(np.array([3.0, 1.0, -1.0]), history=[0, 2, 2])
        array([ 1.5,  1. , -2. ])
    """

    penalty: Numbers = number(gt=0)
    prompt: bool = True

    def penalized(self, xp: Any, x: Any, penalty: Any, counts: Any) -> Any:
        """Return logits divided or multiplied by the penalty."""
        return xp.where(x > 0, xp.divide(x, penalty), xp.multiply(x, penalty))


@dataclass(frozen=True)
class PresencePenalty(CountPenalty):
    """Subtract ``penalty`` from the logit of each token that occurred.

    Args:
        penalty: a finite number, or one for each row; 0 changes nothing.
        window: how many of the latest tokens count, or None for all, or one for each row.
        prompt: whether those of the prompt count.

    Raises:
        ValueError: a value is out of range.

    Source:
        OpenAI, API reference, `presence_penalty`.

    Example:
        >>> import numpy as np, logit_sampling as ls
        >>> ls.PresencePenalty(0.5)(np.array([3.0, 1.0, -1.0]), history=[0, 2, 2])
        array([ 2.5,  1. , -1.5])
    """

    def penalized(self, xp: Any, x: Any, penalty: Any, counts: Any) -> Any:
        """Return logits minus the penalty."""
        return xp.subtract(x, penalty)


@dataclass(frozen=True)
class FrequencyPenalty(CountPenalty):
    """Subtract ``penalty`` from the logit of each token, times how often it occurred.

    Args:
        penalty: a finite number, or one for each row; 0 changes nothing.
        window: how many of the latest tokens count, or None for all, or one for each row.
        prompt: whether those of the prompt count.

    Raises:
        ValueError: a value is out of range.

    Source:
        OpenAI, API reference, `frequency_penalty`.

    Example:
        >>> import numpy as np, logit_sampling as ls
        >>> ls.FrequencyPenalty(0.5)(np.array([3.0, 1.0, -1.0]), history=[0, 2, 2])
        array([ 2.5,  1. , -2. ])
    """

    def penalized(self, xp: Any, x: Any, penalty: Any, counts: Any) -> Any:
        """Return logits minus the penalty for each time."""
        return xp.subtract(x, xp.multiply(penalty, counts))


@dataclass(frozen=True)
class Repeats(HistoryTransform):
    """A rule for tokens that once followed the latest ones.

    The state is the log, and for each of its columns how many tokens before it are also the latest
    ones, [batch, capacity]; further than ``_enough`` nobody needs to know.
    """

    def _enough(self) -> Any:
        """Return up to which length a repetition matters, int32 [1, 1] or [batch, 1]."""
        raise NotImplementedError(f"{type(self).__name__} does not write `_enough`")

    @property
    def _limit(self) -> int | None:
        """How many of the latest tokens the log holds, or None for all."""
        return None

    def remember(self, xp: Any, past: Any, generated: Any) -> tuple[Any, ...]:
        """Return the log, and what repeats before each of its columns."""
        log = log_of(xp, past, self._limit)
        if xp is not np:
            return log, _repeats(xp, log, self._enough())
        lengths = np.zeros_like(log)
        enough = np.broadcast_to(self._enough(), (len(log), 1))
        for own, row, most in zip(lengths, log, enough[:, 0], strict=True):
            tokens = row[row >= 0]
            own[row.size - tokens.size :] = endings(tokens, int(most))
        return log, lengths

    def accept(self, xp: Any, token: Any, *state: Any) -> tuple[Any, ...]:
        """Append the token; what went on with it repeats one token more."""
        log, lengths = roomy(xp, self._limit, token, *state)
        longer = xp.where(log == token, lengths + 1, 0)
        return appended(xp, self._limit, token, log), xp.where(token < 0, lengths, longer)


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


@dataclass(frozen=True)
class NoRepeatNGram(Repeats):
    """Remove the tokens that would complete an n-gram which is already there.

    The prompt counts; a history shorter than ``n`` removes nothing, so that 2**31 - 1 never does.

    Args:
        n: at least 1, or one for each row; 1 removes every token seen.

    Raises:
        ValueError: ``n`` is out of range.

    Source:
        Paulus et al., A Deep Reinforced Model for Abstractive Summarization, 2017,
        arXiv 1705.04304.

    Example:
        >>> import numpy as np, logit_sampling as ls
        >>> ls.NoRepeatNGram(2)(np.array([3.0, 1.0, -1.0]), history=[0, 2, 1, 0])
        array([ 3.,  1., -inf])
    """

    n: Any = number(ge=1, le=2**31 - 1, integer=True)

    def _enough(self) -> Any:
        possible = np.less(self.n, 2**31 - 1)  # no history has as many
        return per_row(np.multiply(np.subtract(self.n, 1), possible))

    def narrow(self, scores: Any, *state: Any) -> Any:
        """Remove what followed the latest ``n - 1`` tokens before."""
        xp, (log, lengths) = scores.xp, state
        follows = (log >= 0) & (lengths >= per_row(self.n) - 1)
        follows, log = hot_columns(xp, follows, log)
        return scores.adjust(xp.where(follows, log, -1), lambda x: xp.full_like(x, -np.inf))
