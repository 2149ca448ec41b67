"""The command `logit-sampling samplers`: what strategies there are, and what each does."""

import itertools
import json
import re
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table
    from rich.text import Text

    from logit_sampling.catalogue import Entry, Parameter


_CODE = re.compile(r"`(.+?)`")
_STATE = re.compile(r"The state is .*", re.DOTALL)  # for whoever carries it from step to step
_RANGE = re.compile(  # in words, which stands before them in numbers
    r"(an? (finite )?(number|integer)|at least|above)\b((?!None|;).)*, or one for each row[\s,;.]*"
)


def samplers(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="Explain this one, with a worked example.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead.")] = False,
) -> None:
    """List the strategies with their parameters, ranges and sources, or explain one."""
    from logit_sampling.catalogue import entries, find

    chosen = entries() if name is None else [find(name)]
    if as_json:
        data = [entry.to_dict() for entry in chosen]
        print(json.dumps(data if name is None else data[0] | {"example": _example_data(chosen[0])}))
        return
    from rich.console import Console

    console = Console(highlight=False)
    console.print(_list(chosen) if name is None else _page(chosen[0]))


def _list(entries: list["Entry"]) -> "RenderableType":
    """All strategies under the headings of their groups."""
    from rich.console import Group
    from rich.padding import Padding
    from rich.text import Text

    parts: list[RenderableType] = []
    for group, members in itertools.groupby(entries, key=lambda entry: entry.group):
        parts.append(Text(group.upper(), "bold"))
        for entry in members:
            facts: list[RenderableType] = [_prose(entry.summary)]
            facts += [_parameters(entry.parameters)] if entry.parameters else []
            facts += [_prose(f"(setting: {name})") for name in _switches(entry)]
            facts += [_prose(entry.source, "dim")] if entry.source else []
            parts.append(Text(f"  {entry.name}", "bold cyan"))
            parts.append(Padding(Group(*facts), (0, 0, 0, 6)))
        parts.append(Text())
    parts.append(
        Text(
            "In Python a class takes its parameters: MinP(p=0.1). --sampler, servers and "
            "Sampler.from_params take settings: min_p=0.1. Every number may also be an array with "
            "one for each row. `logit-sampling samplers NAME` explains one."
        )
    )
    return Group(*parts)


def _parameters(parameters: tuple["Parameter", ...]) -> "Table":
    """A line for each: its name, default and setting, and what it may be."""
    from rich.table import Table

    table = Table.grid(padding=(0, 2))
    for p in parameters:
        written = p.name if p.default is None else f"{p.name} = {p.default}"
        written += f" (setting: {p.known_as[0]})" if p.known_as else ""
        table.add_row(written, p.range or _prose(p.text))
    return table


def _page(entry: "Entry") -> "RenderableType":
    """One strategy: its documentation and a worked example."""
    from rich.console import Group
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    written = ", ".join(p.name + (f"={p.default}" if p.default else "") for p in entry.parameters)
    parts: list[RenderableType] = [
        Text.assemble((entry.name, "bold cyan"), f"({written})", (f"  {entry.group}", "dim")),
        _prose(entry.summary),
    ]
    for paragraph in entry.details.split("\n\n"):
        if shown := " ".join(_STATE.sub("", paragraph).split()):
            parts += [Text(), _prose(shown)]
    facts = Table.grid(padding=(0, 2))
    for p in entry.parameters:
        text = _RANGE.sub("", p.text) if p.range else p.text
        setting = f"setting: {', '.join(p.known_as)}" if p.known_as else ""
        told = [part for part in (p.range, text.rstrip(" ,;."), setting) if part]
        facts.add_row(Text(p.name, "bold"), _prose("; ".join(told)))
    rows = [("raises", entry.raises), ("source", entry.source)]
    rows += [("setting", ", ".join(_switches(entry))), ("also in", ", ".join(entry.systems))]
    for title, text in rows:
        if text:
            facts.add_row(Text(title, "dim"), _prose(text))
    return Group(*parts, Text(), Padding(facts, (0, 0, 0, 2)), Text(), *_example(entry))


def _switches(entry: "Entry") -> list[str]:
    """The settings that switch it on and are no parameter of its own."""
    named = {name for p in entry.parameters for name in p.known_as}
    return [name for name in entry.known_as if name not in named]


def _example(entry: "Entry") -> list["RenderableType"]:
    """What it makes of a small distribution."""
    from rich.text import Text

    from logit_sampling.catalogue import ROW, worked

    try:
        made, history, explanation = worked(entry.name)
    except ValueError as error:  # what it needs is not installed
        return [Text(f"no worked example: {error}", "dim")]
    after = f" after the tokens {', '.join(map(str, history))}" if history else ""
    heading = f"Worked example: {made} on p = {ROW}{after}"
    return [Text(heading, "bold"), Text(), explanation]


def _example_data(entry: "Entry") -> dict[str, Any] | None:
    from logit_sampling.catalogue import ROW, worked

    try:
        made, history, explanation = worked(entry.name)
    except ValueError:
        return None
    about = {"transform": made, "probabilities": ROW, "history": history}
    return about | {"explanation": explanation.to_dict()}


def _prose(text: str, style: str = "") -> "Text":
    """The text of a docstring: what is between backquotes in colour, without them."""
    from rich.text import Text

    shown = Text(style=style)
    for i, part in enumerate(_CODE.split(text)):
        if part:
            shown.append(part, "cyan" if i % 2 else "")
    return shown
