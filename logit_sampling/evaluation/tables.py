"""The numbers of a comparison as tables: for terminals, notebooks, papers and other programs."""

import csv
import html
import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from logit_sampling.evaluation.intervals import Estimate
from logit_sampling.evaluation.legend import legend
from logit_sampling.evaluation.record import write_whole
from logit_sampling.plotting import html as notebook
from logit_sampling.plotting.visible import visible

if TYPE_CHECKING:
    from rich.console import RenderableType

    from logit_sampling.evaluation.comparison import Comparison
from logit_sampling.evaluation.result import Result

_GAP = 2  # between columns


def rows(comparison: "Comparison") -> list[tuple["Result", list[Estimate]]]:
    """Return the results, those of humans first, each with its measures."""
    own = (*comparison.humans, *comparison.results)
    return [(result, [result.number(name) for name in comparison.measures]) for result in own]


def _cells(comparison: "Comparison", estimates: Sequence[Estimate]) -> list[tuple[str, str]]:
    """Return of each measure the number and its interval as text."""
    found = []
    for name, estimate in zip(comparison.measures, estimates, strict=True):
        about = comparison.measure(name)
        shown = _number(estimate.mean, about.digits, about.scale)
        found.append((shown, estimate.interval(about.digits, about.scale)))
    return found


def _titles(comparison: "Comparison") -> list[str]:
    return [comparison.measure(name).title for name in comparison.measures]


class _Difference(NamedTuple):
    """A difference from the baseline as text; `clear` where it is told from chance."""

    name: str
    measure: str
    number: str
    interval: str
    p: str
    clear: bool


_DIFFERENCE_TITLES = ("", "measure", "difference", "p")


def _differences(comparison: "Comparison") -> list[_Difference]:
    """Return what differs from the baseline, if there is one."""
    found = []
    for own in comparison.differences() if comparison.baseline else ():
        about, p = comparison.measure(own.measure), own.corrected
        found.append(
            _Difference(
                visible(own.name),
                about.title,
                _number(own.estimate.mean, about.digits, about.scale, "+"),
                own.estimate.interval(about.digits, about.scale),
                "-" if p is None else f"{p:.3f}" if p >= 1e-3 else "<0.001",
                p is not None and p < 0.05,
            )
        )
    return found


def _from(comparison: "Comparison") -> str:
    return f"Differences from {visible(comparison.baseline or '')}"


def text_of(comparison: "Comparison", width: int = 100) -> str:
    """Return all of it as plain text."""
    from rich.console import Console

    file = io.StringIO()
    console = Console(file=file, width=width)
    for part in printed(comparison, width):
        console.print(part)
    return "\n".join(line.rstrip() for line in file.getvalue().splitlines())


def printed(comparison: "Comparison", width: int) -> list["RenderableType"]:
    """Return numbers, differences and legend for a terminal of this width in characters."""
    from rich.text import Text

    differing = differences(comparison, width)
    return [
        *(numbers(comparison, width) if comparison.results else ()),
        *([Text(f"\n{_from(comparison)}", "bold"), *differing] if differing else ()),
        Text("\n" * bool(comparison.results) + visible(legend(comparison)), "dim"),
    ]


def html_of(comparison: "Comparison") -> str:
    """Return the table as HTML, for a notebook."""
    shown = [
        [result.name, *("\n".join(filter(None, cell)) for cell in _cells(comparison, estimates))]
        for result, estimates in rows(comparison)
    ]
    told = notebook.table(repr(comparison)[1:-1], ["", *_titles(comparison)], shown)
    if found := _differences(comparison):
        differing = [[*own[:2], "\n".join(filter(None, own[2:4])), own.p] for own in found]
        told += notebook.table(_from(comparison), _DIFFERENCE_TITLES, differing)
    return f"{told}<p>{html.escape(visible(legend(comparison)))}</p>"


def records(comparison: "Comparison") -> list[dict[str, Any]]:
    """Return a flat dict for each result: name, settings, numbers and ends of intervals.

    If there is a baseline, its differences from it too.
    """
    found: list[dict[str, Any]] = []
    differing = comparison.differences() if comparison.baseline else []
    for result, estimates in rows(comparison):
        row: dict[str, Any] = {
            "name": result.name,
            "model": result.model,
            "sampler": result.sampler,
            **result.settings,
        }
        for name, estimate in zip(comparison.measures, estimates, strict=True):
            row |= _flat(name.replace("-", "_"), estimate)
        for own in differing:
            if own.name == result.name:
                name = f"{own.measure.replace('-', '_')}_difference"
                row |= _flat(name, own.estimate) | {f"{name}_p": own.corrected}
        time = result.seconds_per_token.mean
        found.append(row | {"seconds_per_token": None if math.isnan(time) else time})
    return found


def _flat(name: str, estimate: Estimate) -> dict[str, float | None]:
    return {
        name: None if math.isnan(estimate.mean) else estimate.mean,
        f"{name}_low": estimate.low,
        f"{name}_high": estimate.high,
    }


