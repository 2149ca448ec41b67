"""Running a model that stays as it is: with its weights, and with others."""

import time
from collections.abc import Iterator
from typing import Any

import numpy as np

ROWS = 4
SECONDS = 30.0  # for how long weights are tried out
GROUPS = 6  # layers with weights, from the last


def called(model: Any, inputs: Any, training: bool, weights: Any = ()) -> list[tuple[tuple, Any]]:
    """Call a model; what it would change in itself, it forgets.

    Args:
        weights: pairs of a variable and the value that it has in this call.

    Returns:
        a path and a tensor for each output.
    """
    import keras

    with keras.StatelessScope(state_mapping=list(weights)):
        try:
            returned = model(inputs, training=training)
        except TypeError as error:
            if "training" not in str(error):
                raise
            returned = model(inputs)
    return keras.tree.flatten_with_path(returned)


def arrays(returned: list[tuple[tuple, Any]]) -> list[np.ndarray]:
    """The outputs as float32 arrays [batch, ..., units]."""
    import keras

    values = [
        np.asarray(keras.ops.convert_to_numpy(keras.ops.cast(value, "float32")))
        for _, value in returned
    ]
    return [value if value.ndim > 1 else value[..., None] for value in values]


def with_other_weights(model: Any, inputs: Any, training: bool) -> Iterator[list[np.ndarray]]:
    """Call a model with large random weights in one layer after the other, and large inputs.

    A raw score must leave [0, 1] somewhere; a sigmoid comes close to both ends and never does.
    """
    end, rng = time.monotonic() + SECONDS, np.random.default_rng(0)
    layers: dict[str, list[Any]] = {}
    for variable in model.trainable_variables:
        layers.setdefault(variable.path.rpartition("/")[0], []).append(variable)
    groups = [*layers.values()][::-1][:GROUPS]
    for scale in (3.0, 30.0, 1000.0):
        for group in groups:
            if time.monotonic() > end:
                return
            weights = [
                (v, np.asarray(rng.normal(size=v.shape) * scale, _dtype(v.dtype))) for v in group
            ]
            try:
                yield arrays(called(model, inputs, training, _tensors(weights)))
            except Exception:  # whatever a model raises for weights that it checks
                continue


def _dtype(name: str) -> Any:
    return name if name in ("float16", "float32", "float64") else "float32"


def _tensors(weights: list[tuple[Any, np.ndarray]]) -> list[tuple[Any, Any]]:
    import keras

    found = []
    for variable, value in weights:
        tensor = keras.ops.cast(keras.ops.convert_to_tensor(value), variable.dtype)
        constraint = getattr(variable, "constraint", None)
        found.append((variable, tensor if constraint is None else constraint(tensor)))
    return found


def candidates(model: Any, like: Any) -> Iterator[tuple[Any, Any]]:
    """Models and inputs to try: `model` itself, or copies of it if it has no weights yet."""
    import keras

    if like is None:
        like = getattr(getattr(model, "_functional", None) or model, "_inputs_struct", None)
    for kind in ("numbers", "ids", "positive"):
        for size in (8, 64):  # of an axis that the model leaves open
            if like is not None:
                yield (
                    model,
                    keras.tree.map_structure(
                        lambda t, n=size, k=kind: _numbers(t.shape, t.dtype, n, k, _name(t)), like
                    ),
                )
            elif model.built and "input_shape" in (config := model.get_build_config() or {}):
                yield (
                    model,
                    keras.tree.map_shape_structure(
                        lambda s, n=size, k=kind: _numbers(s, "float32", n, k),
                        config["input_shape"],
                    ),
                )
            elif isinstance(model, keras.Sequential):
                for shape in ((None, 8), (None, 8, 8), (None, 32, 32, 3)):
                    yield keras.models.clone_model(model), _numbers(shape, "float32", 8, kind)


def _name(tensor: Any) -> str:
    return tensor.name if hasattr(tensor, "_keras_history") else ""


def _numbers(shape: Any, dtype: Any, size: int, kind: str, name: str = "") -> np.ndarray:
    """Random values for an input: token ids 0 and 1 if it is of integers or of that `kind`."""
    import keras

    rng = np.random.default_rng(0)
    dtype = keras.backend.standardize_dtype(dtype)
    shape = (shape[0] or ROWS, *(size if n is None else n for n in shape[1:])) if shape else ()
    if dtype == "string":
        return np.full(shape, "a")
    if dtype == "bool" or "mask" in name:
        return np.ones(shape, dtype)
    if kind == "ids" or "int" in dtype:
        return rng.integers(0, 2, shape).astype(dtype)
    numbers = rng.normal(size=shape)
    return (abs(numbers) + 0.1 if kind == "positive" else numbers).astype(dtype)
