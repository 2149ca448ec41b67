"""What operations prove, and what a check leaves as it was."""

from typing import Any

import keras
import numpy as np
import pytest

import logit_sampling as ls
from tests.diagnostics.heads import chain, functional

L, losses, ops = keras.layers, keras.losses, keras.ops
SPARSE = losses.SparseCategoricalCrossentropy


def compiled(model: Any, loss: Any, **settings: Any) -> Any:
    model.compile("sgd", loss, **settings)
    return model


class TwoFaced(keras.layers.Layer):
    def call(self, x: Any, training: bool = False) -> Any:
        return x if training else ops.softmax(x)


def test_another_output_in_training() -> None:
    for loss, ok in ((SPARSE(from_logits=True), True), (SPARSE(), False)):
        report = ls.check_logits(compiled(chain(L.Dense(5), TwoFaced()), loss))
        assert (report.output, report.ok) == ("logits", ok)
        if ok:
            assert "the loss that evaluate and validation show" in report.notes[0]


@pytest.mark.parametrize("hand", [False, True])
def test_a_softmax_of_a_softmax(hand: bool) -> None:
    head = functional(
        lambda x: ops.softmax(
            (ops.softmax(L.Dense(5)(x)) / 0.5) if hand else ops.softmax(L.Dense(5)(x))
        )
    )
    report = ls.check_logits(compiled(head, "sparse_categorical_crossentropy"))
    assert report.ok is False and "takes a softmax of a softmax" in report.summary
    between = chain(L.Dense(5, activation="softmax"), L.Dense(5, activation="softmax"))
    assert ls.check_logits(compiled(between, "sparse_categorical_crossentropy")).ok is True


def test_a_softmax_along_another_axis() -> None:
    build = lambda: chain(L.Dense(6), L.Softmax(axis=1), shape=(5, 8))  # noqa: E731
    report = ls.check_logits(compiled(build(), "categorical_crossentropy"))
    assert report.ok is False
    assert "divides along axis 1, but the loss takes what lies along axis -1" in report.problem
    report = ls.check_logits(compiled(build(), losses.CategoricalCrossentropy(axis=1)))
    assert report.ok is True and report.strength == "proven"


def test_scores_that_are_bounded() -> None:
    report = ls.check_logits(
        compiled(chain(L.Dense(10, activation="tanh")), SPARSE(from_logits=True))
    )
    assert report.ok is True and "cannot fall below 0.80" in report.notes[0]  # ln(1 + 9/e²)
    report = ls.check_logits(
        compiled(chain(L.Dense(10, activation="relu")), SPARSE(from_logits=True))
    )
    assert report.ok is True and "rectified score has no gradient" in report.notes[0]


def test_a_probe_of_nan_hides_no_operation() -> None:
    head = functional(lambda x: L.Dense(4, activation="softmax")(ops.log(x)))
    report = ls.check_logits(compiled(head, SPARSE(from_logits=True)), inputs=-np.ones((2, 8)))
    assert (report.output, report.strength, report.ok) == ("softmax", "proven", False)


def test_a_stateful_model_of_a_fixed_batch_stays_as_it_is() -> None:
    model = keras.Sequential(
        [
            keras.Input(batch_shape=(3, 6), dtype="int32"),
            L.Embedding(9, 4),
            L.GRU(5, stateful=True),
            L.Dense(7),
        ]
    )
    model.predict(np.ones((3, 6), np.int32), verbose=0)
    before = [np.array(v) for v in (*model.variables, *model.layers[1].states)]
    for loss, ok in ((SPARSE(from_logits=True), True), (SPARSE(), False)):
        assert ls.check_logits(compiled(model, loss)).ok is ok
    after = [np.array(v) for v in (*model.variables, *model.layers[1].states)]
    for one, other in zip(before, after, strict=True):
        np.testing.assert_array_equal(one, other)


def test_only_heads_with_a_classification_loss_count() -> None:
    x = keras.Input((8,))
    model = keras.Model(x, [L.Dense(3, name="size")(x), L.Dense(4, name="kind")(x)])
    for flag in (True, False):
        compiled(model, {"size": losses.Huber(), "kind": SPARSE(from_logits=flag)})
        report = ls.check_logits(model)
        assert report.ok is flag
        assert [part.ok for part in report.outputs] == [None, flag]


