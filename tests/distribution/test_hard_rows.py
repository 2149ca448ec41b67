"""Rows that floating point makes hard: infinities, zeros of either sign, extreme numbers."""

import itertools

import numpy as np
import pytest
import tensorflow as tf

import logit_sampling as ls
from logit_sampling.distribution.random import row_integers

INF = np.inf
RNG = np.random.default_rng(0)


def modes(function):
    """Run a function of logits in eager code, in a plain graph and under XLA."""
    compiled = [tf.function(function, jit_compile=jit) for jit in (False, True)]
    return [function, *(lambda x, f=f: f(tf.constant(x)).numpy() for f in compiled)]


def keeps(sampler, **given):
    """Return a function that tells which tokens each mode leaves, bool [mode, batch, vocab]."""
    runs = modes(lambda x: sampler.probabilities(x, **given))
    return lambda x: np.stack([run(x) > 0 for run in runs])


def distribution(x):
    mass = np.exp(x.astype(np.float64) - x.max())
    return mass / mass.sum()


def test_the_entropy_of_wide_prefixes():
    """Prefixes that end among few leaders, and one that does not, alone and in one batch."""
    text = (-1.1 * np.log(RNG.permutation(1500) + 1.0)).astype(np.float32)
    flat = (RNG.normal(size=1500) * 0.1).astype(np.float32)
    expected = []
    for row in (text, flat):
        p, order = distribution(row), np.argsort(-row, kind="stable")
        masses, terms = np.cumsum(p[order]), np.cumsum(-(p * np.log(p))[order])
        within = np.log(masses) + terms / masses <= 0.7 * terms[-1]
        expected.append(np.isin(np.arange(1500), order[within]))
    assert [row.sum() for row in expected] == [97, 166]
    kept = keeps(ls.Sampler(ls.TopH(0.7)))
    for rows in ([0, 0], [1, 1], [0, 1]):
        found = kept(np.stack([text, flat])[rows])
        np.testing.assert_array_equal(found, [np.stack(expected)[rows]] * 3)


@pytest.mark.parametrize("before", [(), (ls.MinP(0.01),), (ls.TopK(1900),)], ids=str)
def test_top_choices_that_are_most_of_a_wide_row(before):
    x = np.tile((RNG.normal(size=2000) * 0.5).astype(np.float32), (4, 1))
    thresholds = [1e-4, 2e-4, 5e-4, 1e-3]
    left = ls.Sampler(*before).probabilities(x[0]) > 0
    share = distribution(np.where(left, x[0], -INF))
    expected = np.tile(left, (4, 1))
    for row, threshold in zip(expected, thresholds, strict=True):
        top = np.flatnonzero(left & (share >= threshold))
        assert top.size > (50 if threshold == 1e-3 else 500)
        row[top[x[0, top] > x[0, top].min()]] = False
    chain = ls.Sampler(*before, ls.XTC(1.0, thresholds))
    np.testing.assert_array_equal(keeps(chain, seed=0)(x), [expected] * 3)


@pytest.mark.parametrize(("vocabulary", "infinite"), [(300, 200), (1500, 700)])
def test_tokens_at_infinity_share_all_mass(vocabulary, infinite):
    x = RNG.normal(size=(1, vocabulary)).astype(np.float32)
    places = np.sort(RNG.permutation(vocabulary)[:infinite])
    x[0, places] = INF
    counts = {
        ls.TopK(150): 150,
        ls.TopP(0.9): round(0.9 * infinite),
        ls.Typical(0.9): round(0.9 * infinite),
        ls.TopH(0.9): int(infinite**0.9),
        ls.TopH(0.5, renormalize=False): infinite // 2,
        ls.TopNSigma(1.0): infinite,
    }

    def all_of_them(x):
        return [ls.Sampler(ls.Temperature(0.5), t).probabilities(x) for t in counts]

    graph, xla = tf.function(all_of_them), tf.function(all_of_them, jit_compile=vocabulary < 1000)
    for run in (all_of_them, graph, xla):
        for count, probabilities in zip(counts.values(), run(tf.constant(x)), strict=True):
            expected = np.zeros((1, vocabulary), np.float32)
            expected[0, places[:count]] = 1 / count
            np.testing.assert_allclose(probabilities, expected, rtol=1e-6, atol=0)


