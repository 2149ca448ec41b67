"""How often do the eager engine and a compiled graph draw different tokens?

python benchmarks/engine_agreement.py [--draws 1000000] [--vocabulary 32000] [--smoke]

Both compute the same uniform number bit for bit; what can differ is the rounding of the cumulative
sum at the boundary of a token. Draws on rows of many spreads, from flat to peaked, each time with
other seeds, and prints the differences for each chain.
"""

import argparse
import os
import time

import numpy as np

import logit_sampling as ls

CHAINS = (
    ls.Sampler(),
    ls.Sampler(ls.Temperature(0.7)),
    ls.Sampler(ls.TopK(50)),
    ls.Sampler(ls.TopP(0.9)),
    ls.Sampler(ls.Temperature(0.8), ls.TopK(50), ls.TopP(0.95), ls.MinP(0.01)),
)


def differences(sampler: ls.Sampler, draws: int, vocabulary: int, jit_compile: bool) -> int:
    """Draw, and return how many tokens differ."""
    import tensorflow as tf

    compiled = tf.function(lambda logits, seed: sampler(logits, seed=seed), jit_compile=jit_compile)
    rng, batch, differing = np.random.default_rng(0), 200, 0
    spread = np.linspace(0, 5, batch)[:, None]
    logits = (rng.standard_normal((batch, vocabulary)) * spread).astype(np.float32)
    for first in range(0, draws, batch):
        there = compiled(tf.constant(logits), tf.constant(first, tf.int64)).numpy()
        differing += int((sampler(logits, seed=first) != there).sum())
    return differing


def main() -> None:
    """Print a line for each chain and mode."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--draws", type=int, default=1_000_000)
    parser.add_argument("--vocabulary", type=int, default=32_000)
    parser.add_argument("--smoke", action="store_true", help="a few draws, to see that it runs")
    options = parser.parse_args()
    draws, vocabulary = (200, 1000) if options.smoke else (options.draws, options.vocabulary)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    for sampler in CHAINS[:2] if options.smoke else CHAINS:
        for jit_compile in (False, True):
            start = time.perf_counter()
            count = differences(sampler, draws, vocabulary, jit_compile)
            mode = "XLA  " if jit_compile else "graph"
            seconds = time.perf_counter() - start
            print(f"{mode} {count} of {draws} draws differ ({seconds:.0f} s)  {sampler}")


if __name__ == "__main__":
    main()
