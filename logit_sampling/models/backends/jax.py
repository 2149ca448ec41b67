"""JAX: a program for each of a few sizes, which takes over the arrays that it is given."""

import functools
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import jax
import keras
import numpy as np

from logit_sampling.models.attention import Attention
from logit_sampling.models.sizes import Sizes

sizes = Sizes(few=True)
stacked = False  # XLA would copy what it cuts out of one array
attention = Attention


class _Program:
    """A function, compiled for each size that it is called with."""

    def __init__(self, function: Callable[..., Any], variables: list[Any], given_up: int) -> None:
        self._variables, self.traces = variables, 0

        def traced(values: list[Any], given: tuple[Any, ...], kept: tuple[Any, ...]) -> Any:
            self.traces += 1
            with keras.StatelessScope(state_mapping=list(zip(variables, values, strict=True))):
                return function(*given, *kept)

        self._kept, self._jitted = given_up, jax.jit(traced, donate_argnums=2)

    def __call__(self, *arguments: Any) -> Any:
        values = [variable.value for variable in self._variables]
        first = len(arguments) - self._kept
        return self._jitted(values, arguments[:first], arguments[first:])


def compiled(
    function: Callable[..., Any], model: Any, signature: Sequence[Any], kept: int
) -> _Program:
    """Return the programs of a function."""
    return _Program(function, model.variables, kept)


program = compiled


@functools.partial(jax.jit, donate_argnums=0)
def _put(arrays: list[Any], tables: Any, new: list[Any]) -> list[Any]:
    return [
        array.at[tables, : own.shape[1]].set(own, unique_indices=True)
        for array, own in zip(arrays, new, strict=True)
    ]


def put(arrays: list[Any], tables: np.ndarray, new: list[Any]) -> list[Any]:
    """Write into arrays, which are taken over."""
    return _put(arrays, tables, new)


class state:
    """The arrays that variables hold: one that is assigned to holds another."""

    def __init__(self, variables: Sequence[Any]) -> None:
        self._arrays = [weakref.ref(variable.value) for variable in variables]

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, state) or len(self._arrays) != len(other._arrays):
            return False
        pairs = zip(self._arrays, other._arrays, strict=True)
        return all(own() is not None and own() is its() for own, its in pairs)

    __hash__ = None  # type: ignore[assignment]
