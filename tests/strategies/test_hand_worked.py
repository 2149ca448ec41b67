"""Rows small enough to work out by hand, and what each strategy leaves of them."""

import numpy as np
import pytest
import tensorflow as tf

import logit_sampling as ls

INF = np.inf
ROW = np.log(np.array([0.15, 0.5, 0.05, 0.3]))  # order: 1, 3, 0, 2


def probabilities(*chain, row=ROW):
    return ls.Sampler(*chain).probabilities(row)


CASES = [
    ([], [0.15, 0.5, 0.05, 0.3]),
    ([ls.Temperature(0)], [0, 1, 0, 0]),
    ([ls.Temperature(0.5)], [0.0225 / 0.365, 0.25 / 0.365, 0.0025 / 0.365, 0.09 / 0.365]),
    ([ls.TopK(1)], [0, 1, 0, 0]),
    ([ls.TopK(2)], [0, 0.625, 0, 0.375]),
    ([ls.TopK(4)], [0.15, 0.5, 0.05, 0.3]),
    ([ls.TopK(99)], [0.15, 0.5, 0.05, 0.3]),
    ([ls.TopP(1e-9)], [0, 1, 0, 0]),
    ([ls.TopP(0.5)], [0, 1, 0, 0]),  # a mass of exactly p is enough
    ([ls.TopP(0.51)], [0, 0.625, 0, 0.375]),
    ([ls.TopP(0.8)], [0, 0.625, 0, 0.375]),
    ([ls.TopP(0.81)], [0.15 / 0.95, 0.5 / 0.95, 0, 0.3 / 0.95]),
    ([ls.TopP(0.95)], [0.15 / 0.95, 0.5 / 0.95, 0, 0.3 / 0.95]),
    ([ls.TopP(1)], [0.15, 0.5, 0.05, 0.3]),
    ([ls.MinP(0)], [0.15, 0.5, 0.05, 0.3]),
    ([ls.MinP(0.1)], [0.15, 0.5, 0.05, 0.3]),  # 0.05 is exactly a tenth of 0.5
    ([ls.MinP(0.11)], [0.15 / 0.95, 0.5 / 0.95, 0, 0.3 / 0.95]),
    ([ls.MinP(0.3)], [0.15 / 0.95, 0.5 / 0.95, 0, 0.3 / 0.95]),
    ([ls.MinP(1)], [0, 1, 0, 0]),
    # Half of the entropy in the likeliest: surprises .69, 1.2, 1.9, 3.0, entropy 1.14.
    ([ls.Typical(0.3)], [0, 0, 0, 1]),
    ([ls.Typical(0.31)], [0, 0.625, 0, 0.375]),
    ([ls.Typical(0.81)], [0.15 / 0.95, 0.5 / 0.95, 0, 0.3 / 0.95]),
    ([ls.Typical(1)], [0.15, 0.5, 0.05, 0.3]),
    ([ls.Epsilon(0)], [0.15, 0.5, 0.05, 0.3]),
    ([ls.Epsilon(0.15)], [0.15 / 0.95, 0.5 / 0.95, 0, 0.3 / 0.95]),
    ([ls.Epsilon(0.16)], [0, 0.625, 0, 0.375]),
    ([ls.Epsilon(0.9)], [0, 1, 0, 0]),
    # exp(-entropy) = 0.3191
    ([ls.Eta(0.09)], [0.15 / 0.95, 0.5 / 0.95, 0, 0.3 / 0.95]),  # 0.3 * 0.3191 = 0.0957
    ([ls.Eta(0.64)], [0, 0.625, 0, 0.375]),  # 0.8 * 0.3191 = 0.2553
    ([ls.TopA(0.2)], [0.15, 0.5, 0.05, 0.3]),  # 0.2 * 0.25 is exactly 0.05
    ([ls.TopA(0.21)], [0.15 / 0.95, 0.5 / 0.95, 0, 0.3 / 0.95]),
    ([ls.TopA(1)], [0, 0.625, 0, 0.375]),
    ([ls.PLess()], [0, 1, 0, 0]),  # the squares sum to 0.365
    ([ls.TopNSigma(0.1)], [0, 1, 0, 0]),  # deviation of the logits: 0.851
    ([ls.TopNSigma(1)], [0, 0.625, 0, 0.375]),
    ([ls.TopNSigma(1.5)], [0.15 / 0.95, 0.5 / 0.95, 0, 0.3 / 0.95]),
    # Entropies of the prefixes: 0, 0.6616, 0.9933, 1.1421.
    ([ls.TopH(0.57)], [0, 1, 0, 0]),
    ([ls.TopH(0.6)], [0, 0.625, 0, 0.375]),
    ([ls.TopH(0.87)], [0.15 / 0.95, 0.5 / 0.95, 0, 0.3 / 0.95]),
    ([ls.TopH(1)], [0.15, 0.5, 0.05, 0.3]),
    ([ls.TopH(0.6, renormalize=False)], [0, 1, 0, 0]),
    ([ls.TopH(1, first=2)], [0, 0.625, 0, 0.375]),
    ([ls.TopH(0.87, first=3)], [0, 0.625, 0, 0.375]),  # entropy 0.662 of (.526, .316, .158)'s 0.993
    ([ls.MinK(0.1)], [0, 1, 0, 0]),  # drops of ln(5/3), ln(2)/2, ln(3)/3
    ([ls.MinK(4.6)], [0, 1, 0, 0]),  # the range is ln(10), 2.303
    ([ls.MinK(4.61)], [0, 0.625, 0, 0.375]),
    ([ls.MinK(7)], [0.15 / 0.95, 0.5 / 0.95, 0, 0.3 / 0.95]),
    ([ls.AllowTokens([1, 2, 3]), ls.MinK(0.1)], [0, 0.625, 0, 0.375]),  # ln(5/3), ln(6)/2
    ([ls.XTC(1, 0.15)], [0.75, 0, 0.25, 0]),
    ([ls.XTC(1, 0.16)], [0.3, 0, 0.1, 0.6]),
    ([ls.XTC(1, 0.15, protected=[1])], [0.15 / 0.7, 0.5 / 0.7, 0.05 / 0.7, 0]),
    ([ls.XTC(1, 0)], [0, 0, 1, 0]),
    ([ls.XTC(0, 0.1)], [0.15, 0.5, 0.05, 0.3]),
    ([ls.XTC(0.5, 0.16)], [0.225, 0.25, 0.075, 0.45]),  # the mixture of both outcomes
    ([ls.XTC(0.5, 0.16), ls.TopK(1)], [0, 0.5, 0, 0.5]),
    ([ls.XTC(0.5, 0.16), ls.XTC(0.5, 0.16)], [0.375, 0.125, 0.125, 0.375]),
    ([ls.DynamicTemperature(0, 0)], [0, 1, 0, 0]),
    ([ls.DynamicTemperature(2, 0), ls.Temperature(0.5)], [0.15, 0.5, 0.05, 0.3]),
    ([ls.Mirostat(0.5)], [0, 1, 0, 0]),  # limit of 1 bit
    ([ls.Mirostat(0.9)], [0, 0.625, 0, 0.375]),  # 0.3 is 1.737 bits
    ([ls.Mirostat(2)], [0.15 / 0.95, 0.5 / 0.95, 0, 0.3 / 0.95]),  # 0.05 is 4.3 bits
    ([ls.Mirostat(0.01)], [0, 1, 0, 0]),  # one always stays
    # Renormalising matters: after top-k 3, 0.5 has become 0.526, which reaches 0.52.
    ([ls.TopK(3), ls.TopP(0.52)], [0, 1, 0, 0]),
    ([ls.TopP(0.52), ls.TopK(3)], [0, 0.625, 0, 0.375]),
]

