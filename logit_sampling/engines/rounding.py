"""How much rounding is forgiven at a cut, so that rows which are equal on paper are equal here."""

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
