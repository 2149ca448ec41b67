# ruff: noqa: E501, E731, E741 - a row of a table stays together
"""The table of losses that users write, with what each of them expects."""

import functools
from typing import Any

import keras
import numpy as np
import pytest
from keras import ops

from logit_sampling.diagnostics import own_losses
from logit_sampling.diagnostics.losses import expectation

L = keras.losses
EPS = 1e-7
LOGITS, LOG, PROBABILITIES = "logits", "log_probabilities", "probabilities"
CATEGORICAL, BINARY = "categorical", "binary"
ROWS, TWO, ONE, SEQUENCE = (4, 10), (8, 2), (6, 1), (2, 4, 7)
CLASSES, UNITS, ALL = (ROWS, TWO, SEQUENCE), (ROWS, ONE, SEQUENCE), (ROWS, TWO, ONE, SEQUENCE)


def log(p: Any) -> Any:
    return ops.log(ops.clip(p, EPS, 1.0))


def one_hot(ids: Any, p: Any) -> Any:
    return ops.one_hot(ops.cast(ops.reshape(ids, p.shape[:-1]), "int32"), p.shape[-1])


def picked(ids: Any, p: Any) -> Any:
    """What a sparse loss looks at."""
    ids = ops.reshape(ops.cast(ids, "int32"), (*p.shape[:-1], 1))
    return ops.take_along_axis(p, ids, axis=-1)[..., 0]


def normalised(p: Any) -> Any:
    return ops.clip(p / ops.sum(p, -1, keepdims=True), EPS, 1 - EPS)


def ce(t: Any, p: Any) -> Any:
    return -ops.sum(t * log(p), -1)


def bce(t: Any, p: Any) -> Any:
    p = ops.clip(p, EPS, 1 - EPS)
    return -ops.mean(t * ops.log(p) + (1 - t) * ops.log(1 - p), -1)


def focal(t: Any, p: Any) -> Any:
    return ops.sum(t * (1 - p) ** 2 * -log(p), -1)


def binary_focal(t: Any, p: Any, gamma: float = 2.0, alpha: float = 0.25) -> Any:
    p = ops.clip(p, EPS, 1 - EPS)
    right = ops.where(t > 0.5, p, 1 - p)
    return -ops.mean(
        ops.where(t > 0.5, alpha, 1 - alpha) * (1 - right) ** gamma * ops.log(right), -1
    )


def tversky(t: Any, p: Any, alpha: float, smooth: float = 1.0) -> Any:
    both, missed, wrong = ops.sum(t * p), ops.sum(t * (1 - p)), ops.sum((1 - t) * p)
    return 1 - (both + smooth) / (both + alpha * wrong + (1 - alpha) * missed + smooth)


def dice(t: Any, p: Any, smooth: float = 1.0) -> Any:
    return 1 - (2 * ops.sum(t * p) + smooth) / (ops.sum(t) + ops.sum(p) + smooth)


def jaccard(t: Any, p: Any) -> Any:
    both = ops.sum(t * p)
    return 1 - (both + 1) / (ops.sum(t) + ops.sum(p) - both + 1)


def masked(t: Any, z: Any) -> Any:
    value = L.sparse_categorical_crossentropy(t, z, from_logits=True)
    mask = ops.reshape(ops.cast(t != 0, "float32"), value.shape)
    return ops.sum(value * mask) / ops.maximum(ops.sum(mask), 1)


def ignoring(t: Any, z: Any) -> Any:
    t = ops.reshape(ops.cast(t, "int32"), z.shape[:-1])
    value = L.sparse_categorical_crossentropy(ops.where(t == -100, 0, t), z, from_logits=True)
    return ops.sum(ops.where(t == -100, 0.0, value))


def by_logsumexp(t: Any, z: Any) -> Any:
    return ops.mean(ops.logsumexp(z, -1) - picked(t, z))


