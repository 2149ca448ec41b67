"""Intervals cover what they say, by simulation; differences, needed numbers, and small cases."""

import math
import tracemalloc
from collections.abc import Sequence
from itertools import pairwise, product

import numpy as np
import pytest
from scipy.stats import bootstrap, norm

from logit_sampling.evaluation.intervals import (
    UNITS,
    Difference,
    Estimate,
    bca,
    corrected,
    difference,
    estimate,
    leaving_out,
    sign_flips,
    units_of,
)
from logit_sampling.evaluation.measures import measure
from logit_sampling.evaluation.texts import Text

TOPICS = np.random.default_rng(9).permuted(np.tile(np.arange(400), (8, 1)), axis=1)
Prompts = Sequence[tuple[float, int]] | None


def written(
    rng: np.random.Generator, prompts: int, seeds: int, given: Prompts = None, tokens: int = 40
) -> list[list[Text | None]]:
    """Texts of a made-up model: a prompt has a topic, and a slope of its Zipf distribution."""
    grid: list[list[Text | None]] = []
    for i in range(prompts):
        slope, topic = given[i] if given else (rng.normal(), int(rng.integers(8)))
        weights = np.arange(1, 401.0) ** -(1 + 0.3 * slope)
        weights /= weights.sum()
        row: list[Text | None] = []
        for j in range(seeds):
            ranks = rng.choice(400, tokens, p=weights)
            ids = tuple(TOPICS[topic][ranks].tolist())
            row.append(Text("m", "s", str(i), "", j, j, None, ids, tuple(np.log(weights[ranks]))))
        grid.append(row)
    return grid


NAMES = ("seq_rep_2", "distinct_2", "perplexity", "entropy_1", "zipf", "rep_16")


@pytest.mark.parametrize(("prompts", "seeds", "same"), [(30, 1, False), (4, 8, True)])
def test_intervals_cover_93_to_97_percent(prompts: int, seeds: int, same: bool) -> None:
    """Over prompts that are drawn each time, and over draws for prompts that stay."""
    rng = np.random.default_rng(5)
    given = [(rng.normal(), int(rng.integers(8))) for _ in range(prompts)] if same else None
    found: dict[str, list[Estimate]] = {name: [] for name in NAMES}
    for s in range(400):
        grid = written(np.random.default_rng(1000 + s), prompts, seeds, given)
        for name in NAMES:
            own = measure(name)
            found[name].append(own.estimate(*own.values(grid)))
    covered = []
    for own in found.values():
        truth = np.mean([e.mean for e in own])
        assert {e.over for e in own} == {"texts" if same else "prompts"}
        covered.append(np.mean([e.low <= truth <= e.high for e in own]))  # type: ignore[operator]
    assert min(covered) >= 0.93  # of 400, within 0.011 (standard error) of what is true
    assert max(covered) <= 0.98
    assert 0.94 <= np.mean(covered) <= 0.97


def test_intervals_lean_to_where_the_values_have_their_tail() -> None:
    """By more than percentiles do, which are 1.17 times as long above as below here."""
    arms = []
    for s in range(60):
        own = estimate(np.random.default_rng(s).exponential(size=(30, 1)))
        assert own.low is not None and own.high is not None
        arms.append((own.high - own.mean) / (own.mean - own.low))
    assert 1.4 < np.mean(arms) < 1.8


def test_samplers_that_do_not_differ_are_told_apart_in_at_most_5_percent_of_runs() -> None:
    """In any of six measures, on the same prompts, with draws of their own."""
    told = 0
    for s in range(200):
        rng = np.random.default_rng(7000 + s)
        given = [(rng.normal(), int(rng.integers(8))) for _ in range(25)]
        one, other = (written(rng, 25, 2, given) for _ in range(2))
        found = []
        for name in NAMES:
            own = measure(name)
            found.append(difference("a", "b", name, own.values(one)[0], own.values(other)[0]))
        told += any(d.corrected < 0.05 for d in corrected(found) if d.corrected is not None)
    assert told <= 0.05 * 200  # 5 are


def test_a_difference_that_is_there_is_seen_as_often_as_needed_says() -> None:
    """A shift of 0.3 deviations, with as many prompts as a power of 0.8 needs."""
    needed = Difference("a", "b", "m", Estimate(0.0), deviation=1.0).needed(0.3)
    assert needed == 88
    seen = 0
    for s in range(300):
        values = np.random.default_rng(s).normal(0.3, 1, (needed, 1))
        own = difference("a", "b", "m", values, np.zeros_like(values))
        assert own.p is not None
        seen += own.p < 0.05
    assert 0.74 <= seen / 300 <= 0.87


