# ruff: noqa: E501 - a row of a table stays together
"""The table of models and losses, with the verdict that each must get.

Each row: a name, the model, its loss, and the report's `output`, `expects` and `ok`.
"""

import functools
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf

import logit_sampling as ls
from logit_sampling.diagnostics.losses import CROSS_ENTROPIES

L, losses, ops = keras.layers, keras.losses, keras.ops
LOGITS, PROBABILITIES = {"from_logits": True}, {"from_logits": False}
CROSS_ENTROPY = {name: getattr(losses, name) for name in CROSS_ENTROPIES.values()}
Sparse, Categorical, Binary = (
    losses.SparseCategoricalCrossentropy,
    losses.CategoricalCrossentropy,
    losses.BinaryCrossentropy,
)

# Every cross-entropy with every activation: what fits with from_logits=True, and with False.
FITS = {
    ("categorical", None): (True, False),
    ("categorical", "log_softmax"): (True, False),
    ("categorical", "softmax"): (False, True),
    ("categorical", "sigmoid"): (False, False),
    ("binary", None): (True, False),
    ("binary", "log_softmax"): (False, False),
    ("binary", "softmax"): (False, False),
    ("binary", "sigmoid"): (False, True),
}
OUTPUTS = {None: "logits", "log_softmax": "log_probabilities"}
PAIRINGS = [
    (activation, name, flag)
    for activation in (None, "softmax", "sigmoid", "log_softmax")
    for name in CROSS_ENTROPY
    for flag in (True, False)
]


def chain(*layers: Any, shape: tuple = (8,), dtype: str = "float32") -> keras.Model:
    return keras.Sequential([keras.Input(shape, dtype=dtype), *layers])


def functional(head: Any, shape: tuple = (8,)) -> keras.Model:
    x = keras.Input(shape)
    return keras.Model(x, head(x))


def compiled(model: keras.Model, loss: Any, **settings: Any) -> keras.Model:
    model.compile("sgd", loss, **settings)
    return model


@pytest.mark.parametrize(("activation", "name", "flag"), PAIRINGS)
def test_every_pairing(activation: str | None, name: str, flag: bool) -> None:
    family = "binary" if name.startswith("Binary") else "categorical"
    loss = CROSS_ENTROPY[name](from_logits=flag)
    report = ls.check_logits(compiled(chain(L.Dense(5, activation=activation)), loss))
    expected = FITS[family, activation][0 if flag else 1]
    assert report.output == OUTPUTS.get(activation, activation)
    assert report.expects == ("logits" if flag else "probabilities")
    assert report.ok is expected
    assert bool(report.problem) is bool(report.remedy) is not expected


class Subclassed(keras.Model):
    """A body of its own; `head` makes the output."""

    def __init__(self, head: Any, body: Any = None) -> None:
        super().__init__()
        self.body = body or L.Dense(6, activation="relu")
        self.head = head

    def call(self, x: Any) -> Any:
        return self.head(self.body(x))


def called(model: keras.Model, x: Any = None) -> keras.Model:
    model(np.ones((2, 8), np.float32) if x is None else x)
    return model


def attention(x: Any) -> Any:
    return L.Dense(5)(L.MultiHeadAttention(2, 4)(x, x))


def own_attention(x: Any) -> Any:
    weights = ops.softmax(ops.matmul(x, ops.transpose(x, (0, 2, 1))))
    return L.Dense(5)(ops.matmul(weights, x))


def mixture_of_softmaxes(x: Any) -> Any:
    weights = L.Dense(3, activation="softmax")(x)
    rows = L.Reshape((3, 5))(L.Dense(15)(x))
    return ops.squeeze(ops.matmul(weights[:, None, :], ops.softmax(rows)), 1)


def transformer(dtype: str = "float32") -> keras.Model:
    import keras_hub

    return keras_hub.models.GPT2CausalLM(
        keras_hub.models.GPT2Backbone(20, 1, 2, 8, 16, max_sequence_length=8, dtype=dtype)
    )


def classifier(activation: str | None) -> keras.Model:
    import keras_hub

    backbone = keras_hub.models.BertBackbone(20, 1, 2, 8, 16, max_sequence_length=8)
    return keras_hub.models.BertTextClassifier(backbone, 4, activation=activation)


def tied() -> keras.Model:
    embedding = L.ReversibleEmbedding(12, 6)
    x = keras.Input((4,), dtype="int32")
    return keras.Model(x, embedding(embedding(x), reverse=True))


def tutorial_loss(labels: Any, logits: Any) -> Any:
    return losses.sparse_categorical_crossentropy(labels, logits, from_logits=True)