def test_a_model_without_a_loss_is_told_which() -> None:
    for layer, y, line in (
        (L.Dense(5), None, "SparseCategoricalCrossentropy(from_logits=True)"),
        (L.Dense(5), np.eye(5), "CategoricalCrossentropy(from_logits=True)"),
        (L.Dense(5), np.arange(5), "SparseCategoricalCrossentropy(from_logits=True)"),
        (
            L.Dense(5, activation="softmax"),
            None,
            "SparseCategoricalCrossentropy(from_logits=False)",
        ),
        (L.Dense(5, activation="sigmoid"), None, "BinaryCrossentropy(from_logits=False)"),
        (L.Dense(1), None, "BinaryCrossentropy(from_logits=True)"),
    ):
        model = chain(layer)
        report = ls.check_logits(model, y=y)
        assert f"loss=keras.losses.{line})" in report.remedy
        exec(report.remedy, {"model": model, "keras": keras})
        assert ls.check_logits(model).ok is True


def test_a_loop_of_the_users_own() -> None:
    model, y = chain(L.Dense(5)), np.arange(4)
    report = ls.check_logits(model, loss=SPARSE())
    assert report.ok is False
    assert report.remedy == "loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)"
    assert ls.check_logits(model, loss=SPARSE(from_logits=True), y=y).ok is True
    report = ls.check_logits(model, loss=SPARSE(from_logits=True), y=y + 2)
    assert report.ok is False and "lie in [2, 5]" in report.problem
    assert ls.check_logits(model(np.ones((4, 8))), loss=SPARSE()).ok is False
    report = ls.check_logits(L.Dense(3), loss=SPARSE(), inputs=np.ones((2, 8), np.float32))
    assert report.ok is False


def test_metrics_have_a_word_each_and_are_mended_with_the_loss() -> None:
    metrics = ["accuracy", keras.metrics.AUC(name="auc"), "mae"]
    model = compiled(chain(L.Dense(1)), "binary_crossentropy", metrics=metrics)
    report = ls.check_logits(model)
    assert [note.split(":")[0] for note in report.notes] == ["metric 'accuracy'", "metric 'auc'"]
    ls.check_logits(model, fix=True)
    report = ls.check_logits(model)
    assert report.ok is True and report.notes == ()
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(64, 8)).astype(np.float32), rng.integers(0, 2, (64, 1))
    found = model.evaluate(x, y, verbose=0, return_dict=True)
    right = ((np.asarray(model(x)) > 0) == y).mean()
    np.testing.assert_allclose(found["accuracy"], right, atol=1e-6)


def test_what_is_no_model() -> None:
    for x, message in (
        ("model.keras", "a path is no model"),
        (losses.BinaryCrossentropy(), "takes a Keras model, a layer or float values"),
        (None, "takes a Keras model, a layer or float values"),
    ):
        with pytest.raises(ValueError, match=message):
            ls.check_logits(x)


NOISE = (0.8 * np.eye(4) + 0.05).astype(np.float32)  # each row sums to 1


class Stochastic(keras.constraints.Constraint):
    def __call__(self, w: Any) -> Any:
        w = ops.maximum(w, 1e-6)
        return w / ops.sum(w, -1, keepdims=True)


@pytest.mark.parametrize(
    "settings", [{"trainable": False}, {"kernel_constraint": Stochastic()}], ids=["frozen", "bound"]
)
def test_weights_that_training_cannot_make_anything_of(settings: dict) -> None:
    """A softmax times a matrix whose rows sum to 1 is a distribution."""

    def build() -> Any:
        last = L.Dense(4, use_bias=False, **settings)
        model = chain(L.Dense(4, activation="softmax"), last)
        last.set_weights([NOISE])
        return model

    for flag in (True, False):
        report = ls.check_logits(compiled(build(), SPARSE(from_logits=flag)))
        assert report.ok in (not flag, None) and report.output in ("softmax", "unknown")


def test_a_softmax_that_is_not_divided_yet() -> None:
    head = functional(
        lambda x: (lambda z: ops.exp(z - ops.max(z, -1, keepdims=True)))(L.Dense(5)(x))
    )
    report = ls.check_logits(compiled(head, "categorical_crossentropy"))
    assert (report.output, report.ok) == ("unknown", None)


def test_half_precision_within_a_model_is_no_proof() -> None:
    def head(x: Any) -> Any:
        p = L.Softmax(dtype="bfloat16")(L.Dense(5, dtype="bfloat16")(x))
        return ops.log(ops.cast(p, "float32") + 1e-9)

    report = ls.check_logits(compiled(functional(head), SPARSE(from_logits=True)))
    assert (report.output, report.ok) == ("log_probabilities", True)
