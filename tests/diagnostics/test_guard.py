"""The callback: which runs it stops, with which words, and which it leaves alone."""

import warnings
from typing import Any

import keras
import keras_hub
import numpy as np
import pytest
import tensorflow as tf

import logit_sampling as ls

L, losses = keras.layers, keras.losses
X = np.random.default_rng(0).normal(size=(12, 8)).astype(np.float32)
Y = np.arange(12) % 5
SPARSE = losses.SparseCategoricalCrossentropy


def model_of(
    loss: Any, units: int = 5, activation: str | None = None, **settings: Any
) -> keras.Model:
    model = keras.Sequential([keras.Input((8,)), L.Dense(units, activation=activation)])
    model.compile("sgd", loss, **settings)
    return model


def fit(model: keras.Model, y: Any = Y, x: Any = X, **settings: Any) -> ls.LogitsGuard:
    guard = ls.LogitsGuard(**settings)
    model.fit(x, y, batch_size=4, epochs=2, verbose=0, shuffle=False, callbacks=[guard])
    return guard


def test_it_stops_before_the_first_step() -> None:
    model = model_of(SPARSE())
    before = model.get_weights()
    with pytest.raises(ValueError, match=r"takes raw scores for prob.*Remedy: .*from_logits=True"):
        fit(model)
    assert model.optimizer.iterations == 0
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_it_warns_and_trains_on() -> None:
    model = model_of(SPARSE(from_logits=True), activation="softmax")
    with pytest.warns(UserWarning, match="takes a softmax of what is in"):
        guard = fit(model, action="warn")
    assert model.optimizer.iterations == 6
    assert guard.report.ok is False


RIGHT = [
    (SPARSE(from_logits=True), 5, None, Y),
    (SPARSE(), 5, "softmax", Y),
    (SPARSE(from_logits=True, ignore_class=-1), 5, None, np.where(Y == 2, -1, Y)),
    (losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.1), 5, None, np.eye(5)[Y]),
    ("binary_crossentropy", 1, "sigmoid", (Y > 2)[:, None]),
    ("mse", 1, None, 100.0 * Y[:, None]),
    (lambda y, z: SPARSE(from_logits=True)(y, z), 5, None, Y),
]


@pytest.mark.parametrize(
    ("loss", "units", "activation", "y", "settings"),
    [(*row, {"run_eagerly": True}) for row in RIGHT]
    + [(*RIGHT[0], settings) for settings in ({}, {"jit_compile": True})],
)
def test_it_leaves_what_is_right_alone(
    loss: Any, units: int, activation: str | None, y: np.ndarray, settings: dict
) -> None:
    weights = []
    for guards in ([], [ls.LogitsGuard()]):
        keras.utils.set_random_seed(0)
        model = model_of(loss, units, activation, **settings)
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)
            for _ in range(2):
                model.fit(X, y, batch_size=4, verbose=0, shuffle=False, callbacks=guards)
        weights.append(model.get_weights())
        assert "compute_loss" not in vars(model)
    for a, b in zip(*weights, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)


@pytest.mark.parametrize(
    "settings",
    [{}, {"run_eagerly": True}, {"jit_compile": True}, {"steps_per_execution": 3}],
)
def test_labels_out_of_range(settings: dict) -> None:
    message = (
        r"labels lie in \[1, 5\], but must be class ids from 0 to 4 for "
        r"SparseCategoricalCrossentropy and 5 units: count classes from 0"
    )
    model = model_of(SPARSE(from_logits=True), **settings)
    with pytest.raises(ValueError, match=message):
        fit(model, np.tile([1, 5, 2, 3], 3))
    assert "compute_loss" not in vars(model)
    model.fit(X, Y, verbose=0)


def test_labels_out_of_range_after_a_run_without_the_guard() -> None:
    model = model_of(SPARSE(from_logits=True), jit_compile=True)
    model.fit(X, Y, verbose=0, batch_size=4)
    with pytest.raises(ValueError, match=r"labels lie in \[-1, 5\]"):
        fit(model, np.tile([-1, 5, 2, 3], 3))


def test_labels_of_a_binary_loss() -> None:
    model = model_of(losses.BinaryCrossentropy(from_logits=True), 1)
    with pytest.raises(
        ValueError, match=r"lie in \[-1, 1\], but BinaryCrossentropy takes probabilities"
    ):
        fit(model, np.where(Y > 2, 1, -1)[:, None])


