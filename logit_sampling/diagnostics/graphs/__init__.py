"""The operations that make the outputs of a model, read from what each backend traces."""

from collections.abc import Callable
from typing import Any

from logit_sampling.diagnostics.graphs.operation import Operation

__all__ = ["Operation", "traced"]


def traced(call: Callable, inputs: Any, weights: list[Any]) -> tuple[list[Operation], list[Any]]:
    """Trace a call of a model.

    Args:
        call: takes `inputs` and returns a flat list of tensors; called while it is traced.
        inputs: arrays or tensors, nested.
        weights: the variables that training can make anything of (`keras.Variable`).

    Returns:
        the operation that made each output, and on TensorFlow the traced tensors.

    Raises:
        Exception: whatever the model or the tracer of the backend raises.
    """
    import keras

    match keras.backend.backend():
        case "tensorflow":
            from logit_sampling.diagnostics.graphs.tensorflow import trace
        case "jax":
            from logit_sampling.diagnostics.graphs.jax import trace
        case "torch":
            from logit_sampling.diagnostics.graphs.torch import trace
        case other:
            raise NotImplementedError(f"no trace of a model on {other}")
    return trace(call, inputs, weights)
