"""What does a step of generation cost? Ours beside KerasHub, transformers and the memory's limit.

python benchmarks/generation.py [--smollm2 FOLDER] [--quick] [--json FILE] [--plot FILE]
python benchmarks/generation.py --cold | --memory | --retracing

Same weights, same prompts (random ids, another for each row), same run, in interleaved rounds; no
end token stops anyone. Printed are the first call of a cell (tracing and compiling included), the
time of one new token, and the time of a step: (time of N new tokens - time of one) / (N - 1), its
median with half the interquartile range (? after a single round), also as ratios. The limit is the
bytes that a step must read, weights and cache of mean length, over the bandwidth of a maximum over
400 MB in NumPy. KerasHub reads a window of the prompt and the N new tokens before the first of
them. Greedy texts are compared: whoever differs did other work, or rounded otherwise where two
logits are close.

A prompt has at most half of the model's context. To end in about 12 minutes (with SmolLM2), the
run leaves out, unless --full is given: cells of more than 4,096 prompt tokens (SmolLM2: 1,024);
samplers after the first of --samplers at all but the shortest prompt, and in KerasHub, which
compiles each cell anew, at all but the smallest batch (SmolLM2: at all).
Peers that are not installed are left out: pip install "logit-sampling[bench]".
"""

import argparse
import itertools
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import generation_modes
import generation_targets
import numpy as np
import targets
from generators import (
    CONTENDERS,
    LIMIT,
    MODELS,
    OURS,
    SAMPLERS,
    Generator,
    Make,
    bandwidth,
    bytes_of_step,
)
from rich.console import Console
from rich.table import Table
from same_work import agreement, differences
from setting import installed, ratio, start
from timing import Contender, Timing, measure

from logit_sampling.models.keras_hub import LanguageModel

NOISE = "the time of its steps is lost in the noise: take more --new-tokens or --repeats"


@dataclass(frozen=True)
class Cell:
    """What is measured at once: everyone continues `batch` prompts of `length` tokens."""

    model: LanguageModel
    name: str
    length: int
    batch: int
    sampler: str
    new_tokens: int

    def prompts(self) -> np.ndarray:
        """Return two batches, int32 [2, batch, length]."""
        shape = (2, self.batch, self.length)
        rng = np.random.default_rng(0)
        return rng.integers(0, self.model.vocab_size or 0, shape, dtype=np.int32)

    def limit(self, speed: float) -> float:
        """Return the seconds of a step at `speed` bytes a second, for a cache of mean length."""
        length = self.length + self.new_tokens / 2
        return bytes_of_step(self.model, self.batch, length) / speed


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    add = parser.add_argument
    add("--models", nargs="+", choices=MODELS, help="default: all but tiny")
    add("--smollm2", type=Path, metavar="FOLDER", help="a folder with SmolLM2, for its model")
    add("--batches", type=int, nargs="+", default=[1, 8, 32])
    add("--prompts", type=int, nargs="+", default=[8, 512], help="tokens; half the context at most")
    add("--samplers", nargs="+", choices=SAMPLERS, default=list(SAMPLERS))
    add("--contenders", nargs="+", choices=CONTENDERS, default=list(CONTENDERS))
    add("--new-tokens", type=int, metavar="N", help="default: what the model's speed asks for")
    add("--repeats", type=int, default=3, help="rounds")
    add("--budget", type=float, default=3, help="seconds; who used it up leaves out later rounds")
    add("--full", action="store_true", help="every cell, for everyone")
    add("--quick", action="store_true", help="the shipped model, a short prompt, batches 1 and 8")
    add("--smoke", action="store_true", help="a tiny run, to see that it works")
    add("--json", type=Path, metavar="FILE", help="write all numbers")
    add("--plot", type=Path, metavar="FILE", help="draw the steps at the shortest prompt")
    for name, mode in generation_modes.MODES.items():
        add(
            f"--{name}",
            action="store_true",
            help=f"only this: {(mode.__doc__ or '').split('.')[0]}",
        )
    options = parser.parse_args()
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


def cells(name: str, model: LanguageModel, options: argparse.Namespace) -> Iterator[Cell]:
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


def generators(cell: Cell, makers: dict[str, Make], options: argparse.Namespace) -> list[Generator]:
    """Return who takes part in a cell."""
    strategy = SAMPLERS[cell.sampler]
    small = MODELS[cell.name].compiles and cell.batch == min(options.batches)
    thin = cell.sampler != options.samplers[0] and not small
    return [
        generator
        for name, make in makers.items()
        if options.full or not (thin and name == "keras_hub")
        for generator in make(strategy, cell.new_tokens)
    ]


def timed(
    own: list[Generator], cell: Cell, options: argparse.Namespace
) -> tuple[dict[str, tuple[Timing, Timing]], dict[str, np.ndarray]]:
    """Return for each generator the times of N tokens and of one; and the ids of its first call."""
    first: dict[str, np.ndarray] = {}

    def contender(generator: Generator, count: int) -> Contender:
        def call(prompts: Any, i: int) -> None:
            ids = generator.call(prompts, count, i)
            if ids.shape != (cell.batch, count):
                raise ValueError(f"{ids.shape} new ids, not {(cell.batch, count)}")
            if count == cell.new_tokens:
                first.setdefault(generator.name, ids)

        return Contender(generator.name, call, generator.convert)

    counts = (cell.new_tokens, 1)
    both = [contender(generator, count) for generator in own for count in counts]
    timings = measure(both, cell.prompts(), options.repeats, options.budget, warm_up=1)
    pairs = zip(timings[::2], timings[1::2], strict=True)
    return dict(zip((g.name for g in own), pairs, strict=True)), first


