"""What was compiled for a Keras model, for as long as the model is as it was then.

A graph reads variables, so that new weights are seen. All else is part of it: which layers there
are, their variables (`enable_lora`, `quantize`), activations and other attributes.
"""

import functools
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from logit_sampling.models.keras_hub_bridge import layers_of

_Made = TypeVar("_Made")

_MADE: weakref.WeakKeyDictionary[Any, tuple["_Snapshot", Any]] = weakref.WeakKeyDictionary()

_MAKING = threading.RLock()  # so that threads that begin at once do not compile the same

_TRAINING = {"optimizer", "sampler", "generate_function", "history", "stop_training"}
_TRAINING |= {"_compile_config", "_compiled_trainable_state"}
_SIMPLE = (bool, int, float, complex, str, bytes, type(None))


def remembered(model: Any, make: Callable[[], _Made], part: Any = None) -> _Made:
    """Return what `make` returns, made anew when the model has changed.

    Args:
        model: a Keras model. It is neither changed nor kept alive, so what is made must not refer
            to it but weakly.
        make: compiles something.
        part: the layer that is compiled, if not all of the model.
    """
    now = _Snapshot(model if part is None else part)
    with _MAKING:
        held = _MADE.get(model)
        if held is None or held[0].values != now.values:
            _MADE[model] = held = now, make()
    return held[1]


class _Snapshot:
    """The layers of a model and their attributes, to be compared.

    Attributes:
        values: numbers and strings themselves, and for other objects the identity of a reference.
        references: these, weak where possible: as long as they are held no other has its identity.
    """

    def __init__(self, model: Any) -> None:
        self.references: list[Any] = []
        self.values = [
            value
            for layer in layers_of(model)
            for value in (self._identity(layer), *self._attributes(layer))
        ]

    def _attributes(self, layer: Any) -> Iterator[Any]:
        passed_over = _attributes_of_any_layer()
        for name, value in vars(layer).items():
            if value is None:  # a layer may set this when it is first called
                continue
            if name not in passed_over and not name.startswith("_self_"):
                yield name
                yield from self._seen(value)

    def _seen(self, value: Any) -> Iterator[Any]:
        if isinstance(value, _SIMPLE):
            yield type(value).__name__
            yield value
        elif isinstance(value, dict):
            yield "dict"
            for key, own in value.items():
                yield from self._seen(key)
                yield from self._seen(own)
        elif isinstance(value, list | tuple | set | frozenset):
            yield len(value)
            for own in value:
                yield from self._seen(own)
        else:
            yield self._identity(value)

    def _identity(self, value: Any) -> int:
        try:
            reference: Any = weakref.ref(value)  # of one object always the same
        except TypeError:
            reference = value
        self.references.append(reference)
        return id(reference)


@functools.cache
def _attributes_of_any_layer() -> frozenset[str]:
    """Return the names that say nothing of what a layer computes, but for its precision."""
    import keras

    names = {*vars(keras.layers.Layer()), *vars(keras.Model())} | _TRAINING
    return frozenset(names - {"_dtype_policy"})