def csv_of(comparison: "Comparison") -> str:
    """Return `records` as CSV."""
    found = records(comparison)
    file = io.StringIO()
    names = list(dict.fromkeys(name for row in found for name in row))
    writer = csv.DictWriter(file, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(found)
    return file.getvalue()


def markdown_of(comparison: "Comparison") -> str:
    """Return the tables in Markdown."""
    body = [
        [visible(result.name), *(_joined(*cell) for cell in _cells(comparison, estimates))]
        for result, estimates in rows(comparison)
    ]
    text = _markdown(["", *_titles(comparison)], body)
    if found := _differences(comparison):
        body = [[*own[:2], _joined(*own[2:4]), own.p] for own in found]
        text += f"\n{_from(comparison)}\n\n{_markdown(_DIFFERENCE_TITLES, body)}"
    return text


def _joined(number: str, interval: str) -> str:
    return f"{number} [{interval}]" if interval else number


def _markdown(titles: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    escaped = [[cell.replace("|", "\\|") for cell in row] for row in [titles, *body]]
    head, *lines = ("| " + " | ".join(row) + " |\n" for row in escaped)
    return "".join([head, "| --- |" + " ---: |" * (len(titles) - 1) + "\n", *lines])


def latex_of(comparison: "Comparison") -> str:
    """Return the tables in LaTeX; they need the package booktabs."""
    body = [
        [_tex(visible(result.name)), *(_tex_number(*cell) for cell in _cells(comparison, own))]
        for result, own in rows(comparison)
    ]
    text = _tabular([_tex(title) for title in ["", *_titles(comparison)]], body)
    if found := _differences(comparison):
        body = [
            [_tex(own.name), _tex(own.measure), _tex_number(*own[2:4]), f"${own.p}$"]
            for own in found
        ]
        text += f"\n{_tex(_from(comparison))}\n\n{_tabular(_DIFFERENCE_TITLES, body)}"
    return text


def _tabular(titles: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    head, *lines = (" & ".join(row) + " \\\\" for row in [titles, *body])
    columns = "l" + "r" * (len(titles) - 1)
    begin = ["\\begin{tabular}{" + columns + "}", "\\toprule", head, "\\midrule"]
    return "\n".join([*begin, *lines, "\\bottomrule", "\\end{tabular}", ""])


def _tex_number(number: str, interval: str) -> str:
    ends = interval.replace(", ", "$, $")
    return f"${number}$ {{\\footnotesize[${ends}$]}}" if ends else f"${number}$"


def _tex(text: str) -> str:
    special = {"\\": "\\textbackslash{}", "~": "\\textasciitilde{}", "^": "\\textasciicircum{}"}
    return "".join(special.get(c, f"\\{c}" if c in "&%$#_{}" else c) for c in text)


def _number(value: float, digits: int, scale: float, sign: str = "") -> str:
    return "-" if math.isnan(value) else f"{value * scale:{sign}.{digits}f}"


def written(text: str, path: str | Path | None) -> str:
    """Return a text, and write it to a file if one is named, whole or not at all."""
    if path is not None:
        write_whole(Path(path), text)
    return text


def numbers(comparison: "Comparison", width: int) -> list["RenderableType"]:
    """Return tables for a terminal: as many columns side by side as its width has room for.

    Args:
        comparison: what to show.
        width: of the terminal, in characters.
    """
    from rich.table import Table
    from rich.text import Text

    found = rows(comparison)
    names = [Text(visible(result.name)) for result, _ in found]
    by_row = [_cells(comparison, estimates) for _, estimates in found]
    columns = [(t, [row[i] for row in by_row]) for i, t in enumerate(_titles(comparison))]
    times = [result.seconds_per_token.mean for result, _ in found]
    if not all(map(math.isnan, times)):
        columns.append(("ms/token", [(_number(time, 1, 1000), "") for time in times]))
    first = min(max(map(len, names), default=0), max(12, width // 3))
    parts: list[list[Any]] = []
    left = 0
    for title, cells in columns:
        size = _GAP + max(len(title), *(len(line) for cell in cells for line in cell), 0)
        if not parts or left < size:
            parts.append([])
            left = width - first
        parts[-1].append((title, cells))
        left -= size
    tables: list[RenderableType] = []
    for part in parts:
        table = Table(box=None, padding=(0, _GAP, 0, 0), pad_edge=False, header_style="bold")
        table.add_column("", max_width=first, overflow="fold")
        for title, _ in part:
            table.add_column(title, justify="right", no_wrap=True)
        for i, name in enumerate(names):
            shown = [
                Text.assemble(cells[i][0], (f"\n{cells[i][1]}" if cells[i][1] else "", "dim"))
                for _, cells in part
            ]
            table.add_row(name, *shown)
        tables.append(table)
    return tables


def differences(comparison: "Comparison", width: int) -> list["RenderableType"]:
    """Return what differs from the baseline, for a terminal."""
    from rich.table import Table
    from rich.text import Text

    found = _differences(comparison)
    if not found:
        return []
    table = Table(box=None, padding=(0, _GAP, 0, 0), pad_edge=False, header_style="bold")
    wide = width >= 72
    for title in _DIFFERENCE_TITLES[: 1 + wide]:
        table.add_column(title, overflow="fold")
    for title in _DIFFERENCE_TITLES[2:]:
        table.add_column(title, justify="right")
    for own in found:
        shown = _joined(*own[2:4]) if wide else "\n".join(filter(None, own[2:4]))
        names = [Text(own.name), Text(own.measure)] if wide else [Text("\n".join(own[:2]))]
        table.add_row(*names, Text(shown, "bold" if own.clear else ""), own.p)
    return [table]


def side_by_side(results: Sequence["Result"], prompt: int) -> "RenderableType":
    """Return the texts of the first seed for one prompt, a column each, for a terminal."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.MINIMAL, expand=True, show_edge=False, pad_edge=False)
    shown = []
    for result in results:
        table.add_column(Text(visible(result.name), "bold"), ratio=1, overflow="fold")
        text = result.grid[prompt][0]
        known = text is not None and text.text is not None
        shown.append(Text(visible(text.text.strip("\n"), keep="\n\t") if known else "-"))  # type: ignore[union-attr]
    table.add_row(*shown)
    return table
