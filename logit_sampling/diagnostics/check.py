"""`check_logits`: the output of a model, the loss it was compiled with, and whether they agree."""

import sys
from dataclasses import replace
from typing import Any

import numpy as np

from logit_sampling.arrays import is_symbolic, to_numpy
from logit_sampling.checks import check_dtype

from .fix import fixed
from .losses import expectation, places
from .outputs import along, outputs_of
from .values import kind_of_values
from .verdict import LogitsReport, judge


def check_logits(x: Any, *, inputs: Any = None, fix: bool = False) -> Any:
    """Tell logits from probabilities, and whether a compiled model's loss agrees with its output.

    A model is traced and run once on random inputs, in inference mode; its weights stay as they
    are. What comes out can prove a softmax (each row sums to 1) or log-probabilities, and that
    values are neither; that values in [0, 1] come from a sigmoid is shown by the operation that
    the model ends in. A loss of your own is measured: it expects logits if it returns what a
    cross-entropy on logits returns.

    Args:
        x: a Keras model, what :func:`load_model` returns, or float values [..., units] whose rows
            lie along the last axis.
        inputs: what to call the model on, instead of random values that fit its inputs; needed by a
            subclassed model that has not been called yet.
        fix: return the model, compiled with a loss that agrees, instead of a report. Weights,
            optimizer and metrics stay; the model is changed in place.

    Returns:
        a :class:`LogitsReport`, or with `fix` the compiled model.

    Raises:
        ValueError: neither a model nor floating-point values, a NaN, or `fix` where changing the
            loss mends nothing.

    >>> check_logits([[0.5, 0.3, 0.2]]).output
    'softmax'
    >>> check_logits([[2.0, -1.0, 0.3]]).output
    'logits'
    """
    model = getattr(x, "causal_lm", x)
    keras = sys.modules.get("keras")
    if keras is None or not isinstance(model, keras.Model):
        if fix:
            raise ValueError(f"fix=True needs a compiled Keras model, got {type(x).__name__}")
        return _check_values(x)
    report = check_model(model, inputs)
    return fixed(model, report) if fix else report


def _check_values(x: Any) -> LogitsReport:
    if is_symbolic(x):
        raise ValueError("a tensor of a graph holds no values: check the model, or an eager tensor")
    values = to_numpy(x)
    check_dtype(values.dtype.name)
    if values.ndim == 0 or values.size == 0:
        raise ValueError(f"values must have shape [..., units], got shape {values.shape}")
    if np.isnan(values).any():
        raise ValueError("values hold a NaN: they are neither logits nor probabilities")
    kind, evidence = kind_of_values(values, values.dtype.name)
    return _for_samplers(LogitsReport(kind, None, None, evidence=evidence))


def _for_samplers(report: LogitsReport) -> LogitsReport:
    """Where there is no loss, what may go wrong is sampling."""
    if report.output not in ("softmax", "sigmoid"):
        return report
    return replace(
        report,
        problem="Given to a sampler as logits, these are flattened: the softmax of probabilities "
        "is nearly uniform.",
        remedy=f"ls.logits_from(probabilities=...), or take the {report.output} off the model",
    )


def check_model(model: Any, inputs: Any = None, like: Any = None) -> LogitsReport:
    """The report on a model; `inputs` and `like` are those of :func:`outputs_of`."""
    import keras

    outputs = outputs_of(model, inputs, like)
    names = [_name(model, output.path, index) for index, output in enumerate(outputs)]
    losses = getattr(model, "loss", None)
    leaves = keras.tree.flatten(losses)
    reports = []
    for name, output, at in zip(names, outputs, places(losses, names), strict=True):
        expected = expectation(None if at is None else leaves[at], output.values)
        report = judge(along(output, expected.axis), expected, name)
        reports.append(_for_samplers(report) if losses is None else report)
    if len(reports) == 1:
        return reports[0]
    worst = min(reports, key=lambda r: (r.ok is not False, r.ok is not None))
    return replace(worst, outputs=tuple(reports))


def _name(model: Any, path: tuple, index: int) -> str:
    if path and isinstance(path[-1], str):
        return path[-1]
    names = getattr(model, "output_names", None) or ()
    return names[index] if index < len(names) else f"output_{index}"
