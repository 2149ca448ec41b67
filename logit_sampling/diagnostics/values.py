"""What values along the last axis can be: logits, log-probabilities, probabilities."""

import numpy as np


def kind_of_values(values: np.ndarray, name: str = "float32") -> tuple[str, str]:
    """Tell what rows of numbers are, as far as numbers can tell.

    Args:
        values: float [..., units]; a row is what lies along the last axis.
        name: the dtype that they were computed in.

    Returns:
        the kind, and what it was told by. "softmax" (each row sums to 1) and "log_probabilities"
        (the exponentials do) are as good as proven. "logits" means that they are neither and leave
        [0, 1]. "sigmoid" means that all lie in [0, 1], which logits can do by chance.

    >>> kind_of_values(np.array([[0.5, 0.3, 0.2]]))
    ('softmax', 'all values lie in [0, 1] and each row sums to 1')
    """
    x = values.astype(np.float64)
    if np.isnan(x).any():
        return "unknown", "there is a NaN"
    tolerance = {"bfloat16": 1e-2, "float16": 2e-3}.get(name, 1e-3)
    inside = bool(((x >= 0) & (x <= 1)).all())
    if x.shape[-1] > 1:
        if inside and (abs(x.sum(-1) - 1) < tolerance).all():
            return "softmax", "all values lie in [0, 1] and each row sums to 1"
        # A logarithm of bfloat16 is off by up to 2^-9 of its size.
        if x.max() <= tolerance and _sums_to_one(x, tolerance * (4 if name == "bfloat16" else 1)):
            return "log_probabilities", "no value is above 0 and the exponentials sum to 1"
    if not inside:
        return "logits", "there are values outside [0, 1] and the exponentials do not sum to 1"
    if ((x > 0) & (x < 1)).any():
        return "sigmoid", "all values lie in [0, 1] but the rows do not sum to 1"
    return "unknown", "every value is 0 or 1"


def _sums_to_one(log_probabilities: np.ndarray, tolerance: float) -> bool:
    return bool((abs(np.exp(log_probabilities).sum(-1) - 1) < tolerance).all())
