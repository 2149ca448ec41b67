"""No n-gram twice."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from logit_sampling.distribution.checks import Whole, number
from logit_sampling.distribution.protocol import Distribution
from logit_sampling.strategies._formula import Row
from logit_sampling.strategies._memory import held, hot_columns, per_row
from logit_sampling.strategies._repeats import Repeats


@dataclass(frozen=True)
class NoRepeatNGram(Repeats):
    """Remove the tokens that would complete an n-gram which is already there.

    The prompt counts; a history shorter than `n` removes nothing, so that 2**31 - 1 never does.

    Args:
        n: at least 1, or one for each row; 1 removes every token seen.

    Raises:
        ValueError: `n` is out of range.

    Source:
        Paulus et al., A Deep Reinforced Model for Abstractive Summarization, 2017,
        arXiv 1705.04304.

    Example:
        >>> import numpy as np, logit_sampling as ls
        >>> ls.NoRepeatNGram(2)(np.array([3.0, 1.0, -1.0]), history=[0, 2, 1, 0])
        array([ 3.,  1., -inf])
    """

    n: Whole = number(ge=1, le=2**31 - 1, integer=True)

    def formula(self, x: Row, past: list[int], generated: list[int]) -> Row:
        grams = [past[i : i + self.n] for i in range(len(past) - self.n + 1)]
        start = past[len(past) - self.n + 1 :] if self.n > 1 else []
        return [-math.inf if [*start, i] in grams else v for i, v in enumerate(x)]

    def _enough(self) -> Any:
        possible = np.less(self.n, 2**31 - 1)  # no history has as many
        return per_row(np.multiply(np.subtract(self.n, 1), possible))

    def apply(self, distribution: Distribution, state: Any = ()) -> Distribution:
        distribution, (log, lengths) = held(distribution, state)
        xp = distribution.xp
        follows = (log >= 0) & (lengths >= per_row(self.n) - 1)
        follows, log = hot_columns(xp, follows, log)
        return distribution.adjust(xp.where(follows, log, -1), lambda x: xp.full_like(x, -np.inf))
