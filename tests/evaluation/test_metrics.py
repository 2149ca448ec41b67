"""Metrics against values worked out by hand."""

import math

import pytest

from logit_sampling.evaluation import Estimate, distinct_n, seq_rep_n


@pytest.mark.parametrize(
    ("token_ids", "n", "expected"),
    [
        ([1, 2, 3, 4, 5], 4, 0.0),  # 1234 2345
        ([1, 1, 1, 1, 1, 1], 4, 2 / 3),  # 1111 three times: two repeat the first
        ([1, 2, 1, 2, 1, 2, 1], 4, 0.5),  # 1212 2121 1212 2121
        ([1, 2, 3, 4, 9, 1, 2, 3, 4], 4, 1 / 6),  # 1234 stands first and last, among six
        ([7, 8, 7, 9, 7], 1, 0.4),  # 7 8 7 9 7: two of five are an earlier 7
        ([1, 2, 12], 2, 0.0),  # ids are compared as ids, not as digits
        ([1, 2, 3], 4, 0.0),  # shorter than n
        ([1, 1, 1, 1], 4, 0.0),  # exactly one n-gram
        ([], 4, 0.0),
    ],
)
def test_seq_rep_n(token_ids: list[int], n: int, expected: float) -> None:
    assert seq_rep_n(token_ids, n) == pytest.approx(expected, abs=1e-12)


def test_seq_rep_n_counts_4_grams_unless_told_otherwise() -> None:
    # 3-grams 121 212 121 212 121: three of five repeat; 4-grams: two of four.
    token_ids = [1, 2, 1, 2, 1, 2, 1]
    assert seq_rep_n(token_ids) == 0.5
    assert seq_rep_n(token_ids, 3) == pytest.approx(0.6)


@pytest.mark.parametrize(
    ("texts", "n", "expected"),
    [
        ([[1, 2, 3]], 1, 1.0),
        ([[1, 2, 3], [1, 2, 3]], 1, 0.5),
        ([[1, 2, 3], [1, 2, 3]], 2, 0.5),  # 12 23 12 23
        ([[1, 2], [3, 1, 2]], 2, 2 / 3),  # 12 31 12; 23 would cross from text to text
        ([[1], [1, 2]], 2, 1.0),  # a text shorter than n adds nothing
    ],
)
def test_distinct_n(texts: list[list[int]], n: int, expected: float) -> None:
    assert distinct_n(texts, n) == pytest.approx(expected, abs=1e-12)


def test_distinct_n_without_any_ngram_is_nan() -> None:
    assert math.isnan(distinct_n([[1], []], 2))


@pytest.mark.parametrize("n", [0, -1])
def test_ngram_length_is_checked(n: int) -> None:
    with pytest.raises(ValueError, match=f"n must be at least 1, got {n}"):
        seq_rep_n([1, 2, 3], n)
    with pytest.raises(ValueError, match=f"n must be at least 1, got {n}"):
        distinct_n([[1, 2, 3]], n)


def test_estimate_is_mean_and_sample_deviation() -> None:
    estimate = Estimate.of([1.0, 3.0, 8.0])  # deviations -3 -1 4: 26 / 2 = 13
    assert estimate == Estimate(4.0, pytest.approx(math.sqrt(13)), 3)
    assert estimate.format(2) == "4.00 ± 3.61"
    assert estimate.format(1, scale=1000) == "4000.0 ± 3605.6"


def test_a_single_run_has_no_spread_to_show() -> None:
    assert Estimate.of([0.25]) == Estimate(0.25, 0.0, 1)
    assert Estimate.of([0.25]).format(2) == "0.25"
