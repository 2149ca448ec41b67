"""An exponential decay of the length."""

import math
from dataclasses import dataclass
from typing import Any

from logit_sampling.distribution.checks import Ids, Numbers, Whole, check_ids, number
from logit_sampling.distribution.protocol import Distribution
from logit_sampling.distribution.rounding import greatest_exponent
from logit_sampling.strategies._formula import Row
from logit_sampling.strategies._memory import held, per_row
from logit_sampling.strategies._token_count import TokenCount
from logit_sampling.strategies._tokens import parameter, steady


@dataclass(frozen=True)
class LengthDecay(TokenCount):
    """Raise the logit x of the end more and more once `start` tokens were generated.

    It gains `abs(x) * (factor ** (generated - start) - 1)`; an infinite logit stays.

    Args:
        start: at least 0, or one for each row.
        factor: above 0, or one for each row; 1 changes nothing, below 1 puts the end off.
        end_id: the end-of-text id, or several that end a text.

    Raises:
        ValueError: a value is out of range, or the vocabulary lacks the token.

    Source:
        Hugging Face transformers, `exponential_decay_length_penalty`, 2022.

    Example:
        >>> import numpy as np, logit_sampling as ls
        >>> decay = ls.LengthDecay(start=1, factor=2.0, end_id=2)
        >>> decay(np.array([3.0, 1.0, -1.0]), history=[0, 0, 1])
        array([3., 1., 2.])
    """

    start: Whole = number(ge=0, le=2**31 - 1, integer=True)
    factor: Numbers = number(gt=0)
    end_id: Ids = parameter()

    def __post_init__(self) -> None:
        super().__post_init__()
        check_ids(self, "end_id", empty=False)

    def formula(self, x: Row, past: list[int], generated: list[int]) -> Row:
        late = max(len(generated) - self.start, 0)

        def raised(v: float) -> float:
            return v if math.isinf(v) else v + abs(v) * (self.factor**late - 1)

        return [raised(v) if i in self.end_id else v for i, v in enumerate(x)]

    def token_ids_named(self) -> tuple[int, ...]:
        return self.end_id

    def apply(self, distribution: Distribution, state: Any = ()) -> Distribution:
        distribution, (count,) = held(distribution, state)
        xp, late = distribution.xp, count[:, None] - per_row(self.start)
        factor = distribution.per_row(self.factor)[:, None]
        most = per_row(greatest_exponent(self.factor))
        power = xp.power(factor, xp.minimum(xp.maximum(late, 0), most))

        def change(x: Any) -> Any:
            return steady(xp, x, x + xp.absolute(x) * (power - 1))

        return distribution.adjust([self.end_id], change)
