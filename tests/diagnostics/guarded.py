# ruff: noqa: E501 - a row of a table stays together
"""Training runs with a guard, each with what it must come to, on the backend of Keras.

    python -m tests.diagnostics.guarded

prints the runs that came to something else.
"""

import warnings
from typing import Any

import keras
import numpy as np

import logit_sampling as ls

L, losses = keras.layers, keras.losses
SPARSE, HOT, BINARY = (
    losses.SparseCategoricalCrossentropy(from_logits=True),
    losses.CategoricalCrossentropy(from_logits=True),
    losses.BinaryCrossentropy(from_logits=True),
)
RNG = np.random.default_rng(0)
X = RNG.normal(size=(48, 6)).astype(np.float32)
IDS = (np.arange(48) % 5).astype(np.int32)
LATE = np.where(np.arange(48) == 40, 7, IDS)


def by_hand(y: Any, p: Any) -> Any:
    return -keras.ops.sum(keras.ops.cast(y, "float32") * keras.ops.log(p + 1e-9), -1)


def model(units: int, loss: Any, activation: str | None = None, **settings: Any) -> Any:
    made = keras.Sequential([keras.Input((6,)), L.Dense(units, activation=activation)])
    made.compile("sgd", loss, **settings)
    return made


class OnlyCalled(keras.Model):
    """Says nothing of its inputs before it is called."""

    def __init__(self) -> None:
        super().__init__()
        self.head = L.Dense(5, activation="softmax")

    def call(self, x: Any) -> Any:
        return self.head(x["x"])


def only_called() -> Any:
    made = OnlyCalled()
    made.compile("sgd", losses.SparseCategoricalCrossentropy(from_logits=True))
    return made


# Name, model, labels, what must be said ("" for nothing), and what else `fit` is told.
RUNS: list[tuple[str, Any, Any, str, dict]] = [
    ("right", lambda: model(5, SPARSE), IDS, "", {}),
    ("softmax twice", lambda: model(5, SPARSE, "softmax"), IDS, "the loss takes another one", {}),
    ("only called", only_called, IDS, "the loss takes another one", {"x": {"x": X}}),
    ("labels from 1", lambda: model(5, SPARSE), IDS + 1, "count classes from 0", {}),
    ("a label in a later batch", lambda: model(5, SPARSE), LATE, "lie in [0, 7]", {}),
    ("padding", lambda: model(5, SPARSE), np.where(IDS == 2, -1, IDS), "ignore_class=-1", {}),
    ("ids for a categorical loss", lambda: model(5, HOT), IDS[:, None], "are class ids", {}),
    (
        "ids for a loss of one's own",
        lambda: model(5, by_hand, "softmax"),
        IDS[:, None],
        "are class ids",
        {},
    ),
    ("one-hot for a sparse loss", lambda: model(5, SPARSE), np.eye(5)[IDS], "they are one-hot", {}),
    ("several answers", lambda: model(5, HOT), 1.0 * (X[:, :5] > -1), "several answers are right", {}),
    ("rows of 0", lambda: model(5, HOT), np.eye(5)[IDS] * (IDS > 1)[:, None], "teach nothing", {}),
    ("an image", lambda: model(1, BINARY), 255.0 * (IDS[:, None] > 2), "y = y / 255", {}),
    ("soft labels", lambda: model(5, HOT), 0.9 * np.eye(5)[IDS] + 0.02, "", {}),
    ("validation", lambda: model(5, SPARSE), IDS, "In validation: ", {"validation_data": (X, IDS + 1)}),
    ("class weights", lambda: model(1, BINARY), IDS[:, None] % 2, "", {"class_weight": {0: 1.0, 1: 500.0}}),
    ("a metric", lambda: model(1, BINARY, metrics=["accuracy"]), IDS[:, None] % 2, "cuts at 0.5", {}),
    ("infinite inputs", lambda: model(5, SPARSE), IDS, "is nan", {"x": np.where(X > 2, np.inf, X)}),
]  # fmt: skip


def said(build: Any, y: Any, **settings: Any) -> tuple[str, Any]:
    """What a guard says in a run, and the model."""
    made, guard = build(), ls.LogitsGuard()
    given = {"x": X, "y": y, "batch_size": 8, "verbose": 0, "shuffle": False} | settings
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            made.fit(**given, callbacks=[guard])
            error = ""
        except ValueError as raised:
            error = str(raised)
    own = [
        str(w.message) for w in caught if "guard" in w.filename or "logit_sampling" in w.filename
    ]
    return " ".join([error, *own]).strip(), made


def wrong() -> list[str]:
    """The runs that came to something else."""
    found = []
    for name, build, y, expected, settings in RUNS:
        text, made = said(build, y, **settings)
        if keras.backend.backend() != "tensorflow" and "must have the same shape" in text:
            continue  # Keras computes the loss once before there are callbacks
        if (expected not in text) if expected else text:
            found.append(f"{name}: {text!r}")
        left = [key for key in ("compute_loss",) if key in vars(made)]
        if left or "Watch" in f"{made.train_function} {made.test_function}":
            found.append(f"{name}: the model is not as it was")
    return found


if __name__ == "__main__":
    print(*wrong(), sep="\n")
