"""How much rounding is forgiven at a cut, so that rows which are equal on paper are equal here."""

import math
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

    Works on tensors too; `epsilon` is that of the logits' dtype.
    """
    return threshold - abs(threshold) * (epsilon / 2)


def greatest_exponent(base: Any) -> Any:
    """Return up to which power each `base` stays below the greatest float32.

    A base below 1 has all of its powers, up to 2**30; those of 1 are one. Like a parameter it is a
    number, one for each row, or a `Symbol`.
    """
    limit = float(np.finfo(np.float32).max)
    with np.errstate(divide="ignore"):
        most = np.floor(np.divide(math.log(limit), np.log(np.maximum(base, 1.0))))
    most = np.minimum(most, 2.0**30) * np.not_equal(base, 1.0)
    return most - np.greater(np.power(base, most), limit)  # which float32 may round up to
