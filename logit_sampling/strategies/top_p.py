"""Top-p (nucleus) sampling."""

from dataclasses import dataclass

from logit_sampling.distribution.checks import Numbers, number
from logit_sampling.distribution.protocol import Distribution
from logit_sampling.strategies._formula import Row, in_order, keep, softmax
from logit_sampling.strategies.transform import Strategy


@dataclass(frozen=True)
class TopP(Strategy):
    """Keep the fewest likeliest tokens whose probabilities sum to at least `p` (nucleus).

    A token stays if the mass before it is below p. What is missing counts as nothing when it is
    below 16 roundings of the token's own mass, so that a prefix which reaches p on paper does here.

    Args:
        p: a number in (0, 1], or one for each row; 1 keeps all.

    Raises:
        ValueError: `p` is outside (0, 1].

    Source:
        Holtzman et al., The Curious Case of Neural Text Degeneration, 2019, arXiv 1904.09751.

    Example:
        >>> import numpy as np, logit_sampling as ls
        >>> logits = np.log([0.15, 0.5, 0.05, 0.3])
        >>> ls.TopP(0.8)(logits).round(2)
        array([ -inf, -0.69,  -inf, -1.2 ])
    """

    p: Numbers = number(gt=0, le=1)

    def formula(self, x: Row) -> Row:
        p, before = softmax(x), 0.0
        kept: list[int] = []
        for i in in_order(x):
            if kept and before >= self.p:
                break
            kept.append(i)
            before += p[i]
        return x if self.p == 1 else keep(x, kept)

    def apply(self, distribution: Distribution, state: object = ()) -> Distribution:
        return distribution.reach(self.p)
