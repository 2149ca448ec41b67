"""Top-n-sigma sampling."""

import math
from dataclasses import dataclass

from logit_sampling.distribution.checks import Numbers, number
from logit_sampling.distribution.protocol import Distribution
from logit_sampling.strategies._formula import Row, keep
from logit_sampling.strategies.transform import Strategy


@dataclass(frozen=True)
class TopNSigma(Strategy):
    """Keep logits within `n` standard deviations of the greatest.

    The deviation is that of the population of all logits above -inf, so a temperature before or
    after changes nothing.

    Args:
        n: a number above 0, or one for each row.

    Raises:
        ValueError: `n` is not above 0.

    Source:
        Tang et al., Top-n-sigma: Not All Logits Are You Need, 2024, arXiv 2411.07641.

    Example:
        >>> import numpy as np, logit_sampling as ls
        >>> ls.TopNSigma(1)(np.array([0.0, 4.0, 2.0, 2.0, 3.0], np.float32))
        array([-inf,   4., -inf, -inf,   3.], dtype=float32)
    """

    n: Numbers = number(gt=0)

    def formula(self, x: Row) -> Row:
        finite = [v for v in x if v > -math.inf]
        mean = math.fsum(finite) / len(finite)
        sigma = math.sqrt(math.fsum((v - mean) ** 2 for v in finite) / len(finite))
        return keep(x, [i for i, v in enumerate(x) if v >= max(x) - self.n * sigma])

    def apply(self, distribution: Distribution, state: object = ()) -> Distribution:
        return distribution.within(distribution.per_row(self.n) * distribution.std())
