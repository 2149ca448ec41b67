"""Transforms that remove unlikely tokens. The rest keeps its logits: mask, then softmax.

Order is by logit, the greatest first, and of equal logits the lower token id first. Each keeps one
token at least.
"""

from dataclasses import dataclass
from typing import Any

from logit_sampling.checks import Numbers, number
from logit_sampling.transforms.base import ScoreTransform


@dataclass(frozen=True)
class TopK(ScoreTransform):
    """Keep the ``k`` likeliest tokens, exactly.

    Args:
        k: an integer of at least 1, or one for each row; ``k >= vocab`` keeps all.

    Raises:
        ValueError: ``k`` is below 1 or no integer.

    Source:
        Fan, Lewis and Dauphin, Hierarchical Neural Story Generation, 2018, arXiv 1805.04833.

    Example:
        >>> import numpy as np, logit_sampling as ls
        >>> ls.TopK(2)(np.array([1.0, 3.0, 2.0, 2.0], np.float32))
        array([-inf,   3.,   2., -inf], dtype=float32)
    """

    k: Numbers = number(ge=1, integer=True)

    def narrow(self, scores: Any) -> Any:
        """Return the scores of the first k tokens."""
        return scores.top_k(self.k)


@dataclass(frozen=True)
class TopP(ScoreTransform):
    """Keep the shortest prefix of the order whose probability reaches ``p`` (nucleus sampling).

    A token stays if the mass before it is below p. What is missing counts as nothing when it is
    below 16 roundings of the token's own mass, so that a prefix which reaches p on paper does here.

    Args:
        p: a number in (0, 1], or one for each row; 1 keeps all.

    Raises:
        ValueError: ``p`` is outside (0, 1].

    Source:
        Holtzman et al., The Curious Case of Neural Text Degeneration, 2019, arXiv 1904.09751.

    Example:
        >>> import numpy as np, logit_sampling as ls
        >>> logits = np.log([0.15, 0.5, 0.05, 0.3])
        >>> ls.TopP(0.8)(logits).round(2)
        array([ -inf, -0.69,  -inf, -1.2 ])
    """

    p: Numbers = number(gt=0, le=1)

    def narrow(self, scores: Any) -> Any:
        """Return the scores of the nucleus."""
        return scores.top_p(self.p)


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
        return scores.min_p(self.p)
