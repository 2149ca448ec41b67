"""Quadratic sampling (smoothing)."""

import math
from dataclasses import dataclass
from typing import Any

from logit_sampling.distribution.checks import Numbers, number
from logit_sampling.distribution.protocol import Distribution
from logit_sampling.strategies._formula import Row
from logit_sampling.strategies.transform import Strategy


@dataclass(frozen=True)
class Quadratic(Strategy):
    """Bend the logits: nearer to the greatest one those close to it, further away the others.

    A logit at the distance d below the greatest goes to the distance
    `factor * (k * d**2 + s * d**3)`, where `k = (3 - curve) / 2` and `s = (curve - 1) / 2`.
    The greatest one becomes 0. With a curve of at most 3 the order stays; above it tokens just
    below the first one rise above it, as in the systems that the parameters come from.

    Args:
        factor: a number above 0, or one for each row; the greater, the sharper.
        curve: a number of at least 1, or one for each row; 1 is a parabola.

    Raises:
        ValueError: a value is out of range.

    Source:
        kalomaze, llama.cpp pull request 6445, 2024; there and in text-generation-webui the
        parameters are called smoothing_factor and smoothing_curve.

    Example:
        >>> import numpy as np, logit_sampling as ls
        >>> ls.Quadratic(0.5)(np.array([2.0, 1.5, 0.0], np.float32))
        array([ 0.   , -0.125, -2.   ], dtype=float32)
    """

    factor: Numbers = number(gt=0)
    curve: Numbers = number(ge=1, default=1.0)

    def formula(self, x: Row) -> Row:
        k, s = (3 - self.curve) / 2, (self.curve - 1) / 2
        distances = [max(x) - v for v in x]
        return [-d if math.isinf(d) else -self.factor * (k * d**2 + s * d**3) for d in distances]

    def apply(self, distribution: Distribution, state: object = ()) -> Distribution:
        def bent(log_weights: Any, factor: Any, curve: Any) -> Any:
            k, s = (3 - curve) / 2, (curve - 1) / 2
            return 0.0 - factor * log_weights**2 * (k - s * log_weights)

        return distribution.map(bent, self.factor, self.curve)
