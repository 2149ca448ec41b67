"""Tables of the page: each number with its interval as text, and as a mark on its column's axis."""

import html
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from logit_sampling.evaluation.intervals import Difference, Estimate
from logit_sampling.evaluation.tables import rows
from logit_sampling.plotting.visible import visible

if TYPE_CHECKING:
    from logit_sampling.evaluation.comparison import Comparison
    from logit_sampling.evaluation.measures import Measure

CLEAR = 0.05  # a corrected p-value below it
_WIDTH, _HEIGHT, _EDGE = 104, 14, 5  # of a mark, in pixels


def clear(difference: Difference) -> bool:
    """Whether a difference is told from chance after correction for the number of all."""
    return difference.corrected is not None and difference.corrected < CLEAR


@dataclass(frozen=True)
class _Cell:
    """A number of the table.

    Attributes:
        rule: where a line goes through the mark.
        signed: whether it is a difference.
        note: what stands below the interval.
        filled: whether the mark is full.
    """

    estimate: Estimate
    rule: float | None
    signed: bool = False
    note: str = ""
    filled: bool = True


def numbers_table(comparison: "Comparison") -> str:
    """Return the numbers of all results, with the human number as a rule through the marks."""
    measures = [comparison.measure(name) for name in comparison.measures]
    humans = {own.model: own for own in comparison.humans}
    body, times = [], []
    for result, estimates in rows(comparison):
        human = humans.get(result.model)
        rules = [None if human is None else human.number(n).mean for n in comparison.measures]
        cells = [_Cell(own, rule) for own, rule in zip(estimates, rules, strict=True)]
        body.append((result.name, result is human, cells))
        times.append(result.seconds_per_token.mean)
    last = [] if all(map(math.isnan, times)) else times
    return _table(measures, body, last)


def differences_table(comparison: "Comparison", found: Sequence[Difference]) -> str:
    """Return what differs from the baseline, with 0 as a rule; nothing if there is nothing."""
    if not found:
        return ""
    by_name: dict[str, list[_Cell]] = {}
    for own in found:
        p = own.corrected
        note = "" if p is None else f"p {p:.3f}" if p >= 1e-3 else "p &lt; 0.001"
        cell = _Cell(own.estimate, 0.0, True, note, clear(own))
        by_name.setdefault(own.name, []).append(cell)
    measures = [comparison.measure(name) for name in comparison.measures]
    counted = sum(own.corrected is not None for own in found)
    about = (
        f"<p>Of the same prompts and draws, less those of <b>{_name(found[0].baseline)}</b>. "
        f"p is corrected for all {counted} of them (Holm); full marks and bold numbers are below "
        f"{CLEAR}.</p>"
    )
    return about + _table(measures, [(name, False, cells) for name, cells in by_name.items()])


def _table(
    measures: Sequence["Measure"],
    body: Sequence[tuple[str, bool, Sequence[_Cell]]],
    times: Sequence[float] = (),
) -> str:
    """Return a table whose marks in a column share an axis."""
    titles = [(m.title, m.meaning) for m in measures]
    titles += [("ms/token", "milliseconds a token takes")] if times else []
    heads = "".join(
        f'<th scope="col"><button type="button" title="{html.escape(meaning)}">'
        f"{_name(title)}</button></th>"
        for title, meaning in (("sampler", "as they were given"), *titles)
    )
    axes = [_axis(cells[i] for _, _, cells in body) for i in range(len(measures))]
    lines = ""
    for place, (name, human, cells) in enumerate(body):
        lines += f"<tr{' class=human' if human else ''} data-place={place}>"
        lines += f'<th scope="row">{_name(name)}</th>'
        for measure, axis, cell in zip(measures, axes, cells, strict=True):
            lines += _shown(measure, axis, cell)
        if times:
            time = times[place] * 1000
            lines += "<td>-</td>" if math.isnan(time) else f'<td data-v="{time}">{time:.1f}</td>'
        lines += "</tr>\n"
    return (
        '<div class="scroll" tabindex="0" role="region" aria-label="table"><table class="numbers">'
        f"<thead><tr>{heads}</tr></thead>\n<tbody>\n{lines}</tbody></table></div>"
    )


def _name(name: str) -> str:
    return html.escape(visible(name))


def _axis(cells: Iterable[_Cell]) -> tuple[float, float]:
    """Return the ends of an axis that holds all numbers and intervals of a column, and rules."""
    told = [
        value
        for own in cells
        for value in (own.estimate.mean, own.estimate.low, own.estimate.high, own.rule)
        if value is not None and math.isfinite(value)
    ]
    low, high = min(told, default=0.0), max(told, default=0.0)
    return (low, high) if low < high else (low - 1, high + 1)


def _shown(measure: "Measure", axis: tuple[float, float], cell: _Cell) -> str:
    own = cell.estimate
    if math.isnan(own.mean):
        return "<td>-</td>"
    sign = "+" if cell.signed else ""
    number = f"{own.mean * measure.scale:{sign}.{measure.digits}f}{html.escape(measure.unit)}"
    small = [own.interval(measure.digits, measure.scale), cell.note]
    strong = "b" if cell.signed and cell.filled else "span"
    return (
        f'<td data-v="{own.mean}">{_mark(axis, cell)} <{strong}>{number}</{strong}>'
        + "".join(f"<small>{part}</small>" for part in small if part)
        + "</td>"
    )


def _mark(axis: tuple[float, float], cell: _Cell) -> str:
    """Return a dot, its interval as a line, and the rule."""
    low, high = axis

    def x(value: float) -> str:
        inside = min(1.0, max(0.0, (value - low) / (high - low)))
        return f"{_EDGE + inside * (_WIDTH - 2 * _EDGE):.1f}"

    own, middle = cell.estimate, _HEIGHT / 2
    parts = f'<path class="axis" d="M0 {middle}H{_WIDTH}"/>'
    if cell.rule is not None and math.isfinite(cell.rule):
        parts += f'<path class="rule" d="M{x(cell.rule)} 0V{_HEIGHT}"/>'
    if own.low is not None and own.high is not None:
        parts += f'<path class="whisker" d="M{x(own.low)} {middle}H{x(own.high)}"/>'
    dot = "dot" if cell.filled else "dot hollow"
    parts += f'<circle class="{dot}" cx="{x(own.mean)}" cy="{middle}" r="3.4"/>'
    return f'<svg width="{_WIDTH}" height="{_HEIGHT}" aria-hidden="true">{parts}</svg>'
