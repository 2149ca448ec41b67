"""What is wrong with a request, and checks of what JSON can say."""

import json
import re
from collections.abc import Callable, Mapping
from typing import Any


class RefusedError(ValueError):
    """A request that cannot be followed.

    Attributes:
        param: the name in the request that it is about, if it is about one.
        status: of HTTP.
    """

    def __init__(self, message: str, param: str | None = None, status: int = 400) -> None:
        super().__init__(message)
        self.param, self.status = param, status


def flag(given: Mapping[str, Any], name: str) -> bool:
    """Return a field that is true or false; one that is not there is false."""
    value = given.get(name)
    if value is not None and not isinstance(value, bool):
        raise RefusedError(f"`{name}` is true or false, got {kind_of(value)}", name)
    return bool(value)


def json_object(given: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """Return a field that is an object; one that is not there is an empty one."""
    value = given.get(name)
    if value is not None and not isinstance(value, Mapping):
        raise RefusedError(f"`{name}` is an object, got {kind_of(value)}", name)
    return value or {}


_NAMED = re.compile(r"`(\w+)`|^(\w+)")


def refusing(make: Callable[[], Any], given: Mapping[str, Any], name: str | None = None) -> Any:
    """Return what is made, or raise RefusedError for what is wrong with a value in it."""
    try:
        return make()
    except RefusedError:
        raise
    except (ValueError, OverflowError, RecursionError) as error:
        found = [a or b for a, b in _NAMED.findall(str(error))]
        about = next((own for own in found if own in given), name)
        raise RefusedError(str(error), about) from error


def kind_of(value: Any) -> str:
    """Return what a value of JSON is, and the value if it is short."""
    kinds = {
        dict: "an object",
        list: "a list",
        str: "a text",
        bool: "a boolean",
        type(None): "null",
    }
    shown = json.dumps(value)
    kind = kinds.get(type(value), "a number")
    return f"{kind}, {shown}" if len(shown) <= 60 and value is not None else kind