def records(
    cell: Cell, timings: dict[str, tuple[Timing, Timing]], limit: float
) -> list[dict[str, Any]]:
    """Return the numbers of a cell as data: seconds, and ratios of medians."""
    case = {"model": cell.name, "prompt": cell.length, "batch": cell.batch}
    case |= {"sampler": cell.sampler, "new_tokens": cell.new_tokens}
    result: list[dict[str, Any]] = [
        case | {"contender": LIMIT, "low": limit, "median": limit, "high": limit}
    ]
    for name, (many, one) in timings.items():
        record = case | {"contender": name}
        if failure := many.failure or one.failure:
            result.append(record | {"failure": failure})
            continue
        # Who used up its budget with N tokens has more rounds of one.
        pairs = zip(many.seconds, one.seconds, strict=False)
        steps = Timing([(n - first) / (cell.new_tokens - 1) for n, first in pairs])
        low, median, high = steps.quartiles()
        if low <= 0:
            result.append(record | {"failure": NOISE})
            continue
        record |= {"low": low, "median": median, "high": high, "rounds": len(steps.seconds)}
        record |= {"first_call": many.first, "one_token": one.quartiles()[1]}
        result.append(record | {"per_limit": median / limit})
    medians = {r["contender"]: r["median"] for r in result if "median" in r}
    if OURS in medians:
        for record in result:
            if "median" in record:
                record["per_ours"] = record["median"] / medians[OURS]
    return result


def show(found: list[dict[str, Any]], console: Console) -> None:
    """Print a cell."""
    case = found[0]
    console.print(
        f"\n[bold]{case['model']}[/bold] · batch {case['batch']}, prompt {case['prompt']} + "
        f"{case['new_tokens']} new tokens · {SAMPLERS[case['sampler']].name}",
        highlight=False,
        soft_wrap=True,
    )
    shown = Table(box=None, pad_edge=False)
    shown.add_column("", no_wrap=True)
    for heading in ("ms a step", "±", "/ limit", "/ ours", "1 token, ms", "1st call, s"):
        shown.add_column(heading, justify="right", no_wrap=True)
    for record in found:
        name = record["contender"]
        style = "bold" if name == OURS else None
        if "failure" in record:
            shown.add_row(name, "failed", style=style)
            console.print(f"{name} failed: {record['failure']}", markup=False)
            continue
        ratios = [ratio(record[key]) if key in record else "" for key in ("per_limit", "per_ours")]
        cells = [f"{1e3 * record['median']:.3g}", "", *ratios]
        if name != LIMIT:
            spread = f"{500 * (record['high'] - record['low']):.2g}"
            cells[1] = spread if record["rounds"] > 1 else "?"
            cells += [f"{1e3 * record['one_token']:.3g}", f"{record['first_call']:.3g}"]
        shown.add_row(name, *cells, style=style)
    console.print(shown)


def run(options: argparse.Namespace, console: Console, found: list[dict[str, Any]]) -> None:
    """Measure and print each cell; add the numbers to `found`."""
    peers = installed([name for name in options.contenders if name != "ours"], console)
    there = [name for name in options.contenders if name == "ours" or name in peers]
    for name in options.models:
        model = MODELS[name].load(options.smollm2)
        makers = {contender: CONTENDERS[contender](model) for contender in there}
        speed, megabytes = bandwidth(), bytes_of_step(model, 1, 0) / 1e6
        console.print(
            f"\n{name}: a step reads {megabytes:.3g} MB of weights; memory gives "
            f"{speed / 1e9:.1f} GB/s; context of {model.context_length} tokens",
            highlight=False,
        )
        for cell in cells(name, model, options):
            timings, texts = timed(generators(cell, makers, options), cell, options)
            found += records(cell, timings, cell.limit(speed))
            show(found[-len(timings) - 1 :], console)
            if SAMPLERS[cell.sampler].greedy:
                prompts = cell.prompts()[0]
                agreement(texts, differences(texts, prompts, model.logits), console)


def main() -> None:
    """Measure, print, and write what was asked for."""
    options, console = arguments(), Console()
    where = start(console)
    if modes := [name for name in generation_modes.MODES if getattr(options, name)]:
        for name in modes:
            console.print(targets.table(generation_modes.MODES[name](options.smoke, console)))
        return
    found: list[dict[str, Any]] = []
    try:
        run(options, console, found)
    except KeyboardInterrupt:
        console.print("stopped: what follows is what was measured")
    console.print(targets.table(generation_targets.findings(found)))
    if options.json:
        options.json.write_text(json.dumps({"machine": where, "records": found}, indent=1))
    if options.plot and found:
        import plot

        plot.generation(found, where, options.plot)


if __name__ == "__main__":
    main()
