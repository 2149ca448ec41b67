"""Arrays of other libraries: which hold numbers, how to read them, how to give them back.

No library is imported here: an array of it can only exist where it has been.
"""

import sys
from collections.abc import Callable
from typing import Any

import numpy as np


def is_symbolic(x: Any) -> bool:
    """Tell whether ``x`` is a tensor of a graph that is being traced, and so holds no numbers."""
    if type(x) in (np.ndarray, int, type(None)):  # what it nearly always is
        return False
    tensorflow, jax = sys.modules.get("tensorflow"), sys.modules.get("jax")
    if tensorflow is not None and isinstance(x, tensorflow.Tensor):
        return not hasattr(x, "numpy")
    return jax is not None and isinstance(x, jax.core.Tracer)


def in_graph(*values: Any) -> bool:
    """Tell whether the work belongs into a graph: one of ``values`` does, or TensorFlow traces."""
    tensorflow = sys.modules.get("tensorflow")
    tracing = tensorflow is not None and not tensorflow.executing_eagerly()
    return tracing or any(is_symbolic(value) for value in values)


def to_numpy(x: Any) -> np.ndarray:
    """Return the numbers of an array, eager tensor or nested list, uncopied where possible."""
    if type(x) is np.ndarray:
        return x
    if type(x).__module__.partition(".")[0] == "torch":
        x = x.detach().cpu()
        x = x.float() if str(x.dtype) == "torch.bfloat16" else x
    return np.asarray(x)


def like(x: Any) -> Callable[[np.ndarray], Any]:
    """Return what turns a NumPy array into the type of array that ``x`` is."""
    if type(x) is np.ndarray:
        return _same
    family = type(x).__module__.partition(".")[0]
    if family == "tensorflow":
        return sys.modules["tensorflow"].convert_to_tensor
    if family in ("jax", "jaxlib"):
        return sys.modules["jax"].numpy.asarray
    if family == "torch":
        return sys.modules["torch"].from_numpy
    return _same


def _same(array: np.ndarray) -> np.ndarray:
    return array


def all_to_numpy(state: Any) -> Any:
    """Return a value, or a nested tuple of values, with NumPy arrays for arrays of any library."""
    if isinstance(state, tuple):
        values = [all_to_numpy(value) for value in state]
        return type(state)(*values) if hasattr(state, "_fields") else tuple(values)
    return to_numpy(state) if hasattr(state, "shape") else state
