"""What does the engine gain? Requests that come and go, beginnings that are shared, lookup.

python benchmarks/engine.py [--model NAME] [--smollm2 FOLDER] [--only PART ...] [--json FILE]

Runs on the backend that KERAS_BACKEND names. Everything that is compared is measured in one run, in
interleaved rounds; printed are medians, and their ratios beside what the library sets out to reach.

unlike: 64 prompts of 4 to 200 tokens, with 8 to 256 new ones, in an engine of 16 rows: tokens a
    second beside batches of 16 in the order of arrival, which last as long as their longest text,
    and beside a batch of 16 equal texts, which is always full. Printed too: what these ratios would
    be if a step took the same time for any number of rows, and reading prompts none.
alike: 32 requests at once with a beginning of 400 tokens in common and 8 of their own: the mean
    time to the first token, with beginnings kept and without.
lookup: one text of a model that copies (its prompt asks for what it holds) and one of random
    tokens, whose continuation copies nothing: with draft="lookup" and without.
alone: a text by `generate` and by an engine of one row.
"""

import argparse
import json
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from generators import MODELS
from rich.console import Console
from rich.table import Table
from setting import start

import logit_sampling as ls

ROWS = 16
DRAFTS = {"lookup": "lookup", "plain": None}
COPIED = """\
Text: The committee met on Tuesday in the old town hall to discuss the new bridge over the river.
Maria Lindqvist, who chairs the committee, said that the work would begin in April and take two
years. The cost of the bridge is twelve million euros, half of which the county will pay.

The same text again, word for word: The committee met on Tuesday in the old town hall to"""


def submit_all(model: Any, prompts: Sequence[Any], news: Sequence[int], **options: Any) -> float:
    """Return the seconds that an engine takes for all requests."""
    with ls.Engine(model, max_rows=ROWS, keep=0) as engine:
        begun = time.perf_counter()
        requests = [
            engine.submit(prompt, max_new_tokens=new, **options)
            for prompt, new in zip(prompts, news, strict=True)
        ]
        for request in requests:
            request.result()
        return time.perf_counter() - begun


def fixed(model: Any, prompts: Sequence[Any], news: Sequence[int], **options: Any) -> float:
    """Return the seconds that batches in the order of arrival take."""
    begun = time.perf_counter()
    for first in range(0, len(prompts), ROWS):
        own = news[first : first + ROWS]

        def enough(row: int, ids: list[int], own: Sequence[int] = own) -> bool:
            return len(ids) >= own[row]

        ls.generate(
            model,
            prompts[first : first + ROWS],
            max_new_tokens=max(own),
            should_stop=enough,
            **options,
        )
    return time.perf_counter() - begun


def steps_of(news: Sequence[int]) -> tuple[int, int, float]:
    """Return how many steps texts take in an engine, in batches, and if no row were ever free."""
    waiting, left, steps = list(news), list[int](), 0
    while waiting or left:
        room = ROWS - len(left)
        left, waiting = [n - 1 for n in left + waiting[:room] if n > 1], waiting[room:]
        steps += 1
    batches = sum(max(news[i : i + ROWS]) for i in range(0, len(news), ROWS))
    return steps, batches, sum(news) / ROWS


def interleaved(rounds: int, calls: Mapping[str, Callable[[], float]]) -> dict[str, float]:
    """Return the median of what each returns, one call of each not counted."""
    found: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(rounds + 1):
        for name, call in calls.items():
            value = call()
            if turn:
                found[name].append(value)
    return {name: statistics.median(values) for name, values in found.items()}


