"""A verdict is right if what Keras computes is the cross-entropy of what the model says."""

from typing import Any

import keras
import numpy as np
import pytest

import logit_sampling as ls

UNITS, ROWS = 4, 32
LOSSES = ("BinaryCrossentropy", "CategoricalCrossentropy", "SparseCategoricalCrossentropy")


def cross_entropy(family: str, predicted: np.ndarray, is_score: bool, hot: np.ndarray) -> float:
    """In float64 from the definition; probabilities are taken as they are."""
    x = predicted.astype(np.float64)
    if family == "binary":
        p = 1 / (1 + np.exp(-x)) if is_score else x
        return -np.mean(hot * np.log(p) + (1 - hot) * np.log1p(-p))
    p = np.exp(x) / np.exp(x).sum(-1, keepdims=True) if is_score else x
    return -np.mean((hot * np.log(p)).sum(-1))


@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
@pytest.mark.parametrize("flag", [True, False])
@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("activation", [None, "softmax", "sigmoid", "log_softmax"])
@pytest.mark.filterwarnings("ignore:.*received `from_logits=True`")
def test_the_verdict_is_what_keras_computes(
    activation: str | None, name: str, flag: bool, dtype: str
) -> None:
    keras.utils.set_random_seed(1)
    head = keras.layers.Dense(UNITS, activation=activation, dtype=dtype)
    model = keras.Sequential([keras.Input((UNITS,)), head])
    loss = getattr(keras.losses, name)(from_logits=flag)
    model.compile("sgd", loss, run_eagerly=True)  # the same numbers as in a graph, sooner
    rng = np.random.default_rng(0)
    head.kernel.assign(rng.normal(0, 0.7, (UNITS, UNITS)))
    x, labels = rng.normal(size=(ROWS, UNITS)), rng.integers(0, UNITS, ROWS)
    hot = np.eye(UNITS)[labels]
    targets: Any = labels if name.startswith("Sparse") else hot

    computed = model.evaluate(x, targets, batch_size=ROWS, verbose=0)
    predicted = model.predict(x, batch_size=ROWS, verbose=0)
    if activation == "log_softmax":
        predicted = np.exp(predicted.astype(np.float32))
    family = "binary" if name.startswith("Binary") else "categorical"
    truth = cross_entropy(family, predicted, activation is None, hot)

    report = ls.check_logits(model)
    agrees = computed == pytest.approx(truth, rel=5e-3 if "bfloat16" in dtype else 1e-4)
    assert (report.ok or "right by luck" in report.problem) == agrees, (computed, truth)
