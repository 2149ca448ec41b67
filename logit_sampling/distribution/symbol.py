"""A parameter of a transform that is a tensor of a graph that is being traced."""

from typing import Any, NoReturn

import numpy as np


class Symbol(np.lib.mixins.NDArrayOperatorsMixin):
    """Stands where a parameter has its number, or its numbers for each row: a tensor, rank 0 or 1.

    NumPy's functions take it as they take numbers, and are then operations of the graph, on the
    widest float: `np.log(p)` is written once for a number, for several and for a tensor. The
    engine of graphs reads `tensor`. Two are equal if they hold the same tensor.

    Args:
        tensor: of the graph.
        most: what none of its numbers exceeds, if that is known.
    """

    def __init__(self, tensor: Any, most: int | None = None) -> None:
        self.tensor: Any = tensor
        self.most: int | None = most

    def __array_ufunc__(self, function: np.ufunc, method: str, *values: Any) -> "Symbol":
        """Compute in the graph: what NumPy calls instead of `function(*values)`."""
        from keras import ops

        from logit_sampling.distribution.search import wide

        operation = getattr(ops, function.__name__)
        return Symbol(operation(*(tensor_of(value, wide()) for value in values)))

    def __array__(self, dtype: Any = None, copy: Any = None) -> NoReturn:
        self.__bool__()

    def __bool__(self) -> NoReturn:
        raise ValueError(
            "a parameter is a tensor of a graph that is being traced, and holds no number outside "
            "of it: build the transform where it is used, or with a number"
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Symbol) and other.tensor is self.tensor

    def __ne__(self, other: object) -> bool:
        return not self == other

    def __hash__(self) -> int:
        return id(self.tensor)

    def __repr__(self) -> str:
        return "<tensor>"


def is_everywhere(number: float, parameter: Any) -> bool:
    """Tell whether a parameter is known to be `number` in all rows."""
    return not isinstance(parameter, Symbol) and bool(np.all(np.equal(parameter, number)))


def tensor_of(parameter: Any, dtype: str) -> Any:
    """Return a number, [batch] numbers or a `Symbol` as a tensor.

    In the widest float no number turns into 0 or inf.
    """
    from keras import ops

    from logit_sampling.distribution.search import wide

    if isinstance(parameter, Symbol):
        parameter = parameter.tensor
    if dtype == wide() and not ops.is_tensor(parameter):
        numbers, limits = np.asarray(parameter, np.float64), np.finfo(wide())
        held = np.clip(abs(numbers), float(limits.tiny), float(limits.max))
        parameter = np.where(
            (numbers == 0) | np.isinf(numbers), numbers, np.copysign(held, numbers)
        )
    return ops.convert_to_tensor(parameter, dtype)
