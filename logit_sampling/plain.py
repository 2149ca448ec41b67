"""Values as JSON has them."""

import math
from typing import Any


def strict_json(value: Any) -> Any:
    """Return lists, dicts, strings and numbers with None for what JSON has no number for.

    That is -inf, the logarithm of 0, in nearly every place; and NaN, for what is not defined.

    >>> strict_json({"log_probs": [(-0.5, float("-inf"))]})
    {'log_probs': [[-0.5, None]]}
    """
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: strict_json(own) for key, own in value.items()}
    if isinstance(value, list | tuple):
        return [strict_json(own) for own in value]
    return value