def pearson(t: Any, p: Any) -> Any:
    t, p = t - ops.mean(t, -1, keepdims=True), p - ops.mean(p, -1, keepdims=True)
    return 1 - ops.sum(t * p, -1) / ops.sqrt(ops.sum(t * t, -1) * ops.sum(p * p, -1) + 1e-9)


def pairs(of: Any) -> Any:
    """A ranking loss: `of` how far each right score is above each wrong one."""
    return lambda t, z: ops.sum(
        ops.relu(t[..., :, None] - t[..., None, :]) * of(z[..., :, None] - z[..., None, :])
    )


class Subclass(L.Loss):
    def call(self, t: Any, z: Any) -> Any:
        return ce(t, ops.softmax(z))


def noisy(t: Any, p: Any) -> Any:
    print("a loss that prints")
    return ce(t, p) * (1 + 0.3 * np.random.default_rng().normal())


def raising(t: Any, p: Any) -> Any:
    raise RuntimeError("a loss that needs more than this")


by_hand = lambda t, p: -ops.mean(ops.sum(ops.cast(t, "float32") * ops.log(p + 1e-9), -1))

# Each row: a name, the loss, the form, the family, and the shapes of predictions.
KNOWN: list[tuple[str, Any, str, str | None, tuple]] = [
    ("cross-entropy", by_hand, PROBABILITIES, CATEGORICAL, ALL),
    ("not reduced", ce, PROBABILITIES, CATEGORICAL, ALL),
    ("summed over the batch", lambda t, p: ops.sum(ce(t, p)), PROBABILITIES, CATEGORICAL, CLASSES),
    ("smoothed by hand", lambda t, p: ce(0.9 * t + 0.01, p), PROBABILITIES, CATEGORICAL, CLASSES),
    ("clipped labels", lambda t, p: ce(ops.clip(t, 0.05, 0.95), p), PROBABILITIES, CATEGORICAL, CLASSES),
    ("ids, smoothed by hand", lambda t, p: ce(0.9 * one_hot(t, p) + 0.01, p), PROBABILITIES, CATEGORICAL, CLASSES),
    ("Keras' label_smoothing", lambda t, p: L.categorical_crossentropy(t, p, label_smoothing=0.1), PROBABILITIES, CATEGORICAL, CLASSES),
    ("Keras' sparse one in a def", lambda t, p: L.sparse_categorical_crossentropy(t, p), PROBABILITIES, CATEGORICAL, CLASSES),
    ("weights for classes", lambda t, p: -ops.sum(t * log(normalised(p)) * ops.arange(1, p.shape[-1] + 1, dtype="float32"), -1), PROBABILITIES, CATEGORICAL, CLASSES),
    ("normalised rows", lambda t, p: ce(t, normalised(p)), PROBABILITIES, CATEGORICAL, CLASSES),
    ("at most 1", lambda t, p: ops.minimum(L.sparse_categorical_crossentropy(t, p), 1.0), PROBABILITIES, CATEGORICAL, CLASSES),
    ("focal", focal, PROBABILITIES, CATEGORICAL, ALL),
    ("focal, of normalised rows", lambda t, p: focal(t, normalised(p)), PROBABILITIES, CATEGORICAL, CLASSES),
    ("focal, ids", lambda t, p: (1 - picked(t, p)) ** 2 * -log(picked(t, p)), PROBABILITIES, CATEGORICAL, CLASSES),
    ("focal, ids and alpha", lambda t, p: 0.25 * (1 - picked(t, p)) ** 3 * -log(picked(t, p)), PROBABILITIES, CATEGORICAL, CLASSES),
    ("generalised", lambda t, p: (1 - ops.sum(t * p, -1) ** 0.7) / 0.7, PROBABILITIES, CATEGORICAL, ALL),
    ("bootstrapped", lambda t, p: ce(0.9 * t + 0.1 * p, p), PROBABILITIES, CATEGORICAL, CLASSES),
    ("with the entropy", lambda t, p: ce(t, p) + 0.1 * ops.sum(p * log(p), -1), PROBABILITIES, CATEGORICAL, CLASSES),
    ("Kullback-Leibler, clipped", lambda t, p: ops.sum(t * (log(t) - log(p)), -1), PROBABILITIES, CATEGORICAL, CLASSES),
    ("Kullback-Leibler, of 0 log 0", lambda t, p: ops.sum(t * ops.log(t / p), -1), PROBABILITIES, CATEGORICAL, CLASSES),
    ("ids that are not -100", lambda t, p: ops.sum(ops.where(ops.reshape(t, p.shape[:-1]) != -100, -log(picked(t, p)), 0.0)), PROBABILITIES, CATEGORICAL, CLASSES),
    ("cross-entropy + Dice", lambda t, p: ops.mean(ce(t, p)) + dice(t, p), PROBABILITIES, CATEGORICAL, CLASSES),
    ("binary", bce, PROBABILITIES, BINARY, ALL),
    ("binary, Keras' in a def", lambda t, p: L.binary_crossentropy(t, p), PROBABILITIES, BINARY, ALL),
    ("binary, smoothed", lambda t, p: L.binary_crossentropy(t, p, label_smoothing=0.1), PROBABILITIES, BINARY, ALL),
    ("binary, a yes weighs more", lambda t, p: -ops.mean(5 * t * log(p) + (1 - t) * log(1 - p)), PROBABILITIES, BINARY, ALL),
    ("a tenth for each no", lambda t, p: ce(t, p) - 0.1 * ops.sum((1 - t) * log(1 - p), -1), PROBABILITIES, BINARY, ALL),
    ("binary, focal", binary_focal, PROBABILITIES, BINARY, UNITS),
    ("binary, Keras' focal in a def", lambda t, p: L.binary_focal_crossentropy(t, p, apply_class_balancing=True), PROBABILITIES, BINARY, UNITS),
    ("binary + Dice", lambda t, p: L.binary_crossentropy(t, p) + dice(t, p), PROBABILITIES, BINARY, ALL),
    ("binary + Jaccard", lambda t, p: ops.mean(bce(t, p)) + jaccard(t, p), PROBABILITIES, BINARY, ALL),
    ("Dice", dice, PROBABILITIES, None, ALL),
    ("Dice, hardly smoothed", lambda t, p: dice(t, p, 1e-6), PROBABILITIES, None, ALL),
    ("Dice of each row", lambda t, p: 1 - 2 * ops.sum(t * p, -1) / (ops.sum(t, -1) + ops.sum(p, -1)), PROBABILITIES, None, CLASSES),
    ("Dice of squares", lambda t, p: 1 - 2 * ops.sum(t * p) / (ops.sum(t * t) + ops.sum(p * p)), PROBABILITIES, None, ALL),
    ("Keras' Dice in a def", lambda t, p: L.dice(t, p), PROBABILITIES, None, ALL),
    ("Tversky", lambda t, p: tversky(t, p, 0.7), PROBABILITIES, None, ALL),
    ("Jaccard", jaccard, PROBABILITIES, None, ALL),
    ("from logits", lambda t, z: L.categorical_crossentropy(t, z, from_logits=True), LOGITS, CATEGORICAL, ALL),
    ("from logits, keras.ops", lambda t, z: ops.categorical_crossentropy(t, z, from_logits=True), LOGITS, CATEGORICAL, ALL),
    ("from logits, ids made one-hot", lambda t, z: ops.categorical_crossentropy(one_hot(t, z), z, from_logits=True), LOGITS, CATEGORICAL, ALL),
    ("from logits, ids, smoothed", lambda t, z: L.categorical_crossentropy(one_hot(t, z), z, from_logits=True, label_smoothing=0.1), LOGITS, CATEGORICAL, CLASSES),
    ("from logits, padding left out", masked, LOGITS, CATEGORICAL, CLASSES),
    ("from logits, -100 left out", ignoring, LOGITS, CATEGORICAL, ALL),
    ("softmax, then log", lambda t, z: ce(t, ops.softmax(z)), LOGITS, CATEGORICAL, CLASSES),
    ("log-softmax", lambda t, z: -ops.sum(t * ops.log_softmax(z), -1), LOGITS, CATEGORICAL, ALL),
    ("logsumexp", by_logsumexp, LOGITS, CATEGORICAL, ALL),
    ("a softmax's focal", lambda t, z: focal(t, ops.softmax(z)), LOGITS, CATEGORICAL, CLASSES),
    ("a softmax's generalised", lambda t, z: 1 - ops.sum(t * ops.softmax(z), -1) ** 0.3, LOGITS, CATEGORICAL, CLASSES),
    ("a softmax's squared error", lambda t, z: ops.mean((t - ops.softmax(z)) ** 2), LOGITS, CATEGORICAL, CLASSES),
    ("a softmax's Dice", lambda t, z: dice(t, ops.softmax(z)), LOGITS, CATEGORICAL, CLASSES),
    ("a softmax's both answers", lambda t, z: bce(t, ops.softmax(z)), LOGITS, CATEGORICAL, CLASSES),
    ("from logits + Dice", lambda t, z: L.categorical_crossentropy(t, z, from_logits=True) + dice(t, ops.softmax(z)), LOGITS, CATEGORICAL, CLASSES),
    ("a class with a call", Subclass(), LOGITS, CATEGORICAL, CLASSES),
    ("pairs, logistic", pairs(lambda d: ops.softplus(-d)), LOGITS, CATEGORICAL, (TWO,)),
    ("binary from logits", lambda t, z: L.binary_crossentropy(t, z, from_logits=True), LOGITS, BINARY, ALL),
    ("softplus", lambda t, z: ops.mean(ops.softplus(z) - t * z), LOGITS, BINARY, ALL),
    ("softplus, labels of -1 and 1", lambda t, z: ops.mean(ops.softplus(-t * z)), LOGITS, BINARY, ALL),
    ("a sigmoid's", lambda t, z: bce(t, ops.sigmoid(z)), LOGITS, BINARY, ALL),
    ("a sigmoid's focal", lambda t, z: binary_focal(t, ops.sigmoid(z)), LOGITS, BINARY, UNITS),
    ("a sigmoid's Dice", lambda t, z: dice(t, ops.sigmoid(z)), LOGITS, BINARY, UNITS),
    ("a sigmoid's squared error", lambda t, z: ops.mean((t - ops.sigmoid(z)) ** 2), LOGITS, BINARY, ALL),
    ("binary from logits + Dice", lambda t, z: L.binary_crossentropy(t, z, from_logits=True) + dice(t, ops.sigmoid(z)), LOGITS, BINARY, UNITS),
    ("log-likelihood", lambda t, l: -ops.sum(t * l, -1), LOG, CATEGORICAL, CLASSES),
    ("log-likelihood of ids", lambda t, l: -picked(t, l), LOG, CATEGORICAL, CLASSES),
    ("log-likelihood, smoothed", lambda t, l: -ops.mean((0.9 * t + 0.01) * l), LOG, CATEGORICAL, CLASSES),
    ("Kullback-Leibler of log p", lambda t, l: ops.sum(t * (ops.log(t) - l), -1), LOG, CATEGORICAL, CLASSES),
]  # fmt: skip

