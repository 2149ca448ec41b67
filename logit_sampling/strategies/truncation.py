"""Transforms that keep the first tokens of an order, or drop them. The rest keeps its logits.

Order is by logit, the greatest first, and of equal logits the lower token id first. Each keeps one
token at least. Entropies are in nats. What keeps the tokens above a floor is in ``floors``.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from logit_sampling.distribution.checks import Numbers, check_count, check_flag, check_ids, number
from logit_sampling.distribution.symbol import is_everywhere
from logit_sampling.strategies.transform import ScoreTransform


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
class Typical(ScoreTransform):
    """Keep the tokens of the most typical surprise whose mass reaches ``p``.

    The order is by the distance of a token's surprise, -ln p, from the entropy; of equal distances
    the likelier token is first.

    Args:
        p: a number in (0, 1], or one for each row; 1 keeps all.

    Raises:
        ValueError: ``p`` is outside (0, 1].

    Source:
        Meister et al., Locally Typical Sampling, 2022, arXiv 2202.00666.

    Example:
        >>> import numpy as np, logit_sampling as ls
        >>> ls.Typical(0.3)(np.log([0.4, 0.3, 0.2, 0.1])).round(2)
        array([-inf, -1.2, -inf, -inf])
    """

    p: Numbers = number(gt=0, le=1)

    def narrow(self, scores: Any) -> Any:
        """Return the scores of the typical set."""
        return scores.typical(self.p)


@dataclass(frozen=True)
class TopH(ScoreTransform):
    """Keep the longest prefix whose entropy is at most ``h`` times that of the row.

    The entropy of the prefix is that of its renormalised distribution. With ``renormalize=False``
    it is the part of the row's entropy that its tokens make up. With ``first`` only so many of the
    likeliest tokens are looked at, and the others go, as in Hugging Face transformers.

    Args:
        h: a number in (0, 1], or one for each row; 1 keeps all (with the defaults).
        renormalize: whether the prefix is normalised before its entropy is taken.
        first: look at so many tokens only, an integer of at least 1; None for all.

    Raises:
        ValueError: ``h`` is outside (0, 1], or ``first`` is below 1.

    Source:
        Potraghloo et al., Top-H Decoding, 2025, arXiv 2509.02510.

    Example:
        >>> import numpy as np, logit_sampling as ls
        >>> ls.TopH(0.6)(np.log([0.15, 0.5, 0.05, 0.3])).round(2)
        array([ -inf, -0.69,  -inf, -1.2 ])
    """

    h: Numbers = number(gt=0, le=1)
    renormalize: bool = True
    first: int | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_flag(self, "renormalize")
        check_count(self, "first", least=1, optional=True)

    def narrow(self, scores: Any) -> Any:
        """Return the scores of the prefix."""
        scores = scores if self.first is None else scores.top_k(self.first)
        if self.renormalize and is_everywhere(1, self.h):
            return scores
        share = scores.numbers(self.h)
        bound = scores.entropy() * share
        if self.renormalize:
            bound = scores.xp.where(share == 1, np.inf, bound)
        return scores.entropy_prefix(bound, self.renormalize)


@dataclass(frozen=True)
class XTC(ScoreTransform):
    """With a chance of ``probability``, exclude the top choices but the least likely of them.

    The top choices are the tokens with a probability of at least ``threshold``. The chance is taken
    for each row and step, from the seed and step of the draw. A distribution that is asked for
    without a seed is the mixture of both outcomes.

    Args:
        probability: the chance, a number in [0, 1], or one for each row.
        threshold: a number in [0, 0.5], or one for each row.
        protected: token ids that are never removed.

    Raises:
        ValueError: a value is out of range.

    Source:
        text-generation-webui, pull request 6335, 2024.

    Example:
        >>> import numpy as np, logit_sampling as ls
        >>> ls.XTC(1, 0.2)(np.log([0.15, 0.5, 0.05, 0.3])).round(2)
        array([-1.9,  -inf, -3. , -1.2])
    """

    tosses_coin: ClassVar[bool] = True
    probability: Numbers = number(ge=0, le=1)
    threshold: Numbers = number(ge=0, le=0.5)
    protected: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        check_ids(self, "protected")

    def chance(self) -> Any:
        """Return the chance of its coin, a number or one for each row."""
        return self.probability

    def narrow(self, scores: Any) -> Any:
        """Return the scores without the top choices, where the coin says so."""
        chosen, scores = scores.coins(self.probability)
        with np.errstate(divide="ignore"):
            threshold = np.log(self.threshold) + scores.log_total()
        return scores.drop_top_choices(threshold, chosen, self.protected)