def masked_loss(labels: Any, logits: Any) -> Any:
    value = Sparse(from_logits=True, reduction="none")(labels, logits)
    mask = ops.cast(labels != 0, value.dtype)
    return ops.sum(value * mask) / ops.maximum(ops.sum(mask), 1)


def by_hand_on_probabilities(hot: Any, probabilities: Any) -> Any:
    return -ops.mean(ops.sum(hot * ops.log(probabilities + 1e-9), axis=-1))


def weighted_sigmoid(labels: Any, logits: Any) -> Any:
    return tf.nn.weighted_cross_entropy_with_logits(labels, logits, pos_weight=3.0)


class FocalOfTheirOwn(losses.Loss):
    def call(self, y: Any, logits: Any) -> Any:
        p = ops.softmax(logits)
        return -ops.sum(y * (1 - p) ** 2 * ops.log(p), axis=-1)


class Scaled(Sparse):
    """Overrides what a shipped loss does, so its flag says nothing certain."""

    def call(self, y: Any, logits: Any) -> Any:
        return 0.5 * losses.sparse_categorical_crossentropy(y, logits, from_logits=True)


def scaled_normal(labels: Any, predictions: Any) -> Any:
    return ops.mean(ops.square(ops.cast(labels, "float32") - ops.squeeze(predictions, -1)))


