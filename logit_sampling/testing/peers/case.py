"""What is certified of a peer: a sampler, the check that it goes through, and what it should do."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from logit_sampling.testing.check import check_sampler
from logit_sampling.testing.history import check_history
from logit_sampling.testing.per_row import check_per_row
from logit_sampling.testing.report import Check, Report
from logit_sampling.testing.speculative import check_speculative

RULES = ("support", "frequencies", "ties", "types", "independent", "seeds", "batch", "input")
"""The columns of the table. Each check of a report belongs to one."""

_OF_NAME = {
    "support": "support",
    "distribution": "frequencies",
    "independence": "independent",
    "seeds": "seeds",
    "batch": "batch",
    "input": "input",
}
_TYPES = ("float16", "bfloat16", "float64")


@dataclass(frozen=True)
class Case:
    """A sampler of a peer, ready to be certified.

    Attributes:
        name: as the peer calls it, with its settings.
        kind: `one draw`, `history`, `per row` or `joint law`.
        check: the check of `logit_sampling.testing`.
        arguments: of the check, in order.
        settings: of the check, by name.
        copied: whether the peer gets a copy of the logits, so that `input` shows nothing.
    """

    name: str
    kind: str
    check: Callable[..., Report]
    arguments: tuple[Any, ...]
    settings: dict[str, Any] = field(default_factory=dict)
    copied: bool = False

    def report(self, **settings: Any) -> Report:
        """Run the check; `settings` such as `draws` are added to those of the case."""
        report = self.check(*self.arguments, **self.settings | settings)
        if not self.copied:
            return report
        unseen = Check("input", "all", None, "it gets a copy")
        checks = (unseen if check.name == "input" else check for check in report.checks)
        return replace(report, checks=tuple(checks))


def one_draw(name: str, fn: Any, expected: Any, *, copied: bool = False, **settings: Any) -> Case:
    """Return the case of `check_sampler`."""
    return Case(name, "one draw", check_sampler, (fn, expected), settings, copied)


def with_history(
    name: str, fn: Any, expected: Any, *, copied: bool = False, **settings: Any
) -> Case:
    """Return the case of `check_history`."""
    return Case(name, "history", check_history, (fn, expected), settings, copied)


def mixed(
    name: str, fn: Any, each: Sequence[Any], expected: Any, *, copied: bool = False, **settings: Any
) -> Case:
    """Return the case of `check_per_row`."""
    return Case(name, "per row", check_per_row, (fn, each, expected), settings, copied)


def joint_law(name: str, fn: Any, expected: Any = None, **settings: Any) -> Case:
    """Return the case of `check_speculative`."""
    return Case(name, "joint law", check_speculative, (fn, expected), settings)


def rule_of(check: Check) -> str:
    """Return the column of a check: what only equal logits or a type show has one of its own."""
    if check.numbers.get("tied"):
        return "ties"
    if check.name in ("support", "distribution") and check.rows.startswith(_TYPES):
        return "types"
    return _OF_NAME[check.name]


def cells(report: Report) -> dict[str, str]:
    """Return the cell of each rule: `yes`, `no (failed/made)`, or `-` where no check was made."""
    found = {}
    for rule in RULES:
        made = [c for c in report.checks if rule_of(c) == rule and c.passed is not None]
        failed = sum(check.passed is False for check in made)
        found[rule] = f"no ({failed}/{len(made)})" if failed else "yes" if made else "-"
    return found
