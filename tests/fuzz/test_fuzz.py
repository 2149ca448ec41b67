"""Random chains on random rows: a fixed set of cases, and faults that they must find."""

import os
import subprocess
import sys

import numpy as np
import pytest

from logit_sampling.engines import numpy, numpy_row
from logit_sampling.transforms import memory
from tests.fuzz.runs import Tally, check_group

GROUPS = range(100, 130)


@pytest.mark.parametrize(
    ("mode", "groups"),
    [("eager", range(60)), ("graph", range(4, 12)), ("xla", range(12, 15))],
    ids=["eager", "graph", "xla"],
)
def test_cases(mode, groups, capsys):
    tally = Tally()
    for group in groups:
        check_group(group, [mode], tally, {mode: 1})
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
        "5",
    ]
    run = subprocess.run(command, env=os.environ, capture_output=True, text=True, check=False)
    assert run.returncode == 0 and "25 jax cases, 0 failures" in run.stdout, run.stdout + run.stderr


def one_too_many(monkeypatch):
    whole = numpy_row.Row.top_k
    monkeypatch.setattr(numpy_row.Row, "top_k", lambda row, k: whole(row, k + 1))


def twice_for_one_row(monkeypatch):
    whole = numpy_row.Row.scale

    def scale(row, temperature):
        return whole(row, temperature * (temperature if row.number == 4 else 1))

    monkeypatch.setattr(numpy_row.Row, "scale", scale)


def lost_at_one_step(monkeypatch):
    whole = memory.counted

    def counted(xp, token, ids, counts):
        return (ids, counts) if (token == 3).any() else whole(xp, token, ids, counts)

    monkeypatch.setattr("logit_sampling.transforms.penalties.counted", counted)


def a_zero_below_zero(monkeypatch):
    def first(row):
        place = np.lexsort((np.signbit(row.values), -row.values))[0]
        return row.keep(place.reshape(1), row.peak)

    monkeypatch.setattr(numpy_row.Row, "first", first)


def the_last_choice_too(monkeypatch):
    whole = numpy.Scores.drop_top_choices

    def drop(scores, log_threshold, chosen, protected):
        return whole(scores, log_threshold - 1e-3, chosen, protected)

    monkeypatch.setattr(numpy.Scores, "drop_top_choices", drop)


@pytest.mark.parametrize(
    "fault",
    [one_too_many, twice_for_one_row, lost_at_one_step, a_zero_below_zero, the_last_choice_too],
)
def test_a_planted_fault_is_found(fault, monkeypatch, capsys):
    fault(monkeypatch)
    tally = Tally()
    for group in GROUPS:
        check_group(group, ["eager"], tally)
    assert tally.failures > 0
    assert "python -m tests.fuzz --case" in capsys.readouterr().out
