"""Frequency penalty."""

from dataclasses import dataclass
from typing import Any

from logit_sampling.distribution.checks import Numbers, number
from logit_sampling.strategies._count_penalty import CountPenalty
from logit_sampling.strategies._formula import Row, latest


@dataclass(frozen=True)
class FrequencyPenalty(CountPenalty):
    """Subtract `penalty` from the logit of each token, times how often it occurred.

    Args:
        penalty: a finite number, or one for each row; 0 changes nothing.
        window: how many of the latest tokens count, or None for all, or one for each row.
        prompt: whether those of the prompt count.

    Raises:
        ValueError: a value is out of range.

    Source:
        OpenAI, API reference, `frequency_penalty`.

    Example:
        >>> import numpy as np, logit_sampling as ls
        >>> ls.FrequencyPenalty(0.5)(np.array([3.0, 1.0, -1.0]), history=[0, 2, 2])
        array([ 2.5,  1. , -2. ])
    """

    penalty: Numbers = number()

    def formula(self, x: Row, past: list[int], generated: list[int]) -> Row:
        seen = latest(past if self.prompt else generated, self.window)
        return [v - self.penalty * seen.count(i) for i, v in enumerate(x)]

    def _penalized(self, xp: Any, x: Any, penalty: Any, counts: Any) -> Any:
        """Return logits minus the penalty for each time."""
        return xp.subtract(x, xp.multiply(penalty, counts))
