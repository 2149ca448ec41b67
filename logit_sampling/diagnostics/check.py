"""`check_logits`: the output of a model, the loss it was compiled with, and whether they agree."""

import sys
from dataclasses import replace
from typing import Any, Literal, TypeVar, overload

import numpy as np

from logit_sampling.diagnostics.fix import fixed
from logit_sampling.diagnostics.losses import Expectation, expectation, places
from logit_sampling.diagnostics.outputs import Output, Seen, outputs_of
from logit_sampling.diagnostics.remedies import Raw, agreeing, code, compile_line, lines_for
from logit_sampling.diagnostics.report import LogitsReport
from logit_sampling.diagnostics.values import kind_of_values
from logit_sampling.diagnostics.verdict import judge
from logit_sampling.distribution.arrays import is_symbolic, to_numpy
from logit_sampling.distribution.checks import check_dtype
from logit_sampling.models.as_model import given_to

MISSING: Any = object()
_Model = TypeVar("_Model")


@overload
def check_logits(
    x: object,
    *,
    loss: object = ...,
    y: object = None,
    inputs: object = None,
    fix: Literal[False] = False,
) -> LogitsReport: ...


@overload
def check_logits(
    x: _Model,
    *,
    loss: object = ...,
    y: object = None,
    inputs: object = None,
    fix: Literal[True],
) -> _Model: ...


def check_logits(
    x: object,
    *,
    loss: object = MISSING,
    y: object = None,
    inputs: object = None,
    fix: bool = False,
) -> object:
    """Tell logits from probabilities, and whether a model's loss, metrics and labels fit them.

    What a model puts out is proven by the operations that make it, in whatever layer or function
    they stand; where these say nothing, it is run with large weights, which a raw score cannot
    hide from; and where that shows nothing either, the report says "unknown". A model is run on
    random inputs, as in training and as in inference; it stays as it was. A loss of your own is
    measured.

    Args:
        x: a Keras model, a layer, what `load_model` or `as_model` returns, or float values
            [..., units] whose rows lie along the last axis, such as `model.predict` returns.
        loss: to judge by, instead of the one that the model was compiled with: that of a training
            loop of your own. What `compile` takes.
        y: labels, of one batch or all: are they what the loss takes? Nested as the outputs are.
        inputs: what to call the model on, instead of random values that fit its inputs; needed by a
            subclassed model that has not been called yet.
        fix: return the model, compiled with a loss and metrics that agree, instead of a report.
            Weights and optimizer stay; the model is changed in place.

    Returns:
        a `LogitsReport`, or with `fix` the compiled model.

    Raises:
        ValueError: neither a model nor floating-point values, a NaN, or `fix` where changing the
            loss mends nothing.

    >>> check_logits([[0.5, 0.3, 0.2]]).output
    'softmax'
    >>> check_logits([[2.0, -1.0, 0.3]]).output
    'logits'
    """
    model: Any = given_to(x)
    keras = sys.modules.get("keras")
    if keras is None or not isinstance(model, keras.layers.Layer):
        if fix:
            raise ValueError(f"fix=True needs a compiled Keras model, got {type(x).__name__}")
        return _check_values(model, loss, y)
    report = check_model(model, inputs, loss=loss, y=y)
    if not fix:
        return report
    from logit_sampling.diagnostics.metrics_of_model import mended_metrics

    return fixed(model, report, mended_metrics(model, report))


def _check_values(x: Any, loss: Any, y: Any) -> LogitsReport:
    if isinstance(x, str):
        raise ValueError(f"a path is no model: pass keras.models.load_model({x!r})")
    if callable(x) or x is None:
        raise ValueError(
            f"check_logits takes a Keras model, a layer or float values, got {type(x).__name__}"
        )
    if is_symbolic(x):
        raise ValueError("a tensor of a graph holds no values: check the model, or an eager tensor")
    values = to_numpy(x)
    check_dtype(values.dtype.name)
    if values.ndim == 0 or values.size == 0:
        raise ValueError(f"values must have shape [..., units], got shape {values.shape}")
    if np.isnan(values).any():
        raise ValueError("values hold a NaN: they are neither logits nor probabilities")
    kind, evidence = kind_of_values(values, values.dtype.name)
    strength = {"logits": "proven", "unknown": "unknown"}.get(kind, "probed")
    output = Output(
        kind, strength, evidence, values.shape[-1], seen=Seen(None, values, values.dtype.name)
    )
    if loss is not MISSING:
        return _labelled(judge(output, expectation(loss, values), ""), output, loss, y)
    report = LogitsReport(kind, None, None, evidence=evidence, units=values.shape[-1])
    return replace(_for_samplers(report), strength=strength)


TURNED = {
    "logits": "keras.ops.softmax(values) makes probabilities of them, or keras.ops.sigmoid(values) "
    "where each unit is a yes-or-no question",
    "log_probabilities": "numpy.exp(values) makes probabilities of them",
}


