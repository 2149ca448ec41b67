"""The command `logit-sampling certify`: the samplers of a library, a row each, a cell a rule."""

import contextlib
import datetime
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from logit_sampling.testing.peers import Peer
    from logit_sampling.testing.peers.case import Case
    from logit_sampling.testing.report import Report

    Found = list[tuple[Case, Report]]


def certify(
    peer: Annotated[
        str | None, typer.Argument(metavar="PEER", help="A library; none lists them all.")
    ] = None,
    draws: Annotated[int, typer.Option(min=100, help="Draws for each row of logits.")] = 10_000,
    only: Annotated[
        str | None, typer.Option(help="Samplers whose name holds this text alone.")
    ] = None,
    quick: Annotated[
        bool,
        typer.Option("--quick", help="Single draws: no wide vocabulary and no types but float32."),
    ] = False,
    write: Annotated[
        Path | None,
        typer.Option(help="Put the table into this Markdown file, between its marks of the peer."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print all reports as JSON.")] = False,
) -> None:
    """Tell whether the samplers of a library draw what they say, rule by rule.

    The exit status is 1 if a check failed.
    """
    from logit_sampling.testing.peers import PEERS

    if peer is None:
        if write is not None or only is not None:
            raise ValueError("--write and --only need a PEER")
        _list(list(PEERS.values()), as_json)
        return
    if peer not in PEERS:
        raise ValueError(f"there is no peer {peer!r}; there are {', '.join(PEERS)}")
    if write is not None:
        _marks(write, peer)  # before the work, so that an error comes at once
    with contextlib.redirect_stdout(sys.stderr):  # what a library prints is no result
        cases = [case for case in PEERS[peer].cases() if only is None or only in case.name]
        if not cases:
            raise ValueError(f"no sampler of {peer} has {only!r} in its name")
        found = [(case, case.report(draws=draws, **_smaller(case, quick))) for case in cases]
    about = {
        "peer": peer,
        "versions": PEERS[peer].versions(),
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "draws": draws,
        "quick": quick,
    }
    if write is not None:
        before, after = _marks(write, peer)
        text = f"{before}\n\n{_markdown(about, found)}\n\n{after}"
        write.write_text(text, encoding="utf-8")
    if as_json:
        samplers = [
            {"sampler": case.name, "kind": case.kind, "cells": _cells(report)} | report.to_dict()
            for case, report in found
        ]
        print(json.dumps(about | {"samplers": samplers}))
    else:
        _show(about, found)
    if not all(report.ok for _, report in found):
        raise typer.Exit(1)


def _smaller(case: "Case", quick: bool) -> dict[str, Any]:
    return {"wide_vocab_size": None, "dtypes": ()} if quick and case.kind == "one draw" else {}


def _cells(report: "Report") -> dict[str, str]:
    from logit_sampling.testing.peers.case import cells

    return cells(report)


def _list(peers: "list[Peer]", as_json: bool) -> None:
    """All peers, and whether each is installed."""
    if as_json:
        known = [
            {
                "peer": p.name,
                "versions": p.versions() if p.installed else None,
                "install": p.install,
            }
            for p in peers
        ]
        print(json.dumps(known))
        return
    for peer in peers:
        versions = ", ".join(f"{name} {number}" for name, number in peer.versions().items())
        print(f"{peer.name:15} {versions if peer.installed else f'not installed: {peer.install}'}")


def _marks(file: Path, peer: str) -> tuple[str, str]:
    """Return what stands before the place of a peer's table, its mark included, and behind it."""
    text = file.read_text(encoding="utf-8")
    begin, end = f"<!-- certify {peer} -->", "<!-- end -->"
    before, mark, rest = text.partition(begin)
    _, close, after = rest.partition(end)
    if not mark or not close:
        raise ValueError(f"{file} has no lines {begin} and {end}, between which the table would go")
    return before + begin, end + after


def _title(about: dict[str, Any]) -> str:
    versions = ", ".join(f"{name} {number}" for name, number in about["versions"].items())
    return f"{versions}; {about['draws']:,} draws a row, {about['date']}"


def _markdown(about: dict[str, Any], found: "Found") -> str:
    """The table, and below it what each failed rule showed first."""
    from logit_sampling.testing.peers.case import RULES

    command = f"logit-sampling certify {about['peer']} --draws {about['draws']}"
    lines = [f"`{command}{' --quick' * about['quick']}`: {_title(about)}.", ""]
    lines += ["| sampler | checked as | " + " | ".join(RULES) + " |"]
    lines += ["| --- " * (len(RULES) + 2) + "|"]
    for case, report in found:
        of_rule = _cells(report)
        cells = [
            f"**{of_rule[rule]}**" if "no" in of_rule[rule] else of_rule[rule] for rule in RULES
        ]
        lines.append(f"| `{case.name}` | {case.kind} | " + " | ".join(cells) + " |")
    seen = [f"- `{name}`: {said}" for name, said in _seen(found)]
    return "\n".join([*lines, *(["", "What was seen first:", "", *seen] if seen else [])])


def _seen(found: "Found") -> list[tuple[str, str]]:
    """For each sampler that failed, the first failure of each rule."""
    from logit_sampling.testing.peers.case import rule_of

    seen = []
    for case, report in found:
        first = {rule_of(check): check for check in reversed(report.failures)}
        said = "; ".join(f"{c.name}, {c.rows}: {c.detail}" for c in reversed(first.values()))
        if said:
            seen.append((case.name, said))
    return seen


def _show(about: dict[str, Any], found: "Found") -> None:
    """The table on the terminal, and what failed."""
    from rich import box
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from logit_sampling.testing.peers.case import RULES

    console = Console(highlight=False)
    console.width = max(console.width, 130)  # a narrower one would fold every cell
    table = Table(title=_title(about), title_justify="left", box=box.SIMPLE)
    for column in ("sampler", "checked as", *RULES):
        table.add_column(column, overflow="fold")
    for case, report in found:
        of_rule = _cells(report)
        marked = [f"[red]{cell}[/]" if "no" in cell else cell for cell in of_rule.values()]
        table.add_row(escape(case.name), case.kind, *marked)
    console.print(table)
    for name, said in _seen(found):
        console.print(f"{name}: {said}", markup=False)
