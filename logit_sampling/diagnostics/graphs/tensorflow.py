"""Operations from a graph of TensorFlow."""

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from logit_sampling.diagnostics.graphs.operation import (
    Operation,
    Source,
    from_the_end,
    moved,
    same_size,
)

SAME = {
    "Identity", "IdentityN", "Cast", "StopGradient", "EnsureShape", "PlaceholderWithDefault",
    "PreventGradient", "CheckNumerics", "Snapshot",
}  # fmt: skip
NAMES = {
    "Add": "add", "AddV2": "add", "BiasAdd": "add", "Sub": "sub", "Mul": "mul", "RealDiv": "div",
    "Div": "div", "DivNoNan": "div", "Neg": "neg", "Exp": "exp", "Log": "log", "Log1p": "log1p",
    "Tanh": "tanh", "Sqrt": "sqrt", "Rsqrt": "rsqrt", "Square": "square", "Abs": "abs",
    "Erf": "erf", "Sign": "sign", "Cos": "cos", "Sin": "sin", "Relu": "relu", "Relu6": "relu6",
    "Elu": "elu", "Selu": "selu", "LeakyRelu": "leaky_relu", "Softplus": "softplus",
    "Softsign": "softsign", "Sigmoid": "sigmoid", "Softmax": "softmax",
    "LogSoftmax": "log_softmax", "Maximum": "maximum", "Minimum": "minimum", "Max": "greatest",
    "Min": "least", "Sum": "sum", "Mean": "mean", "ConcatV2": "joined", "Select": "select",
    "SelectV2": "select", "Reciprocal": "reciprocal", "Inv": "reciprocal", "MatMul": "matmul",
    "BatchMatMul": "matmul", "BatchMatMulV2": "matmul", "BatchMatMulV3": "matmul",
    "Einsum": "matmul", "Conv1D": "convolution", "Conv2D": "convolution", "Conv3D": "convolution",
    "DepthwiseConv2dNative": "convolution", "Conv2DBackpropInput": "convolution",
    "Conv3DBackpropInputV2": "convolution", "AvgPool": "near_mean", "AvgPool3D": "near_mean",
    "MaxPool": "greatest_near", "MaxPool3D": "greatest_near", "ResourceGather": "looked_up",
    "AddN": "add",
}  # fmt: skip
REDUCING = {"Max", "Min", "Sum", "Mean"}


def trace(call: Callable, inputs: Any, weights: list[Any]) -> tuple[list[Operation], list[Any]]:
    """Trace a call; see `traced`."""
    tensors: list[Any] = []

    def function(given: Any) -> list[Any]:
        tensors[:] = call(given)
        return tensors

    tf.function(function, autograph=False).get_concrete_function(inputs)
    own = {id(weight.value.handle) for weight in weights if hasattr(weight.value, "handle")}
    return [read(tensor, own) for tensor in tensors], tensors


def read(tensor: Any, weights: set[int] | None = None) -> Operation:
    """The operation that made a tensor of a graph.

    Args:
        weights: the identities of the handles of weights; without them every variable is one.
    """
    captured = {}
    for outer, inner in tensor.graph.captures:
        if outer.dtype == tf.resource and weights is not None and id(outer) not in weights:
            captured[inner.name] = Operation("fixed", (), ())
    return _graph(tensor.graph, captured)[tensor.name]


def _graph(graph: Any, arguments: dict[str, Operation]) -> dict[str, Operation]:
    """The operations of a graph by the names of their results, in the order of their making."""
    made = dict(arguments)
    for node in graph.get_operations():
        if node.type.endswith("PartitionedCall"):  # a function within the function
            made |= _called(node, made)
        for tensor in node.outputs:
            if tensor.name not in made:
                made[tensor.name] = _operation(tensor, made)
    return made


def _called(node: Any, made: dict[str, Operation]) -> dict[str, Operation]:
    inner = node.graph._get_function(node.get_attr("f").name).graph
    given = [made[outer.name] for outer in node.inputs]
    arguments = {own.name: one for own, one in zip(inner.inputs, given, strict=True)}
    results = _graph(inner, arguments)
    pairs = zip(node.outputs, inner.outputs, strict=True)
    return {outer.name: results[own.name] for outer, own in pairs}


def _operation(tensor: Any, made: dict[str, Operation]) -> Operation:
    node = tensor.op
    kind, rank = node.type, tensor.shape.rank
    shape = tuple(-1 if n is None else n for n in tensor.shape.as_list()) if rank else ()
    if kind == "Placeholder":
        return _leaf(tensor, shape)
    value = tf.get_static_value(tensor) if kind in ("Const", "Fill", "Shape", "Pack") else None
    if value is not None and np.asarray(value).dtype.kind in "fiub":
        return Operation("constant", (), np.shape(value), value=np.asarray(value))
    inputs = tuple(made[one.name] for one in node.inputs)
    if kind == "ReadVariableOp":
        return inputs[0]
    if kind in SAME:
        own = inputs[tensor.value_index if kind == "IdentityN" else 0]
        return Operation("same", (own,), shape, name=kind)
    operation = Operation(NAMES.get(kind, "other"), inputs, shape, name=kind, layer=node.name)
    return _detailed(operation, node)


def _leaf(tensor: Any, shape: tuple[int, ...]) -> Operation:
    outer = next((o for o, own in tensor.graph.captures if own is tensor), None)
    if outer is None:
        return Operation("input", (), shape)
    if outer.dtype == tf.resource:
        return Operation("weight", (), shape)
    if hasattr(outer, "numpy"):
        return Operation("constant", (), shape, value=outer.numpy())
    return Operation("other", (), shape)


