"""Operations from a trace of PyTorch's own, by `make_fx`."""

from collections.abc import Callable
from typing import Any

import numpy as np

from logit_sampling.diagnostics.graphs.operation import Operation, from_the_end, moved, same_size

SAME = {
    "clone", "detach", "_to_copy", "alias", "contiguous", "lift_fresh_copy", "lift_fresh", "to",
}  # fmt: skip
NAMES = {
    "add": "add", "sub": "sub", "mul": "mul", "div": "div", "neg": "neg", "exp": "exp",
    "log": "log", "log1p": "log1p", "tanh": "tanh", "sqrt": "sqrt", "rsqrt": "rsqrt",
    "abs": "abs", "erf": "erf", "sign": "sign", "cos": "cos", "sin": "sin", "relu": "relu",
    "sigmoid": "sigmoid", "softplus": "softplus", "_softmax": "softmax", "softmax": "softmax",
    "_log_softmax": "log_softmax", "log_softmax": "log_softmax", "elu": "elu", "gelu": "gelu",
    "silu": "silu", "leaky_relu": "leaky_relu", "log_sigmoid_forward": "log_sigmoid",
    "reciprocal": "reciprocal", "square": "square", "maximum": "maximum", "minimum": "minimum",
    "sum": "sum", "mean": "mean", "amax": "greatest", "amin": "least", "logsumexp": "log_sum_exp",
    "cat": "joined", "where": "select", "convolution": "convolution", "mm": "matmul",
    "bmm": "matmul", "matmul": "matmul", "addmm": "addmm", "dot": "matmul", "mv": "matmul",
    "hardsigmoid": "hard_sigmoid", "hardtanh": "hard_tanh", "embedding": "looked_up",
    "avg_pool2d": "near_mean", "_adaptive_avg_pool2d": "near_mean", "avg_pool3d": "near_mean",
    "max_pool2d_with_indices": "greatest_near", "max_pool3d_with_indices": "greatest_near",
}  # fmt: skip
NEW = {"empty_like", "zeros_like", "ones_like", "full_like", "rand_like", "randn_like"}
MOVED = {"view", "reshape", "_unsafe_view", "_reshape_alias", "squeeze", "unsqueeze"}


def trace(call: Callable, inputs: Any, weights: list[Any]) -> tuple[list[Operation], list[Any]]:
    """Trace a call; see `traced`."""
    import keras
    import torch
    from torch.fx.experimental.proxy_tensor import make_fx

    flat = [keras.ops.convert_to_tensor(x) for x in keras.tree.flatten(inputs)]

    def function(*tensors: Any) -> list[Any]:
        return call(keras.tree.pack_sequence_as(inputs, tensors))

    with torch.no_grad():
        module = make_fx(function)(*flat)
    variables = {id(weight.value) for weight in weights}
    made: dict[Any, Operation] = {}
    for node in module.graph.nodes:
        if node.op == "output":
            return [made[one] for one in node.args[0]], []
        made[node] = _operation(node, made, module, variables)
    raise ValueError("the trace has no output")


