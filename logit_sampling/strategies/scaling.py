"""Transforms that make a distribution sharper or flatter."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from logit_sampling.distribution.checks import Numbers, number
from logit_sampling.strategies.transform import ScoreTransform


@dataclass(frozen=True)
class Temperature(ScoreTransform):
    """Divide the logits: below 1 sharpens, above 1 flattens, 0 is greedy exactly.

    Args:
        temperature: a number of at least 0, or one for each row.

    Raises:
        ValueError: the temperature is negative or not finite.

    Source:
        Ackley, Hinton and Sejnowski, A Learning Algorithm for Boltzmann Machines, 1985.

    Example:
        >>> import numpy as np, logit_sampling as ls
        >>> ls.Temperature(0.5)(np.array([0.0, 1.0, 1.5], np.float32))
        array([0., 2., 3.], dtype=float32)
        >>> ls.Temperature(0)(np.array([0.0, 1.5, 1.5], np.float32))
        array([-inf,  1.5, -inf], dtype=float32)
    """

    temperature: Numbers = number(ge=0)

    def narrow(self, scores: Any) -> Any:
        """Return the scores divided by the temperature."""
        return scores.scale(self.temperature)


@dataclass(frozen=True)
class DynamicTemperature(ScoreTransform):
    """Sample hotter where the model is uncertain: a temperature that follows the entropy.

    It goes from ``max(0, temperature - range)`` for a certain row to ``temperature + range`` for a
    flat one, by the entropy's share of the greatest possible, to the power of ``exponent``. A row
    with one token above -inf is left as it is.

    Args:
        temperature: a number of at least 0, or one for each row.
        range: a number of at least 0, or one for each row; 0 is a plain ``Temperature``.
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

    def narrow(self, scores: Any) -> Any:
        """Return the scores divided by the temperature of each row."""
        xp = scores.xp
        lowest = scores.numbers(np.maximum(0.0, np.subtract(self.temperature, self.range)))
        highest = np.minimum(np.add(self.temperature, self.range), np.finfo(np.float64).max)
        count = scores.finite()
        share = scores.entropy() / xp.log(xp.maximum(count, 2.0))
        share = xp.clip(share, 0.0, 1.0) ** scores.numbers(self.exponent)
        temperature = lowest + (scores.numbers(highest) - lowest) * share
        return scores.scale(xp.where(count > 1, temperature, 1.0))
