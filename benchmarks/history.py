"""What does a step cost after 16 tokens, and after 16,384?

python benchmarks/history.py [--vocabulary 128256] [--smoke]

Times `sampler.step` with each transform that keeps a state, eager and in a graph.
"""

import argparse
import os
from collections.abc import Callable
from typing import Any

import numpy as np
import rows
from rich.console import Console
from rich.table import Table
from strategies import SEED
from timing import Contender, measure

import logit_sampling as ls

CHAINS: tuple[tuple[Any, ...], ...] = (
    ("RepetitionPenalty", 1.1),
    ("RepetitionPenalty", 1.1, 64),
    ("PresencePenalty", 0.5),
    ("FrequencyPenalty", 0.5),
    ("NoRepeatNGram", 3),
    ("DRY", 0.8),
    ("SequenceBias", [([5, 6, 7], -1.0), ([8, 9], 1.0)]),
    ("BadWords", [[5, 6, 7], [8, 9]]),
    ("Mirostat", 5.0, 0.1),
    ("AdaptiveP", 0.5),
)


def contenders(sampler: ls.Sampler, lengths: list[int], vocabulary: int) -> list[Contender]:
    """Return a step after each of `lengths` tokens, eager and then in a graph."""
    import tensorflow as tf

    tokens = np.random.default_rng(SEED).random((1, max(lengths)))
    history = (vocabulary * tokens**4).astype(np.int32)
    eager, graph = [], []
    for length in lengths:
        state = sampler.init(history[:, :length], vocabulary, seed=SEED)
        eager.append(Contender("NumPy", _step(sampler.step, state)))
        # A graph of its own, as the state may have another shape.
        tensors = tf.nest.map_structure(tf.convert_to_tensor, state)
        compiled = tf.function(lambda x, state: sampler.step(x, state))
        graph.append(Contender("graph", _step(compiled, tensors), tf.constant))
    return eager + graph


def _step(step: Callable[[Any, Any], Any], state: Any) -> Callable[[Any, int], Any]:
    return lambda x, _: step(x, state)


def main() -> None:
    """Print a line for each transform."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--vocabulary", type=int, default=128_256)
    parser.add_argument("--lengths", type=int, nargs=2, default=[16, 16_384])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--smoke", action="store_true", help="a tiny run, to see that it works")
    options = parser.parse_args()
    if options.smoke:
        options.vocabulary, options.lengths, options.rounds = 2000, [4, 32], 2
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    shown = Table(box=None, pad_edge=False, title="µs a step, and how much longer the second takes")
    shown.add_column("", no_wrap=True)
    for mode in ("NumPy", "graph"):
        for heading in (*(f"{mode}, {length:,}" for length in options.lengths), "ratio"):
            shown.add_column(heading, justify="right")
    batches = rows.batches(rows.language(32, options.vocabulary), 1, 32)
    console = Console()
    missing = {name for name, *_ in CHAINS if not hasattr(ls, name)}
    for name in sorted(missing):
        console.print(f"{name} is left out: this version does not have it")
    chains = [chain for chain in CHAINS if chain[0] not in missing]
    for name, *arguments in chains[::3] if options.smoke else chains:
        sampler = ls.Sampler(getattr(ls, name)(*arguments))
        own = contenders(sampler, options.lengths, options.vocabulary)
        timings = measure(own, batches, options.rounds, budget=0.01 if options.smoke else 1.0)
        cells = []
        for short, long in (timings[:2], timings[2:]):
            if short.failure or long.failure:
                console.print(f"{name} failed: {short.failure or long.failure}", markup=False)
                cells += ["failed", "failed", ""]
                continue
            a, b = (1e6 * timing.quartiles()[1] for timing in (short, long))
            cells += [f"{a:,.0f}", f"{b:,.0f}", f"{b / a:.2f}"]
        shown.add_row(f"{name}({', '.join(map(str, arguments))})", *cells)
    console.print(shown)


if __name__ == "__main__":
    main()
