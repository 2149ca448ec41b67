"""The cross-entropies of Keras side by side, from probabilities and from logits, with numbers.

    python examples/cross_entropies.py

prints the tables of docs/logits.md.
"""

import math
from collections.abc import Callable, Iterable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

import logit_sampling as ls

losses, nn = keras.losses, keras.ops


def table(title: str, heads: Iterable[str], rows: Iterable[Iterable[Any]]) -> str:
    lines = [list(heads), *(list(map(str, row)) for row in rows)]
    lines.insert(1, ["---"] * len(lines[0]))
    return f"<!-- {title} -->\n" + "\n".join(f"| {' | '.join(line)} |" for line in lines)


def nats(loss: Callable, target: Any, prediction: Any) -> str:
    """A loss of one row, as Keras computes it in float32."""
    value = loss(np.array([target]), tf.constant([prediction], tf.float32))
    return f"{float(nn.convert_to_numpy(value)):.4f}"


def six() -> str:
    """Each of the six with a hard and a soft target: the two forms give the same."""
    scores = np.array([2.0, 1.0, -1.0])
    softmax = np.exp(scores) / np.exp(scores).sum()
    sigmoid = 1 / (1 + np.exp(-scores))
    rows = []
    for name, hard, soft, probabilities in (
        ("BinaryCrossentropy", [1.0, 0.0, 0.0], [0.8, 0.3, 0.1], sigmoid),
        ("CategoricalCrossentropy", [1.0, 0.0, 0.0], [0.8, 0.1, 0.1], softmax),
        ("SparseCategoricalCrossentropy", 0, None, softmax),
    ):
        for flag, prediction in ((False, probabilities), (True, scores)):
            loss = getattr(losses, name)(from_logits=flag)
            values = [nats(loss, t, prediction) if t is not None else "-" for t in (hard, soft)]
            rows.append([f"`{name}`", flag, np.round(prediction, 4).tolist(), hard, *values])
    heads = ["loss", "from_logits", "prediction", "hard target", "nats, hard", "nats, soft"]
    return table("six", heads, rows)


def precision() -> str:
    """The loss of the second of two classes as it scores ever less than the first."""
    rows = []
    for gap in (1, 5, 10, 15, 20, 50, 100, 200):
        exact = math.log1p(math.exp(gap)) if gap < 30 else float(gap)
        scores = tf.constant([[float(gap), 0.0]])
        naive = -tf.math.log(tf.exp(scores) / tf.reduce_sum(tf.exp(scores)))[0, 1]
        probabilities = tf.identity(tf.nn.softmax(scores))  # no trace of the logits
        one = np.array([1])
        clipped = losses.SparseCategoricalCrossentropy()(one, probabilities)
        logits = losses.SparseCategoricalCrossentropy(from_logits=True)(one, scores)
        rows.append([gap, *(f"{float(v):.4f}" for v in (exact, naive, clipped, logits))])
    heads = [
        "gap", "exact", "-ln of exp/sum", "Keras from probabilities", "Keras from logits"
    ]  # fmt: skip
    return table("precision", heads, rows)


def confident() -> str:
    """The loss of the first of two classes as it scores ever more than the second."""
    rows = []
    for gap in (1, 5, 10, 15, 20):
        scores = tf.constant([[float(gap), 0.0]])
        probabilities = tf.identity(tf.nn.softmax(scores))
        zero = np.array([0])
        clipped = losses.SparseCategoricalCrossentropy()(zero, probabilities)
        logits = losses.SparseCategoricalCrossentropy(from_logits=True)(zero, scores)
        values = (math.log1p(math.exp(-gap)), clipped, logits)
        rows.append([gap, *(f"{float(v):.3e}" for v in values)])
    heads = ["gap", "exact", "Keras from probabilities", "Keras from logits"]
    return table("confident", heads, rows)


def binary() -> str:
    """The loss of a "no" as the score says "yes" ever louder."""
    rows = []
    for score in (1, 5, 10, 15, 17, 20, 100):
        scores = tf.constant([[float(score)]])
        naive = -tf.math.log(1 - tf.sigmoid(scores))[0, 0]
        no = np.zeros((1, 1))
        clipped = losses.BinaryCrossentropy()(no, tf.identity(tf.sigmoid(scores)))
        logits = losses.BinaryCrossentropy(from_logits=True)(no, scores)
        exact = score + math.log1p(math.exp(-score))
        rows.append([score, *(f"{float(v):.4f}" for v in (exact, naive, clipped, logits))])
    heads = [
        "score", "exact", "-ln(1 - sigmoid)", "Keras from probabilities", "Keras from logits"
    ]  # fmt: skip
    return table("binary", heads, rows)