def unlike(model: Any, rounds: int, count: int) -> dict[str, float]:
    """Measure prompts of unlike lengths and ends."""
    rng = np.random.default_rng(0)
    context = model.context_length or 512
    longest = min(200, context * 2 // 5)
    lengths = np.exp(rng.uniform(np.log(4), np.log(longest), count)).astype(int)
    most = min(256, context - longest)
    news = np.exp(rng.uniform(np.log(8), np.log(most), count)).astype(int).tolist()
    prompts = [rng.integers(0, model.vocab_size, n).tolist() for n in lengths]
    options: dict[str, Any] = {"sampler": ls.Greedy(), "seed": 0, "stop_at_end": False}
    options["on_error"] = "return"
    mean, new = int(lengths.mean()), int(np.mean(news))
    full = [rng.integers(0, model.vocab_size, mean).tolist() for _ in range(ROWS)]
    plain = ls.as_model(model.causal_lm, jit_compile=False)
    found = interleaved(
        rounds,
        {
            "engine": lambda: sum(news) / submit_all(plain, prompts, news, **options),
            "batches": lambda: sum(news) / fixed(plain, prompts, news, **options),
            "full": lambda: ROWS * new / fixed(plain, full, [new] * ROWS, **options),
        },
    )
    engine, batches, always_full = steps_of(news)
    return {f"unlike: {name}, tokens/s": value for name, value in found.items()} | {
        "unlike: steps of batches / of an engine": batches / engine,
        "unlike: steps of a batch that is always full / of an engine": always_full / engine,
    }


def alike(model: Any, rounds: int, count: int) -> dict[str, float]:
    """Measure requests that begin alike."""
    rng = np.random.default_rng(1)
    length = min(400, (model.context_length or 512) - 16)
    plain = ls.as_model(model.causal_lm, jit_compile=False)

    def first_tokens(keep: int) -> float:
        beginning = rng.integers(0, model.vocab_size, length).tolist()
        with ls.Engine(plain, max_rows=ROWS, keep=keep) as engine:
            begun, times = time.perf_counter(), []
            requests = [
                engine.submit(
                    beginning + rng.integers(0, model.vocab_size, 8).tolist(),
                    max_new_tokens=1,
                    sampler=ls.Greedy(),
                )
                for _ in range(count)
            ]
            for request in requests:
                request.result()
                times.append(time.perf_counter() - begun)
            return statistics.mean(times)

    kept = interleaved(
        rounds, {"kept": lambda: first_tokens(4096), "anew": lambda: first_tokens(0)}
    )
    return {f"alike: {name}, s to the first token": value for name, value in kept.items()}


def lookup(model: Any, rounds: int, new: int) -> dict[str, float]:
    """Measure texts that copy and texts that do not."""
    rng = np.random.default_rng(2)
    plain, found = ls.as_model(model.causal_lm, jit_compile=False), {}
    half = min(64, (model.context_length or 512) // 2)
    prompts: dict[str, Any] = {"nothing": rng.integers(0, model.vocab_size, half).tolist()}
    copied = model.encode(COPIED) if model.tokenizer else [*range(1, half // 2)] * 2
    prompts["its prompt"] = copied
    chains = {"its prompt": ls.Greedy(), "nothing": ls.Sampler(ls.Temperature(1.0))}
    for what, prompt in prompts.items():
        most = min(new, (model.context_length or 1024) - len(prompt))

        def seconds(draft: Any, prompt: Any = prompt, what: str = what, most: int = most) -> float:
            begun = time.perf_counter()
            ls.generate(
                plain,
                [prompt],
                max_new_tokens=most,
                sampler=chains[what],
                seed=0,
                stop_at_end=False,
                draft=draft,
            )
            return (time.perf_counter() - begun) / most * 1e3

        calls = {name: partial(seconds, draft) for name, draft in DRAFTS.items()}
        for name, value in interleaved(rounds, calls).items():
            found[f"copies {what}: {name}, ms a token"] = value
    return found


def alone(model: Any, rounds: int, new: int) -> dict[str, float]:
    """Measure one text."""
    plain = ls.as_model(model.causal_lm, jit_compile=False)
    options: dict[str, Any] = {"sampler": ls.Greedy(), "max_new_tokens": new, "stop_at_end": False}

    def by_generate() -> float:
        begun = time.perf_counter()
        ls.generate(plain, [[1, 2, 3]], **options)
        return (time.perf_counter() - begun) / new * 1e3

    def by_engine() -> float:
        with ls.Engine(plain, max_rows=1) as engine:
            begun = time.perf_counter()
            engine.submit([1, 2, 3], **options).result()
            return (time.perf_counter() - begun) / new * 1e3

    found = interleaved(rounds, {"engine": by_engine, "generate": by_generate})
    return {f"alone: {name}, ms a token": value for name, value in found.items()}


PARTS = {"unlike": unlike, "alike": alike, "lookup": lookup, "alone": alone}
COUNTS = {"unlike": 64, "alike": 32, "lookup": 100, "alone": 100}
TARGETS = (
    ("unlike: engine, tokens/s", "unlike: batches, tokens/s", ">=", 2.0),
    ("unlike: engine, tokens/s", "unlike: full, tokens/s", ">=", 0.9),
    ("alike: kept, s to the first token", "alike: anew, s to the first token", "<=", 0.25),
    ("copies its prompt: plain, ms a token", "copies its prompt: lookup, ms a token", ">=", 1.5),
    ("copies nothing: plain, ms a token", "copies nothing: lookup, ms a token", ">=", 0.95),
    ("alone: engine, ms a token", "alone: generate, ms a token", "<=", 1.1),
)


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", choices=MODELS, default="shakespeare")
    parser.add_argument("--smollm2", type=Path, metavar="FOLDER", help="a folder with SmolLM2")
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--smoke", action="store_true", help="a tiny run, to see that it works")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all numbers")
    options = parser.parse_args()
    console = Console()
    where = start(console)
    import keras

    kind = "tiny" if options.smoke else options.model
    model = MODELS[kind].load(options.smollm2, "float32")
    console.print(f"{kind} on {keras.config.backend()}")
    found: dict[str, float] = {}
    for name in options.only:
        count = 3 if options.smoke else COUNTS[name]
        measured = PARTS[name](model, 1 if options.smoke else options.rounds, count)
        for what, value in measured.items():
            console.print(f"{value:10.4g}  {what}")
        found |= measured
    table = Table(box=None, pad_edge=False)
    for heading in ("", "measured", "to reach", ""):
        table.add_column(heading, justify="right" if heading != "" else "left")
    for one, other, sign, limit in TARGETS:
        if one in found:
            ratio = found[one] / found[other]
            reached = ratio >= limit if sign == ">=" else ratio <= limit
            told = "reached" if reached else "missed"
            table.add_row(told, f"{ratio:.3g}", f"{sign} {limit}", f"{one} / {other}")
    console.print(table)
    if options.json:
        options.json.write_text(json.dumps({"setting": where, "model": kind, "found": found}))


if __name__ == "__main__":
    main()
