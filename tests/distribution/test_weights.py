"""The eager engine's estimate in float32: its bound holds, and what it decides is right."""

import numpy as np
import pytest

from logit_sampling.distribution.weights import BLOCK, Weights, find

ROWS = [
    (vocabulary, spread, temperature)
    for vocabulary in (5_000, 128_256)
    for spread in (0.01, 1.0, 3.0, 12.0)
    for temperature in (1.0, 0.3, 2.5)
]


def weights(vocabulary, spread, temperature):
    rng = np.random.default_rng(vocabulary)
    row = (rng.normal(size=vocabulary) * spread + 7).astype(np.float32)
    return Weights(row, float(row.max()), temperature)


@pytest.mark.parametrize(("vocabulary", "spread", "temperature"), ROWS)
def test_the_total_is_within_the_bound(vocabulary, spread, temperature):
    row = weights(vocabulary, spread, temperature)
    estimate, error = row.estimate()
    exact = np.exp((row.values.astype(np.float64) - row.peak) / temperature).sum()
    assert 0 < error < 1e-4 * exact
    assert abs(estimate - exact) < error


@pytest.mark.parametrize(("vocabulary", "spread", "temperature"), ROWS)
def test_a_draw_at_the_edge_of_a_token_is_the_exact_one(vocabulary, spread, temperature):
    row = weights(vocabulary, spread, temperature)
    sums = np.cumsum(row.of())
    rng = np.random.default_rng(1)
    # Near the edges of likely tokens, nearer than float32 can tell.
    likely = np.argsort(row.values)[-200:]
    for edge in rng.choice(likely, 40):
        for shift in (-3e-9, 3e-9):
            uniform = min(max(float(sums[edge] / sums[-1]) + shift, 0.0), 1 - 2**-53)
            fresh = Weights(row.values, row.peak, temperature)
            block, part = find(row.blocks(), uniform)
            inside = row.of(slice(block * BLOCK, (block + 1) * BLOCK))
            assert fresh.place_of(uniform) == block * BLOCK + find(inside, part)[0]
