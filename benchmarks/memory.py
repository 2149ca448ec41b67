"""How much memory does a draw hold beside the logits, at most? On Linux.

python benchmarks/memory.py [--vocabulary 16777216] [--smoke]

Printed is by how much the resident memory of the process rises, in units of the size of the logits.
"""

import argparse
import ctypes
import gc
from pathlib import Path

import numpy as np
import rows
import strategies
from rich.console import Console
from rich.table import Table
from setting import start

import logit_sampling as ls


def resident(name: str) -> int:
    """Return what the process holds, `VmRSS`, or held at most, `VmHWM`, in bytes."""
    (line,) = (
        line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name)
    )
    return 1024 * int(line.split()[1])


def rise(sampler: ls.Sampler, logits: np.ndarray) -> float:
    """Return by how much a call makes it rise, in units of the size of the logits."""
    sampler(logits, seed=1)
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)  # what is free goes back, so that taking it again is seen
    Path("/proc/self/clear_refs").write_text("5")  # the most so far is what there is now
    before = resident("VmRSS")
    sampler(logits, seed=2)
    return max(resident("VmHWM") - before, 0) / logits.nbytes


def main() -> None:
    """Print a line for each strategy without a state."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--vocabulary", type=int, default=1 << 24)
    parser.add_argument("--smoke", action="store_true", help="a tiny run, to see that it works")
    options = parser.parse_args()
    console = Console()
    start(console)
    n = 1 << 20 if options.smoke else options.vocabulary
    kinds = {"language": rows.language(1, n)[0], "flat": rows.flat(1, n)[0]}
    shown = Table(box=None, pad_edge=False)
    for heading in ("memory beside the logits", *(f"{kind} rows" for kind in kinds)):
        shown.add_column(heading, justify="left" if heading[0] == "m" else "right")
    for strategy in strategies.SETTINGS[:: 5 if options.smoke else 1]:
        sampler = strategy.sampler()
        if sampler and not any(t.is_stateful() for t in sampler.transforms):
            shown.add_row(strategy.name, *(f"{rise(sampler, x):.3f}" for x in kinds.values()))
    console.print(shown)


if __name__ == "__main__":
    main()
