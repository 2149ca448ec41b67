"""Exponentials and random words, compiled: the same bits on every processor.

They are made of products and sums that are rounded one by one, and of whole numbers.
"""

from typing import Any

import numpy as np
from numba import njit

# For kernels alone: Python cannot call what has no wrappers, and these take a while to compile.
compiled = njit(nogil=True, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)

LEAST, LEAST_32 = -700.0, np.float32(-87.0)  # log weights whose mass vanishes
_ROTATIONS = ((13, 15, 26, 6), (17, 29, 16, 24))  # of Threefry

# Exponentials: exp(z) = 2**k * exp(r). Adding the shift rounds z / ln 2 to the integer k, which
# then stands in the lowest bits. In float64 ln 2 has two parts, so that k times the first is exact.
# The polynomials begin as Taylor's series, 1 + r; the others make the greatest error least.
_PER_LN2, _SHIFT = 1.4426950408889634, 6755399441055744.0
_LN2_HIGH, _LN2_LOW = 6.93147180369123816490e-01, 1.90821492927058770e-10
_PER_LN2_32, _SHIFT_32 = np.float32(_PER_LN2), np.float32(12582912.0)
_LN2_32 = np.float32(0.6931471805599453)
EXP_ERROR, EXP_ERROR_PER_LOG = 4.0, 1.0  # roundings of `exp_32(z)`, and so many times |z|


@compiled
def exp(z: Any) -> Any:
    """Return the exponential of a float64 in [-708, 0], up to a unit in the last place."""
    shifted = z * _PER_LN2 + _SHIFT
    k = shifted - _SHIFT
    r = (z - k * _LN2_HIGH) - k * _LN2_LOW
    p = 2.5000072208651453e-08
    p = p * r + 2.7630234065893013e-07
    p = p * r + 2.7557586267425999e-06
    p = p * r + 2.4801493135804658e-05
    p = p * r + 0.00019841269506777691
    p = p * r + 0.0013888888943598036
    p = p * r + 0.0083333333334942743
    p = p * r + 0.041666666666530265
    p = p * r + 0.16666666666666413
    p = p * r + 0.5
    p = p * r + 1.0
    p = p * r + 1.0
    bits = (np.float64(shifted).view(np.int64) << np.int64(52)) + np.float64(p).view(np.int64)
    return np.int64(bits).view(np.float64)


@compiled
def exp_32(z: Any) -> Any:
    """Return the exponential of a float32 in [-87, 0], up to the roundings above."""
    shifted = z * _PER_LN2_32 + _SHIFT_32
    k = shifted - _SHIFT_32
    r = z - k * _LN2_32
    p = np.float32(0.0083125243437571805)
    p = p * r + np.float32(0.041890113493051624)
    p = p * r + np.float32(0.16667114473068347)
    p = p * r + np.float32(0.49999231789928178)
    p = p * r + np.float32(1.0)
    p = p * r + np.float32(1.0)
    bits = (np.float32(shifted).view(np.int32) << np.int32(23)) + np.float32(p).view(np.int32)
    return np.int32(bits).view(np.float32)


@compiled
def threefry(low: Any, high: Any, step: Any, stream: Any) -> tuple[Any, Any]:
    """Return two words: see `random.threefry`."""
    first, second = np.uint32(low), np.uint32(high)
    third = np.uint32(first ^ second ^ np.uint32(0x1BD11BDA))
    keys = (first, second, third)
    x, y = np.uint32(np.uint32(step) + first), np.uint32(np.uint32(stream) + second)
    for group in range(5):
        for turn in range(4):
            by = np.uint32(_ROTATIONS[group % 2][turn])
            x = np.uint32(x + y)
            y = np.uint32(np.uint32((y << by) | (y >> np.uint32(np.uint32(32) - by))) ^ x)
        x = np.uint32(x + keys[(group + 1) % 3])
        y = np.uint32(y + keys[(group + 2) % 3] + np.uint32(group + 1))
    return x, y


@compiled
def uniform(low: Any, high: Any, step: Any, stream: Any) -> Any:
    """Return a number in [0, 1) of a stream: see `eager.uniforms`."""
    x, y = threefry(low, high, step, stream)
    return (x >> np.uint32(5)) * 2.0**-27 + (y >> np.uint32(6)) * 2.0**-53
