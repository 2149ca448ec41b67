"""Arrays of any library: which hold numbers, how to read them, how to give them back.

What callers pass comes in here, and nowhere else is known which kinds of arrays there are. No
library is imported: an array of it can only exist where it has been.
"""

import sys
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import numpy as np

from logit_sampling.distribution.symbol import Symbol

_HOMES = {"torch": "torch", "tensorflow": "tensorflow", "keras": "keras"} | dict.fromkeys(
    ("jax", "jaxlib"), "jax"
)
_NATIVE = frozenset(map(np.dtype, "efd?bhilqBHILQ"))
_NUMBER = (int, float, np.generic)


@lru_cache(maxsize=256)
def _library(kind: type) -> str:
    """Return the library that a class of arrays is from, or derives from; else an empty name."""
    packages = (base.__module__.partition(".")[0] for base in kind.__mro__)
    return next((_HOMES[package] for package in packages if package in _HOMES), "")


def library_of(x: Any) -> str:
    """Return "torch", "tensorflow", "jax" or "keras" for what is of it; else an empty name."""
    return _library(type(x))  # type: ignore[arg-type]


def is_symbolic(x: Any) -> bool:
    """Tell whether `x` is of a graph that is being traced, and so holds no numbers."""
    if type(x) in (np.ndarray, int, type(None)):  # what it nearly always is
        return False
    if isinstance(x, list | tuple):
        return bool(x) and not isinstance(x[0], _NUMBER) and any(map(is_symbolic, x))
    if isinstance(x, Symbol):
        return True
    library = library_of(x)
    if library == "keras":
        return is_symbolic(getattr(x, "value", None))
    if library == "tensorflow":
        tensorflow = sys.modules["tensorflow"]
        if isinstance(x, tensorflow.Variable):
            return not tensorflow.executing_eagerly()
        tensor = getattr(x, "flat_values", x)  # those of a RaggedTensor
        return isinstance(tensor, tensorflow.Tensor) and not hasattr(tensor, "numpy")
    return library == "jax" and isinstance(x, sys.modules["jax"].core.Tracer)


def holds_symbolic(value: Any) -> bool:
    """Tell whether `value` is symbolic, or a list, tuple or mapping with anything that is."""
    if isinstance(value, Mapping):
        return any(map(holds_symbolic, value.values()))
    return any(map(holds_symbolic, value)) if type(value) in (list, tuple) else is_symbolic(value)


def in_graph(*values: Any) -> bool:
    """Tell whether the work belongs into a graph: one of `values` does, or TensorFlow traces."""
    tensorflow = sys.modules.get("tensorflow")
    if tensorflow is not None and not tensorflow.executing_eagerly():
        return True
    for value in values:  # noqa: SIM110 (a loop is quickest)
        if is_symbolic(value):
            return True
    return False


def to_numpy(x: Any) -> np.ndarray:
    """Return the numbers of an array, an eager tensor or nested lists of them.

    Nothing is copied where it need not be. The byte order is the machine's; floats of 8 bits and
    fewer (and torch's bfloat16) become float32. What a masked array hides is -inf, or -1 among
    integers: a token that cannot be drawn, a place without a token.

    Raises:
        ValueError: `x` holds no numbers, or not all of them: it is sparse, ragged or symbolic.
    """
    if type(x) is np.ndarray and x.dtype in _NATIVE:
        return x
    if isinstance(x, list | tuple):
        return _from_rows(x)
    check_dense(x)
    library = library_of(x)
    if library == "keras":
        return to_numpy(x.value)
    if isinstance(x, np.ma.MaskedArray):
        return _without_mask(x)
    return _plain(_read(x), x)


def _read(x: Any) -> np.ndarray:
    """Return what NumPy makes of `x`, of any dtype."""
    try:
        if library_of(x) == "torch":
            return _from_torch(x)
        # np.asarray fails on a number of TensorFlow's in bfloat16.
        return np.asarray(x.numpy() if library_of(x) == "tensorflow" else x)
    except (TypeError, ValueError, AttributeError, RuntimeError) as error:
        raise _unreadable(x, str(error).partition("\n")[0]) from error


