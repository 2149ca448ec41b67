"""Top-a sampling."""

from dataclasses import dataclass

import numpy as np

from logit_sampling.distribution.checks import Numbers, number
from logit_sampling.distribution.protocol import Distribution
from logit_sampling.strategies._formula import Row, at_least, softmax
from logit_sampling.strategies.transform import Strategy


@dataclass(frozen=True)
class TopA(Strategy):
    """Keep tokens with a probability of at least `a` times the square of the greatest.

    Args:
        a: a number in [0, 1], or one for each row; 0 keeps all.

    Raises:
        ValueError: `a` is outside [0, 1].

    Source:
        The RWKV-LM repository, 2021.

    Example:
        >>> import numpy as np, logit_sampling as ls
        >>> ls.TopA(0.5)(np.log([0.15, 0.5, 0.05, 0.3])).round(2)
        array([-1.9 , -0.69,  -inf, -1.2 ])
    """

    a: Numbers = number(ge=0, le=1)

    def formula(self, x: Row) -> Row:
        return at_least(x, self.a * max(softmax(x)) ** 2)

    def apply(self, distribution: Distribution, state: object = ()) -> Distribution:
        with np.errstate(divide="ignore"):
            return distribution.at_least(np.log(self.a) - distribution.log_total())
