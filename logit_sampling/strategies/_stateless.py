"""A function from logits to logits as a transform."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from logit_sampling.strategies.transform import Transform


@dataclass(frozen=True, repr=False)
class Stateless(Transform):
    """What `stateless` returns."""

    function: Callable[[Any], Any]

    def __post_init__(self) -> None:
        if not callable(self.function):
            raise ValueError(
                f"stateless takes a function from logits to logits, got {self.function!r}"
            )

    def apply(self, logits: Any, state: object = ()) -> Any:
        return self.function(logits)

    def get_config(self) -> dict[str, Any]:
        """Raise ValueError: JSON cannot hold a function."""
        raise ValueError(
            f"{self!r} has no configuration, since JSON cannot hold a function; construct it again"
        )

    def __repr__(self) -> str:
        return f"stateless({getattr(self.function, '__name__', repr(self.function))})"


def stateless(function: Callable[[Any], Any]) -> Transform:
    """Return a function from logits to logits as a transform of a chain.

    It gets a NumPy array in eager code, whatever the caller holds, and a tensor in a graph; to
    serve both it computes with `keras.ops`. One with parameters, or that depends on the tokens so
    far, is a `Transform` of its own.

    Args:
        function: gets logits, float [batch, vocab], -inf for a removed token, and returns logits of
            the same shape.

    Returns:
        a transform; it is equal to another of the same function.

    Raises:
        ValueError: `function` cannot be called; in a call, it returned another shape, or NaN.

    Example:
        >>> import numpy as np, logit_sampling as ls
        >>> halved = ls.stateless(lambda logits: logits / 2)
        >>> ls.Sampler(halved, ls.TopK(2)).probabilities(np.log([0.64, 0.16, 0.2])).round(2)
        array([0.64, 0.  , 0.36], dtype=float32)
    """
    return Stateless(function)