def _operation(node: Any, made: dict, module: Any, variables: set[int]) -> Operation:
    meta = node.meta.get("tensor_meta")
    shape = tuple(getattr(meta, "shape", ()))
    if node.op == "placeholder":
        return Operation("input", (), shape)
    if node.op == "get_attr":
        value = getattr(module, node.target)
        if id(value) in variables:
            return Operation("weight", (), tuple(value.shape))
        return _constant(value.detach().cpu().numpy() if hasattr(value, "detach") else value)
    name = getattr(node.target, "_opname", getattr(node.target, "__name__", ""))
    name = name.rstrip("_") if name not in ("",) else name
    arguments = node.args

    def operation(argument: Any) -> Operation:
        return made[argument] if argument in made else _constant(argument)

    def first() -> Operation:
        return operation(arguments[0])

    if name == "getitem":
        source = same_size(first().shape, shape)
        inner = first()
        if inner.kind in ("log_sigmoid", "greatest_near") or inner.name in ("native_layer_norm",):
            return inner
        return Operation("moved", (inner,), shape, source=source, name=name)
    if name in NEW:
        return Operation("other", (), shape, name=name)
    if name in SAME:
        return Operation("same", (first(),), shape, name=name)
    if name in MOVED:
        return moved(Operation("moved", (first(),), shape, name=name))
    if name in ("expand", "slice", "split", "narrow"):
        return Operation("moved", (first(),), shape, source=same_size(first().shape, shape))
    if name in ("permute", "t", "transpose", "numpy_T"):
        order = list(range(len(shape)))
        if name == "permute":
            order = [axis % len(shape) for axis in arguments[1]]
        else:
            one, other = arguments[1:] if name == "transpose" else (0, len(shape) - 1)
            order[one], order[other] = order[other], order[one]
        return Operation("moved", (first(),), shape, source=tuple(order))
    if name == "select":  # x[:, i]: an axis goes away
        gone = arguments[1] % len(first().shape)
        source = tuple(axis for axis in range(len(first().shape)) if axis != gone)
        return Operation("moved", (first(),), shape, source=source)
    if name in ("clamp", "clamp_min", "clamp_max", "hardtanh"):
        low, high = _limits(node, name)
        result = first()
        for kind, limit in (("maximum", low), ("minimum", high)):
            if limit is not None:
                result = Operation(kind, (result, operation(limit)), shape, name=name)
        return result
    if name == "pow":
        kind = "square" if arguments[1] == 2 else "reciprocal" if arguments[1] == -1 else "other"
        return Operation(kind, (first(),), shape, name=name)
    if name == "rsub":
        return Operation("sub", (operation(arguments[1]), first()), shape, name=name)
    kind = NAMES.get(name, "other")
    if kind == "addmm":
        product = Operation("matmul", tuple(map(operation, arguments[1:3])), shape, (-1, -2))
        return Operation("add", (product, first()), shape, name=name)
    if kind == "joined":
        axis = (arguments[1] if len(arguments) > 1 else 0) % len(shape) - len(shape)
        return Operation(kind, tuple(map(operation, arguments[0])), shape, (axis,), name=name)
    nodes = [a for a in arguments if a in made or isinstance(a, int | float)] if arguments else []
    if kind in ("softmax", "log_softmax", "sum", "mean", "greatest", "least", "log_sum_exp"):
        rank = len(first().shape)
        axes = (
            arguments[1] if len(arguments) > 1 and arguments[1] not in (None, []) else range(rank)
        )
        axes = from_the_end(list(axes) if not isinstance(axes, int) else axes, rank)
        return Operation(kind, (first(),), shape, axes, name=name)
    if kind in (
        "relu",
        "elu",
        "gelu",
        "silu",
        "leaky_relu",
        "softplus",
        "convolution",
        "looked_up",
    ):
        keep = 2 if kind in ("convolution", "looked_up") else 1
        return Operation(kind, tuple(map(operation, nodes[:keep])), shape, name=name)
    if kind == "select":
        return Operation(kind, tuple(map(operation, arguments)), shape, name=name)
    if kind == "matmul":
        return Operation(kind, tuple(map(operation, nodes)), shape, (-1, -2), name=name)
    return Operation(kind, tuple(map(operation, nodes)), shape, name=name)


def _limits(node: Any, name: str) -> tuple[Any, Any]:
    values = [*node.args[1:], None, None]
    low, high = values[:2]
    if name == "clamp_max":
        low, high = None, low
    if name == "clamp_min":
        high = None
    if name == "hardtanh" and low is None:
        low, high = -1.0, 1.0
    return node.kwargs.get("min", low), node.kwargs.get("max", high)


def _constant(value: Any) -> Operation:
    try:
        array = np.asarray(value, np.float64)
    except (TypeError, ValueError):
        return Operation("other")
    return Operation("constant", (), array.shape, value=array)
