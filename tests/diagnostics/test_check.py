# ruff: noqa: E501 - a row of a table stays together
"""Arrays, several outputs, the report and the mended model."""

import json
import subprocess
import sys
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

import logit_sampling as ls

L, losses = keras.layers, keras.losses
SCORES = np.random.default_rng(0).normal(size=(4, 10)).astype(np.float32)
SOFTMAX = np.exp(SCORES) / np.exp(SCORES).sum(-1, keepdims=True)
SIGMOID = 1 / (1 + np.exp(-SCORES))


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
@pytest.mark.parametrize(
    ("values", "output"),
    [
        (SCORES, "logits"),
        (SCORES - 20, "logits"),
        (SCORES / 1000, "logits"),
        (np.log(SOFTMAX), "log_probabilities"),
        (SOFTMAX, "softmax"),
        (SIGMOID, "sigmoid"),
    ],
)
def test_arrays(values: np.ndarray, output: str, dtype: str) -> None:
    report = ls.check_logits(tf.cast(values, dtype))
    assert (report.output, report.expects, report.ok) == (output, None, None)
    assert bool(report.remedy) is (output in ("softmax", "sigmoid"))


@pytest.mark.parametrize(
    ("values", "output"),
    [
        ([0.0, 1.0, 0.0], "softmax"),
        ([[0.0, 0.0]], "unknown"),
        ([[[0.25, 0.75]], [[1.0, 0.0]]], "softmax"),
        ([0.0, -np.inf, -np.inf], "log_probabilities"),
        ([3.0, -np.inf, 1.0], "logits"),
        ([[0.3], [0.6]], "sigmoid"),
        ([[0.3], [-0.6]], "logits"),
        ([np.log(0.5), np.log(0.25), np.log(0.2)], "logits"),
        ([0.5, 0.3, 0.2 + 5e-3], "sigmoid"),
    ],
)
def test_small_arrays(values: list, output: str) -> None:
    assert ls.check_logits(np.array(values)).output == output


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.arange(3), "got int64"),
        (np.array([0.5, np.nan]), "NaN"),
        (np.zeros((0, 3)), r"\[\.\.\., units\], got shape \(0, 3\)"),
        (np.float32(1), r"got shape \(\)"),
    ],
)
def test_what_is_no_array_of_logits_is_refused(x: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ls.check_logits(x)


def two_heads(first: str | None, second: str | None) -> keras.Model:
    x = keras.Input((8,))
    outputs = {
        "kind": L.Dense(5, activation=first, name="a")(x),
        "flag": L.Dense(1, activation=second, name="b")(x),
    }
    return keras.Model(x, outputs)


def test_several_outputs_by_name() -> None:
    model = two_heads(None, None)
    wrong, right = losses.BinaryCrossentropy(), losses.SparseCategoricalCrossentropy(True)
    model.compile("sgd", {"kind": right, "flag": wrong})
    report = ls.check_logits(model)
    found = {part.name: (part.output, part.expects, part.ok) for part in report.outputs}
    assert found == {
        "kind": ("logits", "logits", True),
        "flag": ("logits", "probabilities", False),
    }
    assert report.ok is False
    assert report.remedy == report.outputs[0].remedy
    assert report.name == "flag"
    assert (
        "kind:\nThe model gives raw scores (logits), and the loss expects them: they fit.\noutput   logits (proven)\nexpects  logits\n"
        in str(report)
    )
    assert (
        "flag:\nThe model gives raw scores (logits), but the loss expects probabilities.\noutput   logits (proven)\nexpects  probabilities\n"
        in str(report)
    )

    weights = model.get_weights()
    assert ls.check_logits(model, fix=True) is model
    report = ls.check_logits(model)
    assert report.ok is True
    assert model.loss["kind"] is right
    assert model.loss["flag"].get_config() == wrong.get_config() | {"from_logits": True}
    for before, after in zip(weights, model.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)
    x, y = np.ones((4, 8)), {"kind": np.ones(4), "flag": np.ones((4, 1))}
    model.fit(x, y, verbose=0)


@pytest.mark.parametrize("many", [lambda a, b: [a, b], lambda a, b: {"left": a, "right": b}])
def test_several_outputs_by_position(many: Any) -> None:
    x = keras.Input((8,))
    heads = [L.Dense(5, activation="softmax", name="left")(x), L.Dense(5, name="right")(x)]
    model = keras.Model(x, heads)
    model.compile("sgd", many("categorical_crossentropy", "categorical_crossentropy"))
    report = ls.check_logits(model)
    assert [(part.name, part.output, part.ok) for part in report.outputs] == [
        ("left", "softmax", True),
        ("right", "logits", False),
    ]
    ls.check_logits(model, fix=True)
    assert [part.ok for part in ls.check_logits(model).outputs] == [True, True]
    model.fit(np.ones((4, 8)), [np.eye(5)[:4], np.eye(5)[:4]], verbose=0)


def test_one_loss_for_two_outputs_and_one_without() -> None:
    model = two_heads("sigmoid", None)
    model.compile("sgd", "binary_crossentropy")
    by_name = {part.name: part.ok for part in ls.check_logits(model).outputs}
    assert by_name == {"kind": True, "flag": False}
    ls.check_logits(model, fix=True)
    assert [part.ok for part in ls.check_logits(model).outputs] == [True, True]

    model.compile("sgd", {"kind": "binary_crossentropy"})
    report = ls.check_logits(model)
    by_name = {part.name: (part.expects, part.ok) for part in report.outputs}
    assert by_name == {"kind": ("probabilities", True), "flag": (None, None)}


MENDED = [
    (None, 5, losses.SparseCategoricalCrossentropy(ignore_class=2, name="mine", reduction="sum"),
     "SparseCategoricalCrossentropy", True, {"ignore_class": 2, "reduction": "sum"}),
    (None, 5, "categorical_crossentropy", "CategoricalCrossentropy", True, {}),
    (None, 1, losses.binary_focal_crossentropy, "BinaryFocalCrossentropy", True, {}),
    ("softmax", 5, losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.1),
     "CategoricalCrossentropy", False, {"label_smoothing": 0.1}),
    ("softmax", 5, losses.BinaryCrossentropy(label_smoothing=0.1), "CategoricalCrossentropy", False,
     {"label_smoothing": 0.1}),
    ("sigmoid", 1, losses.BinaryCrossentropy(from_logits=True), "BinaryCrossentropy", False, {}),
    ("sigmoid", 5, losses.CategoricalCrossentropy(from_logits=True), "BinaryCrossentropy", False, {}),
    (None, 1, losses.SparseCategoricalCrossentropy(from_logits=True), "BinaryCrossentropy", True, {}),
    ("log_softmax", 5, "sparse_categorical_crossentropy", "SparseCategoricalCrossentropy", True, {}),
]  # fmt: skip


