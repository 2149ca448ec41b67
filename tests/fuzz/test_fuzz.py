"""Random chains on random rows: a fixed set of cases, and faults that they must find."""

import subprocess
import sys

import numpy as np
import pytest
from keras import ops

from logit_sampling.distribution import eager, graph
from logit_sampling.distribution.row import EagerRow
from tests.fuzz.runs import Tally, check_group
from tests.processes import on


@pytest.mark.parametrize(
    ("mode", "groups"),
    [("eager", range(40)), ("graph", range(5, 10)), ("xla", (8, 11))],
    ids=["eager", "graph", "xla"],
)
def test_cases(mode, groups, capsys):
    tally = Tally()
    for group in groups:
        check_group(group, {mode: 1}, tally)
    print(tally.summary())
    assert tally.cases[mode] == 5 * len(groups) and tally.seen[mode]["draws"] > 10 * len(groups)
    assert tally.failures == 0, capsys.readouterr().out


def test_cases_in_jax():
    pytest.importorskip("jax")
    command = [
        sys.executable,
        "-m",
        "tests.fuzz",
        "--backend",
        "jax",
        "--first",
        "0",
        "--groups",
        "3",
    ]
    run = subprocess.run(command, env=on("jax"), capture_output=True, text=True, check=False)
    assert run.returncode == 0 and "15 jax cases, 0 failures" in run.stdout, run.stdout + run.stderr


def one_too_many(monkeypatch):
    whole = EagerRow.top
    monkeypatch.setattr(EagerRow, "top", lambda row, k: whole(row, k + 1))


def twice_for_one_row(monkeypatch):
    whole = EagerRow.scale
    by = {4: 2}
    monkeypatch.setattr(EagerRow, "scale", lambda row, t: whole(row, t * by.get(row.number, 1)))


def lost_at_one_step(monkeypatch):
    def counted(xp, token, ids, counts):
        return ids, counts

    monkeypatch.setattr("logit_sampling.strategies._count_penalty.counted", counted)


def a_zero_below_zero(monkeypatch):
    def first(row):
        place = np.lexsort((np.signbit(row.values), -row.values))[0]
        return row.keep(place.reshape(1), row.peak)

    monkeypatch.setattr(EagerRow, "first", first)


def the_last_choice_too(monkeypatch):
    monkeypatch.setattr(eager.EagerDistribution, "drop_last", lambda top: top)


def masks_for_survivors(monkeypatch):
    def near(row, distance):
        return row.values >= row.peak - distance * (1 + 1e-5)

    monkeypatch.setattr(EagerRow, "near", near)


def not_of_nan(monkeypatch):
    def prefix(distribution, _, bound):
        def wanted(before, terms, weight, term):
            weight, term = before + weight, terms + term
            return ops.logical_not(ops.log(weight) - term / weight > bound[:, None])

        return distribution._prefix(distribution.values, wanted, with_terms=True)

    monkeypatch.setattr(graph.GraphDistribution, "prefix", prefix)


FAULTS = [  # and a group that finds it, so that others need not be tried
    (one_too_many, "eager", 110),
    (twice_for_one_row, "eager", 109),
    (lost_at_one_step, "eager", 103),
    (a_zero_below_zero, "eager", 134),
    (the_last_choice_too, "eager", 183),
    (masks_for_survivors, "eager", 100),
    (not_of_nan, "graph", 17),  # TopH on more than 1024 tokens
]


@pytest.mark.parametrize(("fault", "mode", "finds"), FAULTS, ids=[f[0].__name__ for f in FAULTS])
def test_a_planted_fault_is_found(fault, mode, finds, monkeypatch, capsys):
    fault(monkeypatch)
    tally = Tally()
    for group in (finds, *range(100, 200)):
        check_group(group, {mode: 1}, tally)
        if tally.failures:
            break
    assert tally.failures
    assert "python -m tests.fuzz --case" in capsys.readouterr().out
