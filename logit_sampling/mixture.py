"""The distribution over all ways in which the coins of a chain may fall."""

import math
from typing import Any

import numpy as np

from logit_sampling.arrays import is_symbolic


def chance_of(coins: tuple[bool, ...], chances: list[Any]) -> np.ndarray:
    """Return how likely the coins fall so: a number, or [batch] where a chance is given per row."""
    arrays = [np.asarray(chance, np.float64) for chance in chances]
    factors = [a if coin else 1 - a for coin, a in zip(coins, arrays, strict=True)]
    return np.asarray(math.prod(factors))


def mixture(weighted: list[tuple[Any, Any]]) -> Any:
    """Return the weighted sum of distributions, float32 [batch, vocab]."""
    if len(weighted) == 1:
        return weighted[0][1]
    return sum(np.float32(np.reshape(w, (-1, 1))) * rows for w, rows in weighted)


def log_mixture(weighted: list[tuple[Any, Any]]) -> Any:
    """Return the log of the weighted sum, from log-probabilities, float32 [batch]."""
    if len(weighted) == 1:
        return weighted[0][1]
    with np.errstate(divide="ignore"):
        logs = [np.float32(np.log(w)) + log_prob for w, log_prob in weighted]
    if not is_symbolic(logs[0]):
        return np.logaddexp.reduce(logs)
    from keras import ops

    return ops.logsumexp(ops.stack(logs), axis=0)
