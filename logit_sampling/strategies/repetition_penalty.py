"""Repetition penalty."""

import math
from dataclasses import dataclass
from typing import Any

from logit_sampling.distribution.checks import Numbers, check_flag, number
from logit_sampling.distribution.protocol import Distribution
from logit_sampling.strategies._count_penalty import CountPenalty
from logit_sampling.strategies._formula import Row, latest


@dataclass(frozen=True)
class RepetitionPenalty(CountPenalty):
    """Divide the logits above 0 of tokens seen by `penalty`, and multiply the others by it.

    Once for each distinct token; infinite logits stay. A constant added to a row changes what it
    does: apply it to raw logits, before all else. With `normalize=True` it works on
    log-probabilities, which no constant changes and which are all below 0: each is multiplied.

    Args:
        penalty: above 0, or one for each row; above 1 discourages, 1 changes nothing.
        window: how many of the latest tokens count, or None for all, or one for each row.
        prompt: whether those of the prompt count.
        normalize: whether to turn logits into log-probabilities first (after issue 47595 of Hugging
            Face transformers).

    Raises:
        ValueError: a value is out of range.

    Source:
        Keskar et al., CTRL: A Conditional Transformer Language Model for Controllable Generation,
        2019, arXiv 1909.05858; the rule for the sign from Hugging Face transformers, 2020.

    Example:
        >>> import numpy as np, logit_sampling as ls
        >>> ls.RepetitionPenalty(2.0)(np.array([3.0, 1.0, -1.0]), history=[0, 2, 2])
        array([ 1.5,  1. , -2. ])
    """

    penalty: Numbers = number(gt=0)
    prompt: bool = True
    normalize: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        check_flag(self, "normalize")

    def formula(self, x: Row, past: list[int], generated: list[int]) -> Row:
        if self.normalize:
            log_total = math.log(math.fsum(math.exp(v - max(x)) for v in x))
            x = [v - max(x) - log_total for v in x]
        seen = latest(past if self.prompt else generated, self.window)

        def penalized(v: float) -> float:
            return v if math.isinf(v) else v / self.penalty if v > 0 else v * self.penalty

        return [penalized(v) if i in seen else v for i, v in enumerate(x)]

    def apply(self, distribution: Distribution, state: Any = ()) -> Distribution:
        if self.normalize:
            log_total = distribution.log_total()
            distribution = distribution.map(lambda own, total: own - total, log_total)
        return super().apply(distribution, state)

    def _penalized(self, xp: Any, x: Any, penalty: Any, counts: Any) -> Any:
        """Return logits divided or multiplied by the penalty."""
        return xp.where(x > 0, xp.divide(x, penalty), xp.multiply(x, penalty))
