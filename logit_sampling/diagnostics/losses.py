"""What a loss expects of a model: logits or probabilities, of one distribution or of each unit."""

import functools
import sys
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from logit_sampling.diagnostics.own_losses import SWAPPED, measure

CROSS_ENTROPIES = {
    "binary_crossentropy": "BinaryCrossentropy",
    "binary_focal_crossentropy": "BinaryFocalCrossentropy",
    "categorical_crossentropy": "CategoricalCrossentropy",
    "categorical_focal_crossentropy": "CategoricalFocalCrossentropy",
    "sparse_categorical_crossentropy": "SparseCategoricalCrossentropy",
}
# Measures of distance between distributions: they have no from_logits.
PROBABILITY_LOSSES = {
    "kl_divergence": "KLDivergence",
    "dice": "Dice",
    "tversky": "Tversky",
    "categorical_generalized_cross_entropy": "CategoricalGeneralizedCrossEntropy",
}


@dataclass(frozen=True)
class Expectation:
    """What a loss expects.

    Attributes:
        form: "logits", "probabilities", "log_probabilities" (only of a loss of the user's own), or
            None if it cannot be told or is none of them.
        family: "categorical" (a row is one distribution), "binary" (each unit is a distribution of
            its own), or None.
        loss: the name of the class in `keras.losses` if it is one of the cross-entropies.
        evidence: how it is known.
        axis: along which axis of the output the classes lie.
        ignored: the label that the loss leaves out, if it does.
        title: the name of the loss as the user knows it; empty without one.
        other: that there is no loss, or one of Keras that is not about classes.
    """

    form: str | None = None
    family: str | None = None
    loss: str | None = None
    evidence: str = "there is no loss"
    axis: int = -1
    ignored: int | None = None
    title: str = ""
    other: bool = False


def expectation(loss: Any, values: np.ndarray | None) -> Expectation:
    """Tell what `loss` expects.

    Args:
        loss: what `compile` takes for one output: a name, a function, a `keras.losses.Loss`, None.
        values: an output of the model, float [batch, ..., units]: a loss of the user's own is
            measured with predictions of that shape. None if there is none.
    """
    import keras

    if loss is None:
        return Expectation(other=True)
    if loss in ("crossentropy", "ce"):  # Keras takes the cross-entropy that fits the labels
        return Expectation("probabilities", None, None, f"the loss is {loss!r}", title=loss)
    if isinstance(loss, str):
        loss = keras.losses.get(loss)
    name, config = _own_name(loss)
    if name is None:
        return _of_own(loss, values)
    if name in CROSS_ENTROPIES.values():
        from_logits = config.get("from_logits", False)
        return Expectation(
            "logits" if from_logits else "probabilities",
            "binary" if name.startswith("Binary") else "categorical",
            # As a class it would lose what else a partial function sets.
            name if isinstance(loss, keras.losses.Loss) or {*config} <= {"from_logits"} else None,
            f"{name}(from_logits={from_logits})",
            config.get("axis", -1),
            config.get("ignore_class"),
            name,
        )
    if name in PROBABILITY_LOSSES.values():
        evidence = f"{name}, which has no from_logits"
        return Expectation("probabilities", None, None, evidence, title=name)
    return Expectation(evidence=f"{name}, which is no cross-entropy", title=name, other=True)


def _of_own(loss: Any, values: np.ndarray | None) -> Expectation:
    """What a loss of the user's own expects."""
    function = getattr(loss, "func", None) or getattr(loss, "fn", loss)
    name = getattr(function, "__name__", None) or type(function).__name__
    unknown = Expectation(title=name, evidence=f"the loss {name!r} is none that I know")
    if values is None:
        evidence = f"the loss {name!r} could not be measured without an output"
        return replace(unknown, evidence=evidence)
    form, family, like = measure(loss, values.shape)
    if like == SWAPPED:
        evidence = f"in the loss {name!r} the prediction and the labels look swapped"
        return replace(unknown, evidence=evidence)
    if form is None:
        return unknown
    if like == "cross-entropy" or like.startswith("cross-entropy "):
        like = f"{family} {like}"
    evidence = f"the loss {name!r} behaves like {like} on {form.replace('_', '-')}"
    if form == "log_probabilities":
        evidence = (
            f"the loss {name!r} is linear in the prediction for the right class, as {like} of "
            "log-probabilities is"
        )
    return Expectation(form, family, None, evidence, title=name)


def places(losses: Any, names: list[str]) -> list[int | None]:
    """For each output, by name, the position of its loss in `keras.tree.flatten(losses)`.

    `losses` is what `compile` was given: one loss for all, a list by position, a dict by name.
    """
    import keras

    keys = [path[-1] if path else None for path, _ in keras.tree.flatten_with_path(losses)]
    if isinstance(losses, dict):
        return [keys.index(name) if name in keys else None for name in names]
    return [min(index, len(keys) - 1) for index in range(len(names))]


def _own_name(loss: Any) -> tuple[str | None, dict[str, Any]]:
    """The class name and configuration of a loss that Keras ships; (None, {}) of another."""
    import keras

    if isinstance(loss, keras.losses.Loss):
        kind = type(loss)
        if getattr(keras.losses, kind.__name__, None) is kind:
            return kind.__name__, loss.get_config()
        wrapper: Any = keras.losses.MeanSquaredError.__base__  # Keras does not export it
        if (kind.call, kind.__call__) != (wrapper.call, wrapper.__call__):
            return None, {}
        return _own_name(functools.partial(loss.fn, **loss._fn_kwargs))
    if isinstance(loss, functools.partial):
        name, config = (None, {}) if loss.args else _own_name(loss.func)
        return name, config | loss.keywords if name else {}
    name, module = getattr(loss, "__name__", ""), getattr(loss, "__module__", None) or ""
    if getattr(keras.losses, name, None) is loss:
        return (CROSS_ENTROPIES | PROBABILITY_LOSSES).get(name, name), {}
    # Those of keras.ops and of the backend; what only borrows such a name is the user's own.
    ships = module.startswith("keras.") and getattr(sys.modules.get(module), name, None) is loss
    return (CROSS_ENTROPIES.get(name) if ships else None), {}
