"""What does a step of generation cost? Ours beside KerasHub, transformers and the memory's limit.

python benchmarks/generation.py [--smollm2 FOLDER] [--quick] [--json FILE] [--plot FILE]
python benchmarks/generation.py --cold | --memory | --retracing

Ours and KerasHub on each Keras backend, in each mode, and transformers on torch: same weights, same
prompts (random ids, another for each row), same run, in interleaved rounds; no end token stops
anyone. Each backend has a process of its own, which waits while it is not its turn.

Printed are the first call of a cell (tracing and compiling included), the time of one new token,
and the time of a step: (time of N new tokens - time of one) / (N - 1), its median with half the
interquartile range (? after a single round), also as ratios; "ours" in them is ours on the same
backend, in the default mode and the first of --dtypes. The limit is the bytes that a step must
read, weights and cache of mean length, over the bandwidth of a maximum over 400 MB (in NumPy; on a
GPU, in the backend). KerasHub reads a window of the prompt and the N new tokens before the first of
them. Greedy texts are compared: whoever differs did other work, or rounded otherwise where two
logits are close.

A prompt has at most half of the model's context. The run leaves out, unless --full is given: cells
of more than 4,096 prompt tokens (SmolLM2: 1,024), and samplers after the first of --samplers at all
but the shortest prompt. All of it takes hours with a compiled KerasHub, which compiles each cell
anew; choose --models, --batches, --prompts, --backends or --contenders.
Peers that are not installed are left out: pip install "logit-sampling[bench]".
"""

import argparse
import itertools
import json
import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import generation_modes
import generation_targets
import generation_worker
import numpy as np
import targets
from generation_records import records, show
from generation_worker import Facts, Who
from generators import BACKENDS, CONTENDERS, MODELS, SAMPLERS
from rich.console import Console
from same_work import agreement, differences
from setting import installed, start
from timing import Timing, measure
from workers import Remote, Worker


@dataclass(frozen=True)
class Cell:
    """What is measured at once: everyone continues `batch` prompts of `length` tokens."""

    model: Facts
    name: str
    length: int
    batch: int
    sampler: str
    new_tokens: int

    def case(self) -> dict[str, Any]:
        """Return what the records of this cell have in common."""
        return {
            "model": self.name,
            "prompt": self.length,
            "batch": self.batch,
            "sampler": self.sampler,
            "new_tokens": self.new_tokens,
        }

    def prompts(self) -> np.ndarray:
        """Return two batches, int32 [2, batch, length]."""
        shape = (2, self.batch, self.length)
        return np.random.default_rng(0).integers(0, self.model.vocab_size, shape, dtype=np.int32)

    def limits(self) -> dict[str, float]:
        """Return for each dtype the seconds of a step that reads weights and a mean cache."""
        entries = self.batch * (self.length + self.new_tokens / 2)
        reads = self.model.reads.items()
        return {dtype: (w + entries * entry) / self.model.speed for dtype, (w, entry) in reads}


