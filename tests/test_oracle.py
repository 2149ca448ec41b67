"""The library against the float64 oracle, on rows of every kind."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import logit_sampling as ls
from logit_sampling.distribution.random import row_integers
from tests import oracle

STEP = st.one_of(
    st.tuples(st.just("Temperature"), st.floats(0.1, 5) | st.just(0.0)),
    st.tuples(st.just("TopK"), st.integers(1, 80)),
    st.tuples(st.just("TopP"), st.floats(0.01, 1)),
    st.tuples(st.just("MinP"), st.floats(0, 1)),
    st.tuples(st.just("DynamicTemperature"), st.floats(0.5, 2), st.floats(0, 1), st.floats(0.3, 3)),
    st.tuples(st.just("Typical"), st.floats(0.01, 1)),
    st.tuples(st.just("Epsilon"), st.floats(0, 0.5)),
    st.tuples(st.just("Eta"), st.floats(0.0001, 0.9)),
    st.tuples(st.just("TopA"), st.floats(0, 1)),
    st.tuples(st.just("TopNSigma"), st.floats(0.1, 4)),
    st.tuples(st.just("TopH"), st.floats(0.01, 1)),
    st.tuples(st.just("PLess")),
    st.tuples(st.just("XTC"), st.sampled_from([0, 1]), st.floats(0.01, 0.5)),
)
LAST = st.none() | st.one_of(  # what comes last in a chain, if anything
    st.tuples(st.just("Mirostat"), st.floats(0.2, 8), st.sampled_from([1, 2])),
    st.tuples(st.just("AdaptiveP"), st.floats(0, 1)),
)


def build(steps):
    return ls.Sampler(*(oracle.transform(*step) for step in steps))


def rows(seed, vocabulary, spread):
    """Distinct scores, so that no cut falls on a rounding."""
    rng = np.random.default_rng(seed)
    return (rng.normal(size=vocabulary) * spread).astype(np.float32)


@settings(max_examples=300)
@example(steps=[("TopH", 1 - 1e-16)], last=None, seed=0, vocabulary=9, spread=1.0)
@given(
    steps=st.lists(STEP, max_size=4),
    last=LAST,
    seed=st.integers(0, 10_000),
    vocabulary=st.integers(1, 60),
    spread=st.sampled_from([0.01, 1.0, 5.0, 30.0]),
)
def test_distribution_equals_the_oracle(steps, last, seed, vocabulary, spread):
    steps = [*steps, last] if last else steps
    row = rows(seed, vocabulary, spread)
    left = oracle.chain([float(v) for v in row], steps)
    expected = oracle.softmax(left)
    result = build(steps).probabilities(row)
    np.testing.assert_allclose(result, expected, rtol=2e-6, atol=1e-37)
    # The support is exact: what is removed has probability 0, what stays has not (but underflow).
    kept = np.isfinite(left)
    assert (result[~kept] == 0).all() and (result[kept & (np.array(expected) > 1e-37)] > 0).all()


@settings(max_examples=200)
@given(
    steps=st.lists(STEP, max_size=3),
    seed=st.integers(0, 2**64 - 1),
    step=st.integers(0, 2**31 - 1),
    shape=st.integers(0, 1000),
)
def test_the_draw_is_the_inverse_of_the_cumulative_sum(steps, seed, step, shape):
    row = rows(shape, 40, 3.0)
    sampler = build(steps)
    expected = oracle.draw(oracle.chain([float(v) for v in row], steps), seed, step)
    assert int(sampler(row, seed=seed, step=step)) == expected
    assert sampler.probabilities(row)[expected] > 0


@pytest.mark.parametrize("vocabulary", [1024, 1025, 5000, 128_256])
@pytest.mark.parametrize("spread", [0.0001, 2.0, 8.0])
@pytest.mark.parametrize(
    "steps",
    [
        [],
        [("TopK", 50)],
        [("TopK", 3000)],
        [("TopP", 0.9)],
        [("Temperature", 0.8), ("TopK", 50), ("TopP", 0.95)],
        [("MinP", 0.05)],
        [("Temperature", 1.5), ("TopP", 0.6), ("MinP", 0.02)],
        [("Typical", 0.9)],
        [("Epsilon", 1e-5)],
        [("Eta", 1e-4)],
        [("TopA", 0.1)],
        [("TopNSigma", 1.0)],
        [("TopH", 0.7)],
        [("PLess",)],
        [("XTC", 1, 0.01)],
        [("Mirostat", 4.0, 2)],
    ],
    ids=str,
)
def test_wide_rows(vocabulary, spread, steps):
    row = rows(vocabulary, vocabulary, spread)
    kept = support_of_wide_row(row, steps)
    result = build(steps).probabilities(row)
    np.testing.assert_array_equal(np.flatnonzero(result), kept)
    ids = build(steps)(np.broadcast_to(row, (40, vocabulary)), seed=3)
    cumulative, seeds = np.cumsum(result.astype(np.float64)), row_integers(3, 40)
    for number, token in enumerate(ids.tolist()):
        u = oracle.uniform(seeds[number], 0) * cumulative[-1]
        below = cumulative[token - 1] if token else 0.0
        assert result[token] > 0
        assert below - 1e-5 <= u <= cumulative[token] + 1e-5


def support_of_wide_row(row, steps):
    """The oracle with NumPy sorting, since plain Python takes seconds at this size."""
    x = row.astype(np.float64)
    for name, *values in steps:
        x = np.where(np.isin(np.arange(x.size), kept_of_wide_row(x, name, *values)), x, -np.inf)
        if name == "Temperature":
            x = x / values[0]
    return np.flatnonzero(np.isfinite(x))


def kept_of_wide_row(x, name, value=None, more=None):
    ids = np.argsort(-x, kind="stable")
    mass = np.exp(x - x.max())
    mass /= mass.sum()
    surprise = np.where(mass > 0, -np.log(np.maximum(mass, 1e-320)), np.inf)
    h = mass @ np.where(mass > 0, surprise, 0)
    if name == "TopP":
        return ids[np.cumsum(mass[ids]) - mass[ids] < value]
    if name == "Typical":
        ids = ids[np.argsort(np.abs(surprise[ids] - h), kind="stable")]
        return ids[np.cumsum(mass[ids]) - mass[ids] < value]
    if name == "TopH":
        total, moment = np.cumsum(mass[ids]), np.cumsum(-mass[ids] * surprise[ids])
        return ids[np.log(total) - moment / total <= value * h + 1e-12]
    if name == "XTC":
        top = ids[mass[ids] >= more]
        return np.setdiff1d(ids, top[:-1])
    return {
        "Temperature": lambda: ids[x[ids] > -np.inf],
        "TopK": lambda: ids[:value],
        "MinP": lambda: np.flatnonzero(x >= x.max() + np.log(value)),
        "Epsilon": lambda: np.flatnonzero(mass >= min(value, mass.max())),
        "Eta": lambda: np.flatnonzero(mass >= min(value, np.sqrt(value) * np.exp(-h), mass.max())),
        "TopA": lambda: np.flatnonzero(mass >= value * mass.max() ** 2),
        "TopNSigma": lambda: np.flatnonzero(x >= x.max() - value * x[x > -np.inf].std()),
        "PLess": lambda: np.flatnonzero(mass >= mass @ mass),
        "Mirostat": lambda: np.flatnonzero(
            surprise <= max(2 * value, surprise.min() / np.log(2)) * np.log(2)
        ),
    }[name]()
