"""Eta cutoff."""

import math
from dataclasses import dataclass

import numpy as np

from logit_sampling.distribution.checks import Numbers, number
from logit_sampling.distribution.protocol import Distribution
from logit_sampling.strategies._formula import Row, at_least, entropy
from logit_sampling.strategies.transform import Strategy


@dataclass(frozen=True)
class Eta(Strategy):
    """Keep tokens with a probability of at least min(epsilon, sqrt(epsilon) * exp(-entropy)).

    Args:
        epsilon: a number in [0, 1), or one for each row; 0 keeps all.

    Raises:
        ValueError: `epsilon` is outside [0, 1).

    Source:
        Hewitt et al., Truncation Sampling as Language Model Desmoothing, 2022, arXiv 2210.15191.

    Example:
        >>> import numpy as np, logit_sampling as ls
        >>> ls.Eta(0.1)(np.log([0.15, 0.5, 0.05, 0.3])).round(2)
        array([-1.9 , -0.69,  -inf, -1.2 ])
    """

    epsilon: Numbers = number(ge=0, lt=1)

    def formula(self, x: Row) -> Row:
        return at_least(x, min(self.epsilon, math.sqrt(self.epsilon) * math.exp(-entropy(x))))

    def apply(self, distribution: Distribution, state: object = ()) -> Distribution:
        with np.errstate(divide="ignore"):
            floor = distribution.per_row(np.log(self.epsilon))
        floor = distribution.xp.minimum(floor, floor / 2 - distribution.entropy())
        return distribution.at_least(floor + distribution.log_total())
