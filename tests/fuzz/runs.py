"""Which cases are checked in which modes, and the count of what was seen."""

import traceback
import warnings
from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np

import logit_sampling as ls
from tests.fuzz import modes
from tests.fuzz.cases import BATCHES, case
from tests.fuzz.checks import check

MODES = {"tensorflow": ["eager", "graph", "xla"], "jax": ["jax"]}
SHARES = {"eager": 1, "graph": 6, "xla": 12, "jax": 1}  # compiling is slow: of so many chains one


class Tally:
    """Counts cases, what rounding excused, and failures, which it prints."""

    def __init__(self) -> None:
        self.cases: Counter[str] = Counter()
        self.seen: dict[str, Counter[str]] = {}
        self.failures = 0

    def fail(self, number: int, mode: str, sampler: Any, error: Exception) -> None:
        self.failures += 1
        backend = " --backend jax" if mode == "jax" else ""
        print(
            f"\npython -m tests.fuzz --case {number} --mode {mode}{backend}\n  {sampler!r}"
            f"\n  {type(error).__name__}: {error}",
            flush=True,
        )
        if not isinstance(error, AssertionError):
            print("  " + traceback.format_exc(limit=-3).replace("\n", "\n  "), flush=True)

    def line(self) -> str:
        cases = ", ".join(f"{count} {mode}" for mode, count in self.cases.items())
        return f"{cases} cases, {self.failures} failures"

    def summary(self) -> str:
        lines = [self.line()]
        for mode, counts in self.seen.items():
            compared = (f"{counts[what]} {what}" for what in ("cuts", "changes", "draws"))
            excused = [
                f"{n} {what[:-8]}" for what, n in sorted(counts.items()) if what.endswith("excused")
            ]
            rounding = ", ".join(excused) or "none"
            lines.append(f"{mode}: {', '.join(compared)}; excused as rounding: {rounding}")
        return "\n".join(lines)


def check_group(group: int, shares: Mapping[str, int], tally: Tally) -> None:
    """Check the cases of one chain, in those of the modes whose turn it is."""
    for name, share in shares.items():
        if group % share == 0:
            numbers = range(group * BATCHES, (group + 1) * BATCHES)
            made = modes.mode(name, case(numbers[0], wide=name != "jax").sampler)
            for number in numbers:
                check_case(number, name, tally, made)
            made.forget()


def check_case(number: int, name: str, tally: Tally, made: modes.Mode | None = None) -> None:
    """Check a case in a mode."""
    own = case(number, wide=name != "jax")
    counts = tally.seen.setdefault(name, Counter())
    tally.cases[name] += 1
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", RuntimeWarning)
            warnings.simplefilter("ignore", ls.ProbabilitiesWarning)
            with np.errstate(all="ignore"):
                check(own, made or modes.mode(name, own.sampler), counts)
    except Exception as error:
        tally.fail(number, name, own.sampler, error)
