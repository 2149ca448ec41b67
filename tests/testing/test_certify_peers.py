"""The script that certifies other libraries runs, and leaves out what is not installed."""

import json
import re
import runpy
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "certify_peers.py"


def test_a_smoke_run(monkeypatch, capsys, tmp_path):
    written = tmp_path / "reports.json"
    monkeypatch.setattr("sys.argv", [str(SCRIPT), "--smoke", "--json", str(written)])
    monkeypatch.setitem(sys.modules, "llama_cpp", None)  # as if not installed
    runpy.run_path(str(SCRIPT), run_name="__main__")
    out = capsys.readouterr().out
    assert re.search(r"^logit_sampling: Greedy\(\): (\d+) of \1 checks passed", out, re.MULTILINE)
    assert "KerasHub: RandomSampler(): " in out
    assert (
        "    FAILED: seeds, different: 1 of 15 pairs" in out
    )  # 1 and 2**31 - 1 are one seed there
    assert "llama.cpp: not installed, left out (" in out
    reports = json.loads(written.read_text())
    assert [r["ok"] for r in reports if r["peer"] == "logit_sampling"] == [True, True]