@pytest.mark.parametrize(("activation", "units", "loss", "name", "flag", "kept"), MENDED)
def test_fix(
    activation: str | None, units: int, loss: Any, name: str, flag: bool, kept: dict
) -> None:
    model = keras.Sequential([keras.Input((8,)), L.Dense(units, activation=activation)])
    optimizer = keras.optimizers.Adam(0.01)
    model.compile(optimizer, loss, metrics=["mae"], steps_per_execution=2, run_eagerly=True)
    report = ls.check_logits(model)
    assert report.ok is False
    assert f"loss=keras.losses.{name}(from_logits={flag}" in report.remedy
    weights = model.get_weights()
    assert ls.check_logits(model, fix=True) is model
    assert type(model.loss).__name__ == name
    config = model.loss.get_config()
    assert config["from_logits"] is flag
    assert config | kept == config
    assert ls.check_logits(model).ok is True
    assert (model.optimizer, model.steps_per_execution) == (optimizer, 2)
    assert model.run_eagerly
    for before, after in zip(weights, model.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)


def test_fix_leaves_alone_what_agrees() -> None:
    model = keras.Sequential([keras.Input((8,)), L.Dense(5)])
    loss = losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("sgd", loss)
    assert ls.check_logits(model, fix=True).loss is loss


def test_fix_keeps_the_sampler_of_a_causal_lm(tiny_gpt2: Any) -> None:
    model = type(tiny_gpt2).from_config(tiny_gpt2.get_config())
    model.compile(loss="sparse_categorical_crossentropy", sampler="greedy")
    sampler = model.sampler
    assert ls.check_logits(model).ok is False
    assert ls.check_logits(model, fix=True).sampler is sampler
    assert ls.check_logits(model).ok is True


