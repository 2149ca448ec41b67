"""JAX: a program for each of a few sizes, which takes over the arrays that it is given."""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import keras

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
