"""What differs from backend to backend: how a step is compiled, and how it writes and attends."""

import importlib
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np

from logit_sampling.models.attention import Attention
from logit_sampling.models.sizes import Sizes


class Compiled(Protocol):
    """A function of arrays, as a backend runs it.

    Attributes:
        traces: for how many sizes it was traced.
    """

    traces: int

    def __call__(self, *arguments: Any) -> Any:
        """Return what the function returns, in arrays of the backend."""


class Backend(Protocol):
    """A module of this package."""

    attention: type[Attention]
    sizes: Sizes
    """Which numbers of rows, tokens and columns it runs."""
    stacked: bool
    """Whether the keys of all layers are one array, [layers, rows * heads, columns, size]."""

    def compiled(
        self, function: Callable[..., Any], model: Any, signature: Sequence[Any], kept: int
    ) -> Compiled:
        """Return a function that runs a model.

        Args:
            function: of arrays, and lists of them.
            model: whose variables it reads; their values count as they are when it is called.
            signature: a `keras.KerasTensor` for each of its arrays, None where any number goes.
            kept: how many of its last arguments it may write into, and returns.
        """

    def state(self, variables: Sequence[Any]) -> object:
        """Return what equals another one as long as nobody assigns to any of the variables."""

    def put(self, arrays: list[Any], tables: np.ndarray, new: list[Any]) -> list[Any]:
        """Write into arrays, in place where that can be, and return them.

        Args:
            arrays: [..., tables, columns, size].
            tables: which, int32 [n].
            new: for each array [..., n, columns or fewer, size]; they go into the first columns.
        """

    program: Callable[[Callable[..., Any], Any, Sequence[Any], int], Compiled] | None
    """As `compiled`, but with no signature, and for few sizes of arrays, each of which it compiles
    for; `Attention` runs in it as it is. None where there are no such."""


def known() -> bool:
    """Tell whether there is a module for the backend that Keras runs on."""
    import keras

    return keras.config.backend() in ("tensorflow", "jax", "torch")


def backend() -> Backend:
    """Return the module of the backend that Keras runs on."""
    import keras

    module: Any = importlib.import_module(f"{__name__}.{keras.config.backend()}")
    return module
