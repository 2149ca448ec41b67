"""check_history and check_per_row pass what is right and name what is planted."""

import numpy as np
import pytest

import logit_sampling as ls
from logit_sampling.testing import check_history, check_per_row
from tests.testing.samplers import Plain, top_k

QUICK = {"draws": 1500}


def penalised(change, pad_counts=None):
    """A penalty in plain NumPy: `change(logits, ids)` for each row, behind it a draw."""

    def fn(logits, history, seed):
        rows = []
        for row, ids in zip(logits.astype(np.float64), history, strict=True):
            ids = ids[ids >= 0] if pad_counts is None else np.where(ids < 0, pad_counts, ids)
            rows.append(change(row.copy(), ids))
        return Plain()(np.stack(rows), seed)

    return fn


def repetition(row, ids, penalty=1.5):
    own = np.unique(ids)
    row[own] = np.where(row[own] > 0, row[own] / penalty, row[own] * penalty)
    return row


def without_sign(row, ids):
    row[np.unique(ids)] /= 1.5
    return row


def once_for_each_time(row, ids):
    for token in ids:
        repetition(row, [token])
    return row


def frequency(row, ids):
    np.subtract.at(row, ids, 0.5)
    return row


def failures(fn, expected, **settings):
    report = check_history(fn, expected, **QUICK | settings)
    return {(check.name, check.rows) for check in report.failures}


RIGHT = ls.RepetitionPenalty(1.5)


@pytest.mark.parametrize(
    ("fn", "expected"),
    [
        (penalised(repetition), RIGHT),
        (penalised(frequency), ls.FrequencyPenalty(0.5, prompt=True)),
        (
            penalised(lambda row, ids: repetition(row, ids[-6:])),
            ls.RepetitionPenalty(1.5, window=6),
        ),
        (penalised(repetition), lambda x, h: ls.Sampler(RIGHT).probabilities(x, history=h)),
    ],
    ids=["repetition", "frequency", "window", "function"],
)
def test_right_penalties_pass(fn, expected):
    report = check_history(fn, expected, **QUICK, window=6).raise_for_failures()
    assert all(check.passed is True for check in report.checks)
    names = {check.rows for check in report.checks}
    assert {
        "no history",
        "one five times",
        "long",
        "just inside of 6",
        "just outside of 6",
    } <= names


@pytest.mark.parametrize(
    "sampler",
    [
        ls.Sampler(RIGHT, ls.TopP(0.9)),
        ls.Sampler(ls.DRY(0.8)),
        ls.Sampler(ls.NoRepeatNGram(2)),
        ls.Sampler(ls.PresencePenalty(1.0, window=6, prompt=True)),
    ],
    ids=str,
)
def test_ours_pass(sampler):
    def fn(logits, history, seed):
        return sampler(logits, history=history, seed=seed)

    check_history(fn, sampler, draws=300, window=6).raise_for_failures()


@pytest.mark.parametrize(
    ("fault", "caught"),
    [
        (penalised(lambda row, ids: row), ("distribution", "one token")),
        (penalised(without_sign), ("distribution", "all below zero")),
        (penalised(once_for_each_time), ("distribution", "one five times")),
        (penalised(repetition, pad_counts=-1), ("distribution", "without the ends")),
        (penalised(repetition, pad_counts=0), ("distribution", "without the ends")),
        (penalised(lambda row, ids: repetition(row, ids[:-1])), ("distribution", "one token")),
        (penalised(lambda row, ids: repetition(row, ids[-20:])), ("distribution", "long")),
        (penalised(lambda row, ids: repetition(row, ids[-128:])), ("distribution", "long")),
    ],
    ids=["none", "sign", "each time", "last token", "token 0", "not the latest", "20", "128"],
)
def test_planted_faults(fault, caught):
    found = failures(fault, RIGHT)
    assert caught in found and not any(name == "seeds" for name, _ in found)


def test_padding_that_counts_changes_a_row_beside_longer_ones():
    found = failures(penalised(repetition, pad_counts=0), RIGHT)
    assert ("batch", "without those after") in found or ("batch", "beside other rows") in found


@pytest.mark.parametrize(("by", "where"), [(1, "just outside"), (-1, "just inside")])
def test_a_window_one_off(by, where):
    fn = penalised(lambda row, ids: repetition(row, ids[-6 - by :]))
    expected = ls.RepetitionPenalty(1.5, window=6)
    assert ("distribution", f"{where} of 6") in failures(fn, expected, window=6)


def test_the_history_of_row_0_for_all():
    fn = penalised(repetition)

    def of_the_first(logits, history, seed):
        return fn(logits, np.tile(history[0], (len(logits), 1)), seed)

    assert ("batch", "beside other rows") in failures(of_the_first, RIGHT)


def test_a_history_that_is_written_into():
    fn = penalised(repetition)

    def writes(logits, history, seed):
        ids = fn(logits, history, seed)
        history[:] = 0
        return ids

    assert failures(writes, RIGHT) == {("input", "all")}


def each_row(logits, settings, seed, used=lambda settings, i: settings[i]):
    uniforms = Plain().uniforms(seed, len(logits))
    rows = []
    for i, row in enumerate(logits):
        k, temperature = used(settings, i)
        cumulative = np.cumsum(Plain(top_k(k), temperature).probabilities(row[None])[0])
        rows.append(int((cumulative / cumulative[-1] <= uniforms[i]).sum()))
    return np.array(rows)


SETTINGS = [(1, 1.0), (5, 0.7), (20, 1.5)]


def expected(setting):
    return ls.Sampler(ls.Temperature(setting[1]), ls.TopK(setting[0]))


def mixed(fn, draws=1000):
    report = check_per_row(fn, SETTINGS, expected, draws=draws)
    return {(check.name, check.rows) for check in report.failures}


def test_rows_with_parameters_of_their_own_pass():
    assert mixed(each_row) == set()


def test_ours_with_parameters_of_each_row_pass():
    def fn(logits, settings, seed):
        k, temperature = zip(*settings, strict=True)
        return ls.Sampler(ls.Temperature(temperature), ls.TopK(k))(logits, seed=seed)

    check_per_row(fn, SETTINGS, expected, draws=300).raise_for_failures()


@pytest.mark.parametrize(
    "used",
    [
        lambda settings, i: settings[0],
        lambda settings, i: settings[i - 1],
        lambda settings, i: (max(k for k, _ in settings), settings[i][1]),
        lambda settings, i: (settings[i][0], min(t for _, t in settings)),
    ],
    ids=["row 0", "the row before", "greatest k", "least temperature"],
)
def test_planted_mixtures(used):
    found = mixed(lambda logits, settings, seed: each_row(logits, settings, seed, used))
    assert any(name in ("support", "distribution") for name, _ in found)
    assert ("batch", "among equals") in found


def test_bad_arguments():
    with pytest.raises(ValueError, match="settings must be at least two, got"):
        check_per_row(each_row, [1], expected)
    with pytest.raises(ValueError, match="window must be an integer of at least 1, got 0"):
        check_history(penalised(repetition), RIGHT, window=0)
    with pytest.raises(ValueError, match="seed must be an integer of at least 0, got -1"):
        check_history(penalised(repetition), RIGHT, seed=-1)
    with pytest.raises(ValueError, match="draws must be an integer of at least 100, got 3"):
        check_per_row(each_row, SETTINGS, expected, draws=3)