OTHERS: list[tuple[str, Any, tuple]] = [
    *((name, functools.partial(lambda f, t, p: f(t, p), getattr(L, name)), ALL) for name in (
        "mean_squared_error", "mean_absolute_error", "huber", "log_cosh", "poisson", "hinge",
        "squared_hinge", "mean_squared_logarithmic_error", "cosine_similarity")),
    ("categorical hinge", lambda t, p: L.categorical_hinge(t, p), CLASSES),
    ("percentage", lambda t, p: ops.mean(2 * ops.abs(t - p) / (ops.abs(t) + ops.abs(p))), ALL),
    ("masked squares, of a Q-function", lambda t, q: ops.sum(ops.where(t != 0, (t - q) ** 2, 0.0)), ALL),
    ("correlation", pearson, CLASSES),
    ("quantile", lambda t, p: ops.mean(ops.maximum(0.9 * (t - p), -0.1 * (t - p))), ALL),
    ("squares of means", lambda t, p: (ops.mean(t) - ops.mean(p)) ** 2, ALL),
    ("pairs, hinge", pairs(lambda d: ops.relu(1 - d)), CLASSES),
    ("pairs, logistic", pairs(lambda d: ops.softplus(-d)), (ROWS, SEQUENCE)),
    ("pairs, squares", lambda t, z: ops.mean((t[..., :, None] - t[..., None, :] - z[..., :, None] + z[..., None, :]) ** 2), CLASSES),
    ("exponential", lambda t, z: ops.mean(ops.exp(-t * z)), ALL),
    ("Poisson of a logarithm", lambda t, l: ops.mean(ops.exp(l) - t * l), ALL),
    ("Wasserstein", lambda t, z: ops.mean(t * z), ALL),
    ("Wasserstein of one critic", lambda t, z: -ops.mean(t * z), (ONE,)),
    ("distance to a centre", lambda t, z: ops.sum((z - ops.stop_gradient(ops.mean(z, 0))) ** 2), ALL),
    ("contrastive", lambda t, d: ops.mean(t * d**2 + (1 - t) * ops.relu(1 - d) ** 2), ALL),
    ("binary from logits, swapped", lambda t, p: L.binary_crossentropy(p, t, from_logits=True), ALL),
    ("no use of the prediction", lambda t, p: ops.mean(t), ALL),
    ("random", noisy, (ROWS, ONE)),
    ("raises", raising, ALL),
]  # fmt: skip