FIXED: dict[str, Any] = {  # how shapes and orders of axes are computed within a graph
    "Sub": np.subtract, "AddV2": np.add, "Add": np.add, "Mul": np.multiply, "Range": np.arange,
    "Pack": lambda *parts: np.stack(parts), "FloorMod": np.mod,
    "ConcatV2": lambda *parts: np.concatenate(parts[:-1], parts[-1]),
}  # fmt: skip


def _fixed(tensor: Any) -> np.ndarray | None:
    """The value of a tensor that no input changes; None if that cannot be told."""
    value = tf.get_static_value(tensor)
    if value is not None or tensor.op.type not in FIXED:
        return value
    parts = [_fixed(part) for part in tensor.op.inputs]
    if any(part is None for part in parts):
        return None
    return FIXED[tensor.op.type](*parts)


def _detailed(operation: Operation, node: Any) -> Operation:
    """The operation with its axes, and what only moves values told apart."""
    kind, inputs, shape = node.type, operation.inputs, operation.shape
    if not inputs:
        return operation
    first = inputs[0]
    if kind in ("Reshape", "Squeeze", "ExpandDims"):
        return moved(operation)
    if kind == "Transpose":
        order = _fixed(node.inputs[1])
        return moved(operation, source=tuple(map(int, order))) if order is not None else operation
    if kind in ("BroadcastTo", "Slice", "ReverseV2", "Split", "SplitV", "Tile", "Pad", "PadV2"):
        tensor = inputs[1] if kind == "Split" else first
        source = same_size(tensor.shape, shape)
        if kind in ("Pad", "PadV2", "Tile"):
            return operation
        return Operation("moved", (tensor,), shape, source=source, name=kind)
    if kind == "StridedSlice":
        return Operation("moved", (first,), shape, source=_sliced(first, node, shape), name=kind)
    if kind == "GatherV2" and first.unwrapped().kind == "weight":
        operation.kind = "looked_up"
    if kind == "ResourceGather" and first.kind == "fixed":
        operation.kind = "other"
    if kind == "ClipByValue":
        lower = Operation("maximum", (first, inputs[1]), shape)
        return Operation("minimum", (lower, inputs[2]), shape)
    if kind in ("Softmax", "LogSoftmax"):
        operation.axes = (-1,)
    if kind in REDUCING:
        axes = _fixed(node.inputs[1])
        operation.inputs = (first,)
        if axes is None:
            operation.kind = "other"
        else:
            operation.axes = from_the_end(axes, len(first.shape))
    if kind == "ConcatV2":
        axis = _fixed(node.inputs[-1])
        operation.inputs = inputs[:-1]
        operation.axes = from_the_end(axis, len(shape))
    if kind == "Pow" and inputs[1].value is not None:
        operation.kind = {2.0: "square", -1.0: "reciprocal"}.get(
            float(np.ravel(inputs[1].value)[0]), "other"
        )
        operation.inputs = (first,)
    if kind == "Pack" and len(shape) > 0:
        operation.kind, operation.axes = (
            "joined",
            (node.get_attr("axis") % len(shape) - len(shape),),
        )
        operation.inputs = tuple(
            Operation("moved", (one,), shape, source=(None,) * len(shape)) for one in inputs
        )
    if operation.kind == "matmul" and kind != "Einsum":
        turned = [
            node.get_attr(a)
            for a in (("transpose_a", "transpose_b") if kind == "MatMul" else ("adj_x", "adj_y"))
        ]
        operation.axes = (-2 if turned[0] else -1, -1 if turned[1] else -2)
    if kind == "Einsum":
        operation.axes = _contracted(node, inputs)
    return operation


def _contracted(node: Any, inputs: tuple[Operation, ...]) -> tuple[int, ...]:
    """The axes that a product sums over, if it is one of matrices; else none."""
    equation = node.get_attr("equation").decode()
    found = re.fullmatch(r"(\w*)(\w),(\w*)->(\w+)", equation.replace(" ", ""))
    if not found:
        return ()
    _, summed, right, result = found.groups()
    if summed not in right or summed in result or result[-1] not in right:
        return ()
    return (-1, right.index(summed) - len(right))


def _sliced(operation: Operation, node: Any, shape: tuple[int, ...]) -> Source:
    """Which axes are whole after x[...]: an index takes its axis away, a slice may cut it."""
    masks = {
        name: node.get_attr(f"{name}_mask") for name in ("ellipsis", "new_axis", "shrink_axis")
    }
    begin = _fixed(node.inputs[1])
    if begin is None:
        return (None,) * len(shape)
    rank, parts = len(operation.shape), len(begin)
    added = bin(masks["new_axis"]).count("1")
    ellipsis = masks["ellipsis"].bit_length() - 1
    source: list[int | None] = []
    axis = 0
    for part in range(parts):
        bit = 1 << part
        if part == ellipsis:
            for _ in range(rank - (parts - 1 - added)):
                source.append(axis)
                axis += 1
        elif masks["new_axis"] & bit:
            source.append(None)
        else:
            if not masks["shrink_axis"] & bit:
                source.append(axis)
            axis += 1
    source += range(axis, rank)
    whole = [
        one if one is not None and operation.shape[one] == size else None
        for one, size in zip(source, shape, strict=False)
    ]
    return tuple(whole) if len(whole) == len(shape) else (None,) * len(shape)