def test_a_row_that_keeps_all_beside_one_that_does_not():
    x = RNG.normal(size=(2, 1500)).astype(np.float32)
    x[0, [3, 700]] = INF
    for transform in (ls.Typical([1, 0.5]), ls.TopP([1, 0.5]), ls.TopH([1, 0.5])):
        expected = np.isfinite(transform(x)) | (x == INF)
        assert expected[0].all() and 1 < expected[1].sum() < 1000
        eager, graph, xla = modes(transform)
        for run in (eager, graph, *[xla] * isinstance(transform, ls.Typical)):
            np.testing.assert_array_equal(run(x) > -INF, expected)


@pytest.mark.parametrize("vocabulary", [100, 129, 300, 5000])
@pytest.mark.parametrize(
    "transform",
    [ls.TopH(0.5), ls.TopH(0.5, renormalize=False), ls.TopH(0.5, first=140), ls.Typical(0.9)],
    ids=repr,
)
def test_one_token_at_infinity_has_all_mass(vocabulary, transform):
    x = RNG.normal(size=vocabulary).astype(np.float32)
    x[7] = INF
    certain = np.arange(vocabulary) == 7
    np.testing.assert_array_equal(ls.Sampler(transform).probabilities(x), certain)
    assert ls.Sampler(transform)(x, seed=0) == 7


def test_zeros_of_either_sign_tie():
    x = np.where(RNG.random((4, 300)) < 0.5, 0.0, -0.0).astype(np.float32)
    x[:, 0] = [-0.0, -0.0, -1.0, -1.0]
    x[:, 1] = [0.0, -0.0, -0.0, 0.0]
    first = np.stack([np.arange(300) == n for n in (0, 0, 1, 1)])
    for chain in (
        ls.Greedy(),
        ls.Greedy(ls.TopP(0.3)),
        ls.Sampler(ls.Temperature(0)),
        ls.Sampler(ls.Temperature([0, 0, 0, 0])),
        ls.Sampler(ls.TopK(1)),
    ):
        np.testing.assert_array_equal(keeps(chain)(x), [first] * 3)


def test_a_temperature_leaves_ties_alone_however_extreme():
    cold, hot = (1e-30, 1e-39, 1e-100, 5e-324), (1e30, 1e45, 1e300, 1.7e308)
    x = np.zeros((8, 2000), np.float32)
    x[:4, 5:15] = 1
    x[4:] = RNG.normal(size=2000)
    x[4:, 500:] = -INF
    expected = np.zeros(x.shape, bool)
    expected[:4, 5:14] = True  # nine of ten that are tied hold 0.9
    expected[4:, np.argsort(-x[4], kind="stable")[:450]] = True
    chain = ls.Sampler(ls.Temperature([*cold, *hot]), ls.TopP(0.9))
    np.testing.assert_array_equal(keeps(chain)(x), [expected] * 3)
    for number, temperature in enumerate([*cold, *hot]):
        chain = ls.Sampler(ls.Temperature(temperature), ls.TopP(0.9))
        draws = chain(np.tile(x[number], (60, 1)), seed=1)
        assert expected[number, draws].all() and len(set(draws)) >= 9
    alone = ls.Sampler(ls.Temperature(5e-324), ls.TopP(0.9))
    # A short row, which is compiled sooner.
    np.testing.assert_array_equal(keeps(alone)(x[:1, :300]), [expected[:1, :300]] * 3)


def test_a_typical_logit_at_any_temperature():
    x = np.tile(np.linspace(-1, 1, 2001, dtype=np.float32), (2, 1))
    near = (abs(x) < 0.1001) & (np.arange(2001) <= 1100)
    # All tokens are as likely, and the typical logit is the mean.
    chain = ls.Sampler(ls.Temperature([1e12, 1e300]), ls.Typical(201 / 2001))
    np.testing.assert_array_equal(keeps(chain)(x), [near] * 3)


def test_deviations_of_any_size():
    cases = list(itertools.product((1.0, 1e-200, 1e200), (1e-300, 1e-155, 1, 1e155), (1, 3, 1e300)))
    units, temperatures, n = map(np.array, zip(*cases, strict=True))
    row = RNG.normal(size=100)
    expected = row >= row.max() - n[:, None] * row.std()
    # AdaptiveP makes all that is kept likely, whatever the temperature.
    chain = ls.Sampler(ls.Temperature(temperatures), ls.TopNSigma(n), ls.AdaptiveP(0.5))
    np.testing.assert_array_equal(keeps(chain)(row * units[:, None]), [expected] * 3)


