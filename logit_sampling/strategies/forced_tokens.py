"""Tokens that are forced at some steps."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from logit_sampling.distribution.checks import Kept, check_flag
from logit_sampling.distribution.protocol import Distribution
from logit_sampling.strategies._formula import Row
from logit_sampling.strategies._memory import held
from logit_sampling.strategies._token_count import TokenCount
from logit_sampling.strategies._tokens import parameter, steps_of


@dataclass(frozen=True)
class ForcedTokens(TokenCount):
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

    tokens: Kept[Mapping[int, int] | Sequence[Sequence[int]], tuple[tuple[int, int], ...]] = (
        parameter()
    )
    prompt: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "tokens", steps_of(self, "tokens"))
        check_flag(self, "prompt")

    def formula(self, x: Row, past: list[int], generated: list[int]) -> Row:
        token = dict(self.tokens).get(len(past if self.prompt else generated))
        if token is None:
            return x
        return [0.0 if i == token else -math.inf for i in range(len(x))]

    def token_ids_named(self) -> tuple[int, ...]:
        return tuple(token for _, token in self.tokens)

    def apply(self, distribution: Distribution, state: Any = ()) -> Distribution:
        distribution, (count,) = held(distribution, state)
        xp, tokens = distribution.xp, np.asarray([[-1, *self.token_ids_named()]], np.int32)
        steps = np.asarray([[-1, *(step for step, _ in self.tokens)]], np.int32)
        return distribution.force(xp.max(xp.where(count[:, None] == steps, tokens, -1), axis=1))