@pytest.mark.parametrize(
    ("activation", "units", "loss", "message"),
    [
        ("softmax", 1, "binary_crossentropy", r"activation = keras.activations.sigmoid"),
        (
            "sigmoid",
            5,
            "sparse_categorical_crossentropy",
            r"activation = keras.activations.softmax",
        ),
        (
            "sigmoid",
            5,
            losses.SparseCategoricalCrossentropy(True),
            r"activation = keras.activations.linear",
        ),
        (
            "softmax",
            5,
            tf.nn.softmax_cross_entropy_with_logits,
            r"activation = keras.activations.linear",
        ),
        (None, 5, None, "needs a compiled model"),
    ],
)
def test_fix_says_what_it_cannot_do(
    activation: str | None, units: int, loss: Any, message: str
) -> None:
    model = keras.Sequential([keras.Input((8,)), L.Dense(units, activation=activation)])
    model.compile("sgd", loss)
    with pytest.raises(ValueError, match=message):
        ls.check_logits(model, fix=True)


def test_fix_needs_a_model() -> None:
    with pytest.raises(ValueError, match="fix=True needs a compiled Keras model, got ndarray"):
        ls.check_logits(SCORES, fix=True)


class NeedsTwo(keras.Model):
    def __init__(self) -> None:
        super().__init__()
        self.head = L.Dense(5, activation="softmax")

    def call(self, x: Any) -> Any:
        return self.head(x["left"] * x["right"])


def test_inputs_for_a_model_that_says_nothing_about_its_own() -> None:
    model = NeedsTwo()
    model.compile("sgd", losses.SparseCategoricalCrossentropy(from_logits=True))
    report = ls.check_logits(model)
    assert report.ok is None
    assert "pass inputs= (it has not been called yet)" in report.evidence
    with pytest.raises(ValueError, match="cannot tell what the model puts out"):
        ls.check_logits(model, fix=True)
    inputs = {name: np.ones((2, 8), np.float32) for name in ("left", "right")}
    report = ls.check_logits(model, inputs=inputs)
    assert (report.output, report.ok) == ("softmax", False)


def test_a_loaded_model(tiny_gpt2: Any) -> None:
    from logit_sampling.models.keras_hub import LanguageModel

    assert ls.check_logits(LanguageModel(tiny_gpt2)).ok is True


def test_the_report_prints_itself() -> None:
    model = keras.Sequential([keras.Input((8,)), L.Dense(20, activation="softmax", name="head")])
    model.compile("sgd", losses.SparseCategoricalCrossentropy(from_logits=True))
    report = ls.check_logits(model)
    assert repr(report) == str(report)
    text = str(report)
    assert all(
        len(line) <= 100 for line in text.splitlines() if line[:6] not in ("remedy", "or    ")
    )
    sentences = " ".join(text.split())
    assert "starts at ln 20 = 3.00 nats and cannot fall below 2.08" in sentences  # ln(e + 19) - 1
    for line in (
        "The model ends in a softmax, and the loss takes another one: leave one of them out.\n",
        "output   softmax (proven)\n",
        "expects  logits\n",
        "layer 'head' ends in a softmax (Softmax)",
        "SparseCategoricalCrossentropy(from_logits=True)\n",
        "verdict  they do not agree\n",
        "remedy   model.compile(optimizer=model.optimizer, "
        "loss=keras.losses.SparseCategoricalCrossentropy(from_logits=False))\n",
        "or       model.get_layer('head').activation = keras.activations.linear; ",
    ):
        assert line in text


def test_arrays_need_no_keras() -> None:
    script = (
        "import sys, json, logit_sampling as ls;"
        "print(json.dumps([ls.check_logits([[0.5, 0.5]]).output,"
        " [m for m in ('keras', 'tensorflow') if m in sys.modules]]))"
    )
    out = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    ).stdout
    assert json.loads(out) == ["softmax", []]
