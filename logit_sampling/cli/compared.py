"""What `logit-sampling compare` prints of a comparison."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from logit_sampling.cli.process import say

if TYPE_CHECKING:
    from logit_sampling.evaluation import Comparison, Result

MIN_COLUMN = 24  # characters of a text; below that, lines of verse fall apart
GAP = 3  # " │ "
SHOWN = 8  # prompts whose texts are printed


def show(
    comparison: "Comparison",
    form: str,
    report: Path | None,
    about: dict[str, Any],
    next_tokens: Sequence[Mapping[str, Any]] = (),
) -> None:
    """Print it in a form, and write its report if one is asked for."""
    if form == "json":
        print(json.dumps(about | comparison.to_dict()))
    elif not comparison.results:
        if "interrupted" not in about:  # which is told already
            from logit_sampling.evaluation.legend import legend

            say(f"logit-sampling: {legend(comparison)}")
    elif form == "text":
        _print(comparison)
    else:
        forms = {"csv": comparison.to_csv, "markdown": comparison.to_markdown}
        print(forms.get(form, comparison.to_latex)(), end="")
    if report is not None and comparison.results:
        comparison.to_html(report, next_tokens=next_tokens)
        say(f"logit-sampling: the report is {report}")


def _print(comparison: "Comparison") -> None:
    from rich.console import Console
    from rich.rule import Rule
    from rich.text import Text

    from logit_sampling.evaluation import visible
    from logit_sampling.evaluation.tables import printed, side_by_side

    console = Console()
    for index, prompt in enumerate(comparison.prompts[:SHOWN]):
        console.print(Rule(Text(visible(str(prompt)), "bold"), align="left"))
        for row in _rows((*comparison.humans[:1], *comparison.results), console.width):
            console.print(side_by_side(row, index))
            console.print()
    if len(comparison.prompts) > SHOWN:
        more = len(comparison.prompts) - SHOWN
        console.print(Text(f"... and {more} prompts more: --report FILE.html shows them\n", "dim"))
    for part in printed(comparison, console.width):
        console.print(part)


def _rows(results: tuple["Result", ...], width: int) -> list[tuple["Result", ...]]:
    """Split into as few rows of columns as the width allows, each as long as the others."""
    fit = max(1, (width + GAP) // (MIN_COLUMN + GAP))
    rows = -(-len(results) // fit)
    size = -(-len(results) // rows)
    return [results[start : start + size] for start in range(0, len(results), size)]
