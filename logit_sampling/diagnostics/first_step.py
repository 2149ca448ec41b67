"""What a training step gets to see, on TensorFlow: the inputs of the model, and its labels."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from .losses import Expectation, expectation, places
from .verdict import LogitsReport


class FirstStep:
    """Looks into the next training step of a model.

    A callback of Keras never sees a batch. So the model's `compute_loss` is wrapped. Before the
    first step runs, while it is traced, `check` is called with the inputs; an error from it stops
    the run. Then the range of the labels is noted in variables, also under XLA. On a CPU without
    XLA, TensorFlow itself raises for a class that does not exist, after the range is noted; that
    error is replaced by one that explains.

    Args:
        model: a compiled model.
        check: takes the inputs, which hold no values yet, and returns the report on the model.
    """

    def __init__(self, model: Any, check: Callable[[Any], LogitsReport]) -> None:
        self._model = model
        self._check = check
        self._report: LogitsReport | None = None
        model.make_train_function(force=True)  # a step traced before would never call what follows
        self._step = model.train_function
        self._compute_loss = model.compute_loss
        model.train_function = self._train_function
        model.compute_loss = self._watched_loss

    def problem(self) -> str:
        """What is wrong with the labels seen so far; empty if nothing is."""
        if self._report is None:
            return ""
        parts = self._report.outputs or (self._report,)
        ranges = zip(self._low.numpy(), self._high.numpy(), strict=True)
        for (low, high), expected, part in zip(ranges, self._expected, parts, strict=True):
            sparse = expected.loss == "SparseCategoricalCrossentropy"
            greatest = (part.units or 0) - 1 if sparse else 1
            if expected.loss and part.units and low <= high and (low < 0 or high > greatest):
                of = f" of output {part.name!r}" if self._report.outputs else ""
                return (
                    f"The labels{of} lie in [{low:g}, {high:g}], but must be "
                    + (f"class ids from 0 to {greatest}" if sparse else "probabilities")
                    + f" for {expected.loss} and {part.units} units"
                    + (": count classes from 0, or give the model more units." if sparse else ".")
                )
        return ""

    def _train_function(self, *arguments: Any) -> Any:
        try:
            return self._step(*arguments)
        except tf.errors.InvalidArgumentError as error:
            if self.problem():
                raise ValueError(self.problem()) from error
            raise
        finally:
            self._stop()

    def _stop(self) -> None:
        """Leave the model as it was; the graph that is traced by now goes on noting, unread."""
        self._model.train_function = self._step
        del self._model.compute_loss

    def _watched_loss(
        self, x: Any = None, y: Any = None, y_pred: Any = None, *others: Any, **named: Any
    ) -> Any:
        if self._report is None:
            with tf.init_scope():  # out of the graph that is being traced
                self._prepare(self._check(x))
        labels = keras.tree.flatten(y)
        if len(labels) == len(self._expected):
            noted = [self._note(i, label) for i, label in enumerate(labels) if label is not None]
            with tf.control_dependencies([op for pair in noted for op in pair]):
                labels = [tf.identity(label) if label is not None else None for label in labels]
            y = keras.tree.pack_sequence_as(y, labels)
        return self._compute_loss(x, y, y_pred, *others, **named)

    def _prepare(self, report: LogitsReport) -> None:
        names = [part.name for part in report.outputs or (report,)]
        losses = keras.tree.flatten(self._model.loss)
        self._expected = [
            expectation(losses[at], None) if at is not None else Expectation()
            for at in places(self._model.loss, names)
        ]
        self._low = tf.Variable(np.full(len(names), np.inf, np.float32), trainable=False)
        self._high = tf.Variable(np.full(len(names), -np.inf, np.float32), trainable=False)
        self._report = report

    def _note(self, index: int, label: Any) -> tuple[Any, Any]:
        """Widen the range of one output by its labels."""
        numbers = tf.cast(label, tf.float32)
        ignored = self._expected[index].ignored
        if ignored is not None:
            numbers = tf.where(numbers == ignored, 0.0, numbers)
        low = tf.minimum(self._low[index], tf.reduce_min(numbers))
        high = tf.maximum(self._high[index], tf.reduce_max(numbers))
        return self._low[index].assign(low), self._high[index].assign(high)
