"""Biases and constraints: tokens raised, lowered or removed whatever their probability."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from logit_sampling.distribution.checks import Numbers, check_flag, check_ids, number
from logit_sampling.distribution.intake import quietly, take_in
from logit_sampling.distribution.rounding import greatest_exponent
from logit_sampling.strategies.memory import HistoryTransform, per_row
from logit_sampling.strategies.tokens import (
    biased,
    biases_of,
    check_vocabulary,
    needed,
    steady,
    steps_of,
)
from logit_sampling.strategies.transform import Transform


@dataclass(frozen=True)
class Fixed(Transform):
    """A transform that does the same at each step."""

    def _names(self) -> tuple[int, ...]:
        """Return the token ids among the parameters."""
        raise NotImplementedError(f"{type(self).__name__} does not write `_names`")

    def init(self, history: Any, vocab_size: int) -> tuple[()]:
        """Return no state; raise ValueError unless the vocabulary has the tokens."""
        check_vocabulary(self, self._names(), vocab_size)
        return ()

    @quietly
    def apply(self, logits: Any, state: Any) -> Any:
        """Return the transformed logits, float [batch, vocab], like those given."""
        taken = take_in(logits)
        return taken.restore(self.act(taken.scores, state).dense())


@dataclass(frozen=True)
class Stepwise(HistoryTransform):
    """A transform whose state is how many tokens each row has generated, int32 [batch].

    One with a true ``prompt`` counts those of the prompt too.
    """

    def remember(self, xp: Any, past: Any, generated: Any) -> tuple[Any]:
        """Return the number of tokens."""
        counted = past if getattr(self, "prompt", False) else generated
        return (xp.sum(xp.where(counted >= 0, 1, 0), axis=1),)

    def accept(self, xp: Any, token: Any, *state: Any) -> tuple[Any]:
        """Count the token."""
        return (state[0] + xp.where(token[:, 0] >= 0, 1, 0),)


@dataclass(frozen=True)
class LogitBias(Fixed):
    """Add a bias to the logits of some tokens; -inf beats +inf.

    Args:
        bias: maps token ids to numbers, which may be infinite.

    Raises:
        ValueError: it is no such mapping, or the vocabulary lacks one of the tokens.

    Source:
        OpenAI, API reference, `logit_bias`.

    Example:
        >>> import numpy as np, logit_sampling as ls
        >>> ls.LogitBias({0: -1.0, 2: 5.0})(np.array([3.0, 1.0, -1.0]))
        array([2., 1., 4.])
    """

    bias: Any

    def __post_init__(self) -> None:
        pairs = biases_of(self, "bias", single=True)
        object.__setattr__(self, "bias", tuple((ids[0], bias) for ids, bias in pairs))

    def _names(self) -> tuple[int, ...]:
        return tuple(token for token, _ in self.bias)

    def act(self, scores: Any, state: Any) -> Any:
        """Apply to the scores of an engine: what a sampler calls."""
        bias = np.asarray([[bias for _, bias in self.bias]])
        return scores.adjust([self._names()], lambda x: biased(scores.xp, x, bias))


@dataclass(frozen=True)
class AllowTokens(Fixed):
    """Remove all tokens but some.

    Where all of them are at -inf already, they stay so.

    Args:
        token_ids: at least one.

    Raises:
        ValueError: no token ids, or the vocabulary lacks one of them.

    Source:
        De Cao et al., Autoregressive Entity Retrieval, 2020, arXiv 2010.00904.

    Example:
        >>> import numpy as np, logit_sampling as ls
        >>> ls.AllowTokens([0, 2])(np.array([3.0, 1.0, -1.0]))
        array([  3., -inf,  -1.])
    """

    token_ids: Any

    def __post_init__(self) -> None:
        check_ids(self, "token_ids", empty=False)

    def _names(self) -> tuple[int, ...]:
        return self.token_ids

    def act(self, scores: Any, state: Any) -> Any:
        """Apply to the scores of an engine: what a sampler calls."""
        return scores.only(self.token_ids)


def _without(scores: Any, token_ids: tuple[int, ...], when: Any) -> Any:
    """Remove tokens in the rows for which ``when`` holds, bool [batch, 1]."""
    return scores.adjust([token_ids], lambda x: scores.xp.where(when, -np.inf, x))


@dataclass(frozen=True)
class SuppressTokens(Stepwise):
    """Remove some tokens, always or while fewer than ``steps`` tokens were generated.

    Args:
        token_ids: which.
        steps: at least 0, or None for always, or one for each row.

    Raises:
        ValueError: a value is out of range, or the vocabulary lacks one of the tokens.

    Source:
        Hugging Face transformers, `suppress_tokens` and `begin_suppress_tokens`, 2022.

    Example:
        >>> import numpy as np, logit_sampling as ls
        >>> ls.SuppressTokens([1])(np.array([3.0, 1.0, -1.0]))
        array([  3., -inf,  -1.])
    """

    token_ids: Any
    steps: Any = number(ge=0, le=2**31 - 1, integer=True, default=None)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_ids(self, "token_ids")

    def _names(self) -> tuple[int, ...]:
        return self.token_ids

    def narrow(self, scores: Any, *state: Any) -> Any:
        """Return the scores of an engine, without the tokens where it is time."""
        steps = 2**31 - 1 if self.steps is None else self.steps
        return _without(scores, self.token_ids, state[0][:, None] < per_row(steps))


@dataclass(frozen=True)
class MinNewTokens(Stepwise):
    """Remove the tokens that end a text while fewer than ``n`` tokens were generated.

    Args:
        n: at least 0, or one for each row; 0 changes nothing.
        end_ids: the end-of-text id, or several that end a text.
        prompt: whether the tokens of the prompt count too, as for `min_length`.

    Raises:
        ValueError: a value is out of range, or the vocabulary lacks one of the tokens.

    Source:
        Hugging Face transformers, `min_new_tokens`, 2022; vLLM, `min_tokens`, 2024.

    Example:
        >>> import numpy as np, logit_sampling as ls
        >>> minimum, x = ls.MinNewTokens(2, end_ids=0), np.array([3.0, 1.0, -1.0])
        >>> minimum(x, history=[1, 1, 2], prompt_length=2)
        array([-inf,   1.,  -1.])
        >>> minimum(x, history=[1, 1, 2, 2], prompt_length=2)
        array([ 3.,  1., -1.])
    """

    n: Any = number(ge=0, le=2**31 - 1, integer=True)
    end_ids: Any = needed()
    prompt: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        check_ids(self, "end_ids", empty=False)
        check_flag(self, "prompt")

    def _names(self) -> tuple[int, ...]:
        return self.end_ids

    def narrow(self, scores: Any, *state: Any) -> Any:
        """Return the scores of an engine, without the tokens while it is too early."""
        return _without(scores, self.end_ids, state[0][:, None] < per_row(self.n))


@dataclass(frozen=True)
class ForcedTokens(Stepwise):
    """Leave one token, with logit 0 (even from -inf), at some of the steps.

    Args:
        tokens: maps steps (the number of tokens generated before) to token ids, or lists the ids
            from step 0 on.
        prompt: whether the tokens of the prompt count too, so that steps are places in the text.

    Raises:
        ValueError: it is neither, or the vocabulary lacks one of the tokens.

    Source:
        Hugging Face transformers, `forced_bos_token_id` and `forced_eos_token_id`, 2021.

    Example:
        >>> import numpy as np, logit_sampling as ls
        >>> forced, x = ls.ForcedTokens({1: 2}), np.array([3.0, 1.0, -1.0])
        >>> forced(x)
        array([ 3.,  1., -1.])
        >>> forced(x, history=[0])
        array([-inf, -inf,   0.])
    """

    tokens: Any
    prompt: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "tokens", steps_of(self, "tokens"))
        check_flag(self, "prompt")

    def _names(self) -> tuple[int, ...]:
        return tuple(token for _, token in self.tokens)

    def narrow(self, scores: Any, *state: Any) -> Any:
        """Return the scores of an engine, of one token where a step has one."""
        xp, tokens = scores.xp, np.asarray([[-1, *self._names()]], np.int32)
        steps = np.asarray([[-1, *(step for step, _ in self.tokens)]], np.int32)
        return scores.force(xp.max(xp.where(state[0][:, None] == steps, tokens, -1), axis=1))


@dataclass(frozen=True)
class LengthDecay(Stepwise):
    """Raise the logit x of the end more and more once ``start`` tokens were generated.

    It gains ``abs(x) * (factor ** (generated - start) - 1)``; an infinite logit stays.

    Args:
        start: at least 0, or one for each row.
        factor: above 0, or one for each row; 1 changes nothing, below 1 puts the end off.
        end_id: the end-of-text id, or several that end a text.

    Raises:
        ValueError: a value is out of range, or the vocabulary lacks the token.

    Source:
        Hugging Face transformers, `exponential_decay_length_penalty`, 2022.

    Example:
        >>> import numpy as np, logit_sampling as ls
        >>> decay = ls.LengthDecay(start=1, factor=2.0, end_id=2)
        >>> decay(np.array([3.0, 1.0, -1.0]), history=[0, 0, 1])
        array([3., 1., 2.])
    """

    start: Any = number(ge=0, le=2**31 - 1, integer=True)
    factor: Numbers = number(gt=0)
    end_id: Any = needed()

    def __post_init__(self) -> None:
        super().__post_init__()
        check_ids(self, "end_id", empty=False)

    def _names(self) -> tuple[int, ...]:
        return self.end_id

    def narrow(self, scores: Any, *state: Any) -> Any:
        """Return the scores of an engine, raised at the end where it is time."""
        xp, late = scores.xp, state[0][:, None] - per_row(self.start)
        factor = scores.numbers(self.factor)[:, None]
        most = per_row(greatest_exponent(self.factor))
        power = xp.power(factor, xp.minimum(xp.maximum(late, 0), most))

        def change(x: Any) -> Any:
            return steady(xp, x, x + xp.absolute(x) * (power - 1))

        return scores.adjust([self.end_id], change)