def test_pairs_take_out_what_prompts_have_in_common() -> None:
    rng = np.random.default_rng(3)
    common = 10 * rng.normal(size=(40, 1))
    own, other = common + 0.5 + 0.1 * rng.normal(size=(40, 2)), common
    found = difference("a", "b", "m", own, other)  # of greedy one text a prompt
    assert found.estimate.mean == pytest.approx((own - other).mean())
    assert found.estimate.low is not None and found.estimate.low > 0.4
    assert found.p is not None and found.p < 1e-3
    alone = estimate(own)
    assert alone.low is not None and alone.high is not None and alone.high - alone.low > 4


def test_texts_count_by_how_many_their_prompt_has() -> None:
    """A mean over prompts is known as well as the prompts with few texts let it be."""
    values = np.full((11, 30), math.nan)
    values[0], values[1:, :3] = 1, 1
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(600):
        own = estimate(values * rng.normal(size=values.shape))
        assert own.low is not None and own.high is not None
        assert (own.over, own.units) == ("texts", 60)
        covered += own.low <= 0 <= own.high
    assert 0.93 <= covered / 600 <= 0.97  # 0.89 if all texts counted alike
    units, _, _ = units_of(values * rng.normal(size=values.shape))
    sizes = np.array([30] + [3] * 10)
    assert units.var(ddof=1) / 60 < 4 * (1 / sizes).sum() / 11**2


@pytest.mark.parametrize("texts", [[10, 2, 2, 2, 2, 2], [1, 9, 9, 9], [19, 1]])
def test_texts_that_are_too_unequal_have_no_interval(texts: list[int]) -> None:
    """Most of what is unknown is of the prompts with few texts, of which one tells no spread."""
    values = np.full((len(texts), max(texts)), math.nan)
    for row, count in zip(values, texts, strict=True):
        row[:count] = np.arange(count)
    own = difference("a", "b", "m", values, np.zeros_like(values))
    assert (own.estimate.low, own.p, own.estimate.units) == (None, None, sum(texts))
    with pytest.raises(ValueError, match="too few units"):
        own.needed(0.1)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_bootstrap_is_scipy_s(seed: int) -> None:
    """With the same resamples; in chunks, of which the last is smaller."""
    units = np.random.default_rng(seed).exponential(size=(30, 1001, 2000)[seed])
    found = bootstrap(
        (units,), np.mean, confidence_level=1 - 2 * norm.cdf(-2.1), n_resamples=2000, rng=0
    ).confidence_interval
    assert bca(units, 2.1) == pytest.approx((found.low, found.high), rel=1e-9)


def test_ten_thousand_prompts_take_little_memory() -> None:
    values = np.random.default_rng(0).normal(0.05, 1, (10_000, 1))
    tracemalloc.start()
    own = difference("a", "b", "m", values, np.zeros_like(values))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    far = own.estimate.mean / own.deviation * 100  # standard errors
    assert own.p == pytest.approx(2 * norm.sf(far), rel=0.06)
    assert peak < 40e6  # 17 MB; of all units by all units 800


@pytest.mark.parametrize("seed", range(6))
def test_p_values_are_the_share_of_all_signs(seed: int) -> None:
    """Those of 14 differences, a few of them far greater than others; also where it is small."""
    rng = np.random.default_rng(seed)
    units = rng.normal(seed / 4, 1, 14)
    if seed % 2:
        units = abs(rng.lognormal(0, 2, 14)) * np.where(np.arange(14) < 2, -1, 1)
    ways = np.array(list(product((-1, 1), repeat=14))) @ units
    share = np.mean(abs(ways) >= abs(units.sum()) * (1 - 1e-9))
    assert sign_flips(units) == pytest.approx(share, rel=0.06)
    assert sign_flips(-1e-9 * units) == pytest.approx(sign_flips(units))


@pytest.mark.parametrize("seed", range(20))
def test_where_all_differences_go_one_way_two_of_all_ways_to_sign_them_do(seed: int) -> None:
    units = -np.random.default_rng(seed).lognormal(0, 3, 30)
    assert sign_flips(units) == pytest.approx(2**-29, rel=0.01)


