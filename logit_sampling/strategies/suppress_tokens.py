"""Tokens that are suppressed, always or at the beginning."""

import math
from dataclasses import dataclass
from typing import Any

from logit_sampling.distribution.checks import Ids, Whole, check_ids, number
from logit_sampling.distribution.protocol import Distribution
from logit_sampling.strategies._formula import Row
from logit_sampling.strategies._memory import held, per_row
from logit_sampling.strategies._token_count import TokenCount, without_tokens
from logit_sampling.strategies._tokens import parameter


@dataclass(frozen=True)
class SuppressTokens(TokenCount):
    """Remove some tokens, always or while fewer than `steps` tokens were generated.

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

    token_ids: Ids = parameter()
    steps: Whole = number(ge=0, le=2**31 - 1, integer=True, default=None)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_ids(self, "token_ids")

    def formula(self, x: Row, past: list[int], generated: list[int]) -> Row:
        early = self.steps is None or len(generated) < self.steps
        return [-math.inf if early and i in self.token_ids else v for i, v in enumerate(x)]

    def token_ids_named(self) -> tuple[int, ...]:
        return self.token_ids

    def apply(self, distribution: Distribution, state: Any = ()) -> Distribution:
        distribution, (count,) = held(distribution, state)
        steps = 2**31 - 1 if self.steps is None else self.steps
        return without_tokens(distribution, self.token_ids, count[:, None] < per_row(steps))
