"""Each benchmark runs, at a size that takes seconds, and says what it should."""

import re
import runpy
from pathlib import Path

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


def test_engine_agreement(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["engine_agreement.py", "--smoke"])
    runpy.run_path(str(BENCHMARKS / "engine_agreement.py"), run_name="__main__")
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 10
    for line in lines:
        assert re.match(r"(graph|XLA  ) 0 of 200 draws differ \(\d+ s\)  Sampler\(", line), line
