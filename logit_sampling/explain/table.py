"""An explanation as tables for a terminal."""

import io
import math
from typing import TYPE_CHECKING

import numpy as np

from logit_sampling.explain.trace import Explanation, Token, entropy
from logit_sampling.plotting.visible import visible

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

_NAME = 30  # characters of a stage's name, so that all columns fit into 80


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

    parts: list[RenderableType] = [_stages(explanation), Text(), _tokens(explanation)]
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


def _table(*columns: str) -> "Table":
    from rich.table import Table

    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    for column in columns:
        name, _, justify = column.partition(">")
        table.add_column(name, justify="right" if justify else "left", no_wrap=True)
    return table


def _stages(explanation: Explanation) -> "Table":
    from rich.text import Text

    table = _table("stage", "tokens>r", "removed>r", "mass removed>r", "entropy, nats>r")
    raw = explanation.raw_log_probs
    there = int((raw > -np.inf).sum())
    table.add_row("  the logits", f"{there:,}", "", "", f"{entropy(raw):.3f}")
    for number, stage in enumerate(explanation.stages, 1):
        table.add_row(
            Text(f"{number} {short(stage.name)}"),
            f"{stage.tokens_after:,}",
            f"{stage.removed:,}",
            percent(stage.removed_mass),
            f"{stage.entropy_after:.3f}",
        )
    return table


def _tokens(explanation: Explanation) -> "Table":
    from rich.text import Text

    texts = [] if all(token.text is None for token in explanation.tokens) else ["token"]
    table = _table(*texts, "id>r", "raw ln p>r", "p>r", "final ln p>r", "p>r", "")
    for token in explanation.tokens:
        raw, final = token.raw_log_prob, token.final_log_prob
        style = "bold" if token.id == explanation.drawn else "dim" if final == -math.inf else ""
        cells = [_quoted(token.text or "")] if texts else []
        cells += [str(token.id), f"{raw:.3f}", percent(math.exp(raw))]
        cells += [f"{final:.3f}", percent(math.exp(final)), fate(token, explanation)]
        table.add_row(*(Text(cell, style) for cell in cells))
    others = explanation.raw_log_probs.size - len(explanation.tokens)
    if others:
        ids = [token.id for token in explanation.tokens]
        arrays = (explanation.raw_log_probs, explanation.final_log_probs)
        raw, final = (float(np.exp(np.delete(p, ids)).sum()) for p in arrays)
        name = [f"{others:,} others", ""] if texts else [f"{others:,} others"]
        table.add_row(*name, "", percent(raw), "", percent(final), "")
    return table


def _quoted(text: str) -> str:
    """Return a token's text such that its spaces can be seen."""
    return visible(text).replace(" ", "␣")