ODD: list[tuple[str, Any, Any, str, str | None, bool | None]] = [
    ("softmax layer at the end", lambda: chain(L.Dense(5), L.Softmax()), Sparse(),
     "softmax", "probabilities", True),
    ("softmax layer, loss from logits", lambda: chain(L.Dense(5), L.Softmax()), Sparse(**LOGITS),
     "softmax", "logits", False),
    ("activation layer", lambda: chain(L.Dense(5), L.Activation("softmax")), "categorical_crossentropy",
     "softmax", "probabilities", True),
    ("Lambda softmax of TensorFlow", lambda: chain(L.Dense(5), L.Lambda(tf.nn.softmax)),
     Categorical(**LOGITS), "softmax", "logits", False),
    ("Lambda that exponentiates and divides", lambda: chain(L.Dense(5), L.Lambda(
        lambda t: tf.exp(t) / tf.reduce_sum(tf.exp(t), -1, keepdims=True))),
     Sparse(**LOGITS), "softmax", "logits", False),
    ("Lambda sigmoid by hand", lambda: chain(L.Dense(5), L.Lambda(lambda t: 1 / (1 + tf.exp(-t)))),
     Binary(**LOGITS), "sigmoid", "logits", False),
    ("hard sigmoid", lambda: chain(L.Dense(5, activation="hard_sigmoid")), Binary(),
     "sigmoid", "probabilities", True),
    ("keras.ops softmax", lambda: functional(lambda x: ops.softmax(L.Dense(5)(x))), Sparse(),
     "softmax", "probabilities", True),
    ("softmax, then reshape", lambda: chain(L.Dense(6, activation="softmax"), L.Reshape((1, 6))),
     Sparse(**LOGITS), "softmax", "logits", False),
    ("softmax, then dropout", lambda: chain(L.Dense(6, activation="softmax"), L.Dropout(0.5)),
     Sparse(**LOGITS), "softmax", "logits", False),
    ("softmax, then its logarithm", lambda: functional(lambda x: ops.log(
        L.Dense(5, activation="softmax")(x))), Sparse(**LOGITS), "log_probabilities", "logits", True),
    ("log-softmax, tempered", lambda: functional(lambda x: L.Dense(5, activation="log_softmax")(x) / 2),
     Sparse(**LOGITS), "logits", "logits", True),
    ("softmax of a class against the rest", lambda: functional(
        lambda x: L.Dense(2, activation="softmax")(x)[:, 1:]), Binary(), "sigmoid", "probabilities", True),
    ("average of two softmaxes", lambda: functional(lambda x: L.Average()(
        [L.Dense(5, activation="softmax")(x) for _ in range(2)])), Sparse(), "softmax",
     "probabilities", True),
    ("average of two sigmoids", lambda: functional(lambda x: L.Average()(
        [L.Dense(5, activation="sigmoid")(x) for _ in range(2)])), Binary(), "sigmoid",
     "probabilities", True),
    ("mixture of softmaxes by a product of matrices", lambda: functional(mixture_of_softmaxes),
     Sparse(), "softmax", "probabilities", True),
    ("the same mixture, loss from logits", lambda: functional(mixture_of_softmaxes),
     Sparse(**LOGITS), "softmax", "logits", False),
    ("softmax inside attention", lambda: functional(attention, (4, 8)), Sparse(**LOGITS),
     "logits", "logits", True),
    ("softmax inside attention, loss from probabilities", lambda: functional(attention, (4, 8)),
     Sparse(), "logits", "probabilities", False),
    ("attention by hand", lambda: functional(own_attention, (4, 8)), Sparse(**LOGITS),
     "logits", "logits", True),
    ("attention as the last layer", lambda: functional(
        lambda x: L.MultiHeadAttention(2, 4, output_shape=5)(x, x), (4, 8)), Sparse(**LOGITS),
     "logits", "logits", True),
    ("sigmoid gate before a linear head", lambda: functional(
        lambda x: L.Dense(5)(x * L.Dense(8, activation="sigmoid")(x))), Sparse(**LOGITS),
     "logits", "logits", True),
    ("sigmoid gate on the scores themselves", lambda: functional(
        lambda x: L.Dense(5)(x) * L.Dense(5, activation="sigmoid")(x)), Sparse(**LOGITS),
     "logits", "logits", True),
    ("squeeze and excite: softmax gate on scores", lambda: functional(
        lambda x: L.Dense(5)(x) * L.Dense(5, activation="softmax")(x)), Sparse(**LOGITS),
     "logits", "logits", True),
    ("temperature after the head", lambda: functional(lambda x: L.Dense(5)(x) / 0.7),
     Sparse(**LOGITS), "logits", "logits", True),
    ("temperature after the head, then softmax", lambda: functional(
        lambda x: ops.softmax(L.Dense(5)(x) / 0.7)), Sparse(**LOGITS), "softmax", "logits", False),
    ("Rescaling as temperature", lambda: chain(L.Dense(5), L.Rescaling(2.0)), Sparse(**LOGITS),
     "logits", "logits", True),
    ("soft cap of the scores", lambda: functional(lambda x: 30 * ops.tanh(L.Dense(5)(x) / 30)),
     Sparse(**LOGITS), "logits", "logits", True),
    ("cosine scores with a scale", lambda: functional(lambda x: 10 * L.UnitNormalization()(
        L.Dense(5)(x))), Sparse(**LOGITS), "logits", "logits", True),
    ("label smoothing on logits", lambda: chain(L.Dense(5)), Categorical(**LOGITS, label_smoothing=0.1),
     "logits", "logits", True),
    ("label smoothing on softmax", lambda: chain(L.Dense(5, activation="softmax")),
     Categorical(label_smoothing=0.1), "softmax", "probabilities", True),
    ("label smoothing, flag forgotten", lambda: chain(L.Dense(5)), Categorical(label_smoothing=0.1),
     "logits", "probabilities", False),
    ("a head that starts at zero", lambda: chain(L.Dense(5, kernel_initializer="zeros")),
     Sparse(**LOGITS), "logits", "logits", True),
    ("a head that starts at zero, flag forgotten", lambda: chain(L.Dense(5, kernel_initializer="zeros")),
     Sparse(), "logits", "probabilities", False),
    ("a saturated softmax", lambda: chain(L.Dense(5, kernel_initializer=keras.initializers.RandomNormal(
        0, 500)), L.Softmax()), Sparse(**LOGITS), "softmax", "logits", False),
    ("a saturated sigmoid", lambda: chain(L.Dense(5, activation="sigmoid", kernel_initializer=
        keras.initializers.RandomNormal(0, 500))), Binary(), "sigmoid", "probabilities", True),
    ("rectified scores", lambda: chain(L.Dense(5, activation="relu", kernel_initializer=
        keras.initializers.RandomNormal(0, 0.01))), Sparse(**LOGITS), "logits", "logits", True),
    ("one unit, no activation", lambda: chain(L.Dense(1)), Binary(**LOGITS), "logits", "logits", True),
    ("one unit, no activation, flag forgotten", lambda: chain(L.Dense(1)), "binary_crossentropy",
     "logits", "probabilities", False),
    ("one unit, sigmoid, by alias", lambda: chain(L.Dense(1, activation="sigmoid")), "bce",
     "sigmoid", "probabilities", True),
    ("one unit, softmax", lambda: chain(L.Dense(1, activation="softmax")), Binary(),
     "softmax", "probabilities", False),
    ("one unit, categorical", lambda: chain(L.Dense(1)), Sparse(**LOGITS), "logits", "logits", False),
    ("one unit, sigmoid, categorical", lambda: chain(L.Dense(1, activation="sigmoid")),
     "sparse_categorical_crossentropy", "sigmoid", "probabilities", False),
    ("a mask for each pixel", lambda: chain(L.Conv2D(1, 3, activation="sigmoid"), shape=(8, 8, 3)),
     Binary(), "sigmoid", "probabilities", True),
    ("classes for each pixel", lambda: chain(L.Conv2D(4, 3), shape=(None, None, 3)),
     Sparse(**LOGITS), "logits", "logits", True),
    ("channels first", lambda: chain(L.Dense(6), L.Softmax(axis=1), shape=(5, 8)), Categorical(axis=1),
     "softmax", "probabilities", True),
    ("softmax over the wrong axis", lambda: chain(L.Dense(6), L.Softmax(axis=1), shape=(5, 8)), Sparse(),
     "softmax", "probabilities", False),
    ("TimeDistributed head", lambda: chain(L.TimeDistributed(L.Dense(5, activation="softmax")),
        shape=(4, 8)), Sparse(**LOGITS), "softmax", "logits", False),
    ("recurrent, head of logits", lambda: chain(L.Embedding(9, 6), L.GRU(7, return_sequences=True),
        L.Dense(9), shape=(None,), dtype="int32"), Sparse(**LOGITS), "logits", "logits", True),
    ("recurrent, flag forgotten", lambda: chain(L.Embedding(9, 6), L.GRU(7, return_sequences=True),
        L.Dense(9), shape=(None,), dtype="int32"), "sparse_categorical_crossentropy",
     "logits", "probabilities", False),
    ("token ids given as floats", lambda: chain(L.Embedding(9, 6), L.Flatten(), L.Dense(
        5, activation="softmax")), Sparse(), "softmax", "probabilities", True),
    ("nested models", lambda: functional(lambda x: chain(L.Dense(5, activation="softmax"))(
        chain(L.Dense(8))(x))), Sparse(**LOGITS), "softmax", "logits", False),
    ("tied embedding", tied, Sparse(**LOGITS), "logits", "logits", True),
    ("not built yet", lambda: keras.Sequential([L.Dense(5, activation="softmax")]), Sparse(**LOGITS),
     "softmax", "logits", False),
    ("not built yet, of images", lambda: keras.Sequential([L.Conv2D(4, 3), L.Flatten(), L.Dense(5)]),
     Sparse(**LOGITS), "logits", "logits", True),
    ("subclassed, linear", lambda: called(Subclassed(L.Dense(5))), Sparse(**LOGITS),
     "logits", "logits", True),
    ("subclassed, softmax function", lambda: called(Subclassed(ops.softmax)), Sparse(**LOGITS),
     "softmax", "logits", False),
    ("subclassed, sigmoid function", lambda: called(Subclassed(tf.sigmoid)), Binary(),
     "sigmoid", "probabilities", True),
    ("subclassed, of token ids", lambda: called(Subclassed(L.Dense(5), L.Embedding(9, 4)),
        np.ones((2, 3), np.int32)), "sparse_categorical_crossentropy", "logits", "probabilities", False),
    ("subclassed, a tf.function inside", lambda: called(Subclassed(tf.function(
        lambda x: tf.nn.sigmoid(x)))), Binary(**LOGITS), "sigmoid", "logits", False),
    ("subclassed, never called", lambda: Subclassed(L.Dense(5)), Sparse(), "unknown",
     "probabilities", None),
    ("KerasHub CausalLM", transformer, "auto", "logits", "logits", True),
    ("KerasHub CausalLM, flag forgotten", transformer, Sparse(), "logits", "probabilities", False),
    ("KerasHub CausalLM in bfloat16", lambda: transformer("bfloat16"), "auto", "logits", "logits", True),
    ("KerasHub classifier", lambda: classifier(None), "auto", "logits", "logits", True),
    ("KerasHub classifier with softmax", lambda: classifier("softmax"), Sparse(), "softmax",
     "probabilities", True),
    # KerasHub 0.32 chooses its loss before it has stored the activation, and so the wrong one.
    ("KerasHub classifier with softmax, its own loss", lambda: classifier("softmax"), "auto",
     "softmax", "logits", False),
    ("mixed precision, logits", lambda: chain(L.Dense(5, dtype="mixed_bfloat16")), Sparse(**LOGITS),
     "logits", "logits", True),
    ("mixed precision, softmax", lambda: chain(L.Dense(50, activation="softmax", dtype="mixed_bfloat16")),
     Sparse(), "softmax", "probabilities", True),
    ("mixed precision, softmax twice", lambda: chain(L.Dense(50, activation="softmax",
        dtype="mixed_float16")), Sparse(**LOGITS), "softmax", "logits", False),
    ("mixed precision, log-softmax", lambda: chain(L.Dense(50, activation="log_softmax",
        dtype="mixed_bfloat16")), Sparse(**LOGITS), "log_probabilities", "logits", True),
    ("mixed precision body, float32 softmax", lambda: chain(L.Dense(9, dtype="mixed_float16"),
        L.Dense(5, activation="softmax", dtype="float32")), Sparse(), "softmax", "probabilities", True),
    ("the function of the tutorial", lambda: chain(L.Dense(5)), tutorial_loss, "logits", "logits", True),
    ("the same on a softmax", lambda: chain(L.Dense(5, activation="softmax")), tutorial_loss,
     "softmax", "logits", False),
    ("a partial function", lambda: chain(L.Dense(5)), functools.partial(
        losses.categorical_crossentropy, from_logits=True), "logits", "logits", True),
    ("a masked loss of one's own", lambda: chain(L.Dense(5), shape=(4, 8)), masked_loss,
     "logits", "logits", True),
    ("a focal loss of one's own", lambda: chain(L.Dense(5)), FocalOfTheirOwn(), "logits", "logits", True),
    ("a shipped loss, overridden", lambda: chain(L.Dense(5)), Scaled(), "logits", "logits", True),
    ("cross-entropy by hand", lambda: chain(L.Dense(5, activation="softmax")), by_hand_on_probabilities,
     "softmax", "probabilities", True),
    ("cross-entropy by hand, on logits", lambda: chain(L.Dense(5)), by_hand_on_probabilities,
     "logits", "probabilities", False),
    ("tf.nn.softmax_cross_entropy_with_logits", lambda: chain(L.Dense(5)),
     tf.nn.softmax_cross_entropy_with_logits, "logits", "logits", True),
    ("tf.nn.sparse_softmax_cross_entropy_with_logits on a softmax", lambda: chain(L.Dense(
        5, activation="softmax")), tf.nn.sparse_softmax_cross_entropy_with_logits,
     "softmax", "logits", False),
    ("tf.nn.sigmoid_cross_entropy_with_logits", lambda: chain(L.Dense(1)),
     tf.nn.sigmoid_cross_entropy_with_logits, "logits", "logits", True),
    ("tf.nn.sigmoid_cross_entropy_with_logits on a sigmoid", lambda: chain(L.Dense(
        3, activation="sigmoid")), tf.nn.sigmoid_cross_entropy_with_logits, "sigmoid", "logits", False),
    ("weighted sigmoid loss", lambda: chain(L.Dense(3)), weighted_sigmoid, "logits", "logits", True),
    ("Kullback-Leibler on softmax", lambda: chain(L.Dense(5, activation="softmax")), "kl_divergence",
     "softmax", "probabilities", True),
    ("Kullback-Leibler on scores", lambda: chain(L.Dense(5)), losses.KLDivergence(),
     "logits", "probabilities", False),
    ("Dice on a mask", lambda: chain(L.Dense(5, activation="sigmoid")), losses.Dice(),
     "sigmoid", "probabilities", True),
    ("regression", lambda: chain(L.Dense(1)), "mse", "logits", None, None),
    ("regression onto [0, 1]", lambda: chain(L.Dense(1, activation="sigmoid")),
     losses.MeanAbsoluteError(), "sigmoid", None, None),
    ("regression by a function of one's own", lambda: chain(L.Dense(1)), scaled_normal,
     "logits", None, None),
    ("hinge", lambda: chain(L.Dense(1)), losses.Hinge(), "logits", None, None),
    ("a hinge of one's own", lambda: chain(L.Dense(1)), lambda y, s: ops.mean(ops.relu(1 - y * s)),
     "logits", None, None),
    ("no loss", lambda: chain(L.Dense(5)), None, "logits", None, None),
]  # fmt: skip


@pytest.mark.parametrize("row", ODD, ids=[row[0] for row in ODD])
def test_odd_ones(row: tuple) -> None:
    _, build, loss, output, expects, ok = row
    model = build()
    if loss != "auto":  # KerasHub compiles its tasks with a loss of its own choice
        compiled(model, loss)
    weights = [np.copy(w) for w in model.get_weights()]
    report = ls.check_logits(model)
    assert (report.output, report.expects, report.ok) == (output, expects, ok), str(report)
    assert ok is not False or (report.problem and report.remedy)
    assert ok is not True or (report.problem, report.remedy) == ("", "")
    for before, after in zip(weights, model.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)


def test_the_table_is_large() -> None:
    assert len(PAIRINGS) + len(ODD) >= 60
    assert len({row[0] for row in ODD}) == len(ODD)