def test_labels_of_one_of_two_outputs() -> None:
    x = keras.Input((8,))
    heads = {"a": L.Dense(5, name="a")(x), "b": L.Dense(3, name="b")(x)}
    model = keras.Model(x, heads)
    model.compile("sgd", SPARSE(from_logits=True))
    with pytest.raises(ValueError, match=r"labels of output 'b' lie in \[0, 3\], .* from 0 to 2"):
        fit(model, {"a": Y, "b": Y})


def test_a_first_loss_far_from_that_of_a_guess() -> None:
    with pytest.warns(
        UserWarning, match=r"loss of the first batch is \d+\.\d\d nats, .* has 1\.61"
    ):
        fit(model_of(SPARSE(from_logits=True)), x=100 * X)


@pytest.mark.parametrize(
    ("loss", "regularizer"), [(SPARSE(from_logits=True, reduction="sum"), None), (None, "l2")]
)
def test_a_first_loss_that_says_nothing(loss: Any, regularizer: Any) -> None:
    layer = L.Dense(5, kernel_regularizer=keras.regularizers.L2(10) if regularizer else None)
    model = keras.Sequential([keras.Input((8,)), layer])
    model.compile("sgd", loss or SPARSE(from_logits=True))
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        fit(model)


def test_a_loss_that_is_no_number() -> None:
    with pytest.raises(ValueError, match="loss of batch 1 is nan"):
        fit(model_of(SPARSE(from_logits=True)), x=np.full_like(X, np.nan))


class NeedsTwo(keras.Model):
    def __init__(self) -> None:
        super().__init__()
        self.head = L.Dense(5)

    def call(self, x: Any) -> Any:
        return self.head(x["left"] * x["right"])


@pytest.mark.parametrize("settings", [{}, {"run_eagerly": True}])
def test_a_model_that_only_its_data_can_call(settings: dict) -> None:
    x = {"left": X, "right": X}
    model = NeedsTwo()
    model.compile("sgd", SPARSE(), **settings)
    with pytest.raises(ValueError, match="raw scores"):
        fit(model, x=x)
    assert model.optimizer.iterations == 0
    assert "compute_loss" not in vars(model)
    model.compile("sgd", SPARSE(from_logits=True), **settings)
    assert fit(model, x=x).report.ok is True


class Stubborn(NeedsTwo):
    """Refuses what it is probed with."""

    def call(self, x: Any) -> Any:
        if tf.executing_eagerly() and not isinstance(x["left"], keras.KerasTensor):
            raise TypeError
        return super().call(x)


def test_what_cannot_be_checked_is_said() -> None:
    model = Stubborn()
    model.compile("sgd", SPARSE(from_logits=True))
    guard = ls.LogitsGuard()
    with pytest.warns(UserWarning, match=r"LogitsGuard cannot check .* pass inputs="):
        model.fit({"left": X, "right": X}, Y, batch_size=12, verbose=0, callbacks=[guard])


def test_a_subclassed_model_that_was_never_called() -> None:
    class Own(keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.head = L.Dense(5, activation="softmax")

        def call(self, x: Any) -> Any:
            return self.head(x)

    model = Own()
    model.compile("sgd", SPARSE(from_logits=True))
    with pytest.raises(ValueError, match="takes a softmax of what is in"):
        fit(model)


def test_a_causal_lm(tiny_gpt2: Any) -> None:
    model = keras_hub.models.GPT2CausalLM(tiny_gpt2.backbone, tiny_gpt2.preprocessor)
    model.backbone.trainable = False  # other tests share it
    guard, texts = ls.LogitsGuard(), ["the cat", "the dog"]
    model.compile(jit_compile=False)
    model.fit(texts, batch_size=2, verbose=0, callbacks=[guard])
    assert guard.report.ok is True
    x, y, weights = tiny_gpt2.preprocessor(texts)
    model.preprocessor = None  # a graph of the tokenizer takes seconds to trace
    model.compile(loss=SPARSE(), jit_compile=False)
    with pytest.raises(ValueError, match="takes raw scores"):
        model.fit(x, y, sample_weight=weights, verbose=0, callbacks=[guard])


def test_the_action_is_one_of_two() -> None:
    with pytest.raises(ValueError, match=r"action must be .* got 'stop'"):
        ls.LogitsGuard("stop")
