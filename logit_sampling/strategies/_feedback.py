"""Feedback: strategies that learn from the probability which each drawn token had."""

from typing import Any

import numpy as np

from logit_sampling.distribution.protocol import Distribution


def drawn(strategy: Any, distribution: Distribution | None, ids: Any) -> tuple[Any, Any]:
    """Return which rows learn from tokens that were drawn, bool [batch], and their log-probability.

    Raises:
        ValueError: there is no distribution: the tokens alone do not tell how likely they were.
    """
    if distribution is None:
        raise ValueError(
            f"{type(strategy).__name__} needs the probability of each token that was drawn: use "
            "sampler.init and sampler.step; for a call with `history`, say with `prompt_length` "
            "that all of it is prompt"
        )
    xp = distribution.xp
    log_prob = distribution.per_row(distribution.log_prob(xp.maximum(ids, 0)))
    # A comparison with NaN is false, and TensorFlow may turn its opposite into another.
    known = (log_prob > -np.inf) & (ids >= 0)
    return known, xp.where(known, log_prob, 0.0)
