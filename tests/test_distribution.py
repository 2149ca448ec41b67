"""Draws follow the distribution: chi-square on a fixed seed, and faults that it must catch."""

import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

import logit_sampling as ls
from tests import oracle

DRAWS = 20_000
ROW = [1.0, 3.0, 2.5, -1.0, 0.0, 2.0, 1.5, -0.5, 0.5, 2.2, -2.0, 1.8]
CHAINS = [
    [],
    [("Temperature", 0.7)],
    [("Temperature", 1.6)],
    [("TopK", 5)],
    [("TopP", 0.8)],
    [("MinP", 0.2)],
    [("Temperature", 1.2), ("TopK", 8), ("TopP", 0.9)],
]


def build(steps):
    return ls.Sampler(*(getattr(ls, name)(*values) for name, *values in steps))


def p_value(ids, steps) -> float:
    """Return how likely such counts are under the oracle's distribution; 0 off its support."""
    expected = np.array(oracle.softmax(oracle.chain(ROW, steps)))
    counts = np.bincount(ids, minlength=len(ROW))
    if counts[expected == 0].any():
        return 0.0
    kept = expected > 0
    return stats.chisquare(counts[kept], expected[kept] / expected.sum() * len(ids)).pvalue


def draws_over_rows(sampler, seed=0):
    return sampler(np.tile(np.array(ROW, np.float32), (DRAWS, 1)), seed=seed)


def draws_over_steps(sampler):
    rows = np.tile(np.array(ROW, np.float32), (DRAWS, 1))
    return sampler(rows, seed=[42] * DRAWS, step=np.arange(DRAWS))


def draws_in_a_graph(sampler):
    rows = tf.constant(np.tile(np.array(ROW, np.float32), (DRAWS, 1)))
    return tf.function(lambda x: sampler(x, seed=1, step=3))(rows).numpy()


@pytest.mark.parametrize(
    ("steps", "draw"),
    [
        *((steps, draw) for steps in CHAINS for draw in (draws_over_rows, draws_in_a_graph)),
        # What changes from step to step is the random number alone.
        *((steps, draws_over_steps) for steps in CHAINS[::3]),
    ],
    ids=lambda own: getattr(own, "__name__", str(own)),
)
def test_draws_follow_the_oracle(steps, draw):
    assert p_value(draw(build(steps)), steps) > 1e-3


@pytest.mark.parametrize(
    ("steps", "fault"),
    [
        (steps, fault)
        for steps in CHAINS
        for fault in (
            [],  # a filter that does nothing
            [*steps, ("Temperature", 1.2)],  # a temperature off by 20 %
            [(s[0], int(s[1] * 1.5)) if s[0] == "TopK" else s for s in steps],
            [("Temperature", 0.8), *steps],
        )
        if oracle.softmax(oracle.chain(ROW, fault)) != oracle.softmax(oracle.chain(ROW, steps))
    ],
    ids=str,
)
def test_a_planted_fault_is_caught(steps, fault):
    shares = np.array(oracle.softmax(oracle.chain(ROW, fault)))
    ids = np.random.default_rng(0).choice(len(ROW), DRAWS, p=shares / shares.sum())
    assert p_value(ids, steps) < 1e-6
    if steps == [("TopK", 5)]:
        assert p_value(draws_over_rows(build(fault)), steps) < 1e-6


def test_fresh_entropy_differs_from_call_to_call():
    rows = np.zeros((64, 1000), np.float32)
    sampler = ls.Sampler()
    assert (sampler(rows) != sampler(rows)).any()
    for jit_compile in (False, True):
        compiled = tf.function(sampler, jit_compile=jit_compile)
        assert (compiled(tf.constant(rows)).numpy() != compiled(tf.constant(rows)).numpy()).any()


def test_rows_of_a_batch_draw_independently():
    rows = np.zeros((DRAWS, 16), np.float32)
    ids = ls.Sampler()(rows, seed=9)
    pairs = np.bincount(ids[:-1] * 16 + ids[1:], minlength=256)
    assert stats.chisquare(pairs).pvalue > 1e-3


def test_engines_draw_the_same_token_for_wide_rows():
    rng = np.random.default_rng(3)
    spreads = np.repeat([0.01, 3.0], 100)[:, None]
    rows = (rng.normal(size=(200, 50_000)) * spreads).astype(np.float32)
    for sampler in (ls.Sampler(), ls.Sampler(ls.TopP(0.9)), ls.Sampler(ls.Temperature(0.7))):
        here = sampler(rows, seed=1)
        graph = tf.function(lambda x, s=sampler: s(x, seed=1), jit_compile=True)
        np.testing.assert_array_equal(graph(tf.constant(rows)).numpy(), here)
