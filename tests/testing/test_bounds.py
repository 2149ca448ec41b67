"""The bounds against exact chances, from all outcomes of a few draws."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from logit_sampling.testing import bounds


def outcomes(n, probabilities):
    """Every possible table of counts, and its chance."""
    kinds = len(probabilities)
    for cuts in itertools.combinations(range(n + kinds - 1), kinds - 1):
        edges = (-1, *cuts, n + kinds - 1)
        counts = np.diff(edges) - 1
        yield counts, stats.multinomial.pmf(counts, n, probabilities)


@pytest.mark.parametrize(
    "probabilities", [[0.5, 0.5], [0.01, 0.99], [0.2, 0.3, 0.5], [0.001, 0.009, 0.09, 0.9]]
)
@pytest.mark.parametrize("n", [1, 7, 16])
def test_no_bound_is_below_the_chance(n, probabilities):
    p = np.array(probabilities)
    found = list(outcomes(n, p))
    assert sum(chance for _, chance in found) == pytest.approx(1)
    statistics = [bounds.relative_entropy(counts, p) for counts, _ in found]
    for counts, statistic in zip([counts for counts, _ in found], statistics, strict=True):
        at_least = sum(c for (_, c), s in zip(found, statistics, strict=True) if s >= statistic)
        bound = math.exp(bounds.log_chance(statistic, len(p) - 1))
        assert at_least <= bound * (1 + 1e-9), counts
    worst = [bounds.log_chance_of_worst(counts, p)[0] for counts, _ in found]
    for log in worst:
        at_most = sum(c for (_, c), w in zip(found, worst, strict=True) if w <= log + 1e-9)
        assert at_most <= math.exp(log) * (1 + 1e-6)


@pytest.mark.parametrize("probabilities", [[0.02, 0.98], [0.2, 0.3, 0.5], [0.25, 0.25, 0.5]])
def test_no_bound_on_the_surprise_is_below_the_chance(probabilities):
    p = np.array(probabilities)
    found = list(outcomes(15, p))
    logs = [bounds.log_chance_of_surprise([(counts, p)]) for counts, _ in found]
    assert min(logs) < -1
    for log in logs:
        chance = sum(c for (_, c), other in zip(found, logs, strict=True) if other <= log + 1e-9)
        assert chance <= math.exp(log) * (1 + 1e-6)


def test_the_bound_on_the_surprise_is_the_divergence_of_the_tilted_distribution():
    # What a wrong temperature gives: no test of so many draws can tell it better apart.
    p = np.array([0.5, 0.25, 0.125, 0.125])
    hot = p**0.8 / (p**0.8).sum()
    expected = math.log(2) - 1e6 * float((hot * np.log(hot / p)).sum())
    assert bounds.log_chance_of_surprise([(1e6 * hot, p)]) == pytest.approx(expected, rel=1e-6)
    halves = [(4e5 * hot, p), (6e5 * hot, p)]
    assert bounds.log_chance_of_surprise(halves) == pytest.approx(expected, rel=1e-6)
    flat = np.full(4, 0.25)
    assert bounds.log_chance_of_surprise([(np.array([90, 5, 3, 2]), flat)]) == 0


def test_a_sum_over_rows_is_bounded_too():
    first, second = np.array([0.3, 0.7]), np.array([0.1, 0.2, 0.7])
    sums = [
        (bounds.relative_entropy(a, first) + bounds.relative_entropy(b, second), c * d)
        for (a, c), (b, d) in itertools.product(outcomes(9, first), outcomes(6, second))
    ]
    for statistic, _ in sums:
        chance = sum(c for s, c in sums if s >= statistic)
        assert chance <= math.exp(bounds.log_chance(statistic, 3)) * (1 + 1e-9)


def test_dependence_of_independent_pairs_is_bounded():
    side = np.array([0.2, 0.8])
    pairs = [
        (bounds.dependence(*np.divmod(np.repeat(np.arange(4), counts), 2), 2), chance)
        for counts, chance in outcomes(16, np.outer(side, side).reshape(-1))
    ]
    for (statistic, freedom), _ in pairs:
        chance = sum(c for (s, _), c in pairs if s >= statistic)
        assert freedom == 3 and chance <= math.exp(bounds.log_chance(statistic, freedom)) + 1e-12


@pytest.mark.parametrize("freedom", [1, 7, 60])
def test_the_bound_is_no_looser_than_it_says(freedom):
    # A chi-square tail of twice the freedom, times what Chernoff's bound gives away.
    for statistic in (freedom + 20, freedom + 60):
        exact = stats.gamma.logsf(statistic, freedom)
        bound = bounds.log_chance(statistic, freedom)
        assert exact < bound < exact + math.log(10 * statistic)


def test_half_of_g():
    counts, p = np.array([12, 30, 8]), np.array([0.25, 0.5, 0.25])
    g = stats.power_divergence(counts, p * 50, lambda_="log-likelihood").statistic
    assert bounds.relative_entropy(counts, p) == pytest.approx(g / 2)
    assert bounds.relative_entropy(np.array([3, 1]), np.array([1.0, 0.0])) == math.inf


def test_dependence_of_equal_pairs_is_the_entropy():
    first = np.repeat(np.arange(4), 24)
    assert bounds.dependence(first, first, 4)[0] == pytest.approx(96 * math.log(4))
    assert bounds.dependence(first, np.tile(np.arange(4), 24), 4) == (0.0, 15)


def test_bins_follow_the_order_and_share_the_mass():
    p = np.array([0.3, 0.25, 0.0, 0.2, 0.15, 0.1])
    by_id = bounds.bins_of_equal_mass(p, np.arange(6), 2)
    assert by_id.tolist() == [0, 0, 1, 1, 1, 1]
    reverse = bounds.bins_of_equal_mass(p, np.arange(6)[::-1], 2)
    assert reverse.tolist() == [1, 1, 0, 0, 0, 0]
