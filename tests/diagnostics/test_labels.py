"""Labels that fit a loss and its units, those that do not, and what mends them."""

import re
from typing import Any

import keras
import numpy as np
import pytest

from logit_sampling.diagnostics.label_statistics import (
    NOTHING,
    LabelStatistics,
    form_of,
    is_text,
    merge,
    statistics,
)
from logit_sampling.diagnostics.labels import (
    Problem,
    problem,
    takes,
)
from logit_sampling.diagnostics.losses import expectation

losses, ops = keras.losses, keras.ops
RNG = np.random.default_rng(0)
IDS = np.arange(12) % 4
HOT = np.eye(4)[IDS]
MANY = np.array([[1, 1, 0, 0], [0, 1, 0, 0], [0, 0, 0, 0], [1, 1, 1, 0]] * 3)
YES = IDS > 1
PIXELS = RNG.integers(0, 4, (2, 5, 5))
SOFT = RNG.dirichlet(np.ones(4), 12)

SPARSE, HOTS, BINARY = (
    losses.SparseCategoricalCrossentropy(from_logits=True),
    losses.CategoricalCrossentropy(from_logits=True),
    losses.BinaryCrossentropy(from_logits=True),
)


def by_hand(y: Any, p: Any) -> Any:
    return -ops.sum(ops.cast(y, "float32") * ops.log(p + 1e-9), -1)


def own_sparse(y: Any, z: Any) -> Any:
    return losses.sparse_categorical_crossentropy(y, z, from_logits=True)


