"""What a check found."""

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Self

from logit_sampling.plain import strict_json


@dataclass(frozen=True)
class Check:
    """One check of a report.

    Attributes:
        name: what was checked, such as `support`.
        rows: on which rows of logits, or in which manner.
        passed: None if it could not be made; `detail` says why.
        detail: what was seen, with numbers.
        numbers: the same for programs.
    """

    name: str
    rows: str
    passed: bool | None
    detail: str
    numbers: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Evidence:
    """A check whose verdict depends on how unlikely what was seen is."""

    name: str
    rows: str
    log_chance: float  # of a bound on the chance of this with a correct sampler
    detail: str
    numbers: dict[str, Any] = field(default_factory=dict)

    def judged(self, log_threshold: float) -> Check:
        """Return the check: failed if the chance is below the threshold."""
        chance = _power_of_ten(self.log_chance)
        return Check(
            self.name,
            self.rows,
            self.log_chance >= log_threshold,
            f"{self.detail}, chance at most {chance}",
            self.numbers | {"log_chance": self.log_chance},
        )


Finding = Check | Evidence


@dataclass(frozen=True)
class Report:
    """All checks of one sampler. Prints itself; `to_dict` gives it to JSON.

    Attributes:
        checks: in the order in which they were made.
        settings: the arguments of the check, and what follows from them: `tests`, the number of
            statistical checks, and `log_threshold`, the log of the chance below which one fails.
    """

    checks: tuple[Check, ...]
    settings: dict[str, Any]

    @property
    def ok(self) -> bool:
        """Whether no check failed."""
        return not self.failures

    @property
    def failures(self) -> tuple[Check, ...]:
        """The checks that failed."""
        return tuple(check for check in self.checks if check.passed is False)

    def raise_for_failures(self) -> Self:
        """Return the report, or raise AssertionError with what failed."""
        if self.failures:
            raise AssertionError(
                "\n".join([self._summary(), *(f"  {_line(c)}" for c in self.failures)])
            )
        return self

    def to_dict(self) -> dict[str, Any]:
        """Return the report as JSON has it: null is a number that is none, or infinite."""
        names = ("name", "rows", "passed", "detail", "numbers")
        checks = [{name: getattr(check, name) for name in names} for check in self.checks]
        return strict_json({"ok": self.ok, "settings": self.settings, "checks": checks})

    def to_json(self) -> str:
        """Return the report as JSON."""
        return json.dumps(self.to_dict(), indent=2)

    def _summary(self) -> str:
        skipped = sum(check.passed is None for check in self.checks)
        passed = len(self.checks) - skipped - len(self.failures)
        return (
            f"{passed} checks passed, {len(self.failures)} failed, {skipped} not made; "
            f"{self.settings['draws']} draws a row, "
            f"a false alarm in all {self.settings['tests']} statistical checks has a chance of at "
            f"most {self.settings['false_alarm']:g}"
        )

    def __str__(self) -> str:
        return "\n".join([*map(_line, self.checks), self._summary()])


def check_false_alarm(false_alarm: float) -> None:
    """Raise ValueError unless it is a chance."""
    if not 0 < false_alarm < 1:
        raise ValueError(f"false_alarm must be in (0, 1), got {false_alarm}")


def settled(findings: Iterable[Finding], settings: dict[str, Any], false_alarm: float) -> Report:
    """Return the report: `false_alarm` is split over the checks whose verdict is statistical."""
    findings = list(findings)
    tests = max(1, sum(isinstance(finding, Evidence) for finding in findings))
    threshold = math.log(false_alarm / tests)
    checks = tuple(f.judged(threshold) if isinstance(f, Evidence) else f for f in findings)
    about = {"false_alarm": false_alarm, "tests": tests, "log_threshold": threshold}
    return Report(checks, settings | about)


def _line(check: Check) -> str:
    verdict = {True: "passed", False: "FAILED", None: "-"}[check.passed]
    return f"{verdict:6}  {check.name:12}  {check.rows:18}  {check.detail}"


def _power_of_ten(log: float) -> str:
    if log > math.log(1e-3):
        return f"{math.exp(log):.2g}"
    return f"1e{log / math.log(10):.0f}"
