"""What a model puts out: the operation that it ends in, and values from a probe.

On TensorFlow the model is traced into a graph of operations, which shows what any layer, `Lambda`
or function does; elsewhere the values have to do.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from .values import kind_of_values

ROWS = 4
# Operations that move, copy or convert values, and those whose result is a score of any size.
PASSING = (
    {"Identity", "IdentityN", "Cast", "Reshape", "Squeeze", "ExpandDims", "Transpose"}
    | {"StridedSlice", "StopGradient", "EnsureShape", "PlaceholderWithDefault"}
)  # fmt: skip
SCORING = (
    {"MatMul", "BatchMatMul", "BatchMatMulV2", "BatchMatMulV3", "Einsum", "BiasAdd", "Sub"}
    | {"Conv1D", "Conv2D", "Conv3D", "DepthwiseConv2dNative", "Conv2DBackpropInput"}
    | {"Relu", "LeakyRelu", "Elu", "Selu", "Softplus", "Exp"}
)  # fmt: skip
NORMALISING = {"Softmax": "softmax", "LogSoftmax": "log_probabilities", "Sigmoid": "sigmoid"}


@dataclass(frozen=True)
class Output:
    """One output of a model.

    Attributes:
        kind: "logits", "log_probabilities", "softmax", "sigmoid" or "unknown".
        evidence: how that is known.
        units: the size of the last axis; None if unknown.
        layer: the layer that ends in an activation; empty if none is known to.
        stripped: whether Keras' TensorFlow backend takes the values before the activation into a
            cross-entropy, whatever from_logits says.
        values: what came out of the probe, [batch, ..., units]; None without one.
        dtype: of the values before they were converted to float32.
        operation: the TensorFlow operation that it ends in; empty on another backend.
        path: where it lies in what the model returns.
    """

    kind: str = "unknown"
    evidence: str = ""
    units: int | None = None
    layer: str = ""
    stripped: bool = False
    values: np.ndarray | None = None
    dtype: str = "float32"
    operation: str = ""
    path: tuple[Any, ...] = ()


def outputs_of(model: Any, inputs: Any = None, like: Any = None) -> list[Output]:
    """Find out what each output of a model is.

    Args:
        model: a `keras.Model`.
        inputs: what to call it on; by default random values that fit its inputs.
        like: tensors, of a graph too, that have the shapes and dtypes of its inputs.

    Returns:
        one :class:`Output` for each tensor of what the model returns, in its order.
    """
    if inputs is not None:
        return _run(model, inputs)
    reason = "it has not been called yet"
    for candidate in _candidates(model, like):
        try:
            return _run(*candidate)
        except Exception as error:  # whatever a model raises for inputs that are not meant for it
            reason = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
    return [
        Output(evidence=f"the model cannot be run on inputs of its shapes: pass inputs= ({reason})")
    ]


def _run(model: Any, inputs: Any) -> list[Output]:
    import keras

    inputs = keras.tree.map_structure(keras.ops.convert_to_tensor, inputs)
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        traced: list[Any] = []

        def call(x: Any) -> Any:
            result = model(x, training=False)
            traced[:] = keras.tree.flatten(result)
            return result

        returned = tf.function(call).get_concrete_function(inputs)(inputs)
        layers = {layer.name for layer in model._flatten_layers()}
        endings = [_ending(tensor, layers) for tensor in traced]
    else:
        returned = model(inputs, training=False)
        endings = [("", "", False) for _ in keras.tree.flatten(returned)]
    paths = keras.tree.flatten_with_path(returned)
    return [
        judge_values(
            np.asarray(keras.ops.convert_to_numpy(keras.ops.cast(value, "float32"))),
            keras.backend.standardize_dtype(value.dtype),
            path,
            *ending,
        )
        for (path, value), ending in zip(paths, endings, strict=True)
    ]


def judge_values(
    values: np.ndarray, dtype: str, path: tuple, operation: str, layer: str, stripped: bool
) -> Output:
    """Decide by values [batch, ..., units] where they prove something, else by the operation."""
    if values.ndim < 2:
        values = values[..., None]
    units = values.shape[-1]
    kind, evidence = kind_of_values(values, dtype)
    evidence = f"in a probe with random inputs {evidence}"
    ends_in = NORMALISING.get(operation)
    if units == 1 and ends_in == "softmax" and (values == 1).all():
        kind = "softmax"
    elif kind == "unknown" and ends_in == "sigmoid":
        kind = "sigmoid"
    elif kind == "sigmoid" and not operation and ((values == 0) | (values == 1)).any():
        kind = "unknown"  # as likely rectified scores, and there is no graph to tell
    elif kind in ("sigmoid", "unknown") and operation in SCORING:
        kind = "logits"
        evidence = f"the model ends in {operation}, whose result can have any size"
    if ends_in:
        evidence = f"{layer or 'the model'} ends in {operation}; {evidence}"
    elif kind == "sigmoid":
        evidence += ", as a sigmoid's do, which is no proof"
    layer = layer if ends_in else ""
    return Output(kind, evidence, units, layer, stripped, values, dtype, operation, path)


def along(output: Output, axis: int) -> Output:
    """The same output, its classes along another axis."""
    if output.values is None or axis in (-1, output.values.ndim - 1):
        return output
    return judge_values(
        np.moveaxis(output.values, axis, -1),
        output.dtype,
        output.path,
        output.operation,
        output.layer,
        output.stripped,
    )


def _ending(tensor: Any, layers: set[str]) -> tuple[str, str, bool]:
    """The operation that a traced tensor ends in, its layer, and whether Keras will strip it."""
    operation = _last_operation(tensor)
    # TensorFlow numbers a scope that it meets a second time.
    parts = [re.sub(r"_\d+$", "", p) if p not in layers else p for p in operation.name.split("/")]
    layer = next((f"layer {part!r}" for part in reversed(parts) if part in layers), "")
    # Read from Keras 3.15: the attribute is set by its own activations; the loss casts to float32
    # and the cast drops it.
    stripped = tensor.dtype.name == "float32" and (
        hasattr(tensor, "_keras_logits") or tensor.op.type in ("Softmax", "Sigmoid")
    )
    return operation.type, layer, stripped


def _last_operation(tensor: Any) -> Any:
    """The operation that made a tensor, seen through what only moves values."""
    operation = tensor.op
    many = operation.type == "IdentityN"
    if operation.type in PASSING:
        return _last_operation(operation.inputs[tensor.value_index if many else 0])
    if operation.type.endswith("PartitionedCall"):  # a tf.function within the model
        name = operation.get_attr("f").name
        inner = operation.graph._get_function(name).graph
        last = _last_operation(inner.outputs[tensor.value_index])
        arguments = [argument.op for argument in inner.inputs]
        return (
            _last_operation(operation.inputs[arguments.index(last)]) if last in arguments else last
        )
    if operation.type in ("Add", "AddV2"):  # a bias on top of scores gives scores
        for side in operation.inputs:
            if _last_operation(side).type in SCORING:
                return _last_operation(side)
    return operation


def _candidates(model: Any, like: Any) -> Iterator[tuple[Any, Any]]:
    """Models and inputs to try: `model` itself, or copies of it if it has no weights yet."""
    import keras

    if like is None:
        like = getattr(getattr(model, "_functional", None) or model, "_inputs_struct", None)
    for ids in (False, True):
        for size in (8, 64):  # of an axis that the model leaves open
            if like is not None:
                yield (
                    model,
                    keras.tree.map_structure(
                        lambda t, n=size, i=ids: _numbers(t.shape, t.dtype, n, i, _name(t)), like
                    ),
                )
            elif model.built and "input_shape" in (config := model.get_build_config() or {}):
                yield (
                    model,
                    keras.tree.map_shape_structure(
                        lambda s, n=size, i=ids: _numbers(s, "float32", n, i), config["input_shape"]
                    ),
                )
            elif isinstance(model, keras.Sequential):
                for shape in ((None, 8), (None, 8, 8), (None, 32, 32, 3)):
                    yield keras.models.clone_model(model), _numbers(shape, "float32", 8, ids)


def _name(tensor: Any) -> str:
    return tensor.name if hasattr(tensor, "_keras_history") else ""


def _numbers(shape: Any, dtype: Any, size: int, ids: bool, name: str = "") -> np.ndarray:
    """Random values for an input: token ids 0 and 1 if it is of integers or `ids` is true."""
    import keras

    rng = np.random.default_rng(0)
    dtype = keras.backend.standardize_dtype(dtype)
    shape = (ROWS, *(size if n is None else n for n in shape[1:]))
    if dtype == "string":
        return np.full(shape, "a")
    if dtype == "bool" or "mask" in name:
        return np.ones(shape, dtype)
    numbers = rng.integers(0, 2, shape) if ids or "int" in dtype else rng.normal(size=shape)
    return numbers.astype(dtype)
