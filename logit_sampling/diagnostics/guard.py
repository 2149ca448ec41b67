"""A Keras callback that looks at the model before it is trained, and at its labels while it is."""

import math
import warnings
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from logit_sampling.diagnostics.check import check_model
from logit_sampling.diagnostics.label_statistics import LabelStatistics
from logit_sampling.diagnostics.labels_of_model import completed, problem_of
from logit_sampling.diagnostics.losses import Expectation, expectation, places
from logit_sampling.diagnostics.outputs import Output, Seen
from logit_sampling.diagnostics.report import LogitsReport
from logit_sampling.diagnostics.watch import Watch

FAR = 3.0  # nats above the loss of a guess; large initial scores cost less than that
MEANS = ("sum_over_batch_size", "mean", "mean_with_sample_weight")
STEADY = 20  # batches after which a loss that never changed is no chance


class LogitsGuard(keras.callbacks.Callback):
    """Stop a training run whose loss takes logits for probabilities, or the other way round.

    Before the first step it runs `check_logits` on the compiled model; one that only its data
    tells how to call is checked while that step is traced (on JAX and torch after it). In every
    batch, also those of validation, it checks that the labels are what the loss takes, on every
    backend. A loss that is not finite stops the run whenever it occurs. What may have other
    reasons gets a warning only: metrics that do not suit the output, a cross-entropy below 0, of
    exactly 0 or that never changes, and a first loss of more than 3 nats above that of a guess,
    which is ln(units), or ln 2 for a binary loss, unless weights of classes or samples explain it.

    Args:
        action: "raise" stops the run with a `ValueError`, "warn" warns and lets it go on.
        inputs: what to call the model on, see `check_logits`.

    Attributes:
        report: what `check_logits` found, once training has begun.

    Raises:
        ValueError: `action` is neither.

    >>> model.fit(x, y, callbacks=[ls.LogitsGuard()])  # doctest: +SKIP
    """

    def __init__(self, action: str = "raise", inputs: Any = None) -> None:
        super().__init__()
        if action not in ("raise", "warn"):
            raise ValueError(f'action must be "raise" or "warn", got {action!r}')
        self.action = action
        self.inputs = inputs
        self.report: LogitsReport = LogitsReport("unknown", None, None)
        self._watch: Watch | None = None
        self._like: Any = None
        self._expected: list[Expectation] | None = None
        self._told: set[str] = set()

    def on_train_begin(self, logs: Mapping[str, float] | None = None) -> None:
        """Check the model and its loss."""
        self._stop()
        self._batches, self._last, self._told = 0, math.nan, set[str]()
        self.report = check_model(self.model, self.inputs)
        self._explain()
        self._watch = Watch(self.model, self._prepare, self._failed)

    def on_train_end(self, logs: Mapping[str, float] | None = None) -> None:
        """Leave the model as it was."""
        self._stop()

    def on_test_begin(self, logs: Mapping[str, float] | None = None) -> None:
        """Check a model that is evaluated without being trained."""
        if self._watch is None:
            self.report = check_model(self.model, self.inputs)
            self._explain()

    def on_test_batch_end(self, batch: int, logs: Mapping[str, float] | None = None) -> None:
        """Check the labels of validation."""
        if self._watch is not None and (problem := self._labels(training=False)):
            self._tell(f"In validation: {problem}")

    def on_train_batch_end(self, batch: int, logs: Mapping[str, float] | None = None) -> None:
        """Check labels and loss."""
        if self._watch is None:
            return
        if self._batches == 0 and self._unknown() and self._like is not None:
            self._check_called()
        if problem := self._labels(training=True):
            self._tell(problem)
        loss = float((logs or {}).get("loss", 0.0))
        self._look_at(loss, batch)
        self._batches += 1

    def _look_at(self, loss: float, batch: int) -> None:
        """What the number itself tells."""
        guess = self._loss_of_a_guess()
        if not math.isfinite(loss):
            self._tell(
                f"The loss of batch {batch + 1} is {loss}: look for labels out of range, NaN in "
                "the inputs, the logarithm of 0, or a learning rate that is too high."
            )
            return
        classification = any(part.expects for part in self.report.outputs or (self.report,))
        if classification and loss < 0 and not self.model.losses:
            self._warn(
                f"the loss is {loss:.3g}, but a cross-entropy is never negative: look for labels "
                "or predictions that are no probabilities"
            )
        if classification and loss == 0 and self._batches >= 1:
            self._warn(
                "the loss is exactly 0: look for one unit under a softmax, rows of labels that sum "
                "to 0, or weights of 0"
            )
        steady = self._batches if loss == self._last else 0
        if classification and steady >= STEADY and loss != 0:
            self._warn(
                f"the loss is exactly {loss:.6g} since the first batch: nothing is learned; look "
                "for an activation that does not change, such as a softmax over one unit"
            )
        if loss != self._last and self._batches:
            self._last = math.nan
        elif not self._batches:
            self._last = loss
        if self._batches == 0 and guess is not None and self._watch is not None:
            weight = max(self._watch.mean_weight(), 1e-12)
            if loss / weight > guess + FAR:
                self._warn(
                    f"the loss of the first batch is {loss:.2f} nats, but a model that knows "
                    f"nothing has {guess:.2f}: look for probabilities taken for logits or the "
                    "other way round, inputs out of scale, large weights, weights of samples"
                )

    def _prepare(self, x: Any, y_pred: Any) -> tuple[list[tuple], list[Expectation]] | None:
        """Called while the first step is traced: check a model that only its data can call."""
        shapes = [tuple(tensor.shape) for tensor in keras.tree.flatten(y_pred)]
        if self._unknown():
            self._like = keras.tree.map_structure(
                lambda t: keras.KerasTensor(t.shape, keras.backend.standardize_dtype(t.dtype)), x
            )
            if keras.backend.backend() == "tensorflow":
                import tensorflow as tf

                with tf.init_scope():
                    self._check_called()
        parts = self.report.outputs or (self.report,)
        losses = keras.tree.flatten(self.model.loss)
        names = [part.name for part in parts]
        if len(parts) != len(shapes):
            return None
        self._losses = [None if at is None else losses[at] for at in places(self.model.loss, names)]
        self._shapes, self._expected = shapes, None
        # A loss of the user's own cannot be measured while a step is traced.
        return shapes, [expectation(loss, None) for loss in self._losses]

    def _check_called(self) -> None:
        if keras.backend.backend() == "jax":
            self.model.jax_state_sync()
        self.report = check_model(self.model, like=self._like)
        self._like = None
        self._explain()
        for part in self._unknown():
            self._warn(f"LogitsGuard cannot check the model: {part.evidence}")

    def _unknown(self) -> list[LogitsReport]:
        parts = self.report.outputs or (self.report,)
        return [part for part in parts if part.expects and part.output == "unknown"]

    def _labels(self, training: bool) -> str:
        """What is wrong with the labels seen so far; empty if nothing is."""
        watch = self._watch
        seen = watch.seen(training) if watch is not None else None
        if watch is None or seen is None or not hasattr(self, "_shapes"):
            return ""
        if self._expected is None:
            pairs = zip(self._losses, self._shapes, strict=True)
            self._expected = [expectation(loss, _values(shape)) for loss, shape in pairs]
        parts = self.report.outputs or (self.report,)
        for number, (vector, part) in enumerate(zip(seen, parts, strict=True)):
            values = _values(self._shapes[number])
            output = Output(part.output, units=part.units, seen=Seen(None, values))
            wrong = problem_of(
                LabelStatistics.of(vector),
                watch.y_shapes[number],
                watch.text[number],
                output,
                self._expected[number],
                part.name if self.report.outputs else "",
                self._losses[number],
            )
            if wrong and wrong.kind != "empty-rows":
                return f"{wrong.text} Remedy: {completed(wrong.remedy, self.model)}"
            if wrong:
                self._warn(f"{wrong.text} Remedy: {completed(wrong.remedy, self.model)}")
        return ""

    def _failed(self, training: bool) -> Exception | None:
        """A step raised: say what is wrong with the labels, if anything is."""
        problem = self._labels(training)
        where = "" if training else "In validation: "
        return ValueError(where + problem) if problem else None

    def _explain(self) -> None:
        for part in self.report.outputs or (self.report,):
            where = f"output {part.name!r}: " if self.report.outputs else ""
            for note in part.notes:
                self._warn(f"{where}{note}")
            if part.ok is False:
                self._tell(f"{where}{part.summary} {part.problem} Remedy: {part.remedy}")

    def _loss_of_a_guess(self) -> float | None:
        """What equal probabilities cost, in nats; None where the loss says nothing about it."""
        loss = self.model.loss
        if self.report.outputs or self.model.losses or keras.tree.is_nested(loss):
            return None
        if getattr(loss, "reduction", MEANS[0]) not in MEANS:
            return None
        expected = expectation(loss, None)
        if expected.loss is None or "Focal" in expected.loss or not self.report.units:
            return None
        return math.log(2 if expected.family == "binary" else self.report.units)

    def _stop(self) -> None:
        if self._watch is not None:
            self._watch.stop()
        self._watch = None

    def _tell(self, problem: str) -> None:
        if self.action == "raise":
            self._stop()
            raise ValueError(problem)
        self._warn(problem)

    def _warn(self, text: str) -> None:
        """Warn of one thing once."""
        key = text.split(":")[0]
        if key not in self._told:
            self._told.add(key)
            warnings.warn(text, stacklevel=3)


def _values(shape: tuple) -> np.ndarray:
    """An array of the shape of an output, one row of it."""
    return np.zeros([2 if n is None else min(n, 2) if i == 0 else n for i, n in enumerate(shape)])