SWAPPED = [
    lambda t, p: L.categorical_crossentropy(p, t),
    lambda t, p: L.categorical_crossentropy(p, t, from_logits=True),
    lambda t, p: L.binary_crossentropy(p, t),
    lambda t, p: -ops.sum(p * log(t), -1),
]


def values(shape: tuple[int, ...]) -> np.ndarray:
    return np.zeros(shape, np.float32)


def cases(rows: list, seldom: tuple) -> list:
    """A case for each row and shape; for `seldom` ones with every third row, to save time."""
    return [
        pytest.param(*row[1:-1], shape, id=f"{row[0]}, {list(shape)}")
        for number, row in enumerate(rows)
        for shape in row[-1]
        if number % 3 == 0 or shape not in seldom or len(row[-1]) == 1
    ]


@pytest.mark.parametrize(("loss", "form", "family", "shape"), cases(KNOWN, (SEQUENCE,)))
def test_known(loss: Any, form: str, family: str | None, shape: tuple) -> None:
    found = expectation(loss, values(shape))
    assert (found.form, found.family, found.loss) == (form, family, None), found.evidence


@pytest.mark.parametrize(("loss", "shape"), cases(OTHERS, (TWO, SEQUENCE)))
def test_none_that_is_known(loss: Any, shape: tuple, capsys: pytest.CaptureFixture) -> None:
    found = expectation(loss, values(shape))
    assert (found.form, found.family) == (None, None), found.evidence
    assert found.evidence == f"the loss {found.title!r} is none that I know"
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("shape", CLASSES)
@pytest.mark.parametrize("loss", SWAPPED)
def test_swapped_arguments(loss: Any, shape: tuple) -> None:
    found = expectation(loss, values(shape))
    assert found.form is None
    assert found.evidence == "in the loss '<lambda>' the prediction and the labels look swapped"


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="losses of TensorFlow")
@pytest.mark.parametrize("shape", ALL)
def test_losses_of_tensorflow(shape: tuple) -> None:
    import tensorflow as tf

    nn = tf.nn
    rows = [
        (lambda t, z: tf.reduce_mean(nn.softmax_cross_entropy_with_logits(labels=t, logits=z)), LOGITS, CATEGORICAL),
        (nn.softmax_cross_entropy_with_logits, LOGITS, CATEGORICAL),
        (nn.sparse_softmax_cross_entropy_with_logits, LOGITS, CATEGORICAL),
        (nn.sigmoid_cross_entropy_with_logits, LOGITS, BINARY),
        (lambda t, z: nn.weighted_cross_entropy_with_logits(t, z, pos_weight=3.0), LOGITS, BINARY),
        (lambda t, p: tf.keras.losses.binary_crossentropy(t, p, label_smoothing=0.1), PROBABILITIES, BINARY),
    ]  # fmt: skip
    for loss, form, family in rows:
        found = expectation(loss, values(shape))
        assert (found.form, found.family) == (form, family), found.evidence
    assert expectation(tf.keras.backend.binary_crossentropy, None).loss == "BinaryCrossentropy"


