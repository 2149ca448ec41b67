"""Mirostat and adaptive-p over several steps: by hand, on all engines, and what they achieve."""

import math

import numpy as np
import pytest
import tensorflow as tf

import logit_sampling as ls
from logit_sampling.distribution.intake import take_in

ROW = np.log(np.array([[0.5, 0.3, 0.15, 0.05]]))


def test_the_limit_of_mirostat_falls_with_the_surprise():
    sampler = ls.Sampler(ls.Mirostat(tau=0.9, eta=0.5))
    state = sampler.init([[7]], 4, seed=1)
    limit = 1.8
    for _ in range(5):
        np.testing.assert_allclose(state.transforms[0][0], [limit], rtol=1e-6)
        ids, state = sampler.step(ROW, state)
        # The surprise is that of the distribution that came in, not of what the cut left.
        limit -= 0.5 * (-math.log2(np.exp(ROW[0, ids[0]])) - 0.9)


def test_the_surprise_after_the_cut():
    # 2 tau is 1.8 bits, which 0.3 has and 0.2 has not; of the two left 0.5 has ln2(8/5) bits.
    sampler = ls.Sampler(ls.Mirostat(tau=0.9, eta=0.5, after_cut=True))
    row = np.log([[0.5, 0.3, 0.2]])
    state = sampler.init([[]], 3, seed=0)
    ids, state = sampler.step(row, state)
    surprise = np.log2(8 / 5) if ids[0] == 0 else np.log2(8 / 3)
    np.testing.assert_allclose(state.transforms[0][0], 1.8 - 0.5 * (surprise - 0.9), rtol=1e-6)


def test_the_sums_of_adaptive_p():
    sampler = ls.Sampler(ls.AdaptiveP(0.2, decay=0.5))
    state = sampler.init([[7]], 4, seed=1)
    total, weights = 0.2 / 0.5, 1 / 0.5
    for _ in range(5):
        np.testing.assert_allclose(state.transforms[0], [[total], [weights]], rtol=1e-6)
        ids, state = sampler.step(ROW, state)
        total, weights = float(np.exp(ROW[0, ids[0]])) + 0.5 * total, 1 + 0.5 * weights


@pytest.mark.parametrize(
    "last",
    [
        ls.Mirostat([2.0, 3.0], 0.3),
        ls.Mirostat(3.0, [0.3, 0.1], version=1, m=20),
        ls.Mirostat([2.0, 3.0], 0.3, after_cut=True),
        ls.AdaptiveP([0.1, 0.4]),
    ],
    ids=repr,
)
@pytest.mark.parametrize("jit_compile", [False, True])
def test_steps_agree_on_all_engines(last, jit_compile):
    sampler = ls.Sampler(ls.Temperature(0.9), ls.TopK(60), last)
    compiled = tf.function(sampler.step, jit_compile=jit_compile)
    rng = np.random.default_rng(0)
    state = other = sampler.init([[1, 2], [3]], 100, seed=5)
    for number in range(6):
        x = (rng.normal(size=(2, 100)) * 2).astype(np.float32)
        ids, state = sampler.step(x, state)
        # A state goes in and out of compiled functions.
        there, other = (compiled if number % 3 else sampler.step)(tf.constant(x), other)
        np.testing.assert_array_equal(there.numpy(), ids)
        for mine, theirs in zip(state.transforms[2], other.transforms[2], strict=True):
            np.testing.assert_allclose(theirs, mine, rtol=1e-5)


def test_mirostat_holds_the_surprise():
    rng = np.random.default_rng(0)
    rows = (rng.normal(size=(400, 2000)) * 3).astype(np.float32)
    for version in (1, 2):
        for tau in (3.5, 5.0):
            sampler = ls.Sampler(ls.Mirostat(tau, 0.2, version=version))
            state, surprises = sampler.init([[0]], 2000, seed=1), []
            for row in rows:
                ids, state = sampler.step(row[None], state)
                surprises.append(-ls.Sampler().log_prob(row[None], ids)[0] / math.log(2))
            assert abs(np.mean(surprises[50:]) - tau) < 0.1


def test_a_finished_row_leaves_the_state():
    for transform in (ls.Mirostat(3.0), ls.AdaptiveP(0.3)):
        state = transform.init(np.zeros((2, 1), np.int32), 4)
        scores = take_in(np.repeat(ROW, 2, axis=0))
        after = transform.update(state, np.array([-1, 1]), scores.distribution)
        assert all(new[0] == old[0] for old, new in zip(state, after, strict=True))
        assert any(new[1] != old[1] for old, new in zip(state, after, strict=True))


def test_generated_tokens_alone_are_not_enough():
    row = ROW[0]
    for transform in (ls.Mirostat(3.0), ls.AdaptiveP(0.3)):
        with pytest.raises(ValueError, match=r"sampler.init and sampler.step"):
            transform(row, history=[1, 2])
        expected = transform(row)
        np.testing.assert_array_equal(transform(row, history=[1, 2], prompt_length=2), expected)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ls.Mirostat(0), r"Mirostat needs `tau`.*\(0, inf\).*got 0"),
        (lambda: ls.Mirostat(3, version=3), r"`version` to be one of \(1, 2\); got 3"),
        (lambda: ls.Mirostat(3, after_cut=1), r"`after_cut` to be one of .*; got 1"),
        (lambda: ls.Mirostat(3, m=1), r"`m` to be an integer of at least 2; got 1"),
        (lambda: ls.AdaptiveP(1.5), r"AdaptiveP needs `target`.*\[0, 1\].*got 1.5"),
        (lambda: ls.AdaptiveP(0.5, decay=1.0), r"`decay`.*\[0, 0.99\].*got 1.0"),
        (lambda: ls.XTC(0.5, 0.6), r"XTC needs `threshold`.*\[0, 0.5\].*got 0.6"),
        (lambda: ls.XTC(0.5, 0.1, protected=[-1]), r"`protected` to be token ids.*got \[-1\]"),
        (lambda: ls.TopH(0.5, renormalize=2), r"`renormalize` to be one of .*; got 2"),
        (lambda: ls.TopH(0.5, first=0), r"`first` to be an integer of at least 1 or None; got 0"),
        (lambda: ls.DynamicTemperature(1, -1), r"DynamicTemperature needs `range`.*got -1"),
    ],
)
def test_parameters_out_of_range(make, message):
    with pytest.raises(ValueError, match=message):
        make()