def _from_torch(x: Any) -> np.ndarray:
    x = x.detach().cpu()
    if x.is_quantized:
        x = x.dequantize()
    small = x.dtype.is_floating_point and x.dtype.itemsize < 2
    return (x.float() if small or str(x.dtype) == "torch.bfloat16" else x).numpy(force=True)


def _from_rows(x: Any) -> np.ndarray:
    """Return the numbers of nested lists, whose rows may be arrays of any kind."""
    if not x or isinstance(x[0], _NUMBER):
        return _plain(_read(x), x)
    rows = [to_numpy(row) for row in x]
    if len({row.shape for row in rows}) > 1:
        shapes = ", ".join(str(row.shape) for row in rows[:4])
        raise ValueError(f"rows must have one shape, got {shapes}{', ...' * (len(rows) > 4)}")
    try:
        return np.stack(rows)
    except TypeError as error:
        raise _unreadable(x, str(error).partition("\n")[0]) from error


def _without_mask(x: np.ma.MaskedArray) -> np.ndarray:
    numbers = _plain(np.asarray(x.data), x)
    if numbers.dtype.kind in "iu":
        return np.where(np.ma.getmaskarray(x), -1, numbers.astype(np.int64))
    numbers = numbers.copy()
    numbers[np.ma.getmaskarray(x)] = -np.inf
    return numbers


def _plain(array: np.ndarray, x: Any) -> np.ndarray:
    """Return numbers that NumPy computes with, read from `x`, in the byte order of the machine.

    bfloat16 stays: it is not NumPy's, but engines and reports know it.
    """
    kind, name = array.dtype.kind, array.dtype.name
    if kind == "O":
        listed = array.tolist()
        if isinstance(x, list | tuple):
            raise _unreadable(x, "some are no numbers, or integers beyond 64 bits")
        if not isinstance(listed, list):
            raise _unreadable(x, "it holds none")
        return _from_rows(listed)
    if "_e" in name:  # floats of 8 bits and fewer: float8_e5m2
        return array.astype(np.float32)
    if kind == "V" and name.startswith(("int", "uint")):
        return array.astype(np.int32)
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


def _unreadable(x: Any, why: str) -> ValueError:
    return ValueError(
        f"cannot read numbers from a {_name(x)}: {why}; pass an array, a dense tensor, or nested "
        "lists"
    )


def _name(x: Any) -> str:
    return f"{library_of(x)} {type(x).__name__}".lstrip()


def check_dense(x: Any) -> None:
    """Raise ValueError if `x` is a tensor of another kind than those with a number everywhere."""
    library, name, problem = library_of(x), type(x).__name__, ""
    if library == "torch" and getattr(x, "is_nested", False):
        problem = "has rows of different lengths: pass x.to_padded_tensor(float('-inf'))"
    elif library == "torch" and name == "MaskedTensor":
        problem = "hides some of its numbers: pass x.to_tensor(float('-inf'))"
    elif library == "torch" and str(getattr(x, "layout", "torch.strided")) != "torch.strided":
        problem = "is sparse: pass x.to_dense()"
    elif library == "tensorflow" and name == "RaggedTensor":
        problem = "has rows of different lengths: pass x.to_tensor(float('-inf'))"
    elif library == "tensorflow" and name == "SparseTensor":
        problem = "is sparse: pass tf.sparse.to_dense(x)"
    elif library == "tensorflow" and name == "IndexedSlices":
        problem = "holds some rows alone: pass tf.convert_to_tensor(x)"
    elif library == "keras" and not hasattr(x, "value"):
        problem = "holds no numbers: pass what the model returns when it is called on data"
    elif not hasattr(x, "__array__") and hasattr(x, "todense"):
        problem = "is sparse: pass x.todense()"
    if problem:
        raise ValueError(f"a {_name(x)} {problem}")


def padded(x: Any, filler: int) -> Any:
    """Return a ragged tensor with its rows filled up at the right; all else as it is.

    An array of objects, whose rows may be of different lengths, becomes a list; a memoryview, which
    passes for one, an array.
    """
    if getattr(getattr(x, "dtype", None), "kind", None) == "O":
        return np.asarray(x).tolist()
    if isinstance(x, np.ndarray | memoryview):
        return np.asanyarray(x)
    library = library_of(x)
    if library == "tensorflow" and type(x).__name__ == "RaggedTensor":
        tensorflow = sys.modules["tensorflow"]
        whole = tensorflow.cast(x, tensorflow.int64) if x.dtype.is_integer else x
        return whole.to_tensor(filler)
    if library == "torch" and getattr(x, "is_nested", False):
        pad = sys.modules["torch"].nn.utils.rnn.pad_sequence
        return pad(x.unbind(), batch_first=True, padding_value=filler)
    return x


