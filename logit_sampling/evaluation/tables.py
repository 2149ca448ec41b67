"""The numbers of a comparison as tables: for terminals, notebooks, papers and other programs."""

import csv
import html
import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from logit_sampling.evaluation.intervals import UNITS, Estimate
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


def text_of(comparison: "Comparison", width: int = 100) -> str:
    """Return the table as plain text."""
    from rich.console import Console

    file = io.StringIO()
    console = Console(file=file, width=width)
    for part in numbers(comparison, width):
        console.print(part)
    return "\n".join(line.rstrip() for line in file.getvalue().splitlines())


def html_of(comparison: "Comparison") -> str:
    """Return the table as HTML, for a notebook."""
    shown = [
        [result.name, *("\n".join(filter(None, cell)) for cell in _cells(comparison, estimates))]
        for result, estimates in rows(comparison)
    ]
    told = notebook.table(repr(comparison)[1:-1], ["", *_titles(comparison)], shown)
    return f"{told}<p>{html.escape(visible(legend(comparison)))}</p>"


def records(comparison: "Comparison") -> list[dict[str, Any]]:
    """Return a flat dict for each result: name, settings, numbers and ends of intervals."""
    found = []
    for result, estimates in rows(comparison):
        row: dict[str, Any] = {
            "name": result.name,
            "model": result.model,
            "sampler": result.sampler,
            **result.settings,
        }
        for name, estimate in zip(comparison.measures, estimates, strict=True):
            name = name.replace("-", "_")
            row |= {
                name: None if math.isnan(estimate.mean) else estimate.mean,
                f"{name}_low": estimate.low,
                f"{name}_high": estimate.high,
            }
        time = result.seconds_per_token.mean
        found.append(row | {"seconds_per_token": None if math.isnan(time) else time})
    return found


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
    """Return the table in Markdown."""
    lines = [
        "| " + " | ".join(["", *_titles(comparison)]) + " |",
        "| --- |" + " ---: |" * len(comparison.measures),
    ]
    for result, estimates in rows(comparison):
        cells = [
            f"{shown} [{interval}]" if interval else shown
            for shown, interval in _cells(comparison, estimates)
        ]
        name = visible(result.name).replace("|", "\\|")
        lines.append("| " + " | ".join([name, *cells]) + " |")
    return "\n".join(lines) + "\n"


def latex_of(comparison: "Comparison") -> str:
    """Return the table in LaTeX; it needs the package booktabs."""
    lines = [
        "\\begin{tabular}{l" + "r" * len(comparison.measures) + "}",
        "\\toprule",
        " & ".join(["", *map(_tex, _titles(comparison))]) + " \\\\",
        "\\midrule",
    ]
    for result, estimates in rows(comparison):
        cells = [
            f"${shown}$ {{\\footnotesize[${interval.replace(', ', '$, $')}$]}}"
            if interval
            else f"${shown}$"
            for shown, interval in _cells(comparison, estimates)
        ]
        lines.append(" & ".join([_tex(visible(result.name)), *cells]) + " \\\\")
    return "\n".join([*lines, "\\bottomrule", "\\end{tabular}", ""])


def _tex(text: str) -> str:
    special = {"\\": "\\textbackslash{}", "~": "\\textasciitilde{}", "^": "\\textasciicircum{}"}
    return "".join(special.get(c, f"\\{c}" if c in "&%$#_{}" else c) for c in text)


def _number(value: float, digits: int, scale: float) -> str:
    return "-" if math.isnan(value) else f"{value * scale:.{digits}f}"


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

    found = comparison.differences()
    if not found:
        return []
    table = Table(box=None, padding=(0, _GAP, 0, 0), pad_edge=False, header_style="bold")
    wide = width >= 72
    for title in ("", "measure") if wide else ("",):
        table.add_column(title, overflow="fold")
    for title in ("difference", "p"):
        table.add_column(title, justify="right")
    for own in found:
        about = comparison.measure(own.measure)
        sign = f"{own.estimate.mean * about.scale:+.{about.digits}f}"
        interval = own.estimate.interval(about.digits, about.scale)
        p = (
            "-"
            if own.corrected is None
            else f"{own.corrected:.3f}"
            if own.corrected >= 1e-3
            else "<0.001"
        )
        shown = f"{sign} [{interval}]" if wide and interval else f"{sign}\n{interval}".rstrip()
        known = own.corrected is not None and own.corrected < 0.05
        names = [visible(own.name), about.title]
        table.add_row(
            *(names if wide else [Text("\n".join(names))]),
            Text(shown, "bold" if known else ""),
            p,
        )
    return [table]


def legend(comparison: "Comparison") -> str:
    """Return what a reader must know of the numbers."""
    results = comparison.results
    if not results:
        return "No sampler has all of its texts."
    prompts, seeds = len(comparison.prompt_ids), len(comparison.seeds)
    draws = [r for r in results if len(r.grid[0]) == seeds and r.texts[0].run is not None]
    lines = [
        f"{prompts} {'prompt' if prompts == 1 else 'prompts'}"
        + (f", {seeds} {'text' if seeds == 1 else 'texts'} each" if draws else "")
        + (
            ", one from greedy and searches"
            if draws and len(draws) < len(results) and seeds > 1
            else ""
        )
        + f", {'at most ' if comparison.setting['stop_at_end'] else ''}{comparison.tokens} tokens a"
        + (" text." if comparison.setting["stop_at_end"] else " text, end tokens ignored.")
    ]
    known = [e for _, estimates in rows(comparison) for e in estimates if e.low is not None]
    if any(estimate.over == "prompts" for estimate in known):
        lines.append("Under a number its 95 % interval, over prompts such as these.")
    elif known:
        lines.append("Under a number its 95 % interval, over draws for these prompts alone.")
    else:
        lines.append(f"No intervals: they take {UNITS} prompts, or {UNITS} texts.")
    failed = {result.name: result.failed for result in results if result.failed}
    if failed:
        told = ", ".join(f"{count} of {name}" for name, count in failed.items())
        lines.append(f"Texts that failed, and count for nothing: {told}.")
    for human in comparison.humans[:1]:
        theirs = [row[0] for row in human.grid if row[0] is not None]
        short = sum(len(text.token_ids) < comparison.tokens for text in theirs)
        if short or len(theirs) < prompts:
            lines.append(
                f"Human texts: of {len(theirs)} of {prompts} prompts, {short} of them shorter than "
                f"{comparison.tokens} tokens, which many of these numbers depend on."
            )
    asked = len(comparison.setting["prompts"])
    if prompts < asked:
        lines.append(f"Not all texts are written: {prompts} of {asked} prompts.")
    lines += [f"{(m := comparison.measure(n)).title}: {m.meaning}." for n in comparison.measures]
    return " ".join(lines)


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