def _for_samplers(report: LogitsReport) -> LogitsReport:
    """Where there is no loss, what people want is the other form, and what may fail is sampling."""
    gives = {
        "logits": "These are raw scores (logits).",
        "log_probabilities": "These are log-probabilities, which are logits too.",
        "softmax": "These are probabilities: each row sums to 1.",
        "sigmoid": "These look like probabilities, one for each unit.",
    }
    summary = gives.get(report.output, "What these are cannot be told from their values.")
    if report.output in TURNED:
        turned = TURNED[report.output]
        if report.output == "logits" and report.units == 1:
            turned = "keras.ops.sigmoid(values) makes probabilities of them"
        return replace(report, summary=summary, notes=(turned,))
    if report.output not in ("softmax", "sigmoid"):
        return replace(report, summary=summary)
    kind = ', kind="sigmoid"' if report.output == "sigmoid" else ""
    return replace(
        report,
        summary=summary,
        problem="Given to a sampler as logits, these are flattened: the softmax of probabilities "
        "is nearly uniform.",
        remedy=f"ls.logits_from(probabilities=values{kind})",
    )


def check_model(
    model: Any, inputs: Any = None, like: Any = None, loss: Any = MISSING, y: Any = None
) -> LogitsReport:
    """The report on a model; `inputs` and `like` are those of `outputs_of`."""
    import keras

    outputs = outputs_of(model, inputs, like)
    names = [_name(model, output.path, index) for index, output in enumerate(outputs)]
    losses = getattr(model, "loss", None) if loss is MISSING else loss
    leaves = keras.tree.flatten(losses)
    expected = [
        expectation(None if at is None else leaves[at], output.values)
        for output, at in zip(outputs, places(losses, names), strict=True)
    ]
    outputs = [o.along(e.axis) for o, e in zip(outputs, expected, strict=True)]
    reports = [judge(*each) for each in zip(outputs, expected, names, strict=True)]
    if losses is None:
        reports = [_before_compile(model, *each, y) for each in zip(reports, outputs, strict=True)]
    elif loss is MISSING:
        reports = [_mended(model, reports, number) for number in range(len(reports))]
    else:
        reports = [_in_own_loop(report, loss) for report in reports]
    from logit_sampling.diagnostics.labels_of_model import with_labels
    from logit_sampling.diagnostics.metrics_of_model import with_metrics

    if losses is not None:
        reports = with_labels(model, reports, outputs, expected, y, loss is not MISSING)
        reports = with_metrics(model, reports, outputs, expected)
    if len(reports) == 1:
        return reports[0]
    return _of_all(reports, expected)


def _mended(model: Any, reports: list[LogitsReport], number: int) -> LogitsReport:
    report = reports[number]
    if report.ok is not False:
        return report
    lines = lines_for(model, reports, number)
    return replace(report, remedies=lines, remedy=lines[0] if lines else report.remedy)


def _in_own_loop(report: LogitsReport, loss: Any) -> LogitsReport:
    """The line for a loss that no model was compiled with."""
    if report.loss is None:
        return report
    line = f"loss = {code(agreeing(loss, report))}"
    return replace(report, remedy=line, remedies=(line,))


def _of_all(reports: list[LogitsReport], expected: list[Expectation]) -> LogitsReport:
    """One report for all: ok if it is for every output that has a classification loss."""
    asked = [r for r, e in zip(reports, expected, strict=True) if not e.other]
    worst = min(asked or reports, key=lambda r: (r.ok is not False, r.ok is not None))
    return replace(worst, outputs=tuple(reports))


def _before_compile(model: Any, report: LogitsReport, output: Output, y: Any) -> LogitsReport:
    """Which loss, which flag: what a model that has no loss yet is asked for."""
    from logit_sampling.diagnostics.labels_of_model import form_of_labels

    notes = _unseen(model)
    if report.output == "unknown":
        return replace(report, notes=(*report.notes, *notes))
    from_logits = report.output in ("logits", "log_probabilities")
    form = form_of_labels(y, output)
    if report.output == "sigmoid" or report.units == 1 or form == "many":
        name, labels = "BinaryCrossentropy", "labels: 0 or 1 for each unit"
    elif form in ("one-hot", "numbers"):
        name, labels = "CategoricalCrossentropy", "labels: one-hot rows"
    else:
        name, labels = "SparseCategoricalCrossentropy", "labels: a class id each"
        if not form:
            labels += "; CategoricalCrossentropy for one-hot rows"
    line = compile_line(model, Raw(f"keras.losses.{name}(from_logits={from_logits})"))
    return replace(
        report,
        summary=f"{report.summary} A loss for it takes from_logits={from_logits}.",
        remedy=f"{line}  # {labels}",
        notes=(*report.notes, *notes),
    )


def _unseen(model: Any) -> tuple[str, ...]:
    """What a model does that cannot be seen from outside."""
    import keras

    notes = []
    if getattr(type(model), "train_step", None) is not getattr(keras.Model, "train_step", None):
        notes.append("its own train_step computes a loss that cannot be seen")
    if getattr(model, "losses", None):
        notes.append("it adds losses of its own (add_loss) that cannot be seen")
    return tuple(f"{note}: call check_logits(model, loss=...) with it" for note in notes)


def _labelled(report: LogitsReport, output: Output, loss: Any, y: Any) -> LogitsReport:
    from logit_sampling.diagnostics.labels_of_model import with_labels

    expected = expectation(loss, output.values)
    return with_labels(None, [_in_own_loop(report, loss)], [output], [expected], y, True)[0]


def _name(model: Any, path: tuple, index: int) -> str:
    if path and isinstance(path[-1], str):
        return path[-1]
    names = getattr(model, "output_names", None) or ()
    return names[index] if index < len(names) else f"output_{index}"