def arguments(given: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    add = parser.add_argument
    add("--models", nargs="+", choices=MODELS, help="default: all but tiny")
    add("--smollm2", type=Path, metavar="FOLDER", help="a folder with SmolLM2, for its model")
    add("--batches", type=int, nargs="+", default=[1, 8, 32])
    add("--prompts", type=int, nargs="+", default=[8, 128, 512], help="tokens")
    add("--samplers", nargs="+", choices=SAMPLERS, default=["greedy", "chain"])
    add("--contenders", nargs="+", choices=CONTENDERS, default=list(CONTENDERS))
    add("--backends", nargs="+", choices=BACKENDS, default=list(BACKENDS))
    add("--dtypes", nargs="+", choices=("float32", "bfloat16"), default=["float32"])
    add("--new-tokens", type=int, metavar="N", help="default: what the model's speed asks for")
    add("--repeats", type=int, default=3, help="rounds")
    add("--budget", type=float, default=3, help="seconds; who used it up leaves out later rounds")
    add("--full", action="store_true", help="every cell, for everyone")
    add("--quick", action="store_true", help="the shipped model, a short prompt, batches 1 and 8")
    add("--smoke", action="store_true", help="a tiny run, to see that it works")
    add("--json", type=Path, metavar="FILE", help="write all numbers")
    add("--plot", type=Path, metavar="FILE", help="draw the steps at the shortest prompt")
    add("--before", type=Path, metavar="FOLDER", help="for --cold: a checkout to compare with")
    for name, mode in generation_modes.MODES.items():
        add(
            f"--{name}",
            action="store_true",
            help=f"only this: {(mode.__doc__ or '').split('.')[0]}",
        )
    options = parser.parse_args(given)
    if options.quick:
        options.models = options.models or ["shakespeare"]
        options.batches, options.prompts = [1, 8], [8]
    if options.smoke:
        options.models = options.models or ["tiny"]
        options.batches, options.prompts, options.repeats = [2], [4], 1
    usual = [name for name in MODELS if name != "tiny" and (name != "smollm2" or options.smollm2)]
    options.models = options.models or usual
    if "smollm2" in options.models and not options.smollm2:
        parser.error("the model smollm2 needs --smollm2 FOLDER")
    for name in ("batches", "prompts", "repeats", "new_tokens"):
        least = 2 if name == "new_tokens" else 1
        if np.min(getattr(options, name) or least) < least:
            parser.error(f"--{name.replace('_', '-')} must be at least {least}")
    return options


def cells(name: str, model: Facts, options: argparse.Namespace) -> Iterator[Cell]:
    """Yield what is measured of a model."""
    context = model.context_length or math.inf
    lengths = sorted({int(min(length, context // 2)) for length in options.prompts})
    for length, batch in itertools.product(lengths, options.batches):
        # The time of a long prompt is subtracted: its noise asks for more steps.
        usual = MODELS[name].new_tokens * (1 if length == lengths[0] else 2)
        new_tokens = int(min(options.new_tokens or usual, context - length))
        for sampler in options.samplers:
            wanted = length == lengths[0] or sampler == options.samplers[0]
            if options.full or (wanted and length * batch <= MODELS[name].prompt_tokens):
                yield Cell(model, name, length, batch, sampler, new_tokens)


def timed(
    cell: Cell, workers: list[Worker], options: argparse.Namespace
) -> tuple[dict[Who, tuple[Timing, Timing]], dict[str, np.ndarray]]:
    """Return for each generator the times of N tokens and of one; and the ids of its first call.

    Half precision has texts of its own, which are left out.
    """
    own: dict[Who, Worker] = {}
    size = (cell.sampler, cell.batch, cell.new_tokens)
    for worker in workers:
        for who in worker.call(generation_worker.prepare, worker.backend, *size):
            own[who] = worker
    counts = (cell.new_tokens, 1)
    both = [Remote(worker, (who, count)) for who, worker in own.items() for count in counts]
    timings = measure(both, cell.prompts(), options.repeats, options.budget, warm_up=1)
    first: dict[Who, np.ndarray] = {}
    for worker in workers:
        first |= worker.call(generation_worker.texts)
    pairs = zip(timings[::2], timings[1::2], strict=True)
    texts = {str(who): ids for who, ids in first.items() if who.dtype == "float32"}
    return dict(zip(own, pairs, strict=True)), texts


def run(options: argparse.Namespace, console: Console, found: list[dict[str, Any]]) -> None:
    """Measure and print each cell; add the numbers to `found`."""
    peers = installed([name for name in options.contenders if name != "ours"], console)
    there = [name for name in options.contenders if name == "ours" or name in peers]
    workers = [Worker(backend) for backend in installed(options.backends, console)]
    try:
        for name in options.models:
            _load(name, workers, there, options)
            model = workers[0].call(generation_worker.facts)
            weights, _ = model.reads[options.dtypes[0]]
            console.print(
                f"\n{name}: a step reads {weights / 1e6:.3g} MB of weights; memory gives "
                f"{model.speed / 1e9:.1f} GB/s; context of {model.context_length} tokens; "
                f"{model.gpu or 'no GPU'}",
                highlight=False,
            )
            for cell in cells(name, model, options):
                timings, texts = timed(cell, workers, options)
                shown = records(cell.case(), timings, cell.limits())
                found += shown
                show(shown, console)
                if SAMPLERS[cell.sampler].greedy:
                    logits = _logits(workers[0])
                    agreement(texts, differences(texts, cell.prompts()[0], logits), console)
    finally:
        for worker in workers:
            worker.close()


def _load(
    name: str, workers: list[Worker], contenders: list[str], options: argparse.Namespace
) -> None:
    """Load a model in all workers at once."""
    loading = []
    for worker in workers:
        own = [c for c in contenders if c != "transformers" or worker.backend == "torch"]
        what = (name, options.smollm2, options.dtypes, own)
        loading.append(worker.submit(generation_worker.load, *what))
    for each in loading:
        each.result()


def _logits(worker: Worker) -> Callable[[np.ndarray], np.ndarray]:
    return lambda ids: worker.call(generation_worker.logits, ids)


def main() -> None:
    """Measure, print, and write what was asked for."""
    options, console = arguments(), Console()
    where = start(console)
    if modes := [name for name in generation_modes.MODES if getattr(options, name)]:
        for name in modes:
            console.print(targets.table(generation_modes.MODES[name](options, console)))
        return
    found: list[dict[str, Any]] = []
    try:
        run(options, console, found)
    except (KeyboardInterrupt, BrokenProcessPool) as error:
        console.print(f"stopped ({type(error).__name__}): what follows is what was measured")
    console.print(targets.table(generation_targets.findings(found, where["amx"])))
    if options.json:
        options.json.write_text(json.dumps({"machine": where, "records": found}, indent=1))
    if options.plot and found:
        import plot

        plot.generation(found, where, options.plot)


if __name__ == "__main__":
    main()
