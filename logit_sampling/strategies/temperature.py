"""Temperature."""

from dataclasses import dataclass

from logit_sampling.distribution.checks import Numbers, number
from logit_sampling.distribution.protocol import Distribution
from logit_sampling.strategies._formula import Row, in_order, keep
from logit_sampling.strategies.transform import Strategy


@dataclass(frozen=True)
class Temperature(Strategy):
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

    def formula(self, x: Row) -> Row:
        if self.temperature == 0:
            return keep(x, in_order(x)[:1])
        return [v / self.temperature for v in x]

    def apply(self, distribution: Distribution, state: object = ()) -> Distribution:
        return distribution.scale(self.temperature)
