"""A page for each strategy, from its file: `write(folder)` makes them, with their pictures.

What the code can tell is asked of it: parameters and ranges, the code of the formula, the example,
the edge cases (which are run), what it does to rows of the shipped model. Formulas are in
`formulas.py`, and what others do differently is in `peers.md`.
"""

import dataclasses
import functools
import inspect
import itertools
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

import logit_sampling as ls
from docs.formulas import BESIDES, FORMULAS, LETTERS, SYMBOLS
from docs.pictures import PICTURED, Place, draw, places
from logit_sampling import catalogue
from logit_sampling.catalogue import Entry
from logit_sampling.explain import name_of
from logit_sampling.strategies.table import TABLE

DOCS = Path(__file__).parent
entries = functools.cache(catalogue.entries)

_EDGES = {
    "all are equal": [0.0, 0.0, 0.0, 0.0],
    "two share the first place": [2.0, 2.0, 1.0, 0.0],
    "a token is removed before": [2.0, -np.inf, 1.0, 0.0],
    "one token is left": [-np.inf, 1.0, -np.inf, -np.inf],
    "a logit is +inf": [1.0, np.inf, 0.0, 0.0],
    "nothing is left": [-np.inf] * 4,
}


def edges(name: str) -> Iterator[str]:
    """Run a strategy on rows at the edge, and yield a line of a table for each."""
    made, history = _example(name)
    sampler = made if isinstance(made, ls.Sampler) else ls.Sampler(made)
    yield "| row | logits | probabilities of the draw |\n| --- | --- | --- |"
    for case, row in _EDGES.items():
        given = {"history": list(history)} if history else {}
        try:
            left = ", ".join(f"{p:.3g}" for p in sampler.probabilities(np.array(row), **given))
        except ValueError as error:
            left = f"`ValueError`: {error}"
        yield f"| {case} | {_row(row)} | {left} |"


def _row(row: list[float]) -> str:
    return ", ".join(f"{x:g}" for x in row).replace("-inf", "\N{MINUS SIGN}inf")


def _example(name: str) -> tuple[Any, tuple[int, ...]]:
    """Return the strategy with the parameters of its worked example, and the tokens before."""
    if name == "Greedy":
        return ls.Greedy(), ()
    (row,) = (row for row in TABLE if row.name == name)
    return getattr(ls, name)(**row.arguments()), catalogue.worked(name)[1]


def file_name(name: str) -> str:
    """Return the name of its page, which is that of its module."""
    return next((row.module for row in TABLE if row.name == name), "greedy")


def write(folder: Path) -> None:
    """Write all pages, their index and their pictures."""
    folder.mkdir(exist_ok=True)
    model = ls.load_model("shakespeare")
    at = places(model)
    for entry in entries():
        stem = file_name(entry.name)
        draw(entry.name, at, folder / f"{stem}.svg")
        (folder / f"{stem}.md").write_text(page(entry, at), encoding="utf-8")
    (folder / "index.md").write_text(index(), encoding="utf-8")


def index() -> str:
    """Return the page that lists all."""
    lines = [
        "# Strategies",
        "",
        "Each takes a row of logits and gives one back; a chain (`ls.Sampler`) applies them from "
        "left to right, in any order. Each page has the formula, what it does to three rows of the "
        "shipped model, its edge cases, what other systems do differently, and its source.",
        "",
    ]
    for group, members in itertools.groupby(entries(), key=lambda entry: entry.group):
        lines += [f"## {group.capitalize()}", "", "| strategy | what it does | elsewhere |"]
        lines += ["| --- | --- | --- |"]
        for own in members:
            known = ", ".join(f"`{name}`" for name in own.known_as)
            lines += [f"| [{own.name}]({file_name(own.name)}.md) | {own.summary} | {known} |"]
        lines += [""]
    toc = "\n".join(file_name(entry.name) for entry in entries())
    return "\n".join([*lines, f"```{{toctree}}\n:hidden:\n{toc}\n```\n"])


