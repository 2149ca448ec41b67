"""Locally typical sampling."""

import math
from dataclasses import dataclass
from typing import Any

from logit_sampling.distribution.checks import Numbers, number
from logit_sampling.distribution.protocol import Distribution
from logit_sampling.distribution.symbol import is_everywhere
from logit_sampling.strategies._formula import Row, entropy, in_order, keep, softmax
from logit_sampling.strategies.transform import Strategy


@dataclass(frozen=True)
class Typical(Strategy):
    """Keep the tokens of the most typical surprise whose mass reaches `p`.

    The order is by the distance of a token's surprise, -ln p, from the entropy; of equal distances
    the likelier token is first.

    Args:
        p: a number in (0, 1], or one for each row; 1 keeps all.

    Raises:
        ValueError: `p` is outside (0, 1].

    Source:
        Meister et al., Locally Typical Sampling, 2022, arXiv 2202.00666.

    Example:
        >>> import numpy as np, logit_sampling as ls
        >>> ls.Typical(0.3)(np.log([0.4, 0.3, 0.2, 0.1])).round(2)
        array([-inf, -1.2, -inf, -inf])
    """

    p: Numbers = number(gt=0, le=1)

    def formula(self, x: Row) -> Row:
        p, kept, mass, h = softmax(x), [], 0.0, entropy(x)
        able = [i for i in in_order(x) if p[i] > 0]
        for i in sorted(able, key=lambda i: abs(-math.log(p[i]) - h)):
            if mass >= self.p:
                break
            kept.append(i)
            mass += p[i]
        return x if self.p == 1 else keep(x, kept)

    def apply(self, distribution: Distribution, state: object = ()) -> Distribution:
        if is_everywhere(1, self.p):
            return distribution
        xp = distribution.xp
        centre = distribution.mean_log_weight()  # that of a token whose surprise is the entropy
        tolerance = distribution.tolerance(centre)

        def nearness(log_weights: Any, centre: Any, tolerance: Any) -> Any:
            # The surprise -ln p minus the entropy is `centre` minus the log weight, so this is
            # minus the distance. The likelier side is moved nearer by as much as rounding may
            # have moved it away: of two at the same distance on paper the likelier is first.
            distance = xp.maximum(log_weights - (centre + tolerance), centre - log_weights)
            return -xp.maximum(distance, 0.0)

        return distribution.reach(self.p, nearness, centre, tolerance)
