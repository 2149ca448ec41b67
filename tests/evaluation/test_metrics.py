"""Metrics against values worked out by hand."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from logit_sampling.evaluation import (
    distinct_n,
    entropy_of,
    longest_repeat,
    loops,
    rep_w,
    seq_rep_n,
    zipf_coefficient,
)


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


@pytest.mark.parametrize(
    ("token_ids", "w", "expected"),
    [
        ([1, 2, 3, 1], 3, 1 / 4),  # the last 1 is three behind the first
        ([1, 2, 3, 1], 2, 0.0),
        ([5, 5, 5, 5], 1, 3 / 4),
        ([], 16, 0.0),
    ],
)
def test_rep_w(token_ids: list[int], w: int, expected: float) -> None:
    assert rep_w(token_ids, w) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("token_ids", "expected"),
    [
        ([], 0),
        ([1], 0),
        ([1, 2, 3], 0),
        ([1, 2, 1], 1),
        ([1, 2, 3, 1, 2, 3, 1, 2], 5),  # 12312 at 0 and at 3
        ([4, 1, 2, 5, 6, 1, 2, 7], 2),
    ],
)
def test_longest_repeat(token_ids: list[int], expected: int) -> None:
    assert longest_repeat(token_ids) == expected


@given(st.lists(st.integers(0, 3), max_size=30))
def test_longest_repeat_is_what_a_search_of_all_sequences_finds(ids: list[int]) -> None:
    found = 0
    for size in range(1, len(ids)):
        parts = [tuple(ids[i : i + size]) for i in range(len(ids) - size + 1)]
        if len(set(parts)) < len(parts):
            found = size
    assert longest_repeat(ids) == found


@pytest.mark.parametrize(
    ("token_ids", "expected"),
    [
        ([1, 2, 1, 2, 1, 2], True),
        ([1, 2, 1, 2, 1, 2, 3], False),  # not at the end
        ([9, 3, 3, 3], False),  # a phrase has two tokens
        ([3, 3, 3, 3, 3, 3], True),
        ([1, 2, 3, 1, 2, 3, 1, 2], False),
        ([], False),
    ],
)
def test_loops(token_ids: list[int], expected: bool) -> None:
    assert loops(token_ids) is expected


def test_entropy_and_zipf_by_hand() -> None:
    assert entropy_of(np.array([1, 1, 1, 1])) == pytest.approx(math.log(4))
    assert entropy_of(np.array([8, 0])) == 0
    assert math.isnan(entropy_of(np.array([0])))
    falling = np.array([7200 // rank for rank in (1, 2, 3, 4, 5, 6)])
    assert zipf_coefficient(falling) == pytest.approx(1)
    assert zipf_coefficient(falling[::-1]) == pytest.approx(1)
    assert zipf_coefficient(np.array([3, 3, 3])) == pytest.approx(0)
    assert math.isnan(zipf_coefficient(np.array([3])))
    steep = stats.linregress(np.log([1, 2, 3]), np.log([90, 40, 7])).slope
    assert zipf_coefficient(np.array([7, 90, 40])) == pytest.approx(-steep)
    assert zipf_coefficient(np.array([7, 90, 40]), ranks=2) == pytest.approx(math.log2(9 / 4))


@pytest.mark.parametrize("ranks", [2, 3, 5, 9, 5000])
def test_counts_may_be_told_with_how_often_each_is_there(ranks: int) -> None:
    """In any order, also one twice or not at all."""
    counts, times = np.array([3, 9, 1, 4, 3, 0]), np.array([2, 1, 4, 0, 1, 2])
    each = np.repeat(counts, times)
    assert entropy_of(counts, times) == pytest.approx(entropy_of(each))
    assert zipf_coefficient(counts, ranks, times) == pytest.approx(zipf_coefficient(each, ranks))


@pytest.mark.parametrize("numbers", [(1, 2), (3, 0)])
def test_numbers_of_loops_and_rep_w_are_checked(numbers: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="must be at least"):
        loops([1, 2, 3], *numbers)
    with pytest.raises(ValueError, match="w must be at least 1, got 0"):
        rep_w([1, 2], 0)
