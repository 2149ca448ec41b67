"""How much rounding is forgiven at a cut, so that rows which are equal on paper are equal here."""

from typing import Any

import numpy as np

AT_A_SUM = 16
"""A prefix reaches a mass if what is missing is below this many roundings of the next token."""

AT_AN_ENTROPY = 1e-12
"""A prefix is within an entropy that it exceeds by less than this part."""

AT_A_COIN = 1e-12
"""A log-probability of the first token that exceeds a threshold's by less reaches it."""


def forgiving(threshold: float, epsilon: float) -> float:
    """Return a threshold for logits, lowered by the rounding of a logit of its size.

    Works on tensors too; ``epsilon`` is that of the logits' dtype.
    """
    return threshold - abs(threshold) * (epsilon / 2)


def greatest_exponent(base: Any) -> np.ndarray:
    """Return up to which power each ``base`` stays below the greatest float32, int32 [n, 1].

    A base below 1 has all of its powers, up to 2**30; those of 1 are one.
    """
    bases = np.asarray(base, np.float64).reshape(-1, 1)
    most = np.log(np.finfo(np.float32).max) / np.log(np.where(bases > 1, bases, 2.0))
    most = np.where(bases > 1, np.floor(most), np.where(bases < 1, np.inf, 0.0))
    return np.minimum(most, 2**30).astype(np.int32)
