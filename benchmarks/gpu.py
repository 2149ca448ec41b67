"""What do draws and steps cost on a GPU? Ours on JAX and torch beside torch's own and FlashInfer.

python benchmarks/gpu.py [--draws | --steps] [--json FILE] [options of generation.py]

Draws: logits that lie on the device, like a language model's; ours is compiled on JAX, and on torch
it is called as it is. Beside it what torch's own operations do (top-k and multinomial; a sort for
top-p), and FlashInfer where it is installed. A call ends when the ids are there, on the device.
All are timed in interleaved rounds, each backend in a process of its own; printed are medians in
microseconds, half the interquartile range, and the ratio to torch's own.

Steps: generation.py on these backends, which takes the further options.

It needs a GPU that JAX or torch can use; a backend without one is left out. --smoke runs anywhere.
"""

import argparse
import itertools
import json
from pathlib import Path
from typing import Any

import devices
import generation
import gpu_draws
from generators import BACKENDS
from rich.console import Console
from rich.table import Table
from setting import installed, ratio, start
from timing import Timing, measure
from workers import Remote, Worker


def arguments() -> tuple[argparse.Namespace, list[str]]:
    """Read the command line; return the options, and those for generation.py."""
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").splitlines()[0], allow_abbrev=False
    )
    add = parser.add_argument
    add("--backends", nargs="+", choices=("jax", "torch"), default=["jax", "torch"])
    add("--draws", action="store_true", help="only draws")
    add("--steps", action="store_true", help="only steps")
    add("--vocabulary", type=int, nargs="+", default=[50_257, 128_256])
    add("--batch", type=int, nargs="+", default=[1, 8, 64], help="of draws")
    add("--rounds", type=int, default=15, help="of draws")
    add("--json", type=Path, metavar="FILE", help="write all numbers")
    add("--smoke", action="store_true", help="a tiny run, to see that it works, on a CPU too")
    options, rest = parser.parse_known_args()
    if options.smoke:
        options.vocabulary, options.batch, options.rounds = [1000], [2], 2
        rest.append("--smoke")
    return options, rest


def with_gpu(workers: list[Worker], smoke: bool, console: Console) -> list[Worker]:
    """Return those that are measured; say where they compute."""
    found = []
    for worker in workers:
        name = worker.call(devices.gpu)
        console.print(f"{BACKENDS[worker.backend]}: {name or 'no GPU was found'}", highlight=False)
        if name or smoke:
            found.append(worker)
    return found


def draws(
    workers: list[Worker], options: argparse.Namespace, console: Console
) -> list[dict[str, Any]]:
    """Measure and print all draws; return the numbers."""
    found: list[dict[str, Any]] = []
    sizes = itertools.product(gpu_draws.STRATEGIES, options.vocabulary, options.batch)
    for strategy, vocabulary, batch in sizes:
        own: dict[tuple[str, str], Worker] = {}
        for worker in workers:
            what = (worker.backend, strategy, batch, vocabulary)
            for name in worker.call(gpu_draws.prepare, *what):
                own[name, worker.backend] = worker
        remotes = [Remote(worker, name) for (name, _), worker in own.items()]
        timings = measure(remotes, gpu_draws.blank(), options.rounds, 0.5)
        case = {"strategy": strategy, "vocabulary": vocabulary, "batch": batch}
        shown = records(case, dict(zip(own, timings, strict=True)))
        show(shown, console)
        found += shown
    return found


def records(case: dict[str, Any], timings: dict[tuple[str, str], Timing]) -> list[dict[str, Any]]:
    """Return the numbers of a case as data: seconds, and the ratio to torch's own."""
    result = []
    for (name, backend), timing in timings.items():
        record = case | {"who": name, "backend": backend}
        if timing.failure:
            result.append(record | {"failure": timing.failure})
            continue
        low, median, high = timing.quartiles()
        result.append(record | {"low": low, "median": median, "high": high, "first": timing.first})
    medians = {r["who"]: r["median"] for r in result if "median" in r}
    for record in result:
        if "median" in record and gpu_draws.TORCH in medians:
            record["per_torch"] = record["median"] / medians[gpu_draws.TORCH]
    return result


def show(found: list[dict[str, Any]], console: Console) -> None:
    """Print a case of draws."""
    case = found[0]
    console.print(
        f"\n[bold]{case['strategy']}[/bold] · vocabulary {case['vocabulary']:,}, "
        f"batch {case['batch']}",
        highlight=False,
    )
    shown = Table(box=None, pad_edge=False)
    shown.add_column("", no_wrap=True)
    for heading in ("µs", "±", "/ torch", "1st call, s"):
        shown.add_column(heading, justify="right")
    for r in found:
        name = ", ".join(dict.fromkeys((r["who"], BACKENDS[r["backend"]])))
        if "failure" in r:
            shown.add_row(name, "failed")
            console.print(f"{name} failed: {r['failure']}", markup=False)
            continue
        spread = f"{5e5 * (r['high'] - r['low']):.2g}"
        per_torch = ratio(r["per_torch"]) if "per_torch" in r else ""
        shown.add_row(name, f"{1e6 * r['median']:.3g}", spread, per_torch, f"{r['first']:.3g}")
    console.print(shown)


def main() -> None:
    """Measure, print, and write what was asked for."""
    (options, rest), console = arguments(), Console()
    where = start(console)
    written: dict[str, Any] = {"machine": where}
    workers = [Worker(backend) for backend in installed(options.backends, console)]
    try:
        found = with_gpu(workers, options.smoke, console)
        if found and not options.steps:
            written["draws"] = draws(found, options, console)
    finally:
        for worker in workers:
            worker.close()
    if not found:
        raise SystemExit("no GPU was found; --smoke tries it on a CPU")
    if not options.draws:
        written["steps"] = []
        chosen = generation.arguments([*rest, "--backends", *(w.backend for w in found)])
        generation.run(chosen, console, written["steps"])
    if options.json:
        options.json.write_text(json.dumps(written, indent=1))


if __name__ == "__main__":
    main()
