"""Values as JSON has them."""

import json
import math
from itertools import chain
from typing import Any

_DEEPEST = 100  # what follows a value down calls itself, and Python lets that go on for so long


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


def read_json(text: bytes | str) -> Any:
    """Return what the JSON of a stranger says.

    Raises:
        ValueError: it is none, by the letter of RFC 8259; it has a number beyond those of floats;
            it is deep enough to exhaust the stack of who reads it.

    >>> read_json('{"a": [1, 2e3]}')
    {'a': [1, 2000.0]}
    """
    try:
        value = json.loads(text, parse_constant=_constant, parse_int=_integer, parse_float=_number)
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None
    level, depth = [value], 0
    while level := [own for own in level if isinstance(own, dict | list)]:
        depth += 1
        if depth > _DEEPEST:
            raise ValueError(_TOO_DEEP)
        level = list(chain(*(own.values() if isinstance(own, dict) else own for own in level)))
    return value


_TOO_DEEP = f"its lists and objects are more than {_DEEPEST} deep"


def _constant(name: str) -> Any:
    raise ValueError(f"{name} is no number of JSON")


def _integer(text: str) -> int:
    if len(text) > 300:  # the largest float has 309 digits
        raise ValueError(f"a number has {len(text)} digits, more than 300")
    return int(text)


def _number(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text[:30]} is beyond the numbers of JSON")
    return value
