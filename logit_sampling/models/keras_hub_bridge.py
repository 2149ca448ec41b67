"""The private parts of KerasHub and Keras: what of them is used stands here and nowhere else.

KerasHub lets a server hold the cache of a model: while a context says so, its attention layers hand
their queries, keys and values to `vllm_paged_attention`. While a model is traced, its layers here
hand them to another function, and its dense layers multiply in another way. Both act on the layers
of this one model, and are taken off again: nothing changes for other models and other threads.
"""

import contextlib
import functools
import importlib.metadata
import inspect
import math
import re
import threading
import warnings
from collections.abc import Callable, Iterator
from types import FunctionType, MethodType
from typing import Any

SUPPORTED = (0, 32), (0, 33)
"""Releases of KerasHub that this is tested with: from the first on, below the second."""

_ATTEND = "_compute_vllm_attention"  # the method of a layer that hands on
_HAND_ON = "vllm_paged_attention"  # the function that it calls
_ARGUMENTS = "query, key, value, scale, num_kv_heads, sliding_window, soft_cap"
_TRACING = threading.Lock()  # two threads may trace one model


@functools.cache
def trouble() -> str | None:
    """Return why no model can hand its cache to us with this KerasHub; None if it can."""
    version = importlib.metadata.version("keras-hub")
    first, beyond = SUPPORTED
    if not first <= tuple(map(int, re.findall(r"\d+", version)[:2])) < beyond:
        known = " and below ".join(".".join(map(str, release)) for release in SUPPORTED)
        return f"KerasHub is {version}, and known are the releases from {known}"
    try:
        from keras_hub.src.vllm.attention import vllm_paged_attention
        from keras_hub.src.vllm.context import vllm_context_scope
    except ImportError as error:
        return str(error)
    for function, wanted in (
        (vllm_paged_attention, _ARGUMENTS),
        (vllm_context_scope, "paged_attention_func, positions, kv_caches"),
    ):
        found = ", ".join(inspect.signature(function).parameters)
        if found != wanted:
            return f"{function.__name__} takes ({found}) in place of ({wanted})"
    return None


def layers_of(model: Any) -> list[Any]:
    """Return a model and all layers in it, of whatever depth."""
    return list(model._flatten_layers())


def parameter_count(model: Any) -> int | None:
    """Return how many numbers a model has learned, None if it has no weights yet."""
    return model.count_params() if getattr(model, "built", False) else None


def dropout_of_outputs_alone(block: Any) -> None:
    """Drop of both outputs of a block of KerasHub's Qwen, and none of its attention weights.

    It has dropout of the weights, which needs a random number for each pair of positions, a fifth
    of the time of a step on a CPU, and none of what its feed-forward layer adds.
    """
    block._self_attention_layer._dropout_layer.rate = 0.0
    last = block._feedforward_output_dense
    call = last.call
    last.call = lambda x, training=None: block._self_attention_dropout(call(x), training=training)


@contextlib.contextmanager
def strict_loading() -> Iterator[None]:
    """Raise where Keras only warns: of weights that it leaves at their random values."""
    with warnings.catch_warnings():
        warnings.filterwarnings("error", module=r"keras\.src\.saving")
        yield


def hands_on(causal_lm: Any) -> bool:
    """Tell whether all attention layers of a KerasHub model can attend in another way."""
    methods = [getattr(layer, _ATTEND, None) for layer in layers_of(causal_lm.backbone)]
    known = [method for method in methods if method and _HAND_ON in method.__code__.co_names]
    return len(known) == getattr(causal_lm.backbone, "num_layers", None)


def own_cache(causal_lm: Any) -> Any:
    """Return an empty cache of a KerasHub model: each knows the shape of its own. None if none."""
    from keras import ops

    if not hasattr(causal_lm, "_build_cache"):
        return None
    return causal_lm._build_cache(ops.zeros((1, 2), "int32"))[1]


@contextlib.contextmanager
def attending_by(attend: Callable[..., Any], backbone: Any, positions: Any) -> Iterator[None]:
    """Have the attention layers of a backbone call `attend`, and dense ones multiply matrices.

    Keras multiplies batches of them, which for the batch of single tokens here takes TensorFlow up
    to three times as long.

    Args:
        attend: is given the arguments of `vllm_paged_attention`.
        backbone: of a model that `hands_on`.
        positions: of the tokens in their texts, int32 [tokens].
    """
    import keras
    from keras_hub.src.vllm.context import vllm_context_scope

    dense = keras.layers.Dense.call, keras.layers.EinsumDense.call
    changed: list[tuple[Any, str, dict[str, Any]]] = []
    with _TRACING, vllm_context_scope(attend, positions):
        try:
            for layer in layers_of(backbone):
                if hasattr(layer, _ATTEND):
                    changed.append((layer, _ATTEND, {_HAND_ON: attend}))
                if getattr(type(layer), "call", None) in dense:
                    changed.append((layer, "call", {"ops": _MatrixProducts()}))
            for layer, name, names in changed:
                vars(layer)[name] = _with_names(getattr(layer, name), names)
            yield
        finally:
            for layer, name, _ in changed:
                vars(layer).pop(name, None)


def _with_names(method: MethodType, names: dict[str, Any]) -> MethodType:
    """Return a copy of a method for which global names mean something else."""
    code: Any = method.__func__
    copy = FunctionType(
        code.__code__, code.__globals__ | names, code.__name__, code.__defaults__, code.__closure__
    )
    copy.__kwdefaults__ = code.__kwdefaults__
    return MethodType(copy, method.__self__)


class _MatrixProducts:
    """`keras.ops`, but that products of floats of one kind are those of two matrices."""

    def __getattr__(self, name: str) -> Any:
        from keras import ops

        return getattr(ops, name)

    def einsum(self, equation: str, *operands: Any, **options: Any) -> Any:
        from keras import ops

        match = re.fullmatch(r"(\w*?)(\w+),\2(\w+)->\1\3", equation)
        letters = "".join(match.groups()) if match else ""
        if match and len(set(letters)) == len(letters) and _alike(*operands):
            return _product(operands[0], operands[1], len(match[2]))
        return ops.einsum(equation, *operands, **options)

    def matmul(self, x: Any, kernel: Any) -> Any:
        from keras import ops

        if len(kernel.shape) == 2 and _alike(x, kernel):
            return _product(x, kernel, 1)
        return ops.matmul(x, kernel)


def _alike(x: Any, kernel: Any) -> bool:
    """Whether both are floats of one kind: those of quantised layers are not."""
    from keras import ops

    dtypes = {ops.convert_to_tensor(array).dtype for array in (x, kernel)}
    return len(dtypes) == 1 and "float" in str(dtypes.pop())


def _product(x: Any, kernel: Any, count: int) -> Any:
    """Return the sums over the last `count` axes of `x` and the first ones of `kernel`."""
    from keras import ops

    kernel = ops.convert_to_tensor(kernel)
    size = math.prod(kernel.shape[:count])
    product = ops.matmul(ops.reshape(x, (-1, size)), ops.reshape(kernel, (size, -1)))
    leading = [-1 if n is None else n for n in x.shape[:-count]]
    return ops.reshape(product, (*leading, *kernel.shape[count:]))
