"""Dynamic (entropy-based) temperature."""

import math
from dataclasses import dataclass

import numpy as np

from logit_sampling.distribution.checks import Numbers, number
from logit_sampling.distribution.protocol import Distribution
from logit_sampling.strategies._formula import Row, entropy, in_order, keep
from logit_sampling.strategies.transform import Strategy


@dataclass(frozen=True)
class DynamicTemperature(Strategy):
    """Sample hotter where the model is uncertain: a temperature that follows the entropy.

    It goes from `max(0, temperature - range)` for a certain row to `temperature + range` for a
    flat one, by the entropy's share of the greatest possible, to the power of `exponent`. A row
    with one token above -inf is left as it is.

    Args:
        temperature: a number of at least 0, or one for each row.
        range: a number of at least 0, or one for each row; 0 is a plain `Temperature`.
        exponent: a number above 0, or one for each row.

    Raises:
        ValueError: a value is out of range.

    Source:
        KoboldCpp, issue 600, 2024.

    Example:
        >>> import numpy as np, logit_sampling as ls
        >>> ls.DynamicTemperature(1, 0.5)(np.array([2.0, 2.0], np.float32)).round(4)
        array([1.3333, 1.3333], dtype=float32)
    """

    temperature: Numbers = number(ge=0)
    range: Numbers = number(ge=0)
    exponent: Numbers = number(gt=0, default=1.0)

    def formula(self, x: Row) -> Row:
        finite = sum(v > -math.inf for v in x)
        if finite <= 1:
            return x
        low, high = max(0.0, self.temperature - self.range), self.temperature + self.range
        share = entropy(x) / math.log(finite)
        temperature = low + (high - low) * share**self.exponent
        return keep(x, in_order(x)[:1]) if temperature == 0 else [v / temperature for v in x]

    def apply(self, distribution: Distribution, state: object = ()) -> Distribution:
        xp = distribution.xp
        lowest = distribution.per_row(np.maximum(0.0, np.subtract(self.temperature, self.range)))
        highest = np.minimum(np.add(self.temperature, self.range), np.finfo(np.float64).max)
        count = distribution.count()
        share = distribution.entropy() / xp.log(xp.maximum(count, 2.0))
        share = xp.clip(share, 0.0, 1.0) ** distribution.per_row(self.exponent)
        temperature = lowest + (distribution.per_row(highest) - lowest) * share
        return distribution.scale(xp.where(count > 1, temperature, 1.0))
