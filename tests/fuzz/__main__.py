"""Checks random chains on random rows for as long as it is told, or one case again.

    python -m tests.fuzz --minutes 30
    python -m tests.fuzz --minutes 30 --backend jax
    python -m tests.fuzz --case 123456 --mode xla

Each case is checked in eager code, and a share of them in a plain graph and under XLA (with JAX:
under `jax.jit`). Each failure is printed with the command that shows it again; the exit status
is 1 if there was any.
"""

import argparse
import os
import sys
import time


def main() -> int:
    parser = argparse.ArgumentParser("python -m tests.fuzz", description=__doc__)
    parser.add_argument("--backend", choices=["tensorflow", "jax"], default="tensorflow")
    parser.add_argument("--minutes", type=float, default=1.0, help="for how long")
    parser.add_argument("--first", type=int, help="the first case; by default it is by the clock")
    parser.add_argument("--groups", type=int, help="how many chains, whatever the time")
    parser.add_argument("--case", type=int, help="check one case and nothing else")
    parser.add_argument("--mode", help="in this mode alone")
    given = parser.parse_args()
    os.environ["KERAS_BACKEND"] = given.backend
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

    from tests.fuzz.cases import BATCHES
    from tests.fuzz.runs import MODES, SHARES, Tally, check_case, check_group

    tally, modes = Tally(), {mode: SHARES[mode] for mode in MODES[given.backend]}
    if given.mode:
        modes = {given.mode: 1}
    if given.case is not None:
        for mode in modes:
            check_case(given.case, mode, tally)
        print(tally.summary())
        return tally.failures > 0
    first = int(time.time()) * BATCHES if given.first is None else given.first
    end, group = time.monotonic() + 60 * given.minutes, first // BATCHES
    last = None if given.groups is None else group + given.groups
    while group < last if last is not None else time.monotonic() < end:
        check_group(group, modes, tally)
        group += 1
        print(f"\r{tally.line()}", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    print(tally.summary())
    return tally.failures > 0


if __name__ == "__main__":
    sys.exit(main())
