"""Every line that mends a model is pasted into a fresh namespace, trains, and is found right."""

from typing import Any

import keras
import keras_hub
import numpy as np
import pytest

import logit_sampling as ls
from logit_sampling.diagnostics.metrics import OnProbabilities
from tests.diagnostics.test_verdicts import CROSS_ENTROPY, FITS, PAIRINGS

L, losses, ops = keras.layers, keras.losses, keras.ops
WRONG = [
    pairing
    for pairing in PAIRINGS
    if not FITS["binary" if pairing[1].startswith("Binary") else "categorical", pairing[0]][
        0 if pairing[2] else 1
    ]
]
X = np.random.default_rng(0).normal(size=(8, 6)).astype(np.float32)


def labels(model: Any) -> np.ndarray:
    units = model.output_shape[-1]
    name = getattr(model.loss, "__name__", type(model.loss).__name__)
    if name.lower().startswith("sparse"):
        return np.arange(8) % units
    return np.eye(units)[np.arange(8) % units] if units > 1 else np.arange(8)[:, None] % 2


def paste(line: str, model: Any) -> Any:
    """Run a line as a user would, who has the model and Keras and nothing else."""
    namespace = {"model": model, "keras": keras}
    exec(line, namespace)
    model = namespace["model"]
    model.fit(X, labels(model), verbose=0, batch_size=8)
    return model


@pytest.mark.parametrize(("activation", "name", "flag"), WRONG)
def test_of_the_table(activation: str | None, name: str, flag: bool) -> None:
    def build() -> Any:
        model = keras.Sequential(
            [keras.Input((6,)), L.Dense(5, activation=activation, name="head")]
        )
        loss = CROSS_ENTROPY[name](from_logits=flag, name="mine")
        metrics = [] if name.startswith("Sparse") else ["mae"]
        model.compile(keras.optimizers.Adam(0.02), loss, metrics=metrics, loss_weights=2.0)
        return model

    remedies = ls.check_logits(build()).remedies
    assert remedies
    for line in remedies:
        model = build()
        optimizer = model.optimizer
        mended = paste(line, model)
        assert ls.check_logits(mended).ok is True, line
        assert mended.optimizer is optimizer
        config = mended._compile_config.config
        assert (config["loss_weights"], config["metrics"] or []) == (
            2.0, [] if name.startswith("Sparse") else ["mae"]
        )  # fmt: skip


@pytest.mark.parametrize(
    ("layers", "loss", "wanted"),
    [
        ([L.Dense(5), L.Softmax(name="last")], losses.CategoricalCrossentropy(True), 2),
        ([L.Dense(5), L.Activation("softmax")], losses.SparseCategoricalCrossentropy(True), 2),
        (
            [L.Dense(5, activation="softmax"), L.Activation("softmax")],
            "categorical_crossentropy",
            1,
        ),
        ([L.Dense(1, activation="tanh")], "binary_crossentropy", 1),
        ([L.Dense(5)], "kl_divergence", 1),
        ([L.Dense(1)], losses.Dice(), 1),
        ([L.Dense(1, activation="softmax")], "binary_crossentropy", 1),
    ],
    ids=["layer", "activation", "twice", "tanh", "kld", "dice", "one unit"],
)
def test_of_other_models(layers: list, loss: Any, wanted: int) -> None:
    def build() -> Any:
        copies = [type(layer).from_config(layer.get_config()) for layer in layers]
        model = keras.Sequential([keras.Input((6,)), *copies])
        model.compile("sgd", loss)
        return model

    report = ls.check_logits(build())
    assert report.ok is False and len(report.remedies) == wanted
    for line in report.remedies:
        assert ls.check_logits(paste(line, build())).ok is True, line


def test_settings_stay_and_a_head_is_called_by_its_name() -> None:
    x = keras.Input((6,))
    model = keras.Model(x, [L.Dense(5, name="kind")(x), L.Dense(1, name="flag")(x)])
    loss = losses.SparseCategoricalCrossentropy(ignore_class=-1, reduction="sum")
    model.compile("sgd", {"kind": loss, "flag": losses.BinaryCrossentropy(from_logits=True)})
    report = ls.check_logits(model)
    assert report.name == "kind" and report.remedies == (
        "model.compile(optimizer=model.optimizer, loss={'flag': "
        "keras.losses.BinaryCrossentropy(from_logits=True), 'kind': keras.losses."
        "SparseCategoricalCrossentropy(from_logits=True, ignore_class=-1, reduction='sum')})",
        "model.get_layer('kind').activation = keras.activations.softmax; "
        "model.make_train_function(force=True)",
    )


def own(y: Any, p: Any) -> Any:
    return -ops.sum(y * ops.log(ops.clip(p, 1e-7, 1)), -1)


def test_a_loss_of_the_users_own() -> None:
    model = keras.Sequential([keras.Input((6,)), L.Dense(5)])
    model.compile("sgd", own)
    first, second = ls.check_logits(model).remedies
    assert second == "# in your loss, compute categorical cross-entropy from logits"
    namespace = {"model": model, "keras": keras}
    exec(first, namespace)
    model.fit(X, np.eye(5)[np.arange(8) % 5], verbose=0)
    assert ls.check_logits(model).ok is True


class Mine(keras.metrics.Mean):
    pass


METRICS = [
    ls.Perplexity(ignore_class=-1),
    ls.BitsPerCharacter([1, 2, 1, 1, 1]),
    OnProbabilities(keras.metrics.AUC(num_thresholds=9), "softmax"),
    keras_hub.metrics.Perplexity(from_logits=True),
    Mine(),
    own,
    "accuracy",
]


@pytest.mark.parametrize("metric", METRICS)
def test_metrics_stay_as_they_are(metric: Any) -> None:
    """They are pasted where `ls`, Keras and what is the user's own are known."""
    model = keras.Sequential([keras.Input((6,)), L.Dense(5, activation="softmax")])
    model.compile("sgd", losses.SparseCategoricalCrossentropy(True), metrics=[metric])
    line = ls.check_logits(model).remedy
    exec(
        line,
        {
            "model": model,
            "keras": keras,
            "keras_hub": keras_hub,
            "ls": ls,
            "Mine": Mine,
            "own": own,
        },
    )
    (found,) = model._compile_config.config["metrics"]
    assert type(found) is type(metric)
    if isinstance(metric, keras.metrics.Metric):
        assert found.get_config() == metric.get_config()
    else:
        assert found == metric
