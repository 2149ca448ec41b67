"""XTC: exclude top choices."""

import math
from dataclasses import dataclass

import numpy as np

from logit_sampling.distribution.checks import Ids, Numbers, check_ids, number
from logit_sampling.distribution.protocol import Distribution
from logit_sampling.distribution.rounding import AT_A_COIN
from logit_sampling.distribution.symbol import Symbol
from logit_sampling.strategies._formula import Row, in_order, keep, softmax
from logit_sampling.strategies._tokens import parameter
from logit_sampling.strategies.transform import Strategy
from logit_sampling.types import PerRow


@dataclass(frozen=True)
class XTC(Strategy):
    """With a chance of `probability`, exclude the top choices but the least likely of them.

    The top choices are the tokens with a probability of at least `threshold`. The chance is taken
    for each row and step, from the seed and step of the draw. A distribution that is asked for
    without a seed is the mixture of both outcomes.

    Args:
        probability: the chance, a number in [0, 1], or one for each row.
        threshold: a number in [0, 0.5], or one for each row.
        protected: token ids that are never removed.

    Raises:
        ValueError: a value is out of range.

    Source:
        text-generation-webui, pull request 6335, 2024.

    Example:
        >>> import numpy as np, logit_sampling as ls
        >>> ls.XTC(1, 0.2)(np.log([0.15, 0.5, 0.05, 0.3])).round(2)
        array([-1.9,  -inf, -3. , -1.2])
    """

    probability: Numbers = number(ge=0, le=1)
    threshold: Numbers = number(ge=0, le=0.5)
    protected: Ids = parameter(default=())

    def __post_init__(self) -> None:
        super().__post_init__()
        check_ids(self, "protected")

    def formula(self, x: Row, heads: bool) -> Row:
        p = softmax(x)
        top = [i for i in in_order(x) if p[i] >= self.threshold and x[i] > -math.inf]
        gone = {i for i in top[:-1] if i not in self.protected} if heads else set()
        return keep(x, [i for i in range(len(x)) if i not in gone])

    def chance(self) -> PerRow | Symbol | None:
        return self.probability

    def apply(self, distribution: Distribution, state: object = ()) -> Distribution:
        heads, distribution = distribution.toss(self.probability)
        with np.errstate(divide="ignore"):
            least = distribution.per_row(np.log(self.threshold)) + distribution.log_total()
        top = distribution.at_least(least).drop_last()
        if self.protected:
            top = top.adjust([self.protected], lambda x: distribution.xp.full_like(x, -np.inf))
        return distribution.without(top, heads & (least <= AT_A_COIN))
