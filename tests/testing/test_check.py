"""check_sampler passes what is right and names what is planted."""

import json

import numpy as np
import pytest

import logit_sampling as ls
from logit_sampling.testing import check_sampler
from tests.testing import samplers
from tests.testing.samplers import Plain, top_k, top_p

QUICK = {"draws": 2000, "wide_vocab_size": 3000, "vocab_size": 60, "dtypes": ("float16",)}
RIGHT = Plain(top_k(10))


def failures(fn, expected, **settings):
    report = check_sampler(fn, expected, **QUICK | settings)
    return {(check.name, check.rows) for check in report.failures}


def names(fn, expected, **settings):
    return {name for name, _ in failures(fn, expected, **settings)}


@pytest.mark.parametrize(
    ("fn", "expected"),
    [
        (RIGHT, RIGHT.probabilities),
        (RIGHT, ls.TopK(10)),
        (ls.TopK(10), None),
        (Plain(top_p(0.5)), ls.TopP(0.5)),
        (Plain(temperature=0.7), ls.Sampler(ls.Temperature(0.7))),
    ],
    ids=["its own", "TopK", "no sampler", "TopP", "Temperature"],
)
def test_right_samplers_pass(fn, expected):
    if expected is None:  # a transform draws nothing: what it returns are no ids
        report = check_sampler(fn, fn, **QUICK, seeded=False)
        assert not report.ok and "one integer for each row" in report.failures[0].detail
        return
    report = check_sampler(fn, expected, **QUICK)
    assert report.ok and report.raise_for_failures() is report
    assert all(check.passed is True for check in report.checks)


@pytest.mark.parametrize(
    ("faulty", "expected", "caught"),
    [
        (Plain(), RIGHT, {("support", "spread"), ("support", "half at -inf")}),
        (Plain(top_k(11)), RIGHT, {("support", "nearly flat"), ("support", "all equal")}),
        (Plain(top_k(9)), RIGHT, {("distribution", "nearly flat"), ("distribution", "all equal")}),
        (Plain(top_k(10), 1.2), RIGHT, {("distribution", "all together")}),
        (Plain(top_k(10), 1 / 1.2), RIGHT, {("distribution", "all together")}),
        (Plain(temperature=1.2), Plain(), {("distribution", "all together")}),
        (Plain(top_p(0.5)), Plain(top_p(0.6)), {("distribution", "nearly flat")}),
        (Plain(top_p(0.6)), Plain(top_p(0.5)), {("support", "nearly flat")}),
    ],
    ids=["no filter", "one more", "one less", "hot", "cold", "hot alone", "p low", "p high"],
)
def test_faults_of_the_distribution(faulty, expected, caught):
    found = failures(faulty, expected.probabilities)
    assert caught <= found
    assert {name for name, _ in found} == {name for name, _ in caught}


@pytest.mark.parametrize("temperature", [0.95, 1.05])
def test_five_percent_of_temperature_at_the_default_number_of_draws(temperature):
    settings = {"wide_vocab_size": None, "dtypes": (), "vocab_size": 100, "draws": 10_000}
    found = failures(Plain(temperature=temperature), Plain().probabilities, **settings)
    assert ("distribution", "all together") in found


def higher_ids_first(k):
    return lambda x: (len(x) - 1 - samplers.order(x[::-1]))[:k]


def every_tie(k):
    return lambda x: np.flatnonzero(x >= np.sort(x)[-k])


@pytest.mark.parametrize("kept", [higher_ids_first(10), every_tie(10)], ids=["higher", "all"])
def test_ties_broken_the_wrong_way(kept):
    found = failures(Plain(kept), RIGHT.probabilities)
    ties = ("all equal", "tied at the cut 1", "tied at the cut 2", "float16, tied")
    assert {("support", rows) for rows in ties} <= found
    assert not any(
        rows in ("spread", "nearly flat", "float16", "beside others") for _, rows in found
    )


def test_the_detail_of_a_tie_says_so():
    report = check_sampler(Plain(higher_ids_first(10)), RIGHT.probabilities, **QUICK)
    tied = next(check for check in report.failures if check.rows == "tied at the cut 1")
    assert "of probability 0 drawn" in tied.detail and "some that stay equal" in tied.detail
    assert len(tied.numbers["strays"]) >= 1


