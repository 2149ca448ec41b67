"""Only some tokens."""

import math
from dataclasses import dataclass

from logit_sampling.distribution.checks import Ids, check_ids
from logit_sampling.distribution.protocol import Distribution
from logit_sampling.strategies._formula import Row
from logit_sampling.strategies._tokens import parameter
from logit_sampling.strategies.transform import Strategy


@dataclass(frozen=True)
class AllowTokens(Strategy):
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

    token_ids: Ids = parameter()

    def __post_init__(self) -> None:
        check_ids(self, "token_ids", empty=False)

    def formula(self, x: Row) -> Row:
        return [v if i in self.token_ids else -math.inf for i, v in enumerate(x)]

    def token_ids_named(self) -> tuple[int, ...]:
        return self.token_ids

    def apply(self, distribution: Distribution, state: object = ()) -> Distribution:
        return distribution.only(self.token_ids)
