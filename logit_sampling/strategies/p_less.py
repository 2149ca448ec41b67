"""P-less sampling."""

import math
from dataclasses import dataclass

from logit_sampling.distribution.protocol import Distribution
from logit_sampling.strategies._formula import Row, at_least, softmax
from logit_sampling.strategies.transform import Strategy


@dataclass(frozen=True)
class PLess(Strategy):
    """Keep tokens with a probability of at least the sum of all squared probabilities.

    That sum is the chance that two draws agree; there is no parameter.

    Source:
        Tan et al., p-less Sampling, 2025, arXiv 2509.23234.

    Example:
        >>> import numpy as np, logit_sampling as ls
        >>> ls.PLess()(np.log([0.15, 0.5, 0.05, 0.3])).round(2)
        array([ -inf, -0.69,  -inf,  -inf])
    """

    def formula(self, x: Row) -> Row:
        return at_least(x, math.fsum(p * p for p in softmax(x)))

    def apply(self, distribution: Distribution, state: object = ()) -> Distribution:
        return distribution.at_least(distribution.log_collision() + distribution.log_total())