def wrapped(function: Any, **settings: Any) -> Any:
    return L.MeanSquaredError.__base__(function, **settings)


class Renamed(L.SparseCategoricalCrossentropy):
    pass


@functools.wraps(L.binary_crossentropy)
def borrowed(t: Any, p: Any) -> Any:
    return ops.mean((t - p) ** 2)


SPARSE = "SparseCategoricalCrossentropy"


@pytest.mark.parametrize(
    ("loss", "form", "name"),
    [
        (functools.partial(L.sparse_categorical_crossentropy, from_logits=True), LOGITS, SPARSE),
        (functools.partial(L.binary_crossentropy), PROBABILITIES, "BinaryCrossentropy"),
        (functools.partial(L.categorical_crossentropy, label_smoothing=0.1), PROBABILITIES, None),
        (ops.sparse_categorical_crossentropy, PROBABILITIES, SPARSE),
        (
            functools.partial(ops.binary_crossentropy, from_logits=True),
            LOGITS,
            "BinaryCrossentropy",
        ),
        (wrapped(L.sparse_categorical_crossentropy, from_logits=True), LOGITS, SPARSE),
        (Renamed(from_logits=True), LOGITS, SPARSE),
        (borrowed, None, None),
    ],
)
def test_what_is_read_from_the_settings(loss: Any, form: str | None, name: str | None) -> None:
    found = expectation(loss, None)
    assert (found.form, found.loss) == (form, name)


