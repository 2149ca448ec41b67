"""An explanation as tables for a terminal."""

import io
import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np

from logit_sampling.explain.trace import Explanation, Token, entropy
from logit_sampling.plotting.visible import visible

if TYPE_CHECKING:
    from rich.console import Console, ConsoleOptions, RenderableType
    from rich.table import Table
    from rich.text import Text

_NAME = 30  # characters of a stage's name, so that all columns fit into 80
_ANY = 10_000  # columns of a terminal, in which every table fits


def as_text(explanation: Explanation) -> str:
    """Return the tables as plain text, as wide as the terminal."""
    from rich.console import Console

    console = Console(file=io.StringIO(), color_system=None, force_jupyter=False)
    with console.capture() as capture:
        console.print(explanation)
    return "\n".join(line.rstrip() for line in capture.get().rstrip("\n").split("\n"))


def tables(explanation: Explanation) -> "RenderableType":
    """Return the stages and the tokens, one table each."""
    from rich.console import Group
    from rich.text import Text

    made = [(table(explanation), table(explanation, narrow=True)) for table in (_stages, _tokens)]
    parts: list[RenderableType] = [_Fitting(*made[0]), Text(), _Fitting(*made[1])]
    for number, stage in enumerate(explanation.stages, 1):
        if stage.tokens_before > 0 == stage.tokens_after:
            problem = "leaves nothing to draw from: a draw raises ValueError"
            parts += [Text(), Text(f"{number} {kind(stage.name)} {problem}", "bold red")]
    return Group(*parts)


def short(name: str, width: int = _NAME) -> str:
    """Return a stage's name cut to `width` characters.

    >>> short("AllowTokens(token_ids=(1, 2, 3))", 20)
    'AllowTokens(token_i…'
    """
    return name if len(name) <= width else name[: width - 1] + "…"


def kind(name: str) -> str:
    """Return the class in a stage's name.

    >>> kind("TopK(k=50)"), kind("main.<locals>.Ban(token=(1, 2.5))")
    ('TopK', 'Ban')
    """
    return name.partition("(")[0].rpartition(".")[2]


def fate(token: Token, explanation: Explanation) -> str:
    """Return what happened to a token, in a few words."""
    if token.removed_by is not None:
        return (
            f"{token.removed_by + 1} {kind(explanation.stages[token.removed_by].name)} removed it"
        )
    if token.final_log_prob == -math.inf:
        return "was at -inf"
    return "drawn" if token.id == explanation.drawn else "stays"


def percent(share: float) -> str:
    """Return a share of the mass, such that only nothing reads as 0 and only all as 100%.

    >>> percent(0.0), percent(0.25), percent(0.00012), percent(1e-9), percent(0.99999999)
    ('0', '25.0%', '0.012%', '1e-07%', '>99.9%')
    """
    if share <= 0:
        return "0"
    if share >= 0.9995:
        return "100%" if share >= 1 - 1e-12 else ">99.9%"
    return f"{share:.1%}" if share >= 0.001 else f"{100 * share:.2g}%"


class _Fitting:
    """A table as wide as there is room: a number is shown whole, or its column left out.

    Args:
        wide: the table with all columns.
        narrow: the one where that does not fit; its texts are cut, and its numbers are not.
    """

    def __init__(self, wide: "Table", narrow: "Table") -> None:
        self._tables = wide, narrow

    def __rich_console__(
        self, console: "Console", options: "ConsoleOptions"
    ) -> "Iterator[RenderableType]":
        from rich.measure import Measurement

        wide, narrow = self._tables
        needed = Measurement.get(console, options.update_width(_ANY), wide).maximum
        yield wide if needed <= options.max_width else narrow


def _table(*columns: str) -> "Table":
    """Return a table without rows; behind > is a column of numbers."""
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    for column in columns:
        name, _, number = column.partition(">")
        table.add_column(name, justify="right" if number else "left", no_wrap=bool(number))
    return table


def _cell(text: str, style: str = "") -> "Text":
    """Return a text that is cut where its column has to be."""
    from rich.text import Text

    return Text(text, style, no_wrap=True, overflow="ellipsis")


def _stages(explanation: Explanation, narrow: bool = False) -> "Table":
    raw = explanation.raw_log_probs
    if narrow or not explanation.stages:
        table = _table("stage", "tokens>r", *["removed>r"] * bool(explanation.stages), "nats>r")
    else:
        table = _table("stage", "tokens>r", "removed>r", "mass removed>r", "entropy, nats>r")
    there = f"{int((raw > -np.inf).sum()):,}"
    empty = [""] * (len(table.columns) - 3)
    table.add_row("  the logits", there, *empty, f"{entropy(raw):.3f}")
    for number, stage in enumerate(explanation.stages, 1):
        cells = [f"{stage.tokens_after:,}", f"{stage.removed:,}", percent(stage.removed_mass)]
        if narrow:
            del cells[1]
        name = _cell(f"{number} {short(stage.name)}")
        table.add_row(name, *cells, f"{stage.entropy_after:.3f}")
    return table


def _tokens(explanation: Explanation, narrow: bool = False) -> "Table":
    named = any(token.text is not None for token in explanation.tokens)

    def row(text: str, number: str, before: Sequence[str], after: Sequence[str], end: str) -> list:
        """The cells of a row; what nothing was done to has no second half."""
        skip = 1 if narrow else 0
        half = [*after[skip:], end] if explanation.stages else [end.removesuffix("stays")]
        return [*[text] * named, number, *before[skip:], *half]

    table = _table(*row("token", "id>r", ["raw ln p>r", "p>r"], ["final ln p>r", "p>r"], ""))
    for token in explanation.tokens:
        raw, final = (
            [f"{p:.3f}", percent(math.exp(p))] for p in (token.raw_log_prob, token.final_log_prob)
        )
        gone = token.final_log_prob == -math.inf
        style = "bold" if token.id == explanation.drawn else "dim" if gone else ""
        end = fate(token, explanation)
        end = end.removesuffix(" removed it") if narrow else end
        cells = row(_quoted(token.text or ""), str(token.id), raw, final, end)
        table.add_row(*(_cell(cell, style) for cell in cells))
    if others := explanation.raw_log_probs.size - len(explanation.tokens):
        ids = [token.id for token in explanation.tokens]
        arrays = (explanation.raw_log_probs, explanation.final_log_probs)
        before, after = (["", percent(float(np.exp(np.delete(p, ids)).sum()))] for p in arrays)
        name = f"{others:,} others"
        table.add_row(*row(name, "" if named else name, before, after, ""))
    return table


def _quoted(text: str) -> str:
    """Return a token's text such that its spaces can be seen."""
    return visible(text).replace(" ", "␣")
