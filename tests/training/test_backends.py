"""A run that was begun on one backend and goes on to its end on another."""

import json
import shutil
import subprocess
import sys
from importlib.util import find_spec

import pytest

from tests.backends import BACKEND
from tests.processes import on

from .test_command import TINY
from .test_fit import read_log


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_a_run_goes_on_where_keras_runs_on_another_backend(
    backend, ended_by_control_c, trained, text, tmp_path
):
    if backend == BACKEND or not find_spec(backend):
        pytest.skip(f"{backend} is what the other tests run on, or is not installed")
    (tmp_path / "text.txt").write_text(text)
    shutil.copytree(ended_by_control_c, tmp_path / "model.training")
    command = ["--text", str(tmp_path / "text.txt"), "--out", str(tmp_path / "model"), *TINY]
    program = [sys.executable, "-m", "logit_sampling", "train", *command, "--resume"]
    run = subprocess.run(program, env=on(backend), capture_output=True, text=True)
    assert run.returncode == 0, run.stderr

    log, other = read_log(tmp_path / "model"), read_log(trained[0])
    assert log[0] == pytest.approx(read_log(ended_by_control_c)[0])
    # Dropout is not the same everywhere: an epoch of learning is 0.3 to 1 nat here.
    for row, expected in zip(log[1:], other[1:], strict=True):
        for name in ("training_nats_per_token", "validation_nats_per_character"):
            assert row[name] == pytest.approx(expected[name], abs=0.03)
    metrics = json.loads((tmp_path / "model" / "metrics.json").read_text())
    assert backend in metrics["versions"]
    assert "tensorflow" not in metrics["versions"]