EVERY = [
    ls.Temperature(2),
    ls.DynamicTemperature(1, 0.5),
    ls.TopK(3),
    ls.TopP(0.95),
    ls.MinP(0.3),
    ls.Typical(0.95),
    ls.Epsilon(0.01),
    ls.Eta(0.01),
    ls.TopA(0.1),
    ls.TopNSigma(2),
    ls.TopH(0.99),
    ls.TopH(0.9, renormalize=False),
    ls.PLess(),
    ls.XTC(1, 0.5, protected=(1,)),
    ls.Mirostat(5),
    ls.Mirostat(5, version=1),
    ls.AdaptiveP(0.5),
]


@pytest.mark.parametrize(("chain", "expected"), CASES, ids=[repr(c) for c, _ in CASES])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_probabilities(chain, expected, dtype):
    result = probabilities(*chain, row=ROW.astype(dtype))
    np.testing.assert_allclose(result, expected, rtol=1e-6, atol=0)
    assert result.dtype == np.float32


def test_dynamic_temperature_follows_the_entropy():
    expected = np.array([0.15, 0.5, 0.05, 0.3]) ** (1 / (1.5 * 1.1421 / np.log(4)))
    result = probabilities(ls.DynamicTemperature(0.75, 0.75))
    np.testing.assert_allclose(result, expected / expected.sum(), rtol=1e-4)
    one = np.array([3, -INF], np.float32)
    np.testing.assert_array_equal(ls.DynamicTemperature(2, 1)(one), one)