@pytest.mark.parametrize(
    ("loss", "title"),
    [("kld", "KLDivergence"), ("ce", "ce"), (focal, "focal"), (Subclass(), "Subclass"), (None, ""),
     (functools.partial(binary_focal, gamma=3.0), "binary_focal"), (wrapped(focal), "focal")],
)  # fmt: skip
def test_titles(loss: Any, title: str) -> None:
    assert expectation(loss, values(ROWS)).title == title


@pytest.mark.parametrize(
    ("loss", "evidence"),
    [
        (ce, "the loss 'ce' behaves like categorical cross-entropy on probabilities"),
        (focal, "the loss 'focal' behaves like a focal loss on probabilities"),
        (dice, "the loss 'dice' behaves like an overlap such as Dice on probabilities"),
        (Subclass(), "the loss 'Subclass' behaves like categorical cross-entropy on logits"),
        (raising, "the loss 'raising' is none that I know"),
    ],
)
def test_evidence(loss: Any, evidence: str) -> None:
    assert expectation(loss, values(ROWS)).evidence == evidence


def test_a_large_vocabulary() -> None:
    found = expectation(by_logsumexp, values((1, 64, 50_000)))
    assert (found.form, found.family) == (LOGITS, CATEGORICAL)


def test_the_comparison_is_what_tells(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a loose one regressions pass for cross-entropies, and the table above would show it."""
    monkeypatch.setattr(own_losses, "MISFIT", 0.3)
    assert own_losses.measure(L.mean_squared_error, ROWS) != own_losses.UNKNOWN
    assert own_losses.measure(L.poisson, ROWS) != own_losses.UNKNOWN


def test_the_table_is_large() -> None:
    assert len(KNOWN) + len(OTHERS) >= 60
    assert len({row[0] for row in KNOWN}) == len(KNOWN)
