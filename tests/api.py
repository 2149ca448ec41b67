"""The public names and how each is called, as the source has them.

`python -m tests.api` says what differs from `tests/api.txt`, the last state that was told to users;
`python -m tests.api --write` records a new one, once the CHANGELOG has a line about it. The record
knows the newest notes too, and a test asks that they are these: one about something else, written
earlier, cannot stand for one about a change.
"""

import difflib
import hashlib
import re
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import griffe

from docs.reference_pages import names

ROOT = Path(__file__).parents[1]
RECORD = ROOT / "tests/api.txt"
CHANGELOG = ROOT / "CHANGELOG.md"


def lines() -> list[str]:
    """Return one line for each name of the reference: with parameters, if it has them."""
    package = griffe.load("logit_sampling", search_paths=[ROOT], allow_inspection=False)
    strategies = package["strategies"]
    found: list[str] = []
    for name in (name for part in names().values() for name in part):
        here = strategies if name in strategies.members else package
        found += _lines(name, here[name])
    return sorted(found)


def _lines(name: str, item: griffe.Object | griffe.Alias) -> Iterator[str]:
    item = item.final_target if isinstance(item, griffe.Alias) else item
    if isinstance(item, griffe.Class):
        made = item.parameters if "__init__" in item.all_members else ()
        yield f"{name}({_parameters(made)})"
        for own, member in item.members.items():
            if not own.startswith("_") or own == "__call__":
                yield from _lines(f"{name}.{own}", member)
    elif isinstance(item, griffe.Function) and "property" not in item.labels:
        yield f"{name}({_parameters(item.parameters)})"
    else:
        yield name


def _parameters(given: Iterable[griffe.Parameter]) -> str:
    """Return parameters as they are written, without their types.

    A name before "/" is one by position, and those behind "*" are given by name.
    """
    shown: list[str] = []
    named = False
    for p in given:
        if p.name in ("self", "cls"):
            continue
        if p.kind is griffe.ParameterKind.keyword_only and not named:
            shown, named = [*shown, "*"], True
        stars = {"variadic positional": "*", "variadic keyword": "**"}.get(p.kind.value, "")
        named |= stars == "*"
        only = "/" if p.kind is griffe.ParameterKind.positional_only else ""
        default = "" if p.default is None or stars else f"={p.default}"
        shown.append(re.sub(r"\s+", " ", f"{stars}{p.name}{only}{default}"))
    return ", ".join(shown)


def notes() -> str:
    """Return the digest of the newest section of the CHANGELOG."""
    newest = CHANGELOG.read_text(encoding="utf-8").split("\n## ")[1]
    return hashlib.sha256(newest.encode()).hexdigest()[:16]


def recorded() -> tuple[str, list[str]]:
    """Return the digest of the notes and the lines of the last record."""
    first, *rest = RECORD.read_text(encoding="utf-8").splitlines()
    return first.split()[-1], rest


def changes() -> list[str]:
    """Return what differs from the record, with - for what is no more and + for what is new."""
    found = difflib.ndiff(recorded()[1], lines())
    return [line for line in found if line[0] in "+-"]


def main() -> str | None:
    """Say what changed, or record it; return what is wrong."""
    changed = changes() if RECORD.exists() else []
    print("\n".join(changed) or "Nothing changed.")
    if "--write" not in sys.argv:
        return None
    if changed and recorded()[0] == notes():
        return "CHANGELOG.md tells nothing new: add a line to its newest section, then write."
    RECORD.write_text("\n".join([f"# CHANGELOG {notes()}", *lines(), ""]), encoding="utf-8")
    return None


if __name__ == "__main__":
    sys.exit(main())
