"""What values along the last axis can be: logits, log-probabilities, probabilities."""

from typing import Any

import numpy as np

from logit_sampling.arrays import is_symbolic, like, to_numpy
from logit_sampling.checks import FLOATS


def sum_tolerance(dtype: str) -> float:
    """How far from 1 the rounded probabilities of a distribution may sum."""
    return {"bfloat16": 1e-2, "float16": 2e-3}.get(dtype, 1e-3)


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
    # A logarithm of bfloat16 is off by up to 2^-9 of its size.
    tolerance = sum_tolerance(name) * (4 if name == "bfloat16" else 1)
    inside = bool(((x >= 0) & (x <= 1)).all())
    if x.shape[-1] > 1:
        if inside and (abs(x.sum(-1) - 1) < sum_tolerance(name)).all():
            return "softmax", "all values lie in [0, 1] and each row sums to 1"
        if x.max() <= tolerance and (abs(np.exp(x).sum(-1) - 1) < tolerance).all():
            return "log_probabilities", "no value is above 0 and the exponentials sum to 1"
    if not inside:
        return "logits", "there are values outside [0, 1] and the exponentials do not sum to 1"
    if ((x > 0) & (x < 1)).any():
        return "sigmoid", "all values lie in [0, 1] but the rows do not sum to 1"
    return "unknown", "every value is 0 or 1"


def logits_from(*, probabilities: Any) -> Any:
    """Turn probabilities into logits, which are their logarithms: the softmax gives them back.

    The logarithm is taken in float64 and rounded once, so the logits are the nearest numbers of
    their dtype. A probability of 0 becomes -inf, a token that is never drawn; 1 becomes 0.

    Args:
        probabilities: floating point, [vocab] or [..., vocab], along the last axis at least 0 with
            a sum of at most 1. Less than 1 is what a cut leaves over: the softmax makes it 1 again.

    Returns:
        logits of the same shape, dtype and type of array. In a graph nothing is checked.

    Raises:
        ValueError: an integer dtype, a NaN, a value outside [0, 1], or a row that sums to 0 or to
            more than 1.

    >>> logits_from(probabilities=np.array([0.5, 0.25, 0.25, 0.0]))
    array([-0.69314718, -1.38629436, -1.38629436,        -inf])
    """
    if is_symbolic(probabilities):
        from keras import ops

        return ops.log(probabilities)
    values = to_numpy(probabilities)
    if values.dtype.name not in FLOATS:
        raise ValueError(
            f"probabilities must be floating point ({', '.join(FLOATS)}), got {values.dtype.name}"
        )
    x = np.atleast_1d(values.astype(np.float64))
    if not ((x >= 0) & (x <= 1)).all():
        raise ValueError(
            f"probabilities must lie in [0, 1], got {x[~((x >= 0) & (x <= 1))][0]:g}: if these are "
            "scores, they are logits already"
        )
    sums = x.sum(-1).reshape(-1)
    for row in np.flatnonzero((sums == 0) | (sums > 1 + sum_tolerance(values.dtype.name))):
        raise ValueError(
            f"the probabilities of row {row} sum to {sums[row]:g}: the values along the last axis "
            "must be one distribution"
        )
    with np.errstate(divide="ignore"):
        logits = np.log(x.reshape(values.shape)).astype(values.dtype)
    return like(probabilities)(logits)
