"""Tables for notebooks."""

import html
from collections.abc import Iterator, Sequence

from logit_sampling.plotting.visible import visible

MOST = 100
"""Rows that a table shows: a notebook keeps all of them in its file."""


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Return a table in HTML, in which all text is text, whatever a model wrote.

    Args:
        title: what it is of.
        columns: their names.
        rows: their cells: text with its line breaks, or numbers, which end at the right.

    >>> table("two", ["a", "b"], [["<1>", 2]]).count("&lt;1&gt;")
    1
    """
    lines = [f"<table><caption>{_escaped(title)}</caption>"]
    lines += ["<tr>", *(f"<th>{_escaped(name)}</th>" for name in columns), "</tr>"]
    lines += [f"<tr>{''.join(_cells(row))}</tr>" for row in rows[:MOST]]
    if (more := len(rows) - MOST) > 0:
        lines.append(f"<tr><td colspan={len(columns)}>… and {more:,} more</td></tr>")
    return "".join([*lines, "</table>"])


def _cells(row: Sequence[object]) -> Iterator[str]:
    for cell in row:
        style = "left; white-space: pre-wrap" if isinstance(cell, str) else "right"
        yield f'<td style="text-align: {style}">{_escaped(str(cell))}</td>'


def _escaped(text: str) -> str:
    return html.escape(visible(text, keep="\n\t"))