def look(
    y: Any, output_shape: tuple, loss: Any, output: str = "logits", **settings: Any
) -> Problem | None:
    """What is said of labels that come in two batches."""
    shape = tuple(4 if n is None else n for n in output_shape)
    expected = expectation(loss, np.zeros(shape))
    halves = (y[: len(y) // 2], y[len(y) // 2 :])
    seen = (
        NOTHING
        if is_text(y)
        else np.max(
            [reference(half, output_shape, expected.axis, expected.ignored) for half in halves], 0
        )
    )
    return problem(
        LabelStatistics.of(seen),
        (None, *y.shape[1:]),
        output_shape,
        expected,
        output,
        takes=takes(loss, expected, shape) if expected.loss is None else None,
        text=is_text(y),
        **settings,
    )


N4, N1 = (None, 4), (None, 1)
SEQUENCE = (None, 3, 4)
CHANNELS_FIRST = losses.SparseCategoricalCrossentropy(from_logits=True, axis=1)
RIGHT = {
    "ids": (IDS, N4, SPARSE),
    "ids in a column": (IDS[:, None], N4, SPARSE),
    "ids as floats": (IDS.astype("float32"), N4, SPARSE),
    "ids as bytes": (IDS.astype("uint8"), N4, SPARSE),
    "only class 0": (IDS * 0, N4, SPARSE),
    "only the first two classes": (IDS % 2, N4, SPARSE),
    "only the last class": (IDS * 0 + 3, N4, SPARSE),
    "booleans as ids": (YES, (None, 2), SPARSE),
    "ids of tokens": (IDS.reshape(4, 3), SEQUENCE, SPARSE),
    "ids of pixels": (PIXELS, (None, 5, 5, 4), SPARSE),
    "ids of pixels with an axis": (PIXELS[..., None], (None, 5, 5, 4), SPARSE),
    "channels first": (PIXELS, (None, 4, 5, 5), CHANNELS_FIRST),
    "an ignored -1": (
        *(np.where(IDS == 2, -1, IDS), N4),
        losses.SparseCategoricalCrossentropy(ignore_class=-1),
    ),
    "an ignored 255": (
        *(np.where(IDS == 2, 255, IDS), N4),
        losses.SparseCategoricalCrossentropy(ignore_class=255),
    ),
    "all ignored": (IDS * 0 - 1, N4, losses.SparseCategoricalCrossentropy(ignore_class=-1)),
    "one-hot": (HOT, N4, HOTS),
    "one-hot of booleans": (HOT > 0, N4, HOTS),
    "one-hot of one class": (np.eye(4)[IDS * 0], N4, HOTS),
    "soft targets": (SOFT, N4, HOTS),
    "soft targets in half precision": (SOFT.astype("float16"), N4, HOTS),
    "smoothed": (0.9 * HOT + 0.025, N4, HOTS),
    "smoothed among many, in half precision": (
        np.float16(0.9 * np.eye(5000)[IDS] + 0.1 / 5000),
        (None, 5000),
        HOTS,
    ),
    "smoothed by the loss": (HOT, N4, losses.CategoricalCrossentropy(label_smoothing=0.1)),
    "one-hot, focal": (HOT, N4, losses.CategoricalFocalCrossentropy()),
    "padded one-hot tokens": (HOT.reshape(4, 3, 4) * [[[1], [1], [0]]], SEQUENCE, HOTS),
    "yes or no": (YES[:, None], N1, BINARY),
    "yes or no without an axis": (YES.astype(int), N1, BINARY),
    "only no": (YES[:, None] * 0, N1, BINARY),
    "only yes": (YES[:, None] * 0 + 1, N1, BINARY),
    "shares": (SOFT[:, :1], N1, BINARY),
    "several yes": (MANY, N4, BINARY),
    "one-hot answers to yes-or-no": (HOT, N4, BINARY),
    "a mask": (PIXELS > 1, (None, 5, 5, 1), BINARY),
    "a mask with an axis": ((PIXELS > 1)[..., None], (None, 5, 5, 1), BINARY),
    "a model without an axis of units": (YES, (None,), BINARY),
    "one unit of categories, which the report tells": (YES.astype(int), N1, SPARSE),
    "numbers": (100 * SOFT[:, :1] - 50, N1, "mse"),
    "hinge": (YES * 2 - 1, N1, "hinge"),
    "divergence": (HOT, N4, "kl_divergence"),
    "NaN in a regression": (SOFT * np.nan, N4, "mse"),
    "by hand": (HOT, N4, by_hand, "softmax"),
    "own sparse": (IDS, N4, own_sparse),
    "own sparse in a column": (IDS[:, None], N4, own_sparse),
    "an open number of units": (IDS + 9, (None, None), SPARSE),
    "nothing": (IDS[:0], N4, SPARSE),
}
_CASES: dict[str, tuple] = {
    # name: (labels, shape of the output, loss, kind of the problem, words, remedy, output)
    "ids, one-hot loss": (IDS, N4, HOTS, "ids", "class ids", "SparseCategoricalCrossentropy(fr"),
    "ids in a column": (IDS[:, None], N4, HOTS, "ids", "one-hot rows of 4", "to_categorical(y, 4)"),
    "ids from 1": (IDS + 1, N4, HOTS, "ids", "class ids", "to_categorical(y - 1, 4)"),
    "ids, probabilities": (
        *(IDS, N4, "categorical_crossentropy", "ids", "class ids"),
        *("SparseCategoricalCrossentropy(from_logits=False)", "softmax"),
    ),
    "ids, focal": (
        *(IDS, N4, losses.CategoricalFocalCrossentropy(), "ids", "class ids"),
        *("y = keras.utils.to_categorical(y, 4)", "softmax"),
    ),
    "ids of tokens, one-hot loss": (IDS.reshape(4, 3), SEQUENCE, HOTS, "ids", "ids", "Sparse"),
    "ids of pixels, channels first": (
        *(PIXELS, (None, 4, 5, 5), losses.CategoricalCrossentropy(axis=1), "ids", "class ids"),
        "y = np.moveaxis(keras.utils.to_categorical(y, 4), -1, 1)",
    ),
    "ids, by hand": (
        *(IDS[:, None], N4, by_hand, "ids", "but the loss takes one-hot rows"),
        *("y = keras.utils.to_categorical(y, 4)", "softmax"),
    ),
    "fractions for classes": (SOFT[:, 0], N4, HOTS, "fractions", "are no classes", "mse"),
    "one-hot, sparse": (HOT, N4, SPARSE, "one-hot", "are one-hot", "losses.CategoricalCross"),
    "soft, sparse": (SOFT, N4, SPARSE, "one-hot", "each row sums to 1", "losses.CategoricalCross"),
    "many, sparse": (MANY, N4, SPARSE, "one-hot", "several answers", "BinaryCrossentropy"),
    "one-hot, own sparse": (HOT, N4, own_sparse, "one-hot", "class ids", "np.argmax(y, axis=-1)"),
    "some rows of zeros": (
        *(HOT * (IDS > 0)[:, None], N4, HOTS, "empty-rows"),
        *("Rows of the labels sum to 0. They cost nothing", "keep"),
    ),
    "all rows of zeros": (HOT * 0, N4, HOTS, "empty-rows", "All rows of the labels", "keep"),
    "rows of zeros of two": (
        *(np.eye(2)[IDS % 2] * (IDS > 0)[:, None], (None, 2), "categorical_crossentropy"),
        *("empty-rows", "teach nothing", "keep", "softmax"),
    ),
    "many": (MANY, N4, HOTS, "many", "sum to 3", "BinaryCrossentropy(from_logits=True)"),
    "many, softmax": (
        *(MANY, N4, "categorical_crossentropy", "many", "several answers are right"),
        *('BinaryCrossentropy(from_logits=False))  # and activation="sigmoid"', "softmax"),
    ),
    "many, focal": (MANY, N4, losses.CategoricalFocalCrossentropy(), "many", "s", "BinaryFocal"),
    "many, by hand": (MANY, N4, by_hand, "many", "the loss takes", "BinaryCro", "softmax"),
    "rows of 10": (10 * SOFT, N4, HOTS, "sums", "sum to 10 up to 10", "y / y.sum(axis=-1, keep"),
    "half a row": (SOFT / 2, N4, HOTS, "sums", "sum to 0.5", "y / y.sum"),
    "one-hot of 255": (255 * HOT, N4, HOTS, "range", "an image", "y = y / 255"),
    "one-hot of -1 and 1": (2 * HOT - 1, N4, HOTS, "range", "make -1 a 0", "y = (y + 1) / 2"),
    "one-hot of more": (np.eye(6)[IDS], N4, HOTS, "columns", "6 columns.*4 units", "Dense(6)"),
    "from 1": (IDS + 1, N4, SPARSE, "from-1", r"lie in \[1, 4\].*from 0 to 3", "y = y - 1"),
    "from 1, own": (IDS + 1, N4, own_sparse, "from-1", "the loss and 4 units", "y = y - 1"),
    "more classes": (IDS + (IDS == 3), N4, SPARSE, "more-classes", r"\[0, 4\]", "Dense(5)"),
    "more classes, softmax": (
        *(IDS + 5, N4, "sparse_categorical_crossentropy", "more-classes", "or count classes from"),
        *('Dense(9, activation="softmax")', "softmax"),
    ),
    "more classes of pixels": (
        *(PIXELS, (None, 5, 5, 3), SPARSE, "more-classes", "3 units", "keras.layers.Conv2D(4, 1)"),
    ),
    "-1": (np.where(IDS == 2, -1, IDS), N4, SPARSE, "padding", "leave it out", "ignore_class=-1"),
    "-100": (
        *(np.where(IDS == 2, -100, IDS).reshape(4, 3), SEQUENCE, SPARSE),
        *("padding", "If -100 marks", "from_logits=True, ignore_class=-100"),
    ),
    "255": (np.where(IDS == 2, 255, IDS), N4, SPARSE, "padding", "If 255", "ignore_class=255"),
    "-1, own": (np.where(IDS == 2, -1, IDS), N4, own_sparse, "padding", "-1", "sample_weight"),
    "-1 beside an ignored 3": (
        *(np.where(IDS == 2, -1, IDS), N4, losses.SparseCategoricalCrossentropy(ignore_class=3)),
        *("padding", "-1", "sample_weight"),
    ),
    "-1 and 1 for two": (YES * 2 - 1, (None, 2), SPARSE, "negative", "make -1 a", "(y + 1) // 2"),
    "several negatives": (IDS - 2, N4, SPARSE, "negative", "negative number", "keep = y >= 0"),
    "only negatives": (IDS * 0 - 1, N4, SPARSE, "negative", r"\[-1, -1\]", "keep = y >= 0"),
    "fractions, sparse": (SOFT[:, 0], N4, SPARSE, "fractions", "whole numbers", "mse"),
    "NaN": (np.where(IDS == 2, np.nan, IDS), N4, SPARSE, "nan", "hold a NaN", "np.isfinite(y)"),
    "NaN, binary": (SOFT[:, :1] * np.nan, N1, BINARY, "nan", "all weights are NaN", "np.isfinite"),
    "infinite": (np.where(IDS == 2, np.inf, IDS), N4, SPARSE, "nan", "infinity", "np.isfinite(y)"),
    "text": (np.array(["cat", "dog", "cat"] * 4), N4, SPARSE, "text", "are text", "np.unique("),
    "objects": (IDS.astype(object), N4, SPARSE, "text", "are text", "np.unique("),
    "masks of 255": (255 * YES[:, None], N1, BINARY, "range", r"\[0, 255\].*an image", "y / 255"),
    "soft masks of 255": (
        *(np.maximum(255 * SOFT[:, :1], [[255]] + [[0]] * 11), N1, BINARY, "range", "image"),
        "y = y / 255",
    ),
    "-1 and 1": (YES[:, None] * 2 - 1, N1, BINARY, "range", "make -1 a 0", "y = (y + 1) / 2"),
    "-1, 0 and 1": (YES[:, None] * 1 - (IDS == 0)[:, None], N1, BINARY, "negative", "0", "weight"),
    "1 and 2": (YES[:, None] + 1, N1, BINARY, "from-1", "count classes from 0", "y = y - 1"),
    "numbers, binary": (9 * SOFT[:, :1], N1, BINARY, "range", "a loss for numbers", "mse"),
    "classes on a unit": (
        *(np.arange(12), N1, "binary_crossentropy", "one-unit", "a unit for each class"),
        *('Dense(12, activation="softmax")  # and model.com', "sigmoid"),
    ),
    "classes from 1 on a unit": (
        *(IDS[:, None] + 1, N1, BINARY, "one-unit", r"lie in \[1, 4\]"),
        "Dense(4)  # and model.compile(..., loss=keras.losses.SparseCategoricalCrossentropy("
        "from_logits=True)), y = y - 1",
    ),
    "classes on a sparse unit": (IDS, N1, SPARSE, "one-unit", "one unit cannot", "Dense(4)"),
    "classes on a softmax unit": (
        *(np.arange(12) % 7, N1, "sparse_categorical_crossentropy", "one-unit", "several classes"),
        *('Dense(7, activation="softmax")', "softmax"),
    ),
    "ids, two yes-or-no": (YES[:, None], (None, 2), BINARY, "ids", "2 yes-or-no", "Sparse"),
    "ids, two sigmoids": (
        *(YES * 1, (None, 2), "binary_crossentropy", "ids", "one for each unit"),
        *("y = keras.utils.to_categorical(y, 2)", "sigmoid"),
    ),
    "a number for two units": (SOFT[:, :1], (None, 2), BINARY, "columns", "2 que", "Dense(1)"),
    "two columns for a unit": (np.eye(2)[IDS % 2], N1, BINARY, "columns", "yes", "y = y[:, 1:]"),
    "four columns for a unit": (MANY, N1, BINARY, "columns", "4 columns", "Dense(4)"),
    "how often": (3 * MANY, N4, BINARY, "range", "not how often", "np.minimum(y, 1)"),
}


@pytest.mark.parametrize("name", RIGHT)
def test_right_labels(name: str) -> None:
    assert look(*RIGHT[name]) is None


@pytest.mark.parametrize("name", _CASES)
def test_wrong_labels(name: str) -> None:
    y, shape, loss, kind, words, remedy, *output = _CASES[name]
    found = look(y, shape, loss, *output)
    assert found and found.kind == kind
    assert re.search(words, found.text), found.text
    assert remedy in found.remedy


@pytest.mark.parametrize("name", _CASES)
def test_remedies_run_and_mend(name: str) -> None:
    """Followed until nothing is said any more, in at most two steps; then the loss is finite."""
    y, shape, loss, _, _, _, *output = _CASES[name]
    kind = output[0] if output else "logits"
    for _ in range(3):
        found = look(y, shape, loss, kind)
        if found is None:
            break
        y, shape, loss, kind = followed(found.remedy, y, shape, loss, kind)
    assert found is None
    if loss != "mse":
        sizes = tuple(len(y) if n is None else n for n in shape)
        values = np.full(sizes, 0.5 if kind == "sigmoid" else 1 / max(sizes[-1], 2), np.float32)
        loss = losses.get(loss)
        if len(y) and not isinstance(y[0], np.str_):
            result = loss(ops.convert_to_tensor(y), ops.convert_to_tensor(values))
            assert np.isfinite(ops.convert_to_numpy(result)).all()


def followed(remedy: str, y: Any, shape: tuple, loss: Any, kind: str) -> tuple:
    """Labels, shape, loss and output of a user who does what a remedy says, comments too."""
    code, _, comment = remedy.partition("  # ")
    names = {"np": np, "keras": keras, "y": y, "x": y}
    if comment.startswith("or "):
        comment = ""
    if comment.endswith(", y = y - 1"):
        names["y"] = y - 1
        comment = comment.removesuffix(", y = y - 1")
    for line in (code, comment.removeprefix("and ")):
        if line.startswith("keras.layers"):
            layer = eval(line, names)
            units = getattr(layer, "units", None) or layer.filters
            shape = (*shape[:-1], units)
            kind = {"linear": "logits"}.get(layer.activation.__name__, layer.activation.__name__)
        elif line.startswith(("model.compile(..., ", "loss=")):
            line = line.removeprefix("model.compile(..., ")
            loss = eval(line[len("loss=") : -1 if line.endswith("))") else None], names)
        elif line.startswith("activation="):
            kind = line.split('"')[1]
        elif line:
            exec(line, names)
    return names["y"], shape, loss, kind


def test_the_output_is_named() -> None:
    found = look(IDS + 1, N4, SPARSE, name="genre")
    assert found and found.text.startswith("The labels of output 'genre' lie in [1, 4]")


def test_a_later_batch_reveals_it() -> None:
    assert look(np.array([1, 2, 3, 3, 2, 1]), N4, SPARSE) is None
    found = look(np.array([1, 2, 3, 3, 2, 4]), N4, SPARSE)
    assert found and found.kind == "from-1"


def test_the_effects_are_real() -> None:
    """What the texts say of Keras' losses."""
    z = ops.convert_to_tensor(RNG.normal(size=(12, 4)).astype("float32"))
    value = lambda loss, y: float(loss(ops.convert_to_tensor(np.float32(y)), z))  # noqa: E731
    assert value(HOTS, HOT * 0) == 0
    assert value(HOTS, MANY) == pytest.approx(value(HOTS, MANY * 2) / 2)
    assert min(value(BINARY, 255 * HOT), value(BINARY, 255 * (1 - HOT))) < 0
    p = ops.softmax(z)
    assert by_hand(IDS[:, None], p).shape == (12,)  # ids are broadcast, and nothing raises


@pytest.mark.parametrize(
    ("y", "shape", "form"),
    [
        (IDS, N4, "ids"),
        (IDS[:, None], N4, "ids"),
        (HOT, N4, "one-hot"),
        (MANY, N4, "many"),
        (SOFT, N4, "numbers"),
        (MANY * (MANY.sum(-1) < 2)[:, None], N4, "numbers"),
        (YES[:, None], N1, ""),
        (SOFT[:, 0], N4, ""),
        (PIXELS, (None, 5, 5, 4), "ids"),
    ],
)
def test_form_of(y: np.ndarray, shape: tuple, form: str) -> None:
    stats = LabelStatistics.of(reference(y, shape))
    assert form_of(stats, y.shape, shape) == form


@pytest.mark.parametrize(
    ("loss", "form", "answer"),
    [
        (by_hand, "probabilities", "one-hot"),
        (own_sparse, "logits", "ids"),
        (lambda y, z: HOTS(y, z), "logits", "one-hot"),
        (lambda y, z: ops.mean(z) + 0 * ops.mean(y), "logits", None),
        (
            lambda y, z: (SPARSE if y.shape[-1] != z.shape[-1] else HOTS)(y, z),
            "logits",
            None,
        ),
    ],
)
def test_takes(loss: Any, form: str, answer: str | None) -> None:
    expected = expectation(HOTS if form == "logits" else "categorical_crossentropy", None)
    assert takes(loss, expected, (4, 5)) == answer
    assert takes(loss, expected, (4, 3, 5)) == answer
    assert takes(loss, expected, (4, 1)) is None
    assert takes(loss, expectation(BINARY, None), (4, 5)) is None


def reference(y: np.ndarray, shape: tuple, axis: int = -1, ignored: Any = None) -> np.ndarray:
    """What `statistics` returns, in NumPy."""
    x = np.asarray(y, np.float32)
    kept = np.isfinite(x) & (x != ignored if ignored is not None else True)

    def most(values: Any) -> float:
        return np.max(values, initial=-np.inf)

    v = x[kept]
    sums, spread = np.zeros(0), -np.inf
    if x.ndim == len(shape) and x.shape[axis] > 1:
        filled = np.where(kept, x, np.float32(0))
        sums = filled.sum(axis)
        spread = most(1.0 * ((sums != 1) | ((filled == 1).sum(axis) != 1)))
    parts = [most(-v), most(-v[v >= 0]), most(-sums), most(v), most(v[v < 0])]
    parts += [most(v[v != 255]), most(sums)]
    flags = [~np.isfinite(x), kept & (np.floor(x) != x), kept & (x == 0)]
    return np.array([*parts, *(most(1.0 * flag) for flag in flags), spread], np.float32)


VALUES: list[tuple] = [
    (IDS, N4, -1, 3),
    (HOT, N4, -1, None),
    (SOFT.astype("float16"), N4, -1, None),
    (np.array([[np.nan, -1, 255.0, 3], [np.inf, 0.5, 1, 255]]), N4, -1, 3),
    (np.moveaxis(np.eye(4)[PIXELS], -1, 1), (None, 4, 5, 5), 1, None),
    (YES, N4, -1, None),
    (IDS.astype("int64") - 3, N4, -1, -2),
    (np.zeros((0, 4)), N4, -1, None),
]


@pytest.mark.parametrize("case", VALUES, ids=range(len(VALUES)))
def test_statistics(case: tuple) -> None:
    """Eager, on NumPy and on tensors, and in a compiled graph."""
    y, *facts = case
    tensor = ops.convert_to_tensor(y)
    results = [statistics(y, *facts), statistics(tensor, *facts)]
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        for jit in (False, True) if y.dtype == np.float64 else (False,):  # XLA compiles for long
            results.append(tf.function(lambda t: statistics(t, *facts), jit_compile=jit)(tensor))
    if keras.backend.backend() == "jax":
        import jax

        results.append(jax.jit(lambda t: merge(NOTHING, statistics(t, *facts)))(tensor))
    for result in results:
        np.testing.assert_allclose(ops.convert_to_numpy(result), reference(y, *facts), rtol=1e-6)


def test_batches_are_merged() -> None:
    merged = merge(statistics(IDS[:5], N4), merge(statistics(IDS[5:] + 1, N4), NOTHING))
    both = np.r_[IDS[:5], IDS[5:] + 1]
    np.testing.assert_array_equal(ops.convert_to_numpy(merged), reference(both, N4))
    np.testing.assert_array_equal(statistics(np.array(["a"]), N4), NOTHING)


def test_fields() -> None:
    stats = LabelStatistics.of(reference(np.array([[-1, 0, 255, 3.5]]), N4))
    assert stats == LabelStatistics(-1, 0, 257.5, 255, -1, 3.5, 257.5, 0, 1, 1, 1)
    assert LabelStatistics.of(NOTHING) == LabelStatistics()
    assert not LabelStatistics().one_hot
