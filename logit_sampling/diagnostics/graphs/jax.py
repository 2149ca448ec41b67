"""Operations from a jaxpr."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from logit_sampling.diagnostics.graphs.operation import Operation, from_the_end, moved, same_size

SAME = {
    "convert_element_type", "stop_gradient", "copy", "copy_p", "reduce_precision", "device_put",
    "optimization_barrier", "sharding_constraint",
}  # fmt: skip
NAMES = {
    "logistic": "sigmoid", "max": "maximum", "min": "minimum", "reduce_sum": "sum",
    "reduce_max": "greatest", "reduce_min": "least", "concatenate": "joined", "select_n": "select",
    "conv_general_dilated": "convolution", "reduce_window_max": "greatest_near",
}  # fmt: skip
KEPT = {
    "add", "sub", "mul", "div", "neg", "exp", "log", "log1p", "tanh", "sqrt", "rsqrt", "square",
    "abs", "erf", "sign", "cos", "sin",
}  # fmt: skip
CALLS = ("jaxpr", "call_jaxpr", "fun_jaxpr")


def trace(call: Callable, inputs: Any, weights: list[Any]) -> tuple[list[Operation], list[Any]]:
    """Trace a call; see `traced`."""

    def flat(given: Any) -> list[Any]:  # jax remembers a function that it has traced before
        return call(given)

    closed = jax.make_jaxpr(flat)(inputs)
    variables = {id(weight.value) for weight in weights}
    constants = [
        Operation("weight" if id(value) in variables else "constant", (), np.shape(value))
        for value in closed.consts
    ]
    for operation, value in zip(constants, closed.consts, strict=True):
        operation.value = None if operation.kind == "weight" else _numbers(value)
    given = [Operation("input", (), v.aval.shape) for v in closed.jaxpr.invars]
    return _run(closed.jaxpr, [*constants], given), []


def _numbers(value: Any) -> np.ndarray | None:
    try:
        return np.asarray(value)
    except TypeError:  # a key of random numbers
        return None


def _run(jaxpr: Any, constants: list[Operation], given: list[Operation]) -> list[Operation]:
    made: dict[Any, Operation] = dict(zip(jaxpr.constvars, constants, strict=True))
    made.update(zip(jaxpr.invars, given, strict=True))

    def read(atom: Any) -> Operation:
        if hasattr(atom, "val"):
            value = np.asarray(atom.val)
            return Operation("constant", (), value.shape, value=value)
        return made[atom]

    for equation in jaxpr.eqns:
        results = _equation(equation, tuple(map(read, equation.invars)))
        made.update(zip(equation.outvars, results, strict=True))
    return [read(atom) for atom in jaxpr.outvars]


def _equation(equation: Any, inputs: tuple[Operation, ...]) -> list[Operation]:
    name, given = equation.primitive.name, equation.params
    shapes = [tuple(v.aval.shape) for v in equation.outvars]
    inner = next((given[key] for key in CALLS if key in given), None)
    if name == "scan":
        return _scan(inner, given, inputs, shapes)
    if inner is not None and name not in ("while", "cond"):  # a function within the function
        inner_jaxpr = getattr(inner, "jaxpr", inner)
        constants = [
            Operation("constant", (), np.shape(value), value=np.asarray(value))
            for value in getattr(inner, "consts", ())
        ]
        if len(inner_jaxpr.invars) == len(inputs):
            return _run(inner_jaxpr, constants, list(inputs))
    operations = [Operation("other", inputs, shape, name=name) for shape in shapes]
    if len(operations) > 1:  # a split
        for operation in operations:
            if name == "split":
                operation.kind = "moved"
                operation.source = same_size(inputs[0].shape, operation.shape)
        return operations
    return [_one(operations[0], name, given)]


def _one(operation: Operation, name: str, given: dict[str, Any]) -> Operation:
    inputs, shape = operation.inputs, operation.shape
    if name in SAME:
        operation.kind = "same"
    elif name in KEPT or name in NAMES:
        operation.kind = NAMES.get(name, name)
    elif name in ("reshape", "squeeze", "expand_dims"):
        return moved(operation)
    elif name == "transpose":
        return moved(operation, source=tuple(given["permutation"]))
    elif name == "broadcast_in_dim":
        source: list[int | None] = [None] * len(shape)
        for axis, place in enumerate(given["broadcast_dimensions"]):
            if inputs[0].shape[axis] == shape[place]:
                source[place] = axis
        return moved(operation, source=tuple(source)) if shape else moved(operation)
    elif name in ("slice", "rev", "dynamic_slice"):
        return moved(operation, source=same_size(inputs[0].shape, shape))
    elif name == "gather" and inputs[0].kind == "weight":
        operation.kind = "looked_up"
    elif name in ("integer_pow", "pow"):
        power = given.get("y") if name == "integer_pow" else inputs[1].value
        if power is not None and np.all(np.asarray(power) == 2):
            operation.kind = "square"
        elif power is not None and np.all(np.asarray(power) == -1):
            operation.kind = "reciprocal"
    elif name == "clamp":
        low, x, high = inputs
        lower = Operation("maximum", (x, low), shape, name=name)
        return Operation("minimum", (lower, high), shape, name=name)
    elif name == "dot_general":
        operation.kind = "matmul"
        (left, right), (many, others) = given["dimension_numbers"]
        plain = len(left) == 1 and tuple(many) == tuple(others) == tuple(range(len(many)))
        ranks = [len(x.shape) for x in inputs]
        if plain and left[0] == ranks[0] - 1 and ranks[1] == len(many) + 2:
            operation.axes = (-1, right[0] - ranks[1])
    elif name == "reduce_window_sum" or name == "reduce_window":
        operation.kind = "near"
    if "axes" in given and inputs:
        operation.axes = from_the_end(given["axes"], len(inputs[0].shape))
    elif name == "concatenate":
        operation.axes = (given["dimension"] - len(shape),)
    return operation


def _scan(inner: Any, given: dict, inputs: tuple, shapes: list) -> list[Operation]:
    """A loop: what one round gives, whatever the round before did."""
    jaxpr, constants = inner.jaxpr, inner.consts
    fixed = given["num_consts"]
    arguments = [
        inputs[i] if i < fixed else Operation("other", (inputs[i],), tuple(v.aval.shape))
        for i, v in enumerate(jaxpr.invars)
    ]
    own = [Operation("constant", (), np.shape(c), value=np.asarray(c)) for c in constants]
    results = _run(jaxpr, own, arguments)
    carried = given["num_carry"]
    for number, (operation, shape) in enumerate(zip(results, shapes, strict=True)):
        source: tuple[int | None, ...] = tuple(range(len(shape)))
        if number >= carried:
            source = (None, *range(len(shape) - 1))
        results[number] = Operation("moved", (operation,), shape, source=source, name="scan")
    return results
