"""Adaptive-p sampling."""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from logit_sampling.distribution.checks import Numbers, number
from logit_sampling.distribution.intake import batch_of
from logit_sampling.distribution.protocol import Distribution
from logit_sampling.strategies._feedback import drawn
from logit_sampling.strategies._formula import Row, softmax
from logit_sampling.strategies.transform import Strategy
from logit_sampling.types import ArrayLike


@dataclass(frozen=True)
class AdaptiveP(Strategy):
    """Aim at tokens of a `target` probability, by the running mean of what was drawn.

    With the weighted sum W of the probabilities drawn so far and the sum N of their weights, the
    aim is `a = clip(2 * target - W / N, 0, 1)`; a token of probability p gets the logit
    `5 - 10 d**2 / (1 + d)` with `d = abs(p - a) / 0.3`, whatever its logit was.

    Args:
        target: a probability in [0, 1], or one for each row.
        decay: the weight of the past at each step, in [0, 0.99], or one for each row.

    Raises:
        ValueError: a value is out of range; a call with tokens that were generated (the state has
            to be carried by `init` and `step`).

    Source:
        llama.cpp, pull request 17927, 2026.

    Example:
        >>> import numpy as np, logit_sampling as ls
        >>> ls.AdaptiveP(0.3)(np.log([0.6, 0.3, 0.1])).round(2)
        array([0.  , 5.  , 2.33])
    """

    target: Numbers = number(ge=0, le=1)
    decay: Numbers = number(ge=0, le=0.99, default=0.9)

    def formula(self, x: Row, aim: float | None = None) -> Row:
        aim = self.target if aim is None else aim  # at the first step
        d = [abs(p - aim) / 0.3 for p in softmax(x)]
        return [
            -math.inf if v == -math.inf else 5 - 10 * e * e / (1 + e)
            for v, e in zip(x, d, strict=True)
        ]

    def init(self, history: ArrayLike, vocab_size: int) -> tuple[ArrayLike, ArrayLike]:
        """Return the weighted sum of probabilities and that of weights, float64 [batch] each."""
        weights = np.divide(1.0, np.subtract(1.0, self.decay))
        sums = np.multiply(self.target, weights)
        return batch_of(sums, history), batch_of(weights, history)

    def apply(self, distribution: Distribution, state: Any = ()) -> Distribution:
        xp, aim = distribution.xp, 2 * distribution.per_row(self.target) - state[0] / state[1]

        def logit(log_weights: Any, log_total: Any, aim: Any) -> Any:
            # No subnormal numbers, which processors are slow at.
            probability = xp.exp(xp.maximum(log_weights - log_total, -700.0))
            distance = abs(probability - aim) / 0.3
            return 5 - 10 * distance**2 / (1 + distance)

        return distribution.map(logit, distribution.log_total(), xp.clip(aim, 0.0, 1.0))

    def update(
        self, state: Any, ids: Any, distribution: Distribution | None = None
    ) -> tuple[ArrayLike, ArrayLike]:
        """Return both sums with the probability taken in."""
        known, log_prob = drawn(self, distribution, ids)
        assert distribution is not None
        xp, decay = distribution.xp, distribution.per_row(self.decay)
        probability = xp.exp(log_prob) + 0 * state[0]
        learned = probability + decay * state[0], 1 + decay * state[1]
        return tuple(xp.where(known, new, old) for new, old in zip(learned, state, strict=True))