def test_quadratic_bends_by_the_distance():
    row = np.array([3.0, 1.0, 2.5, -INF])  # distances 0, 2, 0.5
    np.testing.assert_allclose(ls.Quadratic(0.5)(row), [0, -2, -0.125, -INF])
    np.testing.assert_allclose(ls.Quadratic(0.5, 3)(row), [0, -4, -0.0625, -INF])  # d cubed
    np.testing.assert_allclose(ls.Quadratic(0.5, 5)(row), [0, -6, 0, -INF])  # 2 d cubed - d squared


def test_a_drop_is_found_behind_many_equal_ones():
    row = np.zeros(5000, np.float32)
    row[:3000] += 1
    assert np.isfinite(ls.MinK(1e-9)(row)).sum() == 3000
    even = np.linspace(0, -50, 5000, dtype=np.float32)[None]
    for mode in (ls.MinK(1e-9), tf.function(ls.MinK(1e-9))):
        assert np.isfinite(mode(even)).sum() == 1
    np.testing.assert_array_equal(ls.MinK(1e-9)(np.full(9, 7.0)), np.full(9, 7.0))


@pytest.mark.parametrize("temperature", [0.01, 0.7, 1.9, 30.0])
def test_no_temperature_moves_the_cut_of_min_k(temperature):
    rows = np.random.default_rng(3).normal(size=(40, 300)).astype(np.float32) * 4
    cut = ls.MinK(1e-9)
    kept = np.isfinite(cut(ls.Temperature(temperature)(rows.astype(np.float64))))
    np.testing.assert_array_equal(kept, np.isfinite(cut(rows)))
    assert len(np.unique(kept.sum(axis=1))) > 2


def test_adaptive_p_aims_at_the_target():
    # Distances from 0.3 in units of 0.3: 0.5, 0.667, 0.833, 0.
    expected = [5 - 2.5 / 1.5, 5 - 40 / 9 / (5 / 3), 5 - 250 / 36 / (11 / 6), 5]
    np.testing.assert_allclose(ls.AdaptiveP(0.3)(ROW), expected, rtol=1e-9)


def test_typical_takes_the_likelier_of_two_at_equal_distance():
    for dtype in (np.float32, np.float64):  # surprises ln 2 and ln 4 about an entropy of 1.5 ln 2
        row = np.log(np.array([0.25, 0.5, 0.25])).astype(dtype)
        assert np.isfinite(ls.Typical(0.4)(row)).tolist() == [False, True, False]
        assert np.isfinite(ls.Typical(0.6)(row)).tolist() == [True, True, False]


def test_order_of_a_chain_moves_the_cut():
    # The example of the design: p = (.5, .3, .15, .05), temperature 2, top-p 0.75.
    row = np.log(np.array([0.5, 0.3, 0.15, 0.05]))
    hot_first = probabilities(ls.Temperature(2), ls.TopP(0.75), row=row)
    np.testing.assert_allclose(hot_first, [0.431, 0.334, 0.236, 0], atol=6e-4)
    cut_first = probabilities(ls.TopP(0.75), ls.Temperature(2), row=row)
    np.testing.assert_allclose(cut_first, [0.563, 0.437, 0, 0], atol=6e-4)


@pytest.mark.parametrize(
    ("transform", "expected"),
    [
        (ls.TopK(1), [0, -INF, -INF, -INF]),
        (ls.TopK(3), [0, 0, 0, -INF]),
        (ls.TopP(0.5), [0, 0, -INF, -INF]),
        (ls.TopP(0.51), [0, 0, 0, -INF]),
        (ls.MinP(1), [0, 0, 0, 0]),
        (ls.Typical(0.5), [0, 0, -INF, -INF]),
        (ls.Typical(0.51), [0, 0, 0, -INF]),
        (ls.Epsilon(0.25), [0, 0, 0, 0]),
        (ls.Epsilon(0.26), [0, 0, 0, 0]),  # all are the greatest
        (ls.TopA(1), [0, 0, 0, 0]),
        (ls.PLess(), [0, 0, 0, 0]),
        (ls.TopNSigma(0.5), [0, 0, 0, 0]),
        (ls.TopH(0.5), [0, 0, -INF, -INF]),  # ln 2 is half of ln 4
        (ls.TopH(0.49), [0, -INF, -INF, -INF]),
        (ls.XTC(1, 0.25), [-INF, -INF, -INF, 0]),
        (ls.XTC(1, 0.26), [0, 0, 0, 0]),
        (ls.Mirostat(0.9), [0, 0, 0, 0]),
        (ls.Mirostat(0.9, version=1), [0, 0, 0, -INF]),  # a flat row: 2**1.8 = 3.48
        (ls.Temperature(0), [0, -INF, -INF, -INF]),
    ],
    ids=repr,
)
def test_the_lower_id_wins_a_tie(transform, expected):
    np.testing.assert_array_equal(transform(np.zeros(4, np.float32)), expected)


