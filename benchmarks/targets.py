"""What this library sets out to reach at a vocabulary of 128,256, as ratios within one run."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from contenders import MODES, OURS, READ, SOFTMAX
from rich.table import Table

VOCABULARY = 128_256
_RULES = ("typical", "epsilon", "eta", "top-a", "top-h", "p-less", "top-n-sigma", "dynamic")


@dataclass(frozen=True)
class Target:
    """At most `limit` times `against`, for one row of each of the kinds `rows`."""

    strategy: str  # how its name begins
    limit: float
    against: str
    contender: str = OURS["numpy"]
    rows: tuple[str, ...] = ("language", "flat")
    against_strategy: str = ""  # how its name begins, if it is another
    more: float = 0.0  # seconds that are allowed besides


TARGETS = (
    Target("greedy", 1.5, READ, more=3e-6),
    Target("top-k 50", 0.4, "llama.cpp"),
    Target("temperature 0.8, top-k", 0.4, "llama.cpp"),
    Target("min-p", 0.35, SOFTMAX, rows=("language",)),
    Target("whole", 0.5, SOFTMAX, rows=("language",)),
    Target("top-p", 0.6, SOFTMAX, rows=("language",)),
    Target("top-p", 0.1, "llama.cpp", rows=("flat",)),
    *(Target(rule, 1.2, SOFTMAX, rows=("language",)) for rule in _RULES),
    *(Target(rule, 4, SOFTMAX, rows=("flat",)) for rule in _RULES),
    *(Target("top-p", 1 / 10, f"KerasHub, {MODES[m]}", OURS[m]) for m in ("graph", "xla")),
    Target("whole", 1 / 20, "KerasHub, XLA", OURS["xla"]),
    *(
        Target(name, 1, f"KerasHub, {MODES[m]}", OURS[m], against_strategy="top-k 50")
        for name in ("top-k 50", "temperature 0.8, top-k")
        for m in ("graph", "xla")
    ),
)
MANY = 9
"""Rows whose time 16 rows may take, on two cores."""


def table(found: Iterable[tuple[str, float, float]]) -> Table:
    """Return which targets are reached, from what they are, what was measured, and the limit."""
    shown = Table(title="\nTargets", title_justify="left", box=None, pad_edge=False)
    for heading in ("", "measured", "at most"):
        shown.add_column(heading, justify="right")
    shown.add_column("what")
    for what, value, limit in found:
        reached = round(value, 2) <= limit or value <= limit
        excess = f" by {value / limit - 1:.0%}" if limit else ""
        verdict = "[green]reached[/green]" if reached else f"[red]missed{excess}[/red]"
        shown.add_row(verdict, f"{value:.3g}", f"{limit:.3g}", what)
    return shown


def findings(records: list[dict[str, Any]]) -> Iterator[tuple[str, float, float]]:
    """Yield for each target that can be judged what it is, the ratio, and the limit."""
    own = [r for r in records if r["vocabulary"] == VOCABULARY and "median" in r]
    for target in TARGETS:
        for kind in target.rows:
            ours = _median(own, target.strategy, kind, target.contender)
            name = target.against_strategy or target.strategy
            theirs = _median(own, name, kind, target.against)
            if ours and theirs:
                what = f"{target.strategy}, {kind} rows: {target.contender} / {target.against}"
                yield what, ours / theirs, target.limit + target.more / theirs
    eager = [r for r in own if r["contender"] == OURS["numpy"]]
    for name in dict.fromkeys(r["strategy"] for r in eager):
        runs = [r for r in eager if r["strategy"] == name]
        one = {r["rows"]: r["median"] for r in runs if r["batch"] == 1}
        many = {r["rows"]: r["median"] for r in runs if r["batch"] == 16}
        if both := one.keys() & many.keys():
            worst = max(many[kind] / one[kind] for kind in both)
            yield f"{name}: {OURS['numpy']}, 16 rows / one, worst kind of rows", worst, MANY


def _median(records: list[dict[str, Any]], strategy: str, kind: str, who: str) -> float | None:
    """Return the seconds of one row, if they were measured."""
    for r in records:
        same = r["strategy"].startswith(strategy) and r["rows"] == kind
        if same and r["contender"] == who and r["batch"] == 1:
            return r["median"]
    return None
