# ruff: noqa: E501 - a row of a table stays together
"""Ends of models of every kind, what they put out, and how often a check is right about them.

    python -m tests.diagnostics.heads 40

checks each head with that many sets of random weights, on the backend of Keras, and prints the
counts of each verdict as JSON.
"""

import json
import sys
from collections import Counter
from typing import Any

import keras
import numpy as np

from logit_sampling.diagnostics import outputs

L, ops = keras.layers, keras.ops


def chain(*layers: Any, shape: tuple = (8,), dtype: str = "float32") -> keras.Model:
    return keras.Sequential([keras.Input(shape, dtype=dtype), *layers])


def functional(head: Any, shape: tuple = (8,), dtype: str = "float32") -> keras.Model:
    x = keras.Input(shape, dtype=dtype)
    return keras.Model(x, head(x))


def image(*layers: Any) -> keras.Model:
    return chain(L.Conv2D(4, 3, activation="relu"), *layers, shape=(8, 8, 3))


def by_hand(x: Any) -> Any:
    masses = ops.exp(x - ops.max(x, -1, keepdims=True))
    return masses / ops.sum(masses, -1, keepdims=True)


def mixture(x: Any) -> Any:
    weights = L.Dense(3, activation="softmax")(x)
    rows = ops.softmax(L.Reshape((3, 5))(L.Dense(15)(x)))
    return ops.squeeze(ops.matmul(weights[:, None, :], rows), 1)


def towers() -> keras.Model:
    ids = [keras.Input((), dtype="int32") for _ in range(2)]
    return keras.Model(ids, L.Dot(1)([L.Embedding(50, 8)(one) for one in ids]))


