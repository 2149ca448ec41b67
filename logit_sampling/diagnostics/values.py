"""What values along the last axis can be: logits, log-probabilities, probabilities."""

from typing import Literal, TypeAlias, overload

import numpy as np

from logit_sampling.distribution.arrays import is_symbolic, like, to_numpy
from logit_sampling.distribution.checks import FLOATS
from logit_sampling.types import Array, ArrayLike, Lists, Logits

Kind: TypeAlias = Literal["softmax", "sigmoid"]
"""What made the probabilities."""


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


@overload
def logits_from(*, probabilities: np.ndarray | Lists, kind: Kind = "softmax") -> np.ndarray: ...


@overload
def logits_from(*, probabilities: Array, kind: Kind = "softmax") -> Array: ...


def logits_from(*, probabilities: Logits, kind: Kind = "softmax") -> ArrayLike:
    """Turn probabilities into logits: the softmax, or the sigmoid, gives them back.

    Those of a softmax are the logarithms, ln p; those of sigmoids the logarithms of the odds,
    ln p/(1-p), for each unit by itself. They are computed in float64 and rounded once, so they are
    the nearest numbers of their dtype. A probability of 0 becomes -inf, a token that is never
    drawn; 1 becomes 0, or inf of a sigmoid.

    Args:
        probabilities: floating point, [vocab] or [..., vocab], along the last axis at least 0 with
            a sum of at most 1. Less than 1 is what a cut leaves over: the softmax makes it 1 again.
            Of sigmoids: any shape, each in [0, 1].
        kind: "softmax" or "sigmoid", what the probabilities came from.

    Returns:
        logits of the same shape, dtype and type of array. In a graph nothing is checked.

    Raises:
        ValueError: another kind, an integer dtype, a NaN, a value outside [0, 1], or a row of a
            softmax that sums to 0 or to more than 1.

    >>> logits_from(probabilities=np.array([0.5, 0.25, 0.25, 0.0]))
    array([-0.69314718, -1.38629436, -1.38629436,        -inf])
    >>> logits_from(probabilities=np.array([0.5, 0.8]), kind="sigmoid")
    array([0.        , 1.38629436])
    """
    if kind not in ("softmax", "sigmoid"):
        raise ValueError(f'kind must be "softmax" or "sigmoid", got {kind!r}')
    if is_symbolic(probabilities):
        from keras import ops

        x, shares = ops.log(probabilities), ops.convert_to_tensor(probabilities)
        return x if kind == "softmax" else x - ops.log1p(-shares)
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
    if kind == "softmax":
        _check_sums(x, values.dtype.name)
    with np.errstate(divide="ignore"):
        logits = np.log(x) if kind == "softmax" else np.log(x) - np.log1p(-x)
        rounded = logits.reshape(values.shape).astype(values.dtype)
    return like(probabilities)(rounded)


def _check_sums(x: np.ndarray, dtype: str) -> None:
    sums = x.sum(-1).reshape(-1)
    for row in np.flatnonzero((sums == 0) | (sums > 1 + sum_tolerance(dtype))):
        raise ValueError(
            f"the probabilities of row {row} sum to {sums[row]:g}: the values along the last axis "
            'must be one distribution; those of sigmoids take kind="sigmoid"'
            + (
                ", and those rounded to bfloat16 must be of that dtype"
                if 1 < sums[row] < 1.01
                else ""
            )
        )
