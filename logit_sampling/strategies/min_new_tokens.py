"""A minimal number of new tokens."""

import math
from dataclasses import dataclass
from typing import Any

from logit_sampling.distribution.checks import Ids, Whole, check_flag, check_ids, number
from logit_sampling.distribution.protocol import Distribution
from logit_sampling.strategies._formula import Row
from logit_sampling.strategies._memory import held, per_row
from logit_sampling.strategies._token_count import TokenCount, without_tokens
from logit_sampling.strategies._tokens import parameter


@dataclass(frozen=True)
class MinNewTokens(TokenCount):
    """Remove the tokens that end a text while fewer than `n` tokens were generated.

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

    n: Whole = number(ge=0, le=2**31 - 1, integer=True)
    end_ids: Ids = parameter()
    prompt: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        check_ids(self, "end_ids", empty=False)
        check_flag(self, "prompt")

    def formula(self, x: Row, past: list[int], generated: list[int]) -> Row:
        early = len(past if self.prompt else generated) < self.n
        return [-math.inf if early and i in self.end_ids else v for i, v in enumerate(x)]

    def token_ids_named(self) -> tuple[int, ...]:
        return self.end_ids

    def apply(self, distribution: Distribution, state: Any = ()) -> Distribution:
        distribution, (count,) = held(distribution, state)
        return without_tokens(distribution, self.end_ids, count[:, None] < per_row(self.n))
