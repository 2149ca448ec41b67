"""The distribution over all ways in which the coins of a chain may fall."""

import functools
import math
from typing import Any

import numpy as np


def chance_of(coins: tuple[bool, ...], chances: list[Any]) -> Any:
    """Return how likely the coins fall so, for chances [batch] each."""
    return math.prod(c if coin else 1 - c for coin, c in zip(coins, chances, strict=True))


def mixture(xp: Any, weighted: list[tuple[Any, Any]]) -> Any:
    """Return the sum of distributions, float32 [batch, vocab], weighted by [batch].

    ``xp`` are functions on the arrays, ``numpy`` or ``keras.ops``.
    """
    if len(weighted) == 1:
        return weighted[0][1]
    return sum(xp.array(w[:, None], dtype="float32") * rows for w, rows in weighted)


def log_mixture(xp: Any, weighted: list[tuple[Any, Any]]) -> Any:
    """Return the log of the weighted sum, from log-probabilities, float32 [batch]."""
    if len(weighted) == 1:
        return weighted[0][1]
    with np.errstate(divide="ignore"):
        logs = [xp.array(xp.log(w), dtype="float32") + log_prob for w, log_prob in weighted]
    return functools.reduce(xp.logaddexp, logs)
