"""Which cases are checked in which modes, and the count of what was seen."""

import traceback
import warnings
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

import logit_sampling as ls
from tests.fuzz.cases import BATCHES, case
from tests.fuzz.checks import Mode, check

MODES = {"tensorflow": ["eager", "graph", "xla"], "jax": ["jax"]}
_SHARE = {
    "eager": 1,
    "graph": 6,
    "xla": 12,
    "jax": 1,
}  # of so many chains one, as compiling is slow


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


def check_group(group: int, modes: Sequence[str], tally: Tally, share: dict = _SHARE) -> None:
    """Check the cases of one chain, in those of the modes whose turn it is."""
    for mode in modes:
        if group % share[mode] == 0:
            made = _mode(mode, group * BATCHES)
            for number in range(group * BATCHES, (group + 1) * BATCHES):
                check_case(number, mode, tally, made)


def check_case(number: int, mode: str, tally: Tally, made: Mode | None = None) -> None:
    """Check a case in a mode."""
    own = case(number, wide=mode != "jax")
    counts = tally.seen.setdefault(mode, Counter())
    tally.cases[mode] += 1
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", RuntimeWarning)
            warnings.simplefilter("ignore", ls.ProbabilitiesWarning)
            with np.errstate(all="ignore"):
                check(own, made or _mode(mode, number), counts)
    except Exception as error:
        tally.fail(number, mode, own.sampler, error)


def _mode(name: str, number: int) -> Mode:
    sampler = case(number, wide=name != "jax").sampler
    if name == "eager":
        return Mode(name, sampler)
    if name == "jax":
        import jax

        return Mode(name, sampler, jax.jit, lambda value: jax.tree.map(jax.numpy.asarray, value))
    import tensorflow as tf

    def compiled(function: Any) -> Any:
        return tf.function(function, jit_compile=name == "xla", autograph=False)

    return Mode(name, sampler, compiled, lambda value: tf.nest.map_structure(tf.constant, value))