def test_penalties_beyond_the_greatest_float():
    most = np.finfo(np.float64).max
    x = np.array([[INF, -INF, 1e300, -1e300, 0.0], [-1.7e308] * 5])
    seen = [[*[0, 0, 0, 1, 0, 2, 0, 3, 0, 4] * 2, 0]] * 2
    expected = {
        ls.RepetitionPenalty(1e300): [INF, -INF, 1, -most, 0],
        ls.RepetitionPenalty(1e-300): [INF, -INF, most, -1, 0],
        ls.PresencePenalty(most, prompt=True): [INF, -INF, -most, -most, -most],
        ls.FrequencyPenalty(1e308, prompt=True): [INF, -INF, -most, -most, -most],
        ls.FrequencyPenalty(-1e308, prompt=True): [INF, -INF, most, most, most],
        ls.LogitBias({0: -most, 1: most, 2: most, 3: -most}): [INF, -INF, most, -most, 0],
        ls.LogitBias({0: -INF, 1: INF, 2: INF, 3: -INF}): [-INF, -INF, INF, -INF, 0],
        ls.LengthDecay(0, 1e10, end_id=[0, 1, 2, 3]): [INF, -INF, most, most, 0],
        ls.DRY(1e308, base=1e30, allowed_length=1): [
            INF,
            -INF,
            -9.9999999e307,
            -1.00000001e308,
            -1e308,
        ],
    }

    def all_of_them(x):
        return [transform(x, history=seen) for transform in expected]

    for run in (all_of_them, tf.function(all_of_them), tf.function(all_of_them, jit_compile=True)):
        for transform, logits in zip(expected, run(tf.constant(x)), strict=True):
            np.testing.assert_allclose(
                logits[0], expected[transform], rtol=1e-8, err_msg=repr(transform)
            )
            if abs(expected[transform][2]) < INF:  # what is finite stays so
                assert np.isfinite(logits[1]).all(), transform


def test_whatever_numpy_is_told_to_do_about_infinities():
    x = np.stack([RNG.normal(size=2000) * spread for spread in (0.1, 3, 1000, 3e37)])
    x[1, ::3] = -INF
    x[2, 5] = INF
    chains = [
        ls.Sampler(ls.Temperature(1e-300), ls.TopP(0.9), ls.MinP(0)),
        ls.Sampler(ls.Temperature(0.7), ls.Typical(0.5), ls.Epsilon(0)),
        ls.Sampler(ls.TopH(0.5), ls.TopNSigma(1e308), ls.XTC(1, 0)),
        ls.Sampler(ls.DynamicTemperature(1e308, 1e308, 9.0), ls.Eta(0), ls.TopA(0)),
        ls.Sampler(ls.RepetitionPenalty(1e30), ls.AdaptiveP(0.5), ls.PLess()),
        ls.Sampler(ls.Mirostat(version=1), ls.LogitBias({0: 1e308})),
    ]
    for dtype in (np.float32, np.float64):
        for chain in chains:
            rows = x.astype(dtype)
            state = chain.init([[3]] * 4, 2000, seed=1)
            expected = chain.probabilities(rows, seed=1), *chain.step(rows, state)
            with np.errstate(all="raise"):
                again = chain.probabilities(rows, seed=1), *chain.step(rows, state)
            np.testing.assert_array_equal(again[0], expected[0])
            np.testing.assert_array_equal(again[1], expected[1])


@pytest.mark.parametrize("jit_compile", [False, True])
def test_a_row_without_a_token_leaves_the_feedback_alone(jit_compile):
    x = RNG.normal(size=(3, 50)).astype(np.float32)
    x[1] = np.nan
    for transform in (ls.AdaptiveP(0.3), ls.Mirostat(3.0)):
        sampler = ls.Sampler(transform)
        state = sampler.init([[1]] * 3, 50, seed=5)
        ids, after = tf.function(sampler.step, jit_compile=jit_compile)(tf.constant(x), state)
        alone = sampler.init([[1]] * 2, 50, seed=row_integers(5, 3)[::2])
        own, expected = sampler.step(x[[0, 2]], alone)
        assert ids.numpy().tolist() == [own[0], -1, own[1]]
        for old, new, other in zip(
            state.transforms[0], after.transforms[0], expected.transforms[0], strict=True
        ):
            assert new[1] == old[1]
            np.testing.assert_allclose(new.numpy()[[0, 2]], other, rtol=1e-6)
