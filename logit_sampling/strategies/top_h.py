"""Top-H sampling."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from logit_sampling.distribution.checks import Numbers, check_count, check_flag, number
from logit_sampling.distribution.protocol import Distribution
from logit_sampling.distribution.rounding import AT_AN_ENTROPY
from logit_sampling.distribution.symbol import is_everywhere
from logit_sampling.strategies._formula import Row, entropy, in_order, keep, softmax
from logit_sampling.strategies.transform import Strategy


@dataclass(frozen=True)
class TopH(Strategy):
    """Keep the longest prefix whose entropy is at most `h` times that of the row.

    The entropy of the prefix is that of its renormalised distribution. With `renormalize=False`
    it is the part of the row's entropy that its tokens make up. With `first` only so many of the
    likeliest tokens are looked at, and the others go, as in Hugging Face transformers.

    Args:
        h: a number in (0, 1], or one for each row; 1 keeps all (with the defaults).
        renormalize: whether the prefix is normalised before its entropy is taken.
        first: look at so many tokens only, an integer of at least 1; None for all.

    Raises:
        ValueError: `h` is outside (0, 1], or `first` is below 1.

    Source:
        Potraghloo et al., Top-H Decoding, 2025, arXiv 2509.02510.

    Example:
        >>> import numpy as np, logit_sampling as ls
        >>> ls.TopH(0.6)(np.log([0.15, 0.5, 0.05, 0.3])).round(2)
        array([ -inf, -0.69,  -inf, -1.2 ])
    """

    h: Numbers = number(gt=0, le=1)
    renormalize: bool = True
    first: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_flag(self, "renormalize")
        check_count(self, "first", least=1, optional=True)

    def formula(self, x: Row) -> Row:
        x = x if self.first is None else keep(x, in_order(x)[: self.first])
        if self.h == 1 and self.renormalize:
            return x
        p, bound = softmax(x), self.h * entropy(x) * (1 + 1e-12)  # equal on paper is equal here
        kept: list[int] = []
        for i in in_order(x):
            prefix = [*kept, i]
            own = [p[j] for j in prefix if p[j] > 0]
            h = -math.fsum(q * math.log(q) for q in own)
            h = entropy(keep(x, prefix)) if self.renormalize else h
            if kept and h > bound:
                break
            kept = prefix
        return keep(x, kept)

    def apply(self, distribution: Distribution, state: object = ()) -> Distribution:
        distribution = distribution if self.first is None else distribution.top(self.first)
        if self.renormalize and is_everywhere(1, self.h):
            return distribution
        xp, share = distribution.xp, distribution.per_row(self.h)
        bound = distribution.entropy() * share * (1 + AT_AN_ENTROPY)
        if self.renormalize:
            bound = xp.where(share == 1, np.inf, bound)

            def wanted(before: Any, terms: Any, weight: Any, term: Any, bound: Any) -> Any:
                weight, term = before + weight, terms + term
                some = xp.where(weight > 0, weight, 1.0)  # without a weight there is no term
                return xp.log(some) - term / some <= bound

            return distribution.prefix(wanted, bound)

        log_total = distribution.log_total()

        def within(
            before: Any, terms: Any, weight: Any, term: Any, log_total: Any, bound: Any
        ) -> Any:
            return (before + weight) * log_total - (terms + term) <= bound

        return distribution.prefix(within, log_total, bound * xp.exp(log_total))
