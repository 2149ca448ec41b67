"""What else generation costs: a cold start, memory over a long text, retracing."""

import argparse
import inspect
import mmap
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from generators import BACKENDS, gpt2
from rich.console import Console
from setting import installed

import logit_sampling as ls

Finding = tuple[str, float, float]
"""What it is, what was measured, what it may be at most."""

COLD = 1.5  # of importing the backend and loading the weights
COLD_BEFORE = 1  # of the checkout of --before
GROWTH = 1.0  # kB of resident memory a token
_STATM = Path("/proc/self/statm")  # Linux tells there how many pages a process holds
_TINY: dict[str, Any] = {"vocabulary": 512, "layers": 2, "heads": 2, "width": 16}
_FIRST_TOKEN = """
import logit_sampling as ls
ls.generate(ls.load_model("shakespeare"), ["ROMEO:"], max_new_tokens=1, seed=0)
"""
_WEIGHTS = """
import keras_hub
keras_hub.models.Backbone.from_preset({folder!r})
"""


def cold(options: argparse.Namespace, console: Console) -> Iterator[Finding]:
    """Time from a cold process to the shipped model's first token. On each backend."""
    here = Path(__file__).parents[1]
    weights = _WEIGHTS.format(folder=str(here / "models" / "shakespeare"))
    programs = {"first token": (_FIRST_TOKEN, here), "KerasHub and the weights": (weights, here)}
    if options.before:
        programs[f"first token of {options.before}"] = (_FIRST_TOKEN, options.before)
    for backend in installed(options.backends, console):
        environment = os.environ | {"KERAS_BACKEND": backend}
        seconds: dict[str, list[float]] = {name: [] for name in programs}
        for _ in range(1 if options.smoke else 6):
            for name, (program, folder) in programs.items():
                environment["PYTHONPATH"] = str(folder)
                start = time.perf_counter()
                subprocess.run(
                    [sys.executable, "-c", program],
                    env=environment,
                    check=True,
                    capture_output=True,
                )
                seconds[name].append(time.perf_counter() - start)
        # The first round reads the files from the disk.
        first, *others = (float(np.median(each[1:] or each)) for each in seconds.values())
        for name, each in seconds.items():
            console.print(
                f"{BACKENDS[backend]}, {name}: {np.median(each[1:] or each):.2f} s, "
                f"{min(each):.2f} at least",
                highlight=False,
            )
        limits = (COLD, COLD_BEFORE)
        for name, other, limit in zip(list(seconds)[1:], others, limits, strict=False):
            yield f"cold process, {BACKENDS[backend]}: first token / {name}", first / other, limit


def memory(options: argparse.Namespace, console: Console) -> Iterator[Finding]:
    """Watch resident memory over a text of 2,000 tokens. A tiny model, its context overflowing."""
    if not _STATM.exists():
        console.print(f"memory is left out: it is read from {_STATM}, which this system has not")
        return
    slides = "overflow" in inspect.signature(ls.generate).parameters
    settings: dict[str, Any] = {"overflow": "slide"} if slides else {}
    tokens = 60 if options.smoke else 2000
    model = gpt2(**_TINY, context=256 if slides else 4096)

    def text(count: int) -> None:
        ls.generate(model, [[1, 2, 3]], max_new_tokens=count, stop_at_end=False, seed=0, **settings)

    text(tokens)  # what is traced and what stays in TensorFlow's pools
    resident = watch(lambda: text(tokens))
    low, high = resident[len(resident) // 4], resident[-1]
    console.print(
        f"{tokens:,} tokens, {'sliding window' if slides else 'within the context'}: "
        f"{low / 1e6:.1f} MB after a quarter, {high / 1e6:.1f} MB at the end, "
        f"{max(resident) / 1e6:.1f} MB at most",
        highlight=False,
    )
    yield "long text: kB a token that memory grew by", (high - low) / 750 / tokens, GROWTH


def watch(call: Callable[[], None], seconds: float = 0.01) -> list[int]:
    """Return the resident bytes of this process, before `call`, while it runs, and after it."""
    resident, done = [_resident()], threading.Event()

    def look() -> None:
        while not done.wait(seconds):
            resident.append(_resident())

    thread = threading.Thread(target=look)
    thread.start()
    try:
        call()
    finally:
        done.set()
        thread.join()
    return [*resident, _resident()]


def _resident() -> int:
    return int(_STATM.read_text().split()[1]) * mmap.PAGESIZE


def retracing(options: argparse.Namespace, console: Console) -> Iterator[Finding]:
    """Count the graphs that further calls trace. Other lengths, batches, numbers, seeds."""
    model = gpt2(**_TINY, context=128)
    if not hasattr(model, "traces"):
        console.print("retracing is left out: this version does not count its traces")
        return

    def text(
        lengths: list[int], *, numbers: tuple[float, int, float] = (0.8, 50, 0.95), **more: Any
    ) -> None:
        temperature, k, p = numbers
        sampler = ls.Sampler(
            ls.RepetitionPenalty(1.2), ls.Temperature(temperature), ls.TopK(k), ls.TopP(p)
        )
        settings = {"max_new_tokens": 8, "seed": 0} | more
        prompts = [list(range(i, i + length)) for i, length in enumerate(lengths)]
        ls.generate(model, prompts, sampler=sampler, stop_at_end=False, **settings)

    changes: dict[str, list[dict[str, Any]]] = {
        "prompt of 5, 20, 33, 64 tokens": [{"lengths": [n] * 8} for n in (5, 20, 33, 64)],
        "prompts of several lengths": [{"lengths": [3, 30, 7, 12, 9, 50, 4, 21]}],
        "batch of 5, 6, 7": [{"lengths": [12] * n} for n in (5, 6, 7)],
        "other temperature, k and p": [{"numbers": (0.7, 20, 0.9)}, {"numbers": (1.3, 7, 0.5)}],
        "other seeds": [{"seed": 1}, {"seed": 2**40}, {"seed": list(range(8))}],
        "3, 17, 40, 100 new tokens": [{"max_new_tokens": n} for n in (3, 17, 40, 100)],
    }
    usual: dict[str, Any] = {"lengths": [12] * 8}
    text(**usual)
    console.print(f"the first call traced {model.traces} graphs")
    for what, calls in list(changes.items())[: 2 if options.smoke else None]:
        before = model.traces
        for change in calls:
            text(**usual | change)
        yield f"retracing: graphs traced for {what}", model.traces - before, 0


MODES: dict[str, Callable[[argparse.Namespace, Console], Iterable[Finding]]] = {
    "cold": cold,
    "memory": memory,
    "retracing": retracing,
}