def test_ties_at_the_cut_of_a_wide_row():
    row = np.zeros(100_000, np.float32)
    row[[5, 70_000]] = 1
    kept = np.flatnonzero(np.isfinite(ls.TopK(10)(row)))
    assert kept.tolist() == [0, 1, 2, 3, 4, 5, 6, 7, 8, 70_000]
    assert np.flatnonzero(np.isfinite(ls.TopP(0.5)(np.zeros(9999, np.float32)))).tolist() == list(
        range(5000)
    )


def test_minus_zero_ties_with_zero():
    row = np.array([-0.0, 0.0, -1.0], np.float32)
    assert int(ls.Greedy()(row)) == 0
    np.testing.assert_array_equal(np.isfinite(ls.TopK(1)(row)), [True, False, False])


def test_removed_tokens_stay_removed():
    row = np.array([1, -INF, 0, -INF], np.float32)
    for transform in (ls.TopP(0.99), ls.MinP(0.01), ls.MinP(0), *EVERY):
        assert np.isneginf(transform(row)[[1, 3]]).all(), transform
    np.testing.assert_allclose(probabilities(row=row), [0.7310586, 0, 0.26894143, 0], rtol=1e-6)


def test_plus_infinity_takes_all_the_mass():
    row = np.array([0, INF, 5, INF], np.float32)
    # TopH keeps one of two equals, AdaptiveP gives all others a mass again.
    cuts = [t for t in EVERY if not isinstance(t, ls.TopH | ls.AdaptiveP)]
    for chain in ([], [ls.MinP(0)], *([cut] for cut in cuts)):
        np.testing.assert_array_equal(probabilities(*chain, row=row), [0, 0.5, 0, 0.5])
    assert int(ls.Greedy()(row)) == 1


def test_a_row_of_minus_infinity_passes_through_a_transform():
    row = np.full(4, -INF, np.float32)
    for transform in (ls.Temperature(0), *EVERY):
        np.testing.assert_array_equal(transform(row), row)


def test_huge_numbers_do_not_warn():
    tiny = float(np.finfo(np.float32).min)  # what many models write for "masked"
    row = np.array([1, 2, tiny], np.float32)
    np.testing.assert_array_equal(ls.Temperature(0.5)(row), [2, 4, -INF])
    expected = [1 / (1 + np.e**2), np.e**2 / (1 + np.e**2), 0]
    np.testing.assert_allclose(probabilities(ls.Temperature(0.5), row=row), expected, rtol=1e-6)
    assert probabilities(ls.Temperature(1e39), ls.MinP(0.1), row=row[:2]).tolist() == [0.5, 0.5]
    assert ls.Sampler().log_prob(np.array([0, -1e300]), 1) == -INF
    far = np.array([1.7e308, -1.7e308])
    np.testing.assert_array_equal(probabilities(ls.TopP(0.9), row=far), [1, 0])


@pytest.mark.parametrize("temperature", [1e-300, 1e-40, 1e-9])
def test_a_temperature_near_zero_does_not_overflow(temperature):
    row = np.array([30, 30.00001, -80], np.float32)
    np.testing.assert_array_equal(probabilities(ls.Temperature(temperature), row=row), [0, 1, 0])
    scaled = ls.Temperature(temperature)(row)
    assert scaled.argmax() == 1 and not np.isnan(scaled).any() and np.isfinite(scaled[1])


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("transform", [*EVERY, ls.XTC(1, 0), ls.XTC(1, 0.15)], ids=repr)
def test_masked_tokens_count_for_nothing(transform):
    row = np.log(np.array([0.4, 0.3, 0.2, 0.1]))
    masked = np.insert(row, [0, 1], -INF)
    alone = probabilities(transform, row=row)
    np.testing.assert_array_equal(probabilities(transform, row=masked), np.insert(alone, [0, 1], 0))
    if isinstance(transform, ls.XTC):
        graph = tf.function(ls.Sampler(transform).probabilities)(tf.constant(masked))
        np.testing.assert_allclose(graph, np.insert(alone, [0, 1], 0), rtol=1e-6, atol=0)