def gradients() -> str:
    """What pushes a wrong answer back: the gradient of the loss on the score of the right class."""
    rows = []
    for gap in (1, 5, 10, 15, 20, 50):
        row = [gap, f"{1 / (1 + math.exp(-gap)):.4f}"]
        for flag in (False, True):
            scores = tf.Variable([[float(gap), 0.0]])
            with tf.GradientTape() as tape:
                prediction = scores if flag else tf.identity(tf.nn.softmax(scores))
                loss = losses.SparseCategoricalCrossentropy(from_logits=flag)
                value = loss(np.array([1]), prediction)
            row.append(f"{0.0 - float(tape.gradient(value, scores)[0, 1]):.4f}")
        rows.append(row)
    heads = ["gap", "exact", "Keras from probabilities", "Keras from logits"]
    return table("gradients", heads, rows)


def twice() -> str:
    """A softmax of a softmax: the least loss that a perfect answer can reach."""
    rows = []
    for classes in (2, 10, 320, 50257):
        perfect = tf.one_hot([0], classes)
        least = losses.SparseCategoricalCrossentropy(from_logits=True)(np.array([0]), perfect)
        rows.append([classes, f"{math.log(classes):.4f}", f"{float(least):.4f}"])
    return table("twice", ["classes", "a guess", "a perfect answer"], rows)


def behind_the_back() -> str:
    """What Keras computes for a model that ends in a softmax: the loss of 32 rows of 5 classes."""
    rng = np.random.default_rng(0)
    x, labels = rng.normal(size=(32, 8)).astype(np.float32), rng.integers(0, 5, 32)
    kernel = rng.normal(0, 1, (8, 5)).astype(np.float32)
    dense = keras.layers.Dense
    ends: dict[str, list[Any]] = {
        "Dense, no activation": [dense(5)],
        "Dense, softmax": [dense(5, activation="softmax")],
        "Dense, then Softmax": [dense(5), keras.layers.Softmax()],
        "Softmax, then Reshape": [dense(5), keras.layers.Softmax(), keras.layers.Reshape((5,))],
        "softmax in mixed_bfloat16": [dense(5, activation="softmax", dtype="mixed_bfloat16")],
    }
    rows = []
    for name, layers in ends.items():
        row: list[Any] = [name]
        for flag in (True, False):
            model = keras.Sequential([keras.Input((8,)), *layers])
            layers[0].kernel.assign(kernel)
            loss = losses.SparseCategoricalCrossentropy(from_logits=flag)
            model.compile("sgd", loss, run_eagerly=True)
            value = model.evaluate(x, labels, batch_size=32, verbose=0)
            ok = ls.check_logits(model).ok
            row += [f"{value:.3f}", "agrees" if ok else "does not agree"]
        rows.append(row)
    heads = ["the model ends in", "from_logits=True", "verdict", "from_logits=False", "verdict"]
    return table("behind the back", heads, rows)


def overconfident() -> str:
    """Two classes, softmax and binary cross-entropy: what comes out where p was trained."""
    rows = []
    for p in (0.5, 0.6, 0.8, 0.95):
        model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(2, activation="softmax")])
        model.compile(keras.optimizers.SGD(2.0), "binary_crossentropy")
        x, y = np.zeros((1, 1), np.float32), np.array([[p, 1 - p]], np.float32)
        for _ in range(200):
            model.train_on_batch(x, y)
        stated = float(nn.convert_to_numpy(model(x))[0, 0])
        rows.append([p, f"{stated:.4f}", f"{p * p / (p * p + (1 - p) ** 2):.4f}"])
    return table("overconfident", ["share of class 0", "softmax says", "p²/(p² + (1-p)²)"], rows)


def sampling() -> str:
    """A sampler given probabilities for logits draws from a nearly flat distribution."""
    probabilities = np.array([0.90, 0.06, 0.03, 0.01])
    sampler = ls.Sampler()
    right = sampler.probabilities(ls.logits_from(probabilities=probabilities))
    wrong = np.exp(probabilities) / np.exp(probabilities).sum()  # what a softmax makes of it
    cut = ls.Sampler(ls.TopK(2)).probabilities(ls.logits_from(probabilities=probabilities))
    naive = np.where(probabilities >= 0.06, probabilities, 0)  # a cut after the softmax
    again = np.exp(naive) / np.exp(naive).sum()
    rows = [
        ["probabilities of the model", *probabilities],
        ["drawn from `ls.logits_from(probabilities=...)`", *np.round(right, 4)],
        ["drawn if they are taken for logits", *np.round(wrong, 4)],
        ["top-k 2 on logits: mask with -inf, then softmax", *np.round(cut, 4)],
        ["top-k 2 on probabilities: zeros, then softmax", *np.round(again, 4)],
    ]
    return table("sampling", ["", "a", "b", "c", "d"], rows)


TABLES = (
    six,
    precision,
    confident,
    binary,
    gradients,
    twice,
    behind_the_back,
    overconfident,
    sampling,
)


def main() -> None:
    keras.utils.set_random_seed(0)
    print("\n\n".join(make() for make in TABLES))


if __name__ == "__main__":
    main()
