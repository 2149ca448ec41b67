"""Parameters by name, as other systems know them, to a chain of transforms."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from logit_sampling.transforms import MinP, Temperature, TopK, TopP, Transform

_PARAMETERS: dict[str, tuple[type[Transform], float]] = {
    "temperature": (Temperature, 1.0),
    "top_k": (TopK, 0),
    "top_p": (TopP, 1.0),
    "min_p": (MinP, 0.0),
}
"""Parameter -> transform and the value that means off, in the default order of a chain."""

_ALL = 2**31 - 1


def chain_of(given: Mapping[str, Any]) -> list[Transform]:
    """Return the transforms for ``given`` parameters, in the default order.

    None, or a scalar that means off, leaves a transform out.

    Raises:
        ValueError: a value is out of range.
    """
    chain = []
    for name, (transform, off) in _PARAMETERS.items():
        value = given[name]
        scalar = np.ndim(value) == 0 and not isinstance(value, bool)
        if value is None or (scalar and value == off):
            continue
        if name == "top_k" and np.ndim(value):  # off in one row is to keep all
            value = [_ALL if k == off else k for k in value]
        chain.append(transform(value))  # type: ignore[call-arg]
    return chain