HEADS = {
    # raw scores
    "one unit": ("logits", lambda: chain(L.Dense(1))),
    "hidden layer, one unit": ("logits", lambda: chain(L.Dense(16, activation="relu"), L.Dense(1))),
    "two units": ("logits", lambda: chain(L.Dense(2))),
    "ten units": ("logits", lambda: chain(L.Dense(10))),
    "convolutions, one unit": ("logits", lambda: image(L.GlobalAveragePooling2D(), L.Dense(1))),
    "convolutions, two units": ("logits", lambda: image(L.GlobalAveragePooling2D(), L.Dense(2))),
    "mean of a map": ("logits", lambda: image(L.Conv2D(1, 1), L.GlobalAveragePooling2D())),
    "greatest of a map": ("logits", lambda: image(L.Conv2D(1, 1), L.GlobalMaxPooling2D())),
    "pooling": ("logits", lambda: image(L.Conv2D(1, 1), L.AveragePooling2D(6), L.Flatten())),
    "temperature": ("logits", lambda: functional(lambda x: L.Dense(1)(x) / 0.7)),
    "average of two": ("logits", lambda: functional(lambda x: L.Average()([L.Dense(1)(x), L.Dense(1)(x)]))),
    "greater of two": ("logits", lambda: functional(lambda x: L.Maximum()([L.Dense(1)(x), L.Dense(1)(x)]))),
    "two joined": ("logits", lambda: functional(lambda x: L.Concatenate()([L.Dense(1)(x), L.Dense(1)(x)]))),
    "cut off at 5": ("logits", lambda: functional(lambda x: ops.clip(L.Dense(1)(x), -5, 5))),
    "two towers": ("logits", towers),
    "LSTM as the head": ("logits", lambda: chain(L.LSTM(1), shape=(5, 4))),
    "LSTM, one unit": ("logits", lambda: chain(L.Embedding(20, 4), L.LSTM(4), L.Dense(1), shape=(5,), dtype="int32")),
    "batch normalisation": ("logits", lambda: chain(L.Dense(1), L.BatchNormalization())),
    "layer normalisation": ("logits", lambda: chain(L.Dense(4), L.LayerNormalization())),
    "residual": ("logits", lambda: functional(lambda x: x + L.Dense(8)(x))),
    "rectified": ("logits", lambda: chain(L.Dense(1, activation="relu"))),
    "softplus": ("logits", lambda: chain(L.Dense(1, activation="softplus"))),
    "tanh": ("logits", lambda: chain(L.Dense(1, activation="tanh"))),
    "small weights": ("logits", lambda: chain(L.Dense(2, kernel_initializer=keras.initializers.RandomNormal(stddev=1e-3)))),
    "attention": ("logits", lambda: functional(lambda x: L.Dense(2)(L.MultiHeadAttention(2, 4)(x, x)), (3, 8))),
    "last step": ("logits", lambda: functional(lambda x: L.Dense(2)(x)[:, -1], (3, 8))),
    # probabilities
    "sigmoid": ("sigmoid", lambda: chain(L.Dense(1, activation="sigmoid"))),
    "three sigmoids": ("sigmoid", lambda: chain(L.Dense(3, activation="sigmoid"))),
    "sigmoid by hand": ("sigmoid", lambda: functional(lambda x: 1 / (1 + ops.exp(-L.Dense(1)(x))))),
    "hard sigmoid": ("sigmoid", lambda: chain(L.Dense(1, activation="hard_sigmoid"))),
    "mean of sigmoids": ("sigmoid", lambda: image(L.Conv2D(1, 1, activation="sigmoid"), L.GlobalAveragePooling2D())),
    "softmax": ("softmax", lambda: chain(L.Dense(3, activation="softmax"))),
    "softmax of one": ("softmax", lambda: chain(L.Dense(1, activation="softmax"))),
    "softmax layer": ("softmax", lambda: chain(L.Dense(12), L.Reshape((4, 3)), L.Softmax())),
    "softmax by hand": ("softmax", lambda: functional(lambda x: by_hand(L.Dense(3)(x)))),
    "softmax, dropout": ("softmax", lambda: chain(L.Dense(4, activation="softmax"), L.Dropout(0.3))),
    "softmax cut off": ("softmax", lambda: functional(lambda x: ops.clip(ops.softmax(L.Dense(3)(x)), 1e-7, 1 - 1e-7))),
    "average of softmaxes": ("softmax", lambda: functional(lambda x: L.Average()([L.Dense(3, activation="softmax")(x), L.Dense(3, activation="softmax")(x)]))),
    "mixture": ("softmax", lambda: functional(mixture)),
    "no and yes": ("softmax", lambda: functional(lambda x: (lambda p: ops.concatenate([1 - p, p], -1))(L.Dense(1, activation="sigmoid")(x)))),
    "log-softmax": ("log_probabilities", lambda: chain(L.Dense(3, activation="log_softmax"))),
    "log of a softmax": ("log_probabilities", lambda: functional(lambda x: ops.log(ops.softmax(L.Dense(3)(x))))),
    "less logsumexp": ("log_probabilities", lambda: functional(lambda x: (lambda z: z - ops.logsumexp(z, -1, keepdims=True))(L.Dense(3)(x)))),
    # neither
    "a score beside sigmoids": ("unknown", lambda: functional(lambda x: L.Concatenate()([L.Dense(1)(x), L.Dense(2, activation="sigmoid")(x)]))),
}  # fmt: skip


def counts(seeds: int) -> dict[str, dict[str, int]]:
    """For each head how often it is told to be what."""
    found, found_first = {}, False
    trace, call, traces = outputs._traced, outputs._seen, {}

    def once(model: Any, inputs: Any, training: bool) -> Any:
        if (id(model), training) not in traces:  # other weights do not change what is traced
            traces[id(model), training] = trace(model, inputs, training)
        return traces[id(model), training]

    def trained_once(model: Any, inputs: Any, training: bool) -> Any:
        if training and found_first:
            raise RuntimeError("once is enough")
        return call(model, inputs, training)

    outputs._traced, outputs._seen = once, trained_once
    try:
        for name, (_, build) in HEADS.items():
            model = build()
            seen: Counter[str] = Counter()
            for seed in range(seeds):
                rng = np.random.default_rng(seed)
                for variable in model.trainable_variables:
                    fans = max(variable.shape[0] if variable.shape else 1, 1)
                    variable.assign(rng.normal(size=variable.shape) / np.sqrt(fans))
                found_first = seed > 0
                (output,) = outputs.outputs_of(model)
                seen[output.kind] += 1
                if output.training is not None:
                    seen[f"in training {output.training.kind}"] += 1
            found[name] = dict(seen)
            traces.clear()
    finally:
        outputs._traced, outputs._seen = trace, call
    return found


if __name__ == "__main__":
    print(json.dumps(counts(int(sys.argv[1]))))