def page(entry: Entry, at: list[Place]) -> str:
    """Return the page of one strategy."""
    name, stem = entry.name, file_name(entry.name)
    details = [part for part in entry.details.split("\n\n") if not part.startswith("The state is")]
    parts = [f"# {name}", entry.summary, *details]
    parts += ["## Formula", *(f"$$\n{line}\n$$" for line in lines(FORMULAS[name]))]
    named = [f"${symbol}$ is `{own}`" for symbol, own in SYMBOLS.get(name, {}).items()]
    parts += [f"{', '.join(named)}."] if named else []
    parts += [BESIDES[name]] if name in BESIDES else []
    parts += [_letters(name)]
    if code := formula_code(name):
        parts += ["The same as the tests have it, one row in float64:", f"```python\n{code}\n```"]
    parts += ["## What it does to three rows", _pictures(name, stem, at)]
    if entry.parameters:
        parts += ["## Parameters", "\n".join(_parameters(entry))]
    if entry.raises:
        parts += [f"`ValueError`: {entry.raises}"]
    cls = getattr(ls, name)
    parts += [f"The class in the reference: {{py:class}}`logit_sampling.{name}`."]
    parts += ["## Example", f"```python\n{_doctest(cls)}\n```"]
    made, history = _example(name)
    behind = f" behind the tokens {', '.join(map(str, history))}" if history else ""
    parts += ["## Edge cases", f"Run for `{name_of(made)}`{behind}:", "\n".join(edges(name))]
    parts += ["## Other systems", *_elsewhere(entry)]
    if entry.source:
        parts += ["## Source", _linked(entry.source)]
    return "\n\n".join(parts) + "\n"


def lines(formula: str) -> list[str]:
    """Return the equations of a formula, each on a line of its own: a phone is narrow."""
    return re.split(r",\s*\\q?quad\s*", formula)


def formula_code(name: str) -> str:
    """Return the code of the method `formula`, or nothing where there is none."""
    formula = getattr(getattr(ls, name), "formula", None)
    return "" if formula is None else textwrap.dedent(inspect.getsource(formula)).strip()


def _pictures(name: str, stem: str, at: list[Place]) -> str:
    about = PICTURED[name][1]
    words = f"`{_written(name, at[0])}` on three rows of the shipped model, one "
    words += "where it is rather sure, one in between, and one where much may follow"
    words += f"; {about}." if about else "."
    alt = f"Probabilities of the likeliest tokens before and after {name}, on three rows"
    return (
        f"![{alt}]({stem}.svg){{.only-light}}\n![{alt}]({stem}-dark.svg){{.only-dark}}\n\n{words} "
        "The wide bars are what the model said, the narrow ones what is drawn from; a cross is a "
        "token that was removed."
    )


def _written(name: str, at: Place) -> str:
    """Return what is pictured, as Python: what differs from place to place as an ellipsis."""
    if name == "Greedy":
        return "Greedy()"
    made = PICTURED[name][0](at)
    parts = []
    for field in dataclasses.fields(made):
        value = getattr(made, field.name)
        if field.init and value != field.default:
            plain = isinstance(value, int | float) and field.name != "end_ids"
            parts += [f"{field.name}={value if plain else '...'}"]
    return f"{name}({', '.join(parts)})"


def _parameters(entry: Entry) -> Iterator[str]:
    yield "| parameter | range | default | meaning | elsewhere |\n| --- | --- | --- | --- | --- |"
    for own in entry.parameters:
        default = "" if own.default is None else f"`{own.default}`"
        known = ", ".join(f"`{name}`" for name in own.known_as)
        text = own.text.replace("|", r"\|")
        yield f"| `{own.name}` | {own.range} | {default} | {text} | {known} |"


def _doctest(cls: type) -> str:
    doc = inspect.getdoc(cls) or ""
    example = doc.partition("Example:\n")[2]
    return textwrap.dedent(re.split(r"^\S", example, flags=re.MULTILINE)[0]).strip()


def _linked(source: str) -> str:
    source = re.sub(r"arXiv (\d{4}\.\d{5})", r"[arXiv \1](https://arxiv.org/abs/\1)", source)
    return re.sub(r"(?<!\()(https://[^\s:,]+(?<!\.))", r"<\1>", source)