def test_a_difference_that_is_seen_everywhere_is_seen_among_many() -> None:
    """Of 5,000 comparisons each of 40 prompts: a corrected p-value may be small all the same."""
    seen = difference(
        "a", "b", "m", np.random.default_rng(0).normal(2, 1, (40, 1)), np.zeros((40, 1))
    )
    others = [Difference("a", "b", "m", Estimate(0.0), 0.5)] * 4999
    found = corrected([seen, *others])[0].corrected
    assert found is not None and found < 0.001


def test_differences_of_one_size_have_a_p_value() -> None:
    """All 24 signs are the same: so are 2 of the 2 ** 24 ways to set them."""
    found = difference("a", "b", "m", np.full((24, 1), 0.1), np.full((24, 1), 0.3))
    assert found.p == pytest.approx(2**-23)
    assert (found.estimate.low, found.estimate.mean) == (None, pytest.approx(-0.2))
    assert found.needed(0.1) == 1


def test_the_same_texts_do_not_differ() -> None:
    values = np.random.default_rng(0).normal(size=(30, 1))
    found = difference("a", "b", "m", values, values)
    assert (found.p, found.estimate.low, found.deviation) == (1.0, None, 0.0)


def test_no_number_is_written_as_a_dash() -> None:
    assert Estimate(math.nan).format(2) == "-"


def test_few_units_or_one_value_have_no_interval() -> None:
    few = estimate(np.arange(UNITS - 1.0)[:, None])
    assert (few.low, few.high, few.units, few.over) == (None, None, UNITS - 1, "prompts")
    assert estimate(np.full((50, 1), 0.25)).low is None
    nothing = estimate(np.full((3, 2), math.nan))
    assert math.isnan(nothing.mean)
    assert nothing.units == 0


def test_a_share_of_texts_has_wilson_s_interval() -> None:
    none_of_200 = estimate(np.zeros((200, 1)), share=True)
    assert none_of_200.low == pytest.approx(0, abs=1e-12)
    assert none_of_200.high == pytest.approx(1.959964**2 / (200 + 1.959964**2), abs=1e-6)


def test_units_are_prompts_if_there_are_enough_and_else_texts() -> None:
    values = np.arange(60.0).reshape(20, 3)
    units, over, freedom = units_of(values)
    assert (over, freedom) == ("prompts", 19)
    assert units.tolist() == values.mean(1).tolist()
    units, over, freedom = units_of(values[:10])
    assert (over, freedom) == ("texts", pytest.approx(20))
    assert units.size == 30
    assert units.mean() == pytest.approx(values[:10].mean())
    assert units.var(ddof=1) == pytest.approx(1)  # of -1, 0, 1 in each: as a sample's of three
    missing = np.vstack([values, values[:2]])
    missing[0, 1:] = math.nan
    missing[1] = math.nan
    units, _, _ = units_of(missing)
    assert (units.size, units[0], units[1]) == (21, 0.0, 7.0)


def test_leaving_out_is_the_value_itself_for_a_mean() -> None:
    values = np.array([1.0, 5.0, 12.0])

    def mean(left_out: int | None) -> float:
        return float((values if left_out is None else np.delete(values, left_out)).mean())

    assert leaving_out(mean, 3) == pytest.approx(values)
    assert leaving_out(lambda _: 2.0, 1).tolist() == [2.0]


def test_corrected_p_values_never_fall_and_are_at_most_1() -> None:
    plain = [0.001, 0.03, 0.03, 0.9, None]
    given = [Difference("a", "b", "m", Estimate(0.0), p) for p in plain]
    own = [d.corrected for d in corrected(given)]
    assert own == [0.004, 0.09, 0.09, 0.9, None]
    assert all(a <= b for a, b in pairwise(own[:4]))  # type: ignore[operator]


@pytest.mark.parametrize(("size", "power"), [(0, 0.8), (0.1, 0), (0.1, 1)])
def test_needed_is_checked(size: float, power: float) -> None:
    with pytest.raises(ValueError, match="must not be 0 and power in"):
        Difference("a", "b", "m", Estimate(0.0), deviation=1.0).needed(size, power)
    with pytest.raises(ValueError, match="too few units"):
        Difference("a", "b", "m", Estimate(0.0)).needed(0.1)
