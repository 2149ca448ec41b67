"""An engine under random requests from several threads, for as long as it is told.

python -m tests.soak [--minutes M] [--model function|keras] [--threads N] [--seed S]

Requests come at random times with prompts of all lengths, samplers, searches, drafts and stops;
some are cancelled, some have a deadline, and some raise in their callback. Each text must be what
it is alone, or a beginning of it where it was ended; nothing may hang, and memory must stay as it
is.
With a Keras model texts may differ by the rounding of matrix products: these are counted.
"""

import argparse
import contextlib
import random
import re
import sys
import threading
import time
from collections import Counter, deque
from pathlib import Path
from typing import Any

import logit_sampling as ls
from tests.generation.models import Letters, Windowed

SAMPLERS = [
    ls.Greedy(),
    ls.Sampler(),
    ls.Sampler(ls.Temperature(0.8), ls.TopK(8), ls.TopP(0.9)),
    ls.Sampler(ls.RepetitionPenalty(1.3), ls.FrequencyPenalty(0.2), ls.MinP(0.05)),
    ls.Sampler(ls.Mirostat(3.0, 0.1)),
    ls.Sampler(ls.XTC(0.5, 0.1), ls.NoRepeatNGram(3)),
]
CONTEXT, VOCABULARY = 160, 30


class Raised(Exception):
    """What a callback raises."""


def keras_model() -> Any:
    """Return a small Llama with random weights."""
    import keras_hub
    import numpy as np

    backbone = keras_hub.models.LlamaBackbone(
        vocabulary_size=VOCABULARY,
        num_layers=2,
        num_query_heads=4,
        num_key_value_heads=2,
        hidden_dim=16,
        intermediate_dim=32,
    )
    rng = np.random.default_rng(0)
    for variable in backbone.trainable_variables:
        if len(variable.shape) > 1:
            variable.assign(rng.normal(0, 0.3, variable.shape))
    made = keras_hub.models.LlamaCausalLM(backbone=backbone)
    return ls.as_model(made, context_length=CONTEXT, tokenizer=Letters())


def function_model() -> Any:
    """Return a model that rounds nothing."""
    model = Windowed(CONTEXT, VOCABULARY)
    for record in ("prefills", "reads", "steps", "selected"):  # of calls, which would grow
        setattr(model, record, deque(maxlen=1))
    return ls.as_model(model, tokenizer=Letters())


def request(rng: random.Random) -> tuple[list[int], dict[str, Any], str]:
    """Return a prompt, options, and how it is to end."""
    beginning = [(7 * i) % VOCABULARY for i in range(60)]
    prompt = [rng.randrange(VOCABULARY) for _ in range(rng.choice([1, 4, 20, 70]))]
    if rng.random() < 0.3:
        prompt = beginning[: rng.choice([40, 60])] + prompt[:20]
    options: dict[str, Any] = {
        "sampler": rng.choice(SAMPLERS),
        "max_new_tokens": rng.choice([1, 5, 20, 60]),
        "seed": rng.randrange(10**6),
        "n": rng.choice([1, 1, 1, 2, 3]),
        "stop_token_ids": rng.choice([[], [3], [4, 5, 6]]),
        "stop": rng.choice([(), "abc", ["aa", "bcd"], re.compile("[ab]{3}")]),
        "stop_loops": rng.choice([None, (4, 3)]),
        "top_log_probs": rng.choice([0, 0, 3]),
        "on_error": "return",
    }
    kind = rng.randrange(12)
    if kind == 0:
        options |= {"search": ls.BeamSearch(3), "sampler": None, "stop": (), "stop_loops": None}
    elif kind == 1:
        options["draft"] = "lookup"
    elif kind == 2:
        options["overflow"] = "slide"
    end = rng.choices(["itself", "cancel", "deadline", "error"], [8, 1, 1, 1])[0]
    return prompt, options, "itself" if kind == 0 else end


class Soak:
    """Requests of all threads, and what came of them."""

    def __init__(self, model: Any, fresh: Any, exact: bool, seed: int) -> None:
        self.model, self.fresh, self.exact, self.seed = model, fresh, exact, seed
        self.counts: Counter[str] = Counter()
        self.wrong: list[str] = []
        self.lock = threading.Lock()

    def work(self, engine: ls.Engine, number: int, until: float) -> None:
        rng = random.Random(1000 * self.seed + number)
        waiting: list[Any] = []
        while time.monotonic() < until:
            if len(waiting) < 4:
                waiting.append(self.ask(engine, rng))
                time.sleep(rng.choice([0, 0, 0.01, 0.05]))
            else:
                self.check(*waiting.pop(rng.randrange(len(waiting))))
        for each in waiting:
            self.check(*each)

    def ask(self, engine: ls.Engine, rng: random.Random) -> Any:
        prompt, options, end = request(rng)
        given = dict(options)
        if end == "deadline":
            given["deadline"] = rng.choice([0.001, 0.02, 0.1])
        elif end == "error":
            count = rng.randrange(1, 10)

            def stop(row: int, ids: list[int]) -> bool:
                if len(ids) == count:
                    raise Raised
                return False

            given["should_stop"] = stop
        asked = engine.submit(prompt, **given)
        if end == "cancel":
            threading.Timer(rng.choice([0, 0.01, 0.05]), asked.cancel).start()
        if rng.random() < 0.2:
            with contextlib.suppress(Raised):
                for _ in asked:
                    if rng.random() < 0.1:
                        break
        return prompt, options, end, asked

    def check(self, prompt: list[int], options: dict[str, Any], end: str, asked: Any) -> None:
        try:
            found = asked.result(timeout=120)
        except Raised as error:
            found = error.result  # type: ignore[attr-defined]
            end = "raised"
        # With a deadline it goes a token a step: programs of chains would hide how memory grows.
        alone = ls.generate(self.fresh(), [prompt], deadline=1e6, **options)
        with self.lock:
            self.counts["requests"] += 1
            self.counts[f"ended by {end}"] += 1
            for row, reason in enumerate(found.finish_reasons):
                self.counts[f"row: {reason}"] += 1
                own, expected = found.token_ids[row], alone.token_ids[row]
                cut = reason in ("cancelled", "deadline", "interrupted")
                if own == (expected[: len(own)] if cut else expected):
                    continue
                self.counts["texts that differ"] += 1
                if self.exact:
                    self.wrong.append(f"{prompt} {options}: {own} in place of {expected}")


def resident() -> float:
    """Return the memory that this process holds, in MB."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096 / 1e6


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--model", choices=["function", "keras"], default="function")
    parser.add_argument("--threads", type=int, default=4)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    exact = options.model == "function"
    model = function_model() if exact else keras_model()
    soak = Soak(model, function_model if exact else lambda: model, exact, options.seed)
    until = time.monotonic() + 60 * options.minutes
    with ls.Engine(model, max_rows=8, max_tokens=8 * CONTEXT, keep=1000) as engine:
        threads = [
            threading.Thread(target=soak.work, args=(engine, number, until), daemon=True)
            for number in range(options.threads)
        ]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            time.sleep(min(60, max(1, until - time.monotonic())))
            print(f"{resident():.0f} MB, {soak.counts['requests']} requests", flush=True)
            if time.monotonic() > until + 300:
                print("a request hangs")
                return 1
    for name, count in sorted(soak.counts.items()):
        print(f"{count:8} {name}")
    for told in soak.wrong[:5]:
        print(told)
    return bool(soak.wrong)


if __name__ == "__main__":
    sys.exit(main())