def _elsewhere(entry: Entry) -> list[str]:
    """What `peers.md` has of it: its names in other systems, and the differences."""
    parts: list[str] = []
    text = (DOCS / "peers.md").read_text(encoding="utf-8")
    text = re.sub(r"\]\((?!https?:|#)", "](../", text).replace("](#", "](../peers.md#")
    tables = list(_tables(text))
    for _, head, rows in tables:
        if "class" in head[:1]:
            own = [row for row in rows if f"`{entry.name}`" in row[0] or _greedy(entry, row[0])]
            if own:
                parts += ["Its names there, with the place in the chain of that system:"]
                parts += ["\n".join(_table(head[1:], [row[1:] for row in own]))]
    for heading, head, rows in tables:
        if "ours" in [cell.strip() for cell in head]:
            own = [row for row in rows if _is_about(entry, row[0])]
            if own:
                parts += [f"Differences from {heading}:", "\n".join(_table(head, own))]
    for heading, items in _lists(text.partition("## The table")[2]):
        own_items = [item for item in items if _is_about(entry, item)]
        if own_items:
            parts += [f"{heading}:", "\n".join(f"- {item}" for item in own_items)]
    parts += ["All systems and all differences: [Other systems](../peers.md)."]
    return parts


def _greedy(entry: Entry, cell: str) -> bool:
    return entry.name == "Greedy" and "Temperature(0)" in cell


def _letters(name: str) -> str:
    """Say what the letters of its formula mean, as far as they are no parameters."""
    formula = re.sub(r"\\text\{[^}]*\}", "", FORMULAS[name])
    taken = SYMBOLS.get(name, {})
    used = [
        words
        for letter, words in LETTERS.items()
        if letter not in taken
        and (letter, name) != ("c_i", "Guidance")
        and re.search(rf"(?<![\\a-zA-Z]){re.escape(letter)}(?![a-zA-Z])", formula)
    ]
    told = f"{', '.join(used)}. " if used else ""
    kept = "A token that is not kept gets $-\\infty$." if "keep" in FORMULAS[name] else ""
    kept = "A token that is removed gets $-\\infty$." if "remove" in FORMULAS[name] else kept
    return told + kept


def _is_about(entry: Entry, difference: str) -> bool:
    """Tell whether a difference, by its first words, is one of this strategy."""
    words = re.sub(r"(?<!^)(?=[A-Z][a-z]|(?<=[a-z])[A-Z])", "-", entry.name).lower()
    names = {words, words.replace("-", " "), *entry.known_as, entry.name, entry.name.lower()}
    names |= {name for own in entry.parameters for name in own.known_as} - _switches(entry)
    found = re.escape
    return any(re.search(rf"(?<![\w-]){found(name)}(?![\w-])", difference, re.I) for name in names)


def _switches(entry: Entry) -> set[str]:
    """The names that switch on other strategies."""
    others = [own for own in entries() if own.name != entry.name]
    return {name for own in others for name in own.known_as} - {*entry.known_as}


def _table(head: list[str], rows: list[list[str]]) -> Iterator[str]:
    yield f"| {' | '.join(head)} |"
    yield f"|{' --- |' * len(head)}"
    yield from (f"| {' | '.join(row)} |" for row in rows)


def _lists(text: str) -> Iterator[tuple[str, list[str]]]:
    """Yield the lists of a page: the heading above, and the items."""
    heading = ""
    for block in re.split(r"\n\s*\n", text):
        if block.startswith("#"):
            heading, _, block = block.lstrip("# ").partition("\n")
        if block.startswith("- "):
            items = re.split(r"^- ", block, flags=re.MULTILINE)[1:]
            yield heading, [" ".join(item.split()) for item in items]


def _tables(text: str) -> Iterator[tuple[str, list[str], list[list[str]]]]:
    """Yield the tables of a page: the heading above, the head, and the rows."""
    heading = ""
    for block in re.split(r"\n\s*\n", text):
        if block.startswith("#"):
            heading, _, block = block.lstrip("# ").partition("\n")
        if block.startswith("|"):
            head, _, *rows = (
                [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
                for line in block.strip().splitlines()
            )
            yield heading, head, rows
