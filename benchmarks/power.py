"""How often does `check_sampler` fail a fault that the tests plant, and how often a right sampler?

python benchmarks/power.py [--runs 10] [--draws 1000 10000] [--smoke]

The table of docs/certification.md: of so many runs with different seeds, how many failed. Samplers
are those of the tests, in plain NumPy; the vocabulary is 100, without wide rows and other dtypes.
"""

import argparse
import sys
from pathlib import Path

import numpy as np

sys.path[:0] = [str(Path(__file__).parents[1])]  # for the samplers of the tests

from logit_sampling.testing import check_sampler  # noqa: E402
from tests.testing import samplers  # noqa: E402
from tests.testing.samplers import Plain, order, top_k, top_p  # noqa: E402

FAULTS: dict[str, list[tuple[Plain, Plain]]] = {
    "none": [(Plain(), Plain())],
    "temperature 1 % off": [(Plain(temperature=t), Plain()) for t in (0.99, 1.01)],
    "temperature 2 % off": [(Plain(temperature=t), Plain()) for t in (0.98, 1.02)],
    "temperature 5 % off": [(Plain(temperature=t), Plain()) for t in (0.95, 1.05)],
    "temperature 10 % off": [(Plain(temperature=t), Plain()) for t in (0.9, 1.1)],
    "temperature 20 % off": [(Plain(temperature=t), Plain()) for t in (0.8, 1.2)],
    "temperature 5 % off, behind a top-k of 10": [
        (Plain(top_k(10), t), Plain(top_k(10))) for t in (0.95, 1.05)
    ],
    "temperature 20 % off, behind a top-k of 10": [
        (Plain(top_k(10), t), Plain(top_k(10))) for t in (0.8, 1.2)
    ],
    "top-k keeps 11, or 9, for 10": [(Plain(top_k(k)), Plain(top_k(10))) for k in (11, 9)],
    "top-k keeps 51 for 50": [(Plain(top_k(51)), Plain(top_k(50)))],
    "top-k keeps 49 for 50": [(Plain(top_k(49)), Plain(top_k(50)))],
    "top-p of 0.91 for 0.9": [(Plain(top_p(0.91)), Plain(top_p(0.9)))],
    "top-p of 0.89 for 0.9": [(Plain(top_p(0.89)), Plain(top_p(0.9)))],
    "any token at all in one draw of 10,000, top-k of 10": [
        (Plain(top_k(10), stray=1e-4), Plain(top_k(10)))
    ],
    "ties to the higher id, or all kept": [
        (Plain(lambda x: (len(x) - 1 - order(x[::-1]))[:10]), Plain(top_k(10))),
        (Plain(lambda x: np.flatnonzero(x >= np.sort(x)[-10])), Plain(top_k(10))),
    ],
    "seed made from the batch size": [(samplers.BatchSeed(), Plain())],
    "one uniform number for all rows": [(samplers.SharedUniform(), Plain())],
    "every other row close to the one before": [(samplers.CorrelatedRows(), Plain())],
    "neighbouring seeds give neighbouring numbers": [(samplers.WeakSeed(), Plain())],
    "seed ignored, forgotten in between, or cut to 16 bits": [
        (samplers.SeedIgnored(), Plain()),
        (samplers.SeedForgotten(), Plain()),
        (samplers.SeedCutShort(), Plain()),
    ],
}


def failed(faulty: Plain, right: Plain, draws: int, runs: int) -> int:
    """Return how many of so many runs failed."""
    reports = (
        check_sampler(
            *(faulty, right.probabilities),
            vocab_size=100,
            wide_vocab_size=None,
            dtypes=(),
            draws=draws,
            seed=seed,
        )
        for seed in range(runs)
    )
    return sum(not report.ok for report in reports)


def main() -> None:
    """Print a row of the table for each fault; one that has several forms has a number for each."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--draws", type=int, nargs="+", default=[1000, 10_000])
    parser.add_argument("--smoke", action="store_true", help="a run of few draws for some faults")
    options = parser.parse_args()
    draws, runs = ([100], 1) if options.smoke else (options.draws, options.runs)
    print("| fault |", *(f"{n:,} draws a row |" for n in draws))
    print("| --- |" + " --- |" * len(draws))
    for name, forms in list(FAULTS.items())[:: 6 if options.smoke else 1]:
        counts = [", ".join(str(failed(*form, n, runs)) for form in forms) for n in draws]
        print(f"| {name} |", *(f"{count} |" for count in counts), flush=True)


if __name__ == "__main__":
    main()
