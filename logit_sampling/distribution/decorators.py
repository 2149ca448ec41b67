"""How code that computes with logits is called: quietly, and as it is written."""

import inspect
from collections.abc import Callable
from typing import Any, TypeVar

import numpy as np

_Code = TypeVar("_Code", bound=Callable)

AUTOGRAPH_SKIPS = "autograph_info__"
"""TensorFlow's AutoGraph leaves code alone that has this attribute.

The engines trace as they are; converting them makes the first call of a `tf.function` slow.
"""

_QUIET = np.errstate(over="ignore", under="ignore", divide="ignore", invalid="warn")


def quietly(code: _Code) -> _Code:
    """Let code compute with logits, whatever a caller has NumPy do about infinities.

    Infinities, and what vanishes beside greater numbers, are meant there; NaN never is.
    """
    quiet: Any = _QUIET(code)
    quiet.__signature__ = inspect.signature(code)
    del quiet.__wrapped__  # AutoGraph would call that, without the object of a method
    return quiet


def as_written(code: _Code) -> _Code:
    """Ask AutoGraph to leave a function or method alone."""
    setattr(code, AUTOGRAPH_SKIPS, {})
    return code
