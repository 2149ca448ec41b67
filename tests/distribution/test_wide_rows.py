"""Rows too wide to be put in order: what takes a short cut draws what the long way draws."""

import numpy as np
import pytest
import tensorflow as tf

import logit_sampling as ls
from logit_sampling.distribution.row import EagerRow
from logit_sampling.distribution.weights import Weights

VOCABULARY = 5000
RULES = [
    ls.Sampler(ls.Temperature(0.8), ls.TopP(0.9)),
    ls.Sampler(ls.Typical(0.6)),
    ls.Sampler(ls.TopH(0.5), ls.MinP(0.001)),
    ls.Sampler(ls.TopK(2000), ls.TopP(0.7)),
]


def peaked(count, seed=0, vocabulary=VOCABULARY):
    """Rows whose prefixes end among few leaders."""
    rng = np.random.default_rng(seed)
    spread = np.linspace(3, 6, count)[:, None]
    return (rng.standard_normal((count, vocabulary)) * spread).astype(np.float32)


@pytest.mark.parametrize(
    ("sampler", "jit_compile"),
    [*((rule, False) for rule in RULES), *((rule, True) for rule in RULES[1::2])],
    ids=repr,
)
def test_a_graph_draws_from_leaders_what_eager_code_draws(sampler, jit_compile):
    x, seeds = peaked(8), range(40)
    draw = tf.function(lambda x, seed: sampler(x, seed=seed), jit_compile=jit_compile)
    flat = np.concatenate([x[1:], 0.01 * x[:1]])  # one row that does not end there
    for rows in (x, flat):
        ours = [sampler(rows, seed=seed) for seed in seeds]
        theirs = [draw(tf.constant(rows), tf.constant(seed, tf.int64)) for seed in seeds]
        np.testing.assert_array_equal(theirs, ours)
    assert len(np.unique(ours)) > 50
    x[2, 4321] = np.nan
    bad = np.arange(8) == 2
    ids = draw(tf.constant(x), tf.constant(0, tf.int64)).numpy()
    assert (ids[bad] == -1).all() and (ids[~bad] >= 0).all()


@pytest.mark.parametrize("jit_compile", [False, True])
def test_zeros_of_either_sign_are_equal(jit_compile):
    x = np.full((1, VOCABULARY), -0.0, np.float32)
    x[0, 100:] = 0.0
    kept = tf.function(ls.TopK(150), jit_compile=jit_compile)(tf.constant(x)).numpy()
    np.testing.assert_array_equal(np.flatnonzero(kept[0] == 0), np.arange(150))


@pytest.mark.parametrize("p", [0.05, 0.3, 0.6, 0.95])
def test_a_typical_set_among_leaders_is_that_of_the_whole_row(p, monkeypatch):
    x = peaked(40, seed=1, vocabulary=30_000)
    # Surprises far above and below the entropy, so that likelier tokens are not the first.
    x[:, :3] += x.max(axis=1, keepdims=True)
    found, original = [], EagerRow.prefix_of_few

    def noted(*arguments):
        found.append(original(*arguments))
        return found[-1]

    monkeypatch.setattr(EagerRow, "prefix_of_few", noted)
    among_leaders = ls.Typical(p)(x)
    assert sum(kept is not None for kept in found) > 10
    monkeypatch.setattr(EagerRow, "prefix_of_few", lambda *_: None)
    np.testing.assert_array_equal(among_leaders, ls.Typical(p)(x))


def test_weights_that_vanish_are_zero_and_change_no_other():
    rng = np.random.default_rng(0)
    values = rng.standard_normal(40_000).astype(np.float32)
    values[rng.random(values.size) < 0.3] = -np.inf
    values[rng.random(values.size) < 0.1] = -1000
    row = Weights(values, float(values.max()), 1.0)
    with np.errstate(under="ignore"):
        expected = np.exp(values.astype(np.float64) - row.peak)
    np.testing.assert_array_equal(row.of(), expected)
    assert (row.of()[values < -100] == 0).all()
    assert row.total == pytest.approx(expected.sum(), rel=1e-13)


def test_a_mask_keeps_infinities():
    values = np.tile(np.array([np.inf, -np.inf, 0, -3.5], np.float32), 1000)
    mask = np.tile([True, True, False, True], 1000)
    kept = EagerRow(values, None, np.inf).keep_where(mask)
    np.testing.assert_array_equal(kept.values, np.where(mask, values, -np.inf))
    assert kept.ids is None
