"""Each benchmark runs, at a size that takes seconds, and says what it should."""

import json
import re
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def run(monkeypatch, capsys):
    """Run a benchmark as its command does; return what it prints."""
    modules = set(sys.modules)
    monkeypatch.setenv("COLUMNS", "200")  # what is printed is folded to the width of the terminal
    monkeypatch.syspath_prepend(BENCHMARKS)

    def run(name, *arguments):
        monkeypatch.setattr("sys.argv", [name, *arguments])
        runpy.run_path(str(BENCHMARKS / name), run_name="__main__")
        return capsys.readouterr().out

    yield run
    for name in set(sys.modules) - modules:
        file = getattr(sys.modules[name], "__file__", None)
        if file and Path(file).parent == BENCHMARKS:
            del sys.modules[name]  # their names are common ones


def test_engine_agreement(run):
    lines = run("engine_agreement.py", "--smoke").splitlines()
    assert len(lines) == 10
    for line in lines:
        assert re.match(r"(graph|XLA  ) 0 of 200 draws differ \(\d+ s\)  Sampler\(", line), line


def test_samplers(run, tmp_path):
    data, picture = tmp_path / "all.json", tmp_path / "all.png"
    chosen = ("--strategies", "top-k 50", "--rows", "flat", "--peers", "keras_hub")
    out = run("samplers.py", "--smoke", *chosen, "--json", str(data), "--plot", str(picture))
    assert "top-k 50 · flat rows, vocabulary 2,000, batch 2" in out
    written = json.loads(data.read_text())
    assert {"numpy", "tensorflow", "keras-hub"} <= set(written["machine"]["versions"])
    records = {r["contender"]: r for r in written["records"] if r["strategy"] == "top-k 50"}
    modes = ("TensorFlow", "tf.function", "XLA")
    assert set(records) == {
        *("one read pass", "one softmax pass", "ours, NumPy"),
        *(f"{whose}, {mode}" for whose in ("ours", "KerasHub") for mode in modes),
    }
    for record in records.values():
        assert "failure" not in record, record
        assert 0 < record["low"] <= record["median"] <= record["high"]
        for limit, name in (("read", "one read pass"), ("ours", "ours, NumPy")):
            ratio = record["median"] / records[name]["median"]
            assert record[f"per_{limit}"] == pytest.approx(ratio)
    assert 0 < records["ours, NumPy"]["memory"] < 20
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_samplers_name_what_is_left_out(run, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    chosen = ("--strategies", "greedy", "--rows", "flat", "--modes", "numpy")
    out = run("samplers.py", "--smoke", *chosen)
    assert "transformers is left out, not installed: transformers, torch" in out
    assert "llama.cpp" not in out


def test_samplers_refuse_an_unknown_strategy(run, capsys):
    with pytest.raises(SystemExit, match="2"):
        run("samplers.py", "--strategies", "top-q")
    assert "no strategy is called 'top-q'; there are: greedy; whole" in capsys.readouterr().err


def test_history(run):
    out = run("history.py", "--smoke")
    assert "NumPy, 4" in out
    assert "graph, 32" in out
    assert "failed" not in out


def test_targets_judge_what_a_run_measured(run):
    import targets

    def record(contender, seconds, batch=1, **more):
        case = {"strategy": "greedy", "rows": "flat", "vocabulary": 128_256, "batch": batch}
        return case | {"contender": contender, "median": seconds} | more

    run_of = [record("one read pass", 2.0), record("ours, NumPy", 3.0, memory=2.5)]
    run_of.append(record("ours, NumPy", 51.0, batch=16, memory=0.5))
    assert list(targets.findings(run_of)) == [
        ("greedy, flat rows: ours, NumPy / one read pass", 1.5, 1.5),
        ("greedy: ours, NumPy, 16 rows / one, worst kind of rows", 17.0, 16),
        ("greedy: memory beside the logits, worst case", 2.5, 2),
    ]


def test_rows_of_a_language_model(run):
    import rows

    x = rows.language(100, 49_152).astype(np.float64)
    p = np.exp(x - x.max(axis=-1, keepdims=True))
    p = -np.sort(-p / p.sum(axis=-1, keepdims=True))
    entropy = -(p * np.log(np.maximum(p, 1e-300))).sum(axis=-1)
    nucleus = (np.cumsum(p, axis=-1) < 0.9).sum(axis=-1) + 1
    assert 1.8 < np.median(entropy) < 3.0  # SmolLM2-135M: 2.1 nats
    assert 10 < np.median(nucleus) < 40  # 15 tokens
    fall = np.median(np.log(p[:, :1] / p[:, [10, 100, 1000]]), axis=0)
    np.testing.assert_allclose(fall, [4.4, 7.9, 11.6], rtol=0.15)
