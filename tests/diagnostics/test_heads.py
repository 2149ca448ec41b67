"""No verdict by chance, and a guard that sees the labels, on every backend."""

import importlib.util
import json
import subprocess
import sys

import pytest

from tests.diagnostics.guarded import wrong
from tests.diagnostics.heads import HEADS, counts
from tests.processes import on

SEEDS, ELSEWHERE = 20, 5  # sets of weights; a backend other than ours differs in what it traces


def right(found: dict[str, dict[str, int]], seeds: int) -> None:
    assert found == {name: {kind: seeds} for name, (kind, _) in HEADS.items()}


def test_the_backend_of_this_process() -> None:
    assert len(HEADS) >= 40
    right(counts(SEEDS), SEEDS)


def test_guarded_runs() -> None:
    assert wrong() == []


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_another_backend(backend: str) -> None:
    if importlib.util.find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    code = (
        "import json, sys; from tests.diagnostics import guarded, heads;"
        "print(json.dumps([heads.counts(int(sys.argv[1])), guarded.wrong()]))"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, str(ELSEWHERE)],
        env=on(backend),
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr[-2000:]
    found, runs = json.loads(run.stdout.splitlines()[-1])
    right(found, ELSEWHERE)
    assert runs == []
