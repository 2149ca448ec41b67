"""Top-k sampling."""

from dataclasses import dataclass

from logit_sampling.distribution.checks import Numbers, number
from logit_sampling.distribution.protocol import Distribution
from logit_sampling.strategies._formula import Row, in_order, keep
from logit_sampling.strategies.transform import Strategy


@dataclass(frozen=True)
class TopK(Strategy):
    """Keep the `k` likeliest tokens, exactly.

    Args:
        k: an integer of at least 1, or one for each row; `k >= vocab` keeps all.

    Raises:
        ValueError: `k` is below 1 or no integer.

    Source:
        Fan, Lewis and Dauphin, Hierarchical Neural Story Generation, 2018, arXiv 1805.04833.

    Example:
        >>> import numpy as np, logit_sampling as ls
        >>> ls.TopK(2)(np.array([1.0, 3.0, 2.0, 2.0], np.float32))
        array([-inf,   3.,   2., -inf], dtype=float32)
    """

    k: Numbers = number(ge=1, integer=True)

    def formula(self, x: Row) -> Row:
        return keep(x, in_order(x)[: self.k])

    def apply(self, distribution: Distribution, state: object = ()) -> Distribution:
        return distribution.top(self.k)
