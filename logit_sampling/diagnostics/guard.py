"""A Keras callback that looks before and after the first step of a training run."""

import math
import warnings
from typing import Any

import keras

from .check import check_logits, check_model
from .first_step import FirstStep
from .losses import expectation
from .verdict import LogitsReport

FAR = 3.0  # nats above the loss of a guess; large initial scores cost less than that
MEANS = ("sum_over_batch_size", "mean", "mean_with_sample_weight")


class LogitsGuard(keras.callbacks.Callback):
    """Stop a training run whose loss takes logits for probabilities, or the other way round.

    Before the first step it runs :func:`check_logits` on the compiled model; one that only its data
    tells how to call is checked while that step is traced (on the TensorFlow backend). At the first
    batch it checks that labels are in range (on the TensorFlow backend, for the cross-entropies of
    Keras) and that the loss is finite. A first loss of more than 3 nats above that of a guess,
    which is ln(units), or ln 2 for a binary loss, gets a warning only: inputs out of scale have it
    too. A lower one is what a trained model has. That comparison is left out for several outputs,
    for losses that are no plain mean, and where the model adds losses of its own.

    Args:
        action: "raise" stops the run with a `ValueError`, "warn" warns and lets it go on.
        inputs: what to call the model on, see :func:`check_logits`.

    Attributes:
        report: what :func:`check_logits` found, once training has begun.

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
        self._step: FirstStep | None = None
        self._first = False

    def on_train_begin(self, logs: Any = None) -> None:
        """Check the model and its loss."""
        self.report = check_logits(self.model, inputs=self.inputs)
        self._first = True
        self._explain()
        if keras.backend.backend() == "tensorflow":
            self._step = FirstStep(self.model, self._check_within)
        else:
            self._warn_if_unknown()

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Check labels and loss of the first batch."""
        if not self._first:
            return
        self._first = False
        if self._step and self._step.problem():
            self._tell(self._step.problem())
        loss = float((logs or {}).get("loss", 0.0))
        guess = self._loss_of_a_guess()
        if not math.isfinite(loss):
            self._tell(
                f"The loss of the first batch is {loss}: look for labels out of range, NaN in the "
                "inputs, or the logarithm of 0."
            )
        elif guess is not None and loss > guess + FAR:
            warnings.warn(
                f"the loss of the first batch is {loss:.2f} nats, but a model that knows nothing "
                f"has {guess:.2f}: look for probabilities taken for logits or the other way round, "
                "inputs out of scale, large initial weights, or weights of samples",
                stacklevel=2,
            )

    def _check_within(self, x: Any) -> LogitsReport:
        """Check a model that only its data could tell how to call; `x` has shapes and dtypes."""
        if self._unknown():
            self.report = check_model(self.model, like=x)
            self._explain()
            self._warn_if_unknown()
        return self.report

    def _unknown(self) -> list[LogitsReport]:
        parts = self.report.outputs or (self.report,)
        return [part for part in parts if part.expects and part.output == "unknown"]

    def _warn_if_unknown(self) -> None:
        for part in self._unknown():
            warnings.warn(f"LogitsGuard cannot check the model: {part.evidence}", stacklevel=3)

    def _explain(self) -> None:
        for part in self.report.outputs or (self.report,):
            where = f"output {part.name!r}: " if self.report.outputs else ""
            if part.ok is False:
                self._tell(f"{where}{part.problem} Remedy: {part.remedy}")

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

    def _tell(self, problem: str) -> None:
        if self.action == "raise":
            raise ValueError(problem)
        warnings.warn(problem, stacklevel=3)
