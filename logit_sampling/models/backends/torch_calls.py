"""The calls of torch that a function makes, recorded, to be made again without the function.

A step of a Keras model calls torch a few hundred times, and Python ten thousand times in between:
layers ask for shapes, dtypes and scopes, and get the same answers each time. Recording takes hardly
longer than the step, where `make_fx` and `torch.export` take seconds; what is called again is
torch's Python interface, in a third of the time of the ATen operators that graphs of these are made
of; and nothing is compiled, as TorchScript (deprecated) or inductor (wants a C++ compiler) would.
"""

import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import torch
from torch.overrides import TorchFunctionMode

_ABOUT = ["__get__", "dim", "is_complex", "is_contiguous", "is_floating_point", "numel", "size"]
"""What tells of a tensor, and nothing of the numbers in it."""


class UnrecordedError(Exception):
    """What a function calls rests on more than shapes and dtypes."""


def recorded(function: Callable[..., Any], arguments: list[Any]) -> tuple[Any, Callable[..., Any]]:
    """Call a function, and write down what it calls.

    Args:
        function: of tensors and lists of them. It may write into these.
        arguments: its.

    Returns:
        what the function returned, and what makes the same calls with other tensors of these
        shapes: a function of the tensors in the arguments, one by one. Weights and other tensors
        that are no arguments have the numbers in it that they have when it is called.

    Raises:
        UnrecordedError: other tensors may lead to other calls.
    """
    tensors = keras.tree.flatten(arguments)
    copied = any(tensor.is_inference() for tensor in tensors)  # writing does not show in such ones
    with torch.inference_mode(False), torch.no_grad():
        if copied:
            arguments = keras.tree.map_structure(torch.clone, arguments)
        record = _Record(keras.tree.flatten(arguments))
        with record:
            result = function(*arguments)
    program = record.function(result)
    return program(*tensors) if copied else result, program


@dataclass(frozen=True)
class _Line:
    """`name = call`, and the names in the call."""

    name: str
    call: str
    used: frozenset[str]
    writes: bool


class _Record(TorchFunctionMode):
    """Writes calls down in Python.

    Args:
        tensors: the parameters of what is written.
    """

    def __init__(self, tensors: list[Any]) -> None:
        super().__init__()
        self._parameters = [f"a{i}" for i in range(len(tensors))]
        self._lines: list[_Line] = []
        self._held: dict[str, Any] = {}  # functions, weights, dtypes: all that is no literal
        self._names: dict[int, tuple[Callable[[], Any], str]] = {}  # by identity
        for tensor, name in zip(tensors, self._parameters, strict=True):
            self._name(tensor, name)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        with self:  # a variable may be cast for its layer, which is a call
            args, kwargs = keras.tree.map_structure(_value, (list(args), kwargs or {}))
        given = _tensors((args, kwargs))
        if any(tensor.is_inference() for tensor in given):
            raise UnrecordedError(
                "a weight was made in inference mode: writing does not show in it"
            )
        versions = [tensor._version for tensor in given]
        result = func(*args, **kwargs)
        made, writes = _tensors(result), versions != [tensor._version for tensor in given]
        if not made and not writes and getattr(func, "__name__", "") not in _ABOUT:
            raise UnrecordedError(f"{func} tells Python of the numbers in a tensor")
        if writes or any(self._known(tensor) is None for tensor in made):  # else nothing was done
            used: set[str] = set()
            name, arguments = f"v{len(self._lines)}", [self._written(x, used) for x in args]
            arguments += [f"{key}={self._written(x, used)}" for key, x in kwargs.items()]
            call = f"{self._hold(func)}({', '.join(arguments)})"
            self._lines.append(_Line(name, call, frozenset(used), writes))
            self._name(result, name)
        return result

    def _known(self, value: Any) -> str | None:
        """Return the name of a value, None if it has none."""
        reference, name = self._names.get(id(value), (lambda: None, None))
        return name if reference() is value else None

    def _name(self, value: Any, name: str) -> None:
        """Give a name to a tensor, or to those in what a call returned."""
        if isinstance(value, torch.Tensor):
            if self._known(value) is None:
                self._names[id(value)] = weakref.ref(value), name  # memory is freed as it was
        elif isinstance(value, list | tuple):
            for i, part in enumerate(value):
                self._name(part, f"{name}[{i}]")

    def _hold(self, value: Any) -> str:
        """Return the name of what is held on to."""
        if (name := self._known(value)) is None:
            name = f"held{len(self._held)}"
            self._held[name], self._names[id(value)] = value, (lambda: value, name)
        return name

    def _written(self, value: Any, used: set[str]) -> str:
        """Return a value in Python, and add to `used` the variables in it."""
        if type(value) in (bool, int, str, type(None), type(...)):
            return repr(value)
        if isinstance(value, slice):
            return f"slice{self._written((value.start, value.stop, value.step), used)}"
        if isinstance(value, list | tuple):
            parts = "".join(f"{self._written(x, used)}, " for x in value)
            return f"[{parts}]" if isinstance(value, list) else f"({parts})"
        name = self._hold(value)
        if name not in self._held:
            used.add(name.partition("[")[0])
        return name

    def function(self, result: Any) -> Callable[..., Any]:
        """Return what makes the calls that write, and those that a result is made of."""
        used: set[str] = set()
        backwards = [f" return {self._written(result, used)}"]
        for line in reversed(self._lines):
            if line.writes or line.name in used:
                over = sorted((line.used | {line.name}) - used)
                backwards += [f" del {name}" for name in over]
                backwards.append(f" {line.name} = {line.call}")
                used |= line.used
        lines = [f"def program({', '.join(self._parameters)}):", *reversed(backwards)]
        exec("\n".join(lines), self._held)
        return self._held["program"]


def _tensors(values: Any) -> list[torch.Tensor]:
    return [x for x in keras.tree.flatten(values) if isinstance(x, torch.Tensor)]


def _value(x: Any) -> Any:
    return x.value if isinstance(x, keras.Variable) else x