def named_logits(x: Any) -> Any:
    """Return the logits of an object that names them, `x.logits` or `x["logits"]`; else `x`.

    Raises:
        ValueError: `x` is a mapping without them.
    """
    if isinstance(x, np.ndarray) or hasattr(x, "__array__"):
        return x
    if getattr(x, "logits", None) is not None:
        return x.logits
    if not isinstance(x, Mapping):
        return x
    if x.get("logits") is None:
        raise ValueError(
            f"no logits in a {type(x).__name__} with {list(x)}: pass one of its arrays"
        )
    return x["logits"]


def logits_of(output: Any) -> Any:
    """Return the logits, an array of any kind, in what a model returned.

    Args:
        output: the logits; an object with `.logits`; a mapping with `"logits"`; or a tuple that
            begins with one of these, whatever comes behind it.

    Raises:
        ValueError: a mapping without logits, or an empty tuple.
    """
    named = named_logits(output)
    if not isinstance(named, tuple):
        return named
    if not named:
        raise ValueError("the model returned an empty tuple; its first element must be the logits")
    return logits_of(named[0])


def like(x: Any) -> Callable[[np.ndarray], Any]:
    """Return what turns a NumPy array into the type of array that `x` is, on its device.

    That of a list is the type of its rows.
    """
    if type(x) is np.ndarray:
        return _same
    if isinstance(x, list | tuple):
        return like(x[0]) if x else _same
    library = library_of(x)
    if library == "keras":
        return like(x.value)
    if library == "torch":
        torch = sys.modules["torch"]
        home = x.resolve_neg()  # which a view of a complex tensor needs
        return lambda array: home.new_tensor(array, dtype=getattr(torch, array.dtype.name))
    if library == "tensorflow":
        return lambda array: _in_tensorflow(array, x.device)
    if library == "jax":
        return lambda array: _in_jax(array, x)
    return _same


def _same(array: np.ndarray) -> np.ndarray:
    return array


def _in_tensorflow(array: np.ndarray, device: str) -> Any:
    tensorflow = sys.modules["tensorflow"]
    with tensorflow.device(device):
        return tensorflow.convert_to_tensor(array)


def _in_jax(array: np.ndarray, x: Any) -> Any:
    jax = sys.modules["jax"]
    devices = x.devices()
    if len(devices) > 1:  # a result of another shape goes wherever it is needed
        return jax.numpy.asarray(array)
    (device,) = devices
    if x.committed:
        return jax.device_put(array, device)
    with jax.default_device(device):
        return jax.numpy.asarray(array)


def to_int32(x: Any) -> np.ndarray:
    """Return integers as int32; what does not fit is the nearest, which is no token's id."""
    array = to_numpy(x)
    if array.dtype == np.int32 or np.can_cast(array.dtype, np.int32):
        return array.astype(np.int32, copy=False)
    limits = np.iinfo(np.int32)
    array = np.minimum(array, limits.max)
    return (array if array.dtype.kind == "u" else np.maximum(array, limits.min)).astype(np.int32)


def to_list(x: Any) -> Any:
    """Return Python's numbers for an array of any kind, in nested lists; None for what is masked.

    The elements of a list are treated so; anything else stays as it is.
    """
    if isinstance(x, list | tuple):
        return [to_list(element) for element in x]
    if isinstance(x, np.ma.MaskedArray):
        return x.tolist()
    array = hasattr(x, "dtype") or hasattr(x, "__array__") or isinstance(x, memoryview)
    return to_numpy(x).tolist() if array else x


def all_to_numpy(state: Any) -> Any:
    """Return a value, or a nested tuple of values, with NumPy arrays for arrays of any library."""
    if isinstance(state, tuple):
        values = [all_to_numpy(value) for value in state]
        return type(state)(*values) if hasattr(state, "_fields") else tuple(values)
    return to_numpy(state) if hasattr(state, "shape") else state
