"""check_speculative passes what is right and names what is planted."""

import numpy as np
import pytest

import logit_sampling as ls
from logit_sampling.testing import check_speculative
from logit_sampling.testing.peers.logit_sampling import speculative as ours
from tests.testing.speculative import Plain

QUICK = {"draws": 400, "vocab_size": 3, "length": 3, "wide_vocab_size": None}


def failures(fn, expected=None, **settings):
    report = check_speculative(fn, expected, **QUICK | settings)
    return {(check.name, check.rows) for check in report.failures}


def test_the_rule_of_the_paper_passes():
    report = check_speculative(Plain(), **QUICK).raise_for_failures()
    assert all(check.passed is True for check in report.checks)
    assert report.settings["tests"] == 21 and report.settings["length"] == 3


@pytest.mark.parametrize(
    "sampler", [ls.Sampler(), ls.Sampler(ls.Temperature(0.7), ls.TopK(2))], ids=str
)
def test_ours_passes(sampler):
    few = QUICK | {"draws": 300, "wide_vocab_size": 2000}
    check_speculative(ours(sampler), sampler, **few).raise_for_failures()


@pytest.mark.parametrize(
    ("fault", "caught"),
    [
        ({"accept": lambda p, q, token: 1.0}, ("distribution", "far apart")),
        ({"accept": lambda p, q, token: p[token]}, ("distribution", "far apart")),
        ({"accept": lambda p, q, token: 1.0}, ("support", "always rejected")),
        ({"rest": lambda p, q: p}, ("distribution", "all together")),
        ({"drafts_best": True}, ("distribution", "the same")),
        ({"bonus_of": "draft"}, ("support", "target half at -inf")),
        ({"stray": 0.003}, ("support", "target certain")),
        ({"seed_used": False}, ("seeds", "different")),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else value[1],
)
def test_planted_faults(fault, caught):
    assert caught in failures(Plain(**fault))


def test_a_chance_added_to_every_token_shows_on_a_wide_vocabulary():
    # 1e-7 is lost among three tokens, and a fortieth of all draws among 262,144.
    wide = {"wide_vocab_size": 262_144, "draws": 100}
    assert failures(Plain(1, stray=1e-7), **wide) == {("support", "wide")}
    assert failures(Plain(1), **wide | {"wide_vocab_size": 2000}) == set()


def test_a_filter_that_is_forgotten():
    found = failures(Plain(), ls.TopK(1))
    assert ("support", "alike") in found
    assert not any(name in ("seeds", "batch") for name, _ in found)


def test_where_only_one_text_may_come_nothing_is_said_of_seeds():
    def greedy(draft, target, batch, length, seed):
        ids = np.zeros((batch, 0), int)
        for _ in range(length):
            ids = np.concatenate([ids, target(ids).argmax(axis=-1)[:, None]], axis=1)
        return ids

    report = check_speculative(greedy, ls.Greedy(), **QUICK).raise_for_failures()
    unsaid = [(check.name, check.rows) for check in report.checks if check.passed is None]
    assert unsaid == [("independence", "-"), ("seeds", "different")]


def test_a_row_that_copies_another():
    def copying(draft, target, batch, length, seed):
        ids = Plain()(draft, target, batch, length, seed)
        ids[batch // 2] = ids[0]
        return ids

    assert failures(copying, draws=2000) == {("independence", "any two rows")}


def test_rows_that_wait_for_the_slowest():
    """Each row keeps as much as the one that keeps least, and loses what it had kept beyond."""

    def slowest(draft, target, batch, length, seed):
        rows = [[] for _ in range(batch)]
        generators = [np.random.default_rng([seed, i]) for i in range(batch)]
        while len(rows[0]) < length:
            pairs = zip(rows, generators, strict=True)
            new = [Plain().round(draft, target, ids, g) for ids, g in pairs]
            shortest = min(map(len, new))
            rows = [ids + more[:shortest] for ids, more in zip(rows, new, strict=True)]
        return np.array([ids[:length] for ids in rows])

    assert ("batch", "without those after") in failures(slowest, draws=400)


@pytest.mark.parametrize(
    ("fn", "said"),
    [
        (lambda d, t, batch, length, seed: np.zeros((batch, 1), int), "shape (100, 1)"),
        (lambda d, t, batch, length, seed: np.full((batch, length), 3), "no token of 3"),
        (lambda d, t, batch, length, seed: 1 // 0, "fn raised ZeroDivisionError"),
    ],
    ids=["shape", "range", "raises"],
)
def test_what_is_no_text_is_reported(fn, said):
    with pytest.raises(AssertionError) as raised:
        check_speculative(fn, **QUICK).raise_for_failures()
    assert said in str(raised.value)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"vocab_size": 9}, "vocab_size must be from 3 to 6, got 9"),
        ({"length": 1}, "length must be from 2 to 5, got 1"),
        ({"draws": 5}, "draws must be an integer of at least 100, got 5"),
        ({"false_alarm": 2}, r"false_alarm must be in \(0, 1\), got 2"),
        ({"fn": 3}, "fn must be a function"),
        ({"seed": -3}, "seed must be an integer of at least 0, got -3"),
        ({"expected": 3}, "expected must be a Sampler"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_bad_arguments(settings, said):
    with pytest.raises(ValueError, match=said):
        check_speculative(**{"fn": Plain()} | settings)
