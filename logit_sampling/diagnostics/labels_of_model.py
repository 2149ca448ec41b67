"""The labels of a model, where they are given: whether they fit each output and its loss."""

import re
from dataclasses import replace
from typing import Any

import numpy as np

from logit_sampling.diagnostics.label_statistics import (
    LabelStatistics,
    form_of,
    is_text,
    statistics,
)
from logit_sampling.diagnostics.labels import (
    Problem,
    problem,
    takes,
)
from logit_sampling.diagnostics.losses import Expectation
from logit_sampling.diagnostics.outputs import Output
from logit_sampling.diagnostics.remedies import Raw, compile_line
from logit_sampling.diagnostics.report import LogitsReport

LOSS = re.compile(r"model\.compile\(\.\.\., loss=(keras\.losses\.\w+\([^()]*\))\)")


def summarised(
    y: Any, output: Output, axis: int = -1, ignored: int | None = None
) -> tuple[LabelStatistics, tuple[int, ...], bool] | None:
    """The statistics of labels, their shape, and whether they are text; None without labels."""
    if y is None or output.values is None:
        return None
    values = y if hasattr(y, "shape") else np.asarray(y)
    if is_text(values):
        return LabelStatistics(), tuple(values.shape), True
    import keras

    shape = output.values.shape
    vector = keras.ops.convert_to_numpy(statistics(values, shape, axis, ignored))
    return LabelStatistics.of(vector), tuple(values.shape), False


def form_of_labels(y: Any, output: Output) -> str:
    """What labels of one output are, see `form_of`; empty without labels."""
    found = summarised(y, output)
    if found is None or found[2] or output.values is None:
        return ""
    stats, shape, _ = found
    return form_of(stats, shape, output.values.shape)


def with_labels(
    model: Any,
    reports: list[LogitsReport],
    outputs: list[Output],
    expected: list[Expectation],
    y: Any,
    own_loop: bool,
) -> list[LogitsReport]:
    """The reports, with what is wrong with the labels of each output."""
    if y is None:
        return reports
    each = labels_of_each(y, [report.name for report in reports])
    found = []
    for report, output, wanted, labels in zip(reports, outputs, expected, each, strict=True):
        told = summarised(labels, output, wanted.axis, wanted.ignored)
        name = report.name if len(reports) > 1 else ""
        if told is None:
            found.append(report)
            continue
        stats, shape, text = told
        loss = _loss_of(model, report, own_loop)
        wrong = problem_of(stats, shape, text, output, wanted, name, loss)
        found.append(_with(report, model, wrong) if wrong else report)
    return found


def labels_of_each(y: Any, names: list[str]) -> list[Any]:
    """The labels of each output: by name, by position, or of the only one."""
    if isinstance(y, dict):
        return [y.get(name) for name in names]
    if len(names) == 1:
        return [y[0] if isinstance(y, list | tuple) and len(y) == 1 and np.ndim(y[0]) else y]
    return [*y, *[None] * (len(names) - len(y))]


def problem_of(
    stats: LabelStatistics,
    shape: tuple[int | None, ...],
    text: bool,
    output: Output,
    wanted: Expectation,
    name: str,
    loss: Any = None,
) -> Problem | None:
    """What is wrong with labels of which this is known."""
    size = output.values.shape if output.values is not None else (None, output.units)
    measured = None
    if wanted.loss is None and loss is not None and output.values is not None:
        measured = takes(loss, wanted, output.values.shape)
    return problem(stats, shape, size, wanted, output.kind, name, measured, text)


def _loss_of(model: Any, report: LogitsReport, own_loop: bool) -> Any:
    loss = getattr(model, "loss", None)
    if own_loop or loss is None or not callable(loss):
        return loss.get(report.name) if isinstance(loss, dict) else None
    return loss


def completed(remedy: str, model: Any) -> str:
    """The line with all that the user compiled the model with."""
    if model is None or getattr(model, "loss", None) is None or getattr(model, "outputs", [0])[1:]:
        return LOSS.sub(r"loss = \1", remedy)
    return LOSS.sub(lambda found: compile_line(model, Raw(found[1])), remedy)


def _with(report: LogitsReport, model: Any, wrong: Problem) -> LogitsReport:
    remedy = completed(wrong.remedy, model)
    if report.ok is False:
        return replace(report, notes=(*report.notes, f"{wrong.text} {remedy}"))
    return replace(
        report,
        ok=False,
        summary="The model and its loss fit, but the labels do not fit the loss."
        if report.ok
        else "The labels do not fit the loss.",
        problem=wrong.text,
        remedy=remedy,
        remedies=(remedy,),
        notes=report.notes,
        loss=None,
    )
