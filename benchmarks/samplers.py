"""How long does it take to draw a token? Ours beside its peers and beside what no one can beat.

python benchmarks/samplers.py [--quick] [--smollm2 FOLDER] [--json FILE] [--plot FILE]

All contenders of a line are timed in the same run, in interleaved rounds. The two limits are one
pass that only reads the logits and one softmax pass, in NumPy. Printed are the median, half the
interquartile range (? after a single round), and ratios of medians. Peers that are not installed
are left out: pip install "logit-sampling[bench]". Without options all vocabularies, batches and
strategies are measured, which takes an hour or more; --quick takes some minutes.
"""

import argparse
import json
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import contenders
import numpy as np
import rows
import strategies
import targets
from rich.console import Console
from rich.table import Table
from setting import installed, ratio, start
from timing import Contender, Timing, measure


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    add = parser.add_argument
    add("--vocabulary", type=int, nargs="+", default=[32_000, 128_256, 256_000])
    add("--batch", type=int, nargs="+", default=[1, 16, 64])
    add("--rows", nargs="+", choices=rows.KINDS, help="default: all; real needs --smollm2")
    add("--smollm2", type=Path, metavar="FOLDER", help="a KerasHub preset that gives real rows")
    add("--strategies", nargs="+", default=[], metavar="NAME", help="parts of names; default: all")
    add("--modes", nargs="*", choices=contenders.MODES, default=list(contenders.MODES))
    add("--peers", nargs="*", choices=contenders.PEERS, default=list(contenders.PEERS))
    add("--rounds", type=int, default=15)
    add("--budget", type=float, default=0.5, help="seconds for each contender of a line")
    add("--json", type=Path, metavar="FILE", help="write all numbers")
    add(
        "--plot",
        type=Path,
        metavar="FILE",
        help="draw one row at the greatest vocabulary <= 128256",
    )
    add("--quick", action="store_true", help="one row at a vocabulary of 128,256, fewer rounds")
    add("--smoke", action="store_true", help="a tiny run, to see that it works")
    options = parser.parse_args()
    if options.quick:
        options.vocabulary, options.batch, options.rounds, options.budget = [128_256], [1], 7, 0.3
    if options.smoke:
        options.vocabulary, options.batch, options.rounds, options.budget = [1000], [2], 2, 0.01
    options.modes = ["numpy", *(mode for mode in options.modes if mode != "numpy")]
    options.rows = options.rows or [k for k in rows.KINDS if k != "real" or options.smollm2]
    if "real" in options.rows and not options.smollm2:
        parser.error("real rows need --smollm2 FOLDER")
    try:
        options.strategies = strategies.named(options.strategies)
    except ValueError as error:
        parser.error(str(error))
    return options


def sets_of_rows(options: argparse.Namespace) -> Iterator[tuple[int, int, dict[str, np.ndarray]]]:
    """Yield vocabulary, batch, and for each kind of rows the batches, [count, batch, vocab].

    There are two batches or 32 rows, whatever is more, so that a call does not find its logits in
    the nearest cache.
    """
    most = max(2 * max(options.batch), 32)
    made = {"language": rows.language, "flat": rows.flat}
    sizes: dict[int, dict[str, np.ndarray]] = {}
    for vocabulary in options.vocabulary:
        kinds = [kind for kind in options.rows if kind in made]
        sizes[vocabulary] = {kind: made[kind](most, vocabulary) for kind in kinds}
    if "real" in options.rows:
        real = rows.real(options.smollm2)
        sizes.setdefault(real.shape[1], {})["real"] = real
    for vocabulary, kinds_of in sizes.items():
        for batch in options.batch:
            count = max(2, 32 // batch)
            yield vocabulary, batch, {k: rows.batches(r, batch, count) for k, r in kinds_of.items()}


def records(
    own: list[Contender], timings: list[Timing], case: dict[str, Any]
) -> list[dict[str, Any]]:
    """Return the numbers of one case as data: seconds a call, and ratios of medians."""
    medians = {c.name: t.quartiles()[1] for c, t in zip(own, timings, strict=True) if t.seconds}
    base = contenders.OURS["numpy"]
    result = []
    for contender, timing in zip(own, timings, strict=True):
        record = case | {"contender": contender.name}
        if timing.failure:
            result.append(record | {"failure": timing.failure})
            continue
        low, median, high = timing.quartiles()
        record |= {"low": low, "median": median, "high": high, "least": min(timing.seconds)}
        record |= {"rounds": len(timing.seconds), "calls": timing.calls}
        for name, key in (
            (contenders.READ, "read"),
            (contenders.SOFTMAX, "softmax"),
            (base, "ours"),
        ):
            if name in medians:
                record[f"per_{key}"] = median / medians[name]
        result.append(record)
    return result


def show(found: list[dict[str, Any]], size: float, console: Console) -> None:
    """Print one case."""
    case = found[0]
    console.print(
        f"\n[bold]{case['strategy']}[/bold] · {case['rows']} rows, vocabulary "
        f"{case['vocabulary']:,}, batch {case['batch']}, cycling through {size:.0f} MB",
        highlight=False,
        soft_wrap=True,
    )
    shown = Table(box=None, pad_edge=False)
    shown.add_column("", no_wrap=True)
    for heading in ("µs a call", "±", "/ read", "/ softmax", "/ ours"):
        shown.add_column(heading, justify="right", no_wrap=True)
    for record in found:
        name = record["contender"]
        style = "bold" if name.startswith("ours") else None
        if "failure" in record:
            shown.add_row(name, "failed", style=style)
            console.print(f"{name} failed: {record['failure']}", markup=False)
            continue
        median = f"{1e6 * record['median']:,.0f}"
        spread = f"{1e6 * (record['high'] - record['low']) / 2:,.0f}"
        ratios = [ratio(record[key]) if key in record else "" for key in _RATIOS]
        shown.add_row(name, median, spread if record["rounds"] > 1 else "?", *ratios, style=style)
    console.print(shown)


_RATIOS = ("per_read", "per_softmax", "per_ours")


def run(options: argparse.Namespace, console: Console, found: list[dict[str, Any]]) -> None:
    """Measure and print each case; add the numbers to `found`."""
    peers = installed(options.peers, console)
    there = [s for s in options.strategies if s.sampler() is not None]
    for strategy in options.strategies:
        if strategy not in there:
            console.print(f"{strategy.name} is left out: this version does not have it")
    for vocabulary, batch, kinds in sets_of_rows(options):
        for strategy in there:
            ours = contenders.ours(strategy, batch, vocabulary, options.modes)
            theirs = [contenders.PEERS[peer](strategy, batch, vocabulary) for peer in peers]
            own = [*contenders.limits(batch, vocabulary), *ours, *chain.from_iterable(theirs)]
            for kind, batches in kinds.items():
                case = {"strategy": strategy.name, "rows": kind}
                case |= {"vocabulary": vocabulary, "batch": batch}
                timings = measure(own, batches, options.rounds, options.budget)
                found += records(own, timings, case)
                show(found[-len(own) :], batches.nbytes / 1e6, console)


def main() -> None:
    """Measure, print, and write what was asked for."""
    options, console = arguments(), Console()
    where = start(console)
    found: list[dict[str, Any]] = []
    try:
        run(options, console, found)
    except KeyboardInterrupt:
        console.print("stopped: what follows is what was measured")
    console.print(targets.table(targets.findings(found)))
    if options.json:
        options.json.write_text(json.dumps({"machine": where, "records": found}, indent=1))
    if options.plot and found:
        import plot

        plot.samplers(found, where, options.plot)


if __name__ == "__main__":
    main()
