"""What the formulas of the strategies share: one row, float64, plain mathematics.

Nothing here or in a formula knows the engines: what a strategy means is read here, and the engines
are tested against it.
"""

import math
from typing import Any

Row = list[float]
"""Logits, -inf for a removed token."""


def softmax(x: Row) -> Row:
    """Return the probabilities."""
    greatest = max(x)
    weights = [0.0 if v == -math.inf else math.exp(v - greatest) for v in x]
    total = math.fsum(weights)
    return [w / total for w in weights]


def in_order(x: Row) -> list[int]:
    """Return the token ids, the greatest logit first, of equals the lower id first."""
    return sorted(range(len(x)), key=lambda i: (-x[i], i))


def keep(x: Row, ids: list[int]) -> Row:
    """Return the logits of some tokens, -inf for the others."""
    kept = set(ids)
    return [v if i in kept else -math.inf for i, v in enumerate(x)]


def entropy(x: Row) -> float:
    """Return the entropy in nats."""
    return -math.fsum(p * math.log(p) for p in softmax(x) if p > 0)


def at_least(x: Row, floor: float) -> Row:
    """Keep the tokens of at least a probability, and the first in any case."""
    kept = [i for i, p in enumerate(softmax(x)) if p >= floor]
    return keep(x, kept or in_order(x)[:1])


def plus(v: float, bias: float) -> float:
    """Add a bias to a logit; -inf beats +inf."""
    return -math.inf if -math.inf in (v, bias) else v + bias


def latest(tokens: list[int], window: Any) -> list[int]:
    """Return the latest tokens, or all."""
    return tokens if window is None else tokens[max(len(tokens) - window, 0) :]
