"""A bias on single tokens."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from logit_sampling.distribution.checks import Kept
from logit_sampling.distribution.protocol import Distribution
from logit_sampling.strategies._formula import Row, plus
from logit_sampling.strategies._tokens import biased, biases_of, parameter
from logit_sampling.strategies.transform import Strategy


@dataclass(frozen=True)
class LogitBias(Strategy):
    """Add a bias to the logits of some tokens; -inf beats +inf.

    Args:
        bias: maps token ids to numbers, which may be infinite.

    Raises:
        ValueError: it is no such mapping, or the vocabulary lacks one of the tokens.

    Source:
        OpenAI, API reference, `logit_bias`.

    Example:
        >>> import numpy as np, logit_sampling as ls
        >>> ls.LogitBias({0: -1.0, 2: 5.0})(np.array([3.0, 1.0, -1.0]))
        array([2., 1., 4.])
    """

    bias: Kept[Mapping[int, float] | Sequence[tuple[int, float]], tuple[tuple[int, float], ...]] = (
        parameter()
    )

    def __post_init__(self) -> None:
        pairs = biases_of(self, "bias", single=True)
        object.__setattr__(self, "bias", tuple((ids[0], bias) for ids, bias in pairs))

    def formula(self, x: Row) -> Row:
        bias = dict(self.bias)
        return [plus(v, bias.get(i, 0.0)) for i, v in enumerate(x)]

    def token_ids_named(self) -> tuple[int, ...]:
        return tuple(token for token, _ in self.bias)

    def apply(self, distribution: Distribution, state: object = ()) -> Distribution:
        xp, bias = distribution.xp, np.asarray([[bias for _, bias in self.bias]])
        return distribution.adjust([self.token_ids_named()], lambda x: biased(xp, x, bias))
