"""The metrics of a compiled model: a word for each that does not suit its output."""

from dataclasses import replace
from typing import Any

from logit_sampling.diagnostics.losses import Expectation, expectation, places
from logit_sampling.diagnostics.metrics import judge_metrics, mended
from logit_sampling.diagnostics.outputs import Output
from logit_sampling.diagnostics.report import LogitsReport


def with_metrics(
    model: Any, reports: list[LogitsReport], outputs: list[Output], expected: list[Expectation]
) -> list[LogitsReport]:
    """The reports, with a note on each metric that does not suit."""
    given = _metrics_of_each(model, [report.name for report in reports])
    found = []
    for report, output, wanted, metrics in zip(reports, outputs, expected, given, strict=True):
        judged = judge_metrics(metrics, output.kind, output.units, wanted) if metrics else []
        notes = tuple(
            f"metric {each.name!r}: {each.problem} Instead: {each.remedy}"
            for each in judged
            if each.ok is False
        )
        found.append(replace(report, notes=(*report.notes, *notes)))
    return found


def mended_metrics(model: Any, report: LogitsReport) -> Any:
    """The metrics of a model with those that do not suit replaced; None if all do."""
    import keras

    whole = _compiled(model)
    if not whole:
        return None
    reports = report.outputs or (report,)
    names = [part.name for part in reports]
    leaves = keras.tree.flatten(model.loss)
    changed = False
    new = []
    for part, metrics, at in zip(
        reports, _metrics_of_each(model, names), places(model.loss, names), strict=True
    ):
        wanted = expectation(None if at is None else leaves[at], None)
        again = mended(metrics, part.output, part.units, wanted)
        changed |= any(a is not b for a, b in zip(metrics, again, strict=True))
        new.append(again)
    if not changed:
        return None
    if len(new) == 1:
        return new[0]
    if isinstance(whole, dict):
        return dict(zip(names, new, strict=True))
    return new


def _compiled(model: Any) -> Any:
    config = getattr(model, "_compile_config", None)
    return config.config.get("metrics") if config is not None else None


def _metrics_of_each(model: Any, names: list[str]) -> list[list[Any]]:
    """The metrics of each output: by name, by position, or of the only one."""
    import keras

    whole = _compiled(model)
    if not whole:
        return [[] for _ in names]
    if isinstance(whole, dict):
        return [keras.tree.flatten(whole.get(name) or []) for name in names]
    if len(names) == 1:
        return [keras.tree.flatten(whole)]
    parts = [*whole, *[[]] * (len(names) - len(whole))]
    return [keras.tree.flatten(part or []) for part in parts[: len(names)]]
