"""Min-p sampling."""

import math
from dataclasses import dataclass

import numpy as np

from logit_sampling.distribution.checks import Numbers, number
from logit_sampling.distribution.protocol import Distribution
from logit_sampling.strategies._formula import Row, keep
from logit_sampling.strategies.transform import Strategy


@dataclass(frozen=True)
class MinP(Strategy):
    """Keep tokens with at least `p` times the probability of the likeliest.

    Args:
        p: a number in [0, 1], or one for each row; 0 keeps all, 1 all that share the maximum.

    Raises:
        ValueError: `p` is outside [0, 1].

    Source:
        Nguyen et al., Turning Up the Heat: Min-p Sampling for Creative and Coherent LLM Outputs,
        2024, arXiv 2407.01082.

    Example:
        >>> import numpy as np, logit_sampling as ls
        >>> logits = np.log([0.15, 0.5, 0.05, 0.3])
        >>> ls.MinP(0.3)(logits).round(2)
        array([-1.9 , -0.69,  -inf, -1.2 ])
    """

    p: Numbers = number(ge=0, le=1)

    def formula(self, x: Row) -> Row:
        if self.p == 0:
            return x
        return keep(x, [i for i, v in enumerate(x) if v >= max(x) + math.log(self.p)])

    def apply(self, distribution: Distribution, state: object = ()) -> Distribution:
        with np.errstate(divide="ignore"):
            return distribution.at_least(np.log(self.p))