def test_a_share_that_falls_between_two_tokens():
    # 16 of 32 equal tokens reach one half exactly; "at most" keeps one more.
    one_more = Plain(top_p(0.5, np.less_equal))
    assert ("support", "all equal") in failures(one_more, Plain(top_p(0.5)).probabilities)


@pytest.mark.parametrize("stray", [0.003, 0.03])
def test_a_removed_token_drawn_now_and_then(stray):
    assert "support" in names(Plain(top_k(10), stray=stray), RIGHT.probabilities)


def test_a_masked_token_drawn():
    def fills_in(logits, seed):
        return RIGHT(np.where(np.isfinite(logits), logits, 0).astype(logits.dtype), seed)

    found = failures(fills_in, RIGHT.probabilities)
    assert {("support", "half at -inf"), ("support", "one not at -inf")} <= found
    assert ("support", "spread") not in found


@pytest.mark.parametrize("shift", ["far above zero", "far below zero"])
def test_an_exponential_that_overflows(shift):
    def kept(x):
        mass = np.exp(x.astype(np.float32))
        return np.flatnonzero(np.isfinite(mass / mass.sum()) & (mass > 0))

    with np.errstate(all="ignore"):
        assert ("support", shift) in failures(Plain(kept), Plain().probabilities)


@pytest.mark.parametrize(
    ("fault", "caught"),
    [
        (samplers.BatchSeed, {("batch", "without those after")}),
        (samplers.SharedUniform, {("independence", "neighbour rows")}),
        (samplers.CorrelatedRows, {("independence", "neighbour rows")}),
        (samplers.WeakSeed, {("independence", "neighbour seeds")}),
        (samplers.SeedIgnored, {("seeds", "different"), ("independence", "calls")}),
        (samplers.SeedForgotten, {("seeds", "equal"), ("batch", "beside other rows")}),
        (samplers.SeedCutShort, {("seeds", "different")}),
        (samplers.SeedCutTo20Bits, {("seeds", "different")}),
        (samplers.SeedRounded, {("seeds", "different")}),
        (samplers.LastIsTheFirst, {("independence", "any two rows")}),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_faults_of_the_randomness(fault, caught):
    found = failures(fault(top_k(10)), RIGHT.probabilities)
    assert caught <= found
    assert not any(name == "support" for name, _ in found)


def test_colliding_seeds_are_named():
    report = check_sampler(samplers.SeedCutShort(top_k(10)), RIGHT.probabilities, **QUICK)
    (detail,) = (check.detail for check in report.failures if check.rows == "different")
    assert (
        "11 of 45 pairs of different seeds drew the same 100 tokens, such as 0 and 65536" in detail
    )


def test_seeds_of_rows():
    def each(logits, seed):
        rows = range(seed, seed + len(logits)) if isinstance(seed, int) else seed
        return np.concatenate([RIGHT(x[None], s) for x, s in zip(logits, rows, strict=True)])

    def the_first(logits, seed):
        return each(logits, seed if isinstance(seed, int) else seed[0])

    few = {"draws": 200, "wide_vocab_size": None, "dtypes": ()}
    assert failures(each, RIGHT.probabilities, row_seeds=True, **few) == set()
    found = failures(the_first, RIGHT.probabilities, row_seeds=True, **few)
    assert found == {("batch", "a seed for each")}
    assert failures(the_first, RIGHT.probabilities, **few) == set()


def test_a_row_that_depends_on_those_beside_it():
    def of_the_batch(logits, seed):
        return RIGHT(logits, seed + int(np.abs(logits).sum()) % 1000)

    assert failures(of_the_batch, RIGHT.probabilities) >= {("batch", "beside other rows")}


def of_the_first_row(logits):
    return np.repeat(logits[:1], len(logits), axis=0)


def test_a_full_batch_that_is_drawn_as_its_first_row():
    """As a kernel may for batches above a size: small ones are right."""

    def fn(logits, seed):
        return RIGHT(logits if len(logits) < 50 else of_the_first_row(logits), seed)

    found = failures(fn, RIGHT.probabilities)
    assert found == {
        ("support", "beside others"),
        ("batch", "without those after"),
        ("batch", "beside other rows"),
    }


@pytest.mark.parametrize("greedy", [True, False])
def test_the_first_row_for_all_shows_without_a_seed(greedy):
    generator = np.random.default_rng(2)

    def fn(logits):
        ours = of_the_first_row(logits)
        return ours.argmax(axis=-1) if greedy else Plain()(ours, int(generator.integers(2**31)))

    expected = ls.Greedy() if greedy else ls.Sampler()
    assert failures(fn, expected) == {("support", "beside others")}


def test_one_row_that_copies_another_shows_in_a_full_batch():
    def fn(logits, seed):
        logits = logits.copy()
        logits[-1] = logits[0]
        return RIGHT(logits, seed)

    assert ("support", "beside others") in failures(fn, RIGHT.probabilities)


def test_a_greatest_logit_taken_from_the_first_row():
    """Probabilities relative to the wrong row's peak, as of a kernel that shares a sum."""

    def fn(logits, seed):
        shifted = logits - logits[:1].max(axis=-1, keepdims=True)
        return Plain(lambda x: np.flatnonzero(x > -2))(shifted, seed)

    expected = Plain(lambda x: np.flatnonzero(x - x.max() > -2)).probabilities
    assert ("support", "beside others") in failures(fn, expected)


def test_without_a_seed():
    def unseeded(logits):
        return RIGHT(logits, int(generator.integers(2**31)))

    def the_same_again(logits):
        return RIGHT(logits, 5)

    generator = np.random.default_rng(1)
    report = check_sampler(unseeded, RIGHT.probabilities, **QUICK).raise_for_failures()
    assert not report.settings["seeded"]
    assert {c.name for c in report.checks if c.passed is None} == {"seeds", "batch"}
    assert ("independence", "calls") in failures(the_same_again, RIGHT.probabilities)
    with_seed = failures(lambda logits, **kwargs: RIGHT(logits, **kwargs), ls.TopK(10), seeded=True)
    assert with_seed == set()


def test_changed_input_is_a_fault():
    def in_place(logits, seed):
        ids = RIGHT(logits, seed)
        logits[:, 0] = -np.inf
        return ids

    assert failures(in_place, RIGHT.probabilities) == {("input", "all")}


@pytest.mark.parametrize(
    ("fn", "said"),
    [
        (lambda logits, seed: RIGHT(logits, seed)[:, None], "shape (100, 1) for 100 rows"),
        (lambda logits, seed: RIGHT(logits, seed) * 1.0, "float64 of shape"),
        (lambda logits, seed: RIGHT(logits, seed) - 60, "no token of 60"),
        (lambda logits, seed: 1 // 0, "fn raised ZeroDivisionError: integer division"),
    ],
    ids=["shape", "dtype", "range", "raises"],
)
def test_what_is_no_draw_is_reported(fn, said):
    report = check_sampler(fn, RIGHT.probabilities, **QUICK)
    with pytest.raises(AssertionError, match="checks passed") as raised:
        report.raise_for_failures()
    assert said in str(raised.value)
    assert all(check.passed is not True for check in report.checks if check.name != "input")


def test_rows_on_which_nothing_is_left_are_a_line_not_a_failure():
    def first_five(logits):
        kept = np.arange(logits.shape[1]) < 5
        if not np.isfinite(logits[:, :5]).any():
            raise ValueError("all five are at -inf")
        return ls.Sampler().probabilities(np.where(kept, logits, -np.inf))

    fn = Plain(lambda x: np.flatnonzero(np.isfinite(x[:5])))
    one_of_many = QUICK | {"vocab_size": 400, "seed": 1}
    report = check_sampler(fn, first_five, **one_of_many).raise_for_failures()
    (left_out,) = (check for check in report.checks if check.passed is None)
    assert left_out.rows == "one not at -inf"
    assert left_out.detail == "nothing is expected of such a row: all five are at -inf"
    everything = check_sampler(Plain(), first_five, **one_of_many)
    assert {check.name for check in everything.failures} == {"support"}


def test_a_refused_dtype_is_a_line_not_a_failure():
    def picky(logits, seed):
        if logits.dtype != np.float32:
            raise TypeError(f"no kernel for {logits.dtype}")
        return RIGHT(logits, seed)

    settings = QUICK | {"dtypes": ("float16", "bfloat16", "float64")}
    report = check_sampler(picky, RIGHT.probabilities, **settings).raise_for_failures()
    refused = [check for check in report.checks if check.passed is None]
    assert [(check.rows, check.detail) for check in refused] == [
        (name, f"refused: fn raised TypeError: no kernel for {name}") for name in settings["dtypes"]
    ]


def test_a_half_precision_fault_is_caught_there_alone():
    def narrow(logits, seed):
        logits = logits + np.float16(0.5) if logits.dtype == np.float16 else logits
        return Plain(top_k(10), 1.5 if logits.dtype == np.float16 else 1)(logits, seed)

    found = failures(narrow, RIGHT.probabilities, draws=6000)
    assert found == {("distribution", "float16"), ("distribution", "float16, tied")}


def test_a_wide_fault_is_caught_there_alone():
    def short(logits, seed):
        return RIGHT(logits[:, :2000], seed)

    assert {rows for _, rows in failures(short, RIGHT.probabilities)} <= {
        "wide",
        "wide, nearly flat",
    }
    assert failures(short, RIGHT.probabilities)
    assert failures(short, RIGHT.probabilities, wide_vocab_size=None) == set()


def test_equal_seeds_give_equal_reports_and_json_holds_them():
    one, two = (check_sampler(RIGHT, ls.TopK(10), **QUICK, seed=3).to_json() for _ in range(2))
    other = check_sampler(RIGHT, ls.TopK(10), **QUICK, seed=4).to_json()
    assert one == two != other
    data = json.loads(one)
    assert data["ok"] is True and data["settings"]["seed"] == 3
    assert set(data["checks"][0]) == {"name", "rows", "passed", "detail", "numbers"}


def test_the_report_prints_each_check_and_the_summary():
    report = check_sampler(Plain(), RIGHT.probabilities, **QUICK)
    *lines, summary = str(report).splitlines()
    assert len(lines) == len(report.checks)
    assert lines[0].startswith("FAILED  support       spread")
    assert f"{len(report.failures)} failed, 0 not made; 2000 draws a row" in summary
    assert "a chance of at most 1e-06" in summary


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"draws": 10}, "draws must be an integer of at least 100, got 10"),
        ({"vocab_size": 3}, "vocab_size must be an integer of at least 20, got 3"),
        ({"false_alarm": 0}, r"false_alarm must be in \(0, 1\), got 0"),
        ({"dtypes": ["int8"]}, "got int8"),
        ({"expected": 3}, "expected must be a Sampler"),
        ({"expected": lambda x: np.zeros(x.shape)}, "no distribution: minimum 0, sum 0"),
        ({"expected": lambda x: x[0]}, r"gave shape \(100,\) for logits of shape \(1, 100\)"),
        ({"fn": 3}, "fn must be a function"),
        ({"seed": -1}, "seed must be an integer of at least 0, got -1"),
        ({"seed": 2**31}, r"seed must be below 2\*\*31, got 2147483648"),
    ],
    ids=lambda value: value if isinstance(value, str) else ", ".join(value),
)
def test_bad_arguments(settings, said):
    with pytest.raises(ValueError, match=said):
        check_sampler(**{"fn": RIGHT, "expected": ls.TopK(10)} | settings)


def test_false_alarms_are_as_rare_as_they_say():
    # Twenty right samplers at a chance of one in ten each: the bounds leave far fewer.
    settings = {"draws": 1000, "wide_vocab_size": None, "dtypes": (), "false_alarm": 0.1}
    reports = [check_sampler(RIGHT, ls.TopK(10), **settings, seed=seed) for seed in range(20)]
    assert sum(not report.ok for report in reports) <= 2
