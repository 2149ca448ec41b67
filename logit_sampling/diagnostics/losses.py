"""What a loss expects of a model: logits or probabilities, of one distribution or of each unit."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

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
        form: "logits", "probabilities", or None if it cannot be told or is neither.
        family: "categorical" (a row is one distribution), "binary" (each unit is a distribution of
            its own), or None.
        loss: the name of the class in `keras.losses` if it is one of the cross-entropies.
        evidence: how it is known.
        axis: along which axis of the output the classes lie.
        ignored: the label that the loss leaves out, if it does.
    """

    form: str | None = None
    family: str | None = None
    loss: str | None = None
    evidence: str = "there is no loss"
    axis: int = -1
    ignored: int | None = None


def expectation(loss: Any, values: np.ndarray | None) -> Expectation:
    """Tell what `loss` expects.

    Args:
        loss: what `compile` takes for one output: a name, a function, a `keras.losses.Loss`, None.
        values: an output of the model, float [batch, ..., units]: a loss of the user's own is
            measured with predictions of that shape. None if there is none.
    """
    import keras

    if loss is None:
        return Expectation()
    if loss in ("crossentropy", "ce"):  # Keras takes the cross-entropy that fits the labels
        return Expectation("probabilities", None, None, f"the loss is {loss!r}")
    if isinstance(loss, str):
        loss = keras.losses.get(loss)
    name, config = _own_name(loss)
    if name is not None and name in CROSS_ENTROPIES.values():
        from_logits = config.get("from_logits", False)
        return Expectation(
            "logits" if from_logits else "probabilities",
            "binary" if name.startswith("Binary") else "categorical",
            name,
            f"{name}(from_logits={from_logits})",
            config.get("axis", -1),
            config.get("ignore_class"),
        )
    if name in PROBABILITY_LOSSES.values():
        return Expectation("probabilities", None, None, f"{name}, which has no from_logits")
    if name is not None:
        return Expectation(None, None, None, f"{name}, which is no cross-entropy")
    title = f"the loss {getattr(loss, '__name__', None) or type(loss).__name__!r}"
    if values is None:
        return Expectation(evidence=f"{title} could not be measured without an output")
    form, family = measure(loss, values.shape)
    if form is None:
        return Expectation(evidence=f"{title} behaves like none of the cross-entropies")
    return Expectation(form, family, None, f"{title} behaves like {family} cross-entropy on {form}")


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
        ships = getattr(keras.losses, kind.__name__, None) is kind
        return (kind.__name__, loss.get_config()) if ships else (None, {})
    name = getattr(loss, "__name__", "")
    if getattr(keras.losses, name, None) is not loss:
        return None, {}
    return (CROSS_ENTROPIES | PROBABILITY_LOSSES).get(name, name), {}


def measure(loss: Callable, shape: tuple[int, ...]) -> tuple[str | None, str | None]:
    """Tell form and family of a loss by its values.

    Every row of a prediction and every target is the same, so that means, sums, weights and masks
    of whatever kind only scale the result. A loss is a cross-entropy if its results are those of
    that cross-entropy, times one factor; adding a constant to a row of logits must change nothing,
    which also tells a smoothed or a focal one.
    """
    units = shape[-1]
    rng = np.random.default_rng(0)
    ones = np.ones(shape, np.float32)
    if units > 1:
        rows = rng.normal(size=(4, units))
        logp = rows - np.log(np.exp(rows).sum(-1, keepdims=True))
        hot = np.zeros(shape, np.float32)
        hot[..., 1] = 1
        index = np.ones(shape[:-1], np.int32)
        for target in (index, index[..., None], hot):
            of_logits = _results(loss, target, [ones * row for row in rows])
            shifted = _results(loss, target, [ones * (row + 1.5) for row in rows])
            if _equal(of_logits, shifted) and np.ptp(of_logits) > 1e-3 * abs(of_logits).max():
                return "logits", "categorical"
            if _proportional(_results(loss, target, [ones * np.exp(r) for r in logp]), -logp[:, 1]):
                return "probabilities", "categorical"
    levels = np.array([-2.0, -0.5, 0.25, 1.5])
    softplus = np.log1p(np.exp(-levels))
    if _proportional(_results(loss, ones, [ones * level for level in levels]), softplus):
        return "logits", "binary"
    if _proportional(_results(loss, ones, [ones * np.exp(-s) for s in softplus]), softplus):
        return "probabilities", "binary"
    return None, None


def _results(loss: Callable, target: np.ndarray, predictions: list[np.ndarray]) -> np.ndarray:
    """The mean of what `loss` returns for each prediction; NaN where it cannot be called."""
    import keras

    def result(prediction: np.ndarray) -> float:
        try:
            tensors = (keras.ops.convert_to_tensor(a) for a in (target, np.float32(prediction)))
            value = keras.ops.convert_to_numpy(loss(*tensors))
            return float(np.mean(value, dtype=np.float64))
        except Exception:  # whatever a function of the user's raises for targets it is not for
            return np.nan

    return np.array([result(p) for p in predictions])


def _equal(a: np.ndarray, b: np.ndarray) -> bool:
    return bool(np.allclose(a, b, rtol=1e-3, atol=1e-6))


def _proportional(results: np.ndarray, reference: np.ndarray) -> bool:
    return _equal(results / results[0], reference / reference[0]) if results[0] > 0 else False
