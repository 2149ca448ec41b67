"""Transforms that keep the tokens above a floor, which depends on the distribution.

The rest keeps its logits: mask, then softmax. The likeliest token always stays. Entropies are in
nats.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from logit_sampling.distribution.checks import Numbers, number
from logit_sampling.strategies.transform import ScoreTransform


@dataclass(frozen=True)
class MinP(ScoreTransform):
    """Keep tokens with at least ``p`` times the probability of the likeliest.

    Args:
        p: a number in [0, 1], or one for each row; 0 keeps all, 1 all that share the maximum.

    Raises:
        ValueError: ``p`` is outside [0, 1].

    Source:
        Nguyen et al., Turning Up the Heat: Min-p Sampling for Creative and Coherent LLM Outputs,
        2024, arXiv 2407.01082.

    Example:
        >>> import numpy as np, logit_sampling as ls
        >>> logits = np.log([0.15, 0.5, 0.05, 0.3])
        >>> ls.MinP(0.3)(logits).round(2)
        array([-1.9 , -0.69,  -inf, -1.2 ])
    """

    p: Numbers = number(ge=0, le=1)

    def narrow(self, scores: Any) -> Any:
        """Return the scores that come close enough to the greatest."""
        with np.errstate(divide="ignore"):
            return scores.above(np.log(self.p))


@dataclass(frozen=True)
class Epsilon(ScoreTransform):
    """Keep tokens with a probability of at least ``epsilon``.

    Args:
        epsilon: a number in [0, 1), or one for each row; 0 keeps all.

    Raises:
        ValueError: ``epsilon`` is outside [0, 1).

    Source:
        Hewitt et al., Truncation Sampling as Language Model Desmoothing, 2022, arXiv 2210.15191.

    Example:
        >>> import numpy as np, logit_sampling as ls
        >>> ls.Epsilon(0.2)(np.log([0.15, 0.5, 0.05, 0.3])).round(2)
        array([ -inf, -0.69,  -inf, -1.2 ])
    """

    epsilon: Numbers = number(ge=0, lt=1)

    def narrow(self, scores: Any) -> Any:
        """Return the scores above the floor."""
        with np.errstate(divide="ignore"):
            return scores.above(np.log(self.epsilon) + scores.log_total())


@dataclass(frozen=True)
class Eta(ScoreTransform):
    """Keep tokens with a probability of at least min(epsilon, sqrt(epsilon) * exp(-entropy)).

    Args:
        epsilon: a number in [0, 1), or one for each row; 0 keeps all.

    Raises:
        ValueError: ``epsilon`` is outside [0, 1).

    Source:
        Hewitt et al., Truncation Sampling as Language Model Desmoothing, 2022, arXiv 2210.15191.

    Example:
        >>> import numpy as np, logit_sampling as ls
        >>> ls.Eta(0.1)(np.log([0.15, 0.5, 0.05, 0.3])).round(2)
        array([-1.9 , -0.69,  -inf, -1.2 ])
    """

    epsilon: Numbers = number(ge=0, lt=1)

    def narrow(self, scores: Any) -> Any:
        """Return the scores above the floor."""
        with np.errstate(divide="ignore"):
            floor = scores.numbers(np.log(self.epsilon))
        floor = scores.xp.minimum(floor, floor / 2 - scores.entropy())
        return scores.above(floor + scores.log_total())


@dataclass(frozen=True)
class TopA(ScoreTransform):
    """Keep tokens with a probability of at least ``a`` times the square of the greatest.

    Args:
        a: a number in [0, 1], or one for each row; 0 keeps all.

    Raises:
        ValueError: ``a`` is outside [0, 1].

    Source:
        The RWKV-LM repository, 2021.

    Example:
        >>> import numpy as np, logit_sampling as ls
        >>> ls.TopA(0.5)(np.log([0.15, 0.5, 0.05, 0.3])).round(2)
        array([-1.9 , -0.69,  -inf, -1.2 ])
    """

    a: Numbers = number(ge=0, le=1)

    def narrow(self, scores: Any) -> Any:
        """Return the scores that come close enough to the greatest."""
        with np.errstate(divide="ignore"):
            return scores.above(np.log(self.a) - scores.log_total())


@dataclass(frozen=True)
class TopNSigma(ScoreTransform):
    """Keep logits within ``n`` standard deviations of the greatest.

    The deviation is that of the population of all logits above -inf, so a temperature before or
    after changes nothing.

    Args:
        n: a number above 0, or one for each row.

    Raises:
        ValueError: ``n`` is not above 0.

    Source:
        Tang et al., Top-n-sigma: Not All Logits Are You Need, 2024, arXiv 2411.07641.

    Example:
        >>> import numpy as np, logit_sampling as ls
        >>> ls.TopNSigma(1)(np.array([0.0, 4.0, 2.0, 2.0, 3.0], np.float32))
        array([-inf,   4., -inf, -inf,   3.], dtype=float32)
    """

    n: Numbers = number(gt=0)

    def narrow(self, scores: Any) -> Any:
        """Return the scores within reach of the greatest."""
        return scores.within(scores.numbers(self.n) * scores.deviation())


@dataclass(frozen=True)
class PLess(ScoreTransform):
    """Keep tokens with a probability of at least the sum of all squared probabilities.

    That sum is the chance that two draws agree; there is no parameter.

    Source:
        Tan et al., p-less Sampling, 2025, arXiv 2509.23234.

    Example:
        >>> import numpy as np, logit_sampling as ls
        >>> ls.PLess()(np.log([0.15, 0.5, 0.05, 0.3])).round(2)
        array([ -inf, -0.69,  -inf,  -inf])
    """

    def narrow(self, scores: Any) -> Any:
        """Return the scores above the floor."""
        return scores.above(scores.collision() + scores.log_total())
