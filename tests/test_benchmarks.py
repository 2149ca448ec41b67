"""Each benchmark runs, at a size that takes seconds, and says what it should."""

import importlib.util
import json
import os
import re
import runpy
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from rich.console import Console

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
    assert len(lines) == 4
    for line in lines:
        assert re.match(r"(graph|XLA  ) 0 of 200 draws differ \(\d+ s\)  Sampler\(", line), line


def test_power(run):
    """A right sampler passes, and a fault that a hundred draws show is seen."""
    lines = run("power.py", "--smoke").splitlines()
    assert lines[0] == "| fault | 100 draws a row |" and len(lines) == 6
    assert lines[2] == "| none | 0 |"
    assert lines[5] == "| neighbouring seeds give neighbouring numbers | 1 |"


def test_samplers(run, tmp_path):
    data, picture = tmp_path / "all.json", tmp_path / "all.png"
    chosen = ("--strategies", "top-k 50", "--rows", "flat", "--peers", "keras_hub")
    out = run("samplers.py", "--smoke", *chosen, "--json", str(data), "--plot", str(picture))
    assert "top-k 50 · flat rows, vocabulary 1,000, batch 2" in out
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
    assert picture.read_bytes().startswith(b"\x89PNG")
    tables = run("table.py", str(data)).splitlines()
    assert tables[0] == "## Flat rows"
    assert tables[2] == "|  | 1,000, 2 |"
    ours, softmax = (records[name]["median"] for name in ("ours, NumPy", "one softmax pass"))
    assert tables[4] == f"| top-k 50 | {1e6 * ours:,.0f} µs, {ours / softmax:.3g} S |"


def test_samplers_name_what_is_left_out(run, monkeypatch):
    found = importlib.util.find_spec("numba")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: found if name == "numba" else None)
    chosen = ("--strategies", "greedy", "--rows", "flat", "--modes", "numpy")
    out = run("samplers.py", "--smoke", *chosen)
    assert "transformers is left out, not installed: transformers, torch" in out
    assert "llama.cpp" not in out


def test_samplers_refuse_an_unknown_strategy(run, capsys):
    with pytest.raises(SystemExit, match="2"):
        run("samplers.py", "--strategies", "top-q")
    assert "no strategy is called 'top-q'; there are: greedy; whole" in capsys.readouterr().err


@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
def test_memory(run):
    """Beside a million logits a draw holds less than a fifth of them, the copy of xtc apart."""
    found = re.findall(r"(.*\S) +(\d\.\d+) +(\d\.\d+)\n", run("memory.py", "--smoke"))
    assert len(found) == 4
    for name, *rises in found:
        assert all(float(rise) < 0.2 + ("xtc" in name) for rise in rises), name


def test_history(run):
    out = run("history.py", "--smoke")
    assert "NumPy, 4" in out
    assert "graph, 32" in out
    assert "failed" not in out


def test_generation(run, tmp_path, monkeypatch):
    monkeypatch.setenv("XLA_FLAGS", "--xla_backend_optimization_level=0")  # of the workers
    data, picture = tmp_path / "all.json", tmp_path / "all.png"
    chosen = ("--backends", "tensorflow", "jax", "--contenders", "ours", "keras_hub")
    out = run("generation.py", "--smoke", *chosen, "--json", str(data), "--plot", str(picture))
    assert "tiny · batch 2, prompt 4 + 17 new tokens · greedy" in out
    names = [
        *(f"ours on TensorFlow ({mode})" for mode in ("compiled", "default")),
        *(f"KerasHub on TensorFlow ({mode})" for mode in ("XLA", "graph")),
        *(f"ours on JAX ({mode})" for mode in ("compiled", "default")),
        "KerasHub on JAX (jit)",
    ]
    assert f"greedy texts are equal: {', '.join(names)}" in out
    written = json.loads(data.read_text())["records"]
    import generation_records
    from generation_worker import Who

    records = {(r["sampler"], Who(*(r[f] for f in Who._fields))): r for r in written}
    found = [(sampler, str(who)) for sampler, who in records]
    assert found == [
        *(("greedy", name) for name in ("limit", *names)),
        *(("chain", name) for name in ("limit", *names) if not name.startswith("KerasHub")),
    ]
    for (sampler, who), record in records.items():
        if record.get("failure") == generation_records.NOISE:
            continue  # a step of so small a model
        assert "failure" not in record, record
        assert 0 < record["low"] <= record["median"] <= record["high"]
        if who.who != "limit":
            assert record["first_call"] > record["compile"] >= 0
            assert record["one_token"] > 0
            limit = records[sampler, Who("limit", "", "", "float32")]["median"]
            assert record["per_limit"] == pytest.approx(record["median"] / limit)
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_engine(run, tmp_path):
    data = tmp_path / "all.json"
    out = run("engine.py", "--smoke", "--json", str(data))
    assert "tiny on tensorflow" in out
    found = json.loads(data.read_text())["found"]
    assert len(found) == 13 and all(value > 0 for value in found.values())
    assert out.count("reached") + out.count("missed") == 6


def test_gpu(run, tmp_path):
    data = tmp_path / "all.json"
    out = run("gpu.py", "--smoke", "--draws", "--backends", "jax", "--json", str(data))
    assert "JAX: no GPU was found" in out
    assert "top-k 50 · vocabulary 1,000, batch 2" in out
    written = json.loads(data.read_text())
    import gpu_draws

    assert [(r["strategy"], r["who"], r["backend"]) for r in written["draws"]] == [
        (strategy, "ours", "jax") for strategy in gpu_draws.STRATEGIES
    ]
    for record in written["draws"]:
        assert 0 < record["low"] <= record["median"] <= record["high"]
    assert "steps" not in written
    with pytest.raises(SystemExit, match="no GPU was found"):
        run("gpu.py", "--backends", "jax")


def test_draws_of_torch_are_from_what_is_kept(run):
    torch = pytest.importorskip("torch")
    import gpu_draws
    import rows

    x = rows.language(50, 1000)
    for strategy, draw in gpu_draws.in_torch().items():
        sampler = gpu_draws.STRATEGIES[strategy].sampler()
        for _ in range(20):
            ids = draw(torch.from_numpy(x)).numpy()
            assert ids.shape == (50,)
            assert np.isfinite(sampler.log_prob(x, ids)).all(), strategy


def test_contenders_wait_in_a_process_for_each_backend(run):
    import workers

    by_backend = {backend: workers.Worker(backend) for backend in ("one", "two")}
    try:
        for backend, worker in by_backend.items():
            assert worker.call(os.getenv, "KERAS_BACKEND") == backend
            assert worker.call(os.getpid) != os.getpid()
            assert worker.call(os.getenv, "JAX_COMPILATION_CACHE_DIR") is None
        with pytest.raises(RuntimeError, match=r"ValueError: invalid literal for int.* 'x'"):
            by_backend["one"].call(int, "x")
        with pytest.raises(RuntimeError, match="KeyError: 'nobody'"):
            workers.Remote(by_backend["one"], "nobody").sample([np.zeros(1)], 0, 1)
        assert by_backend["one"].call(int, "3") == 3  # it lives on
    finally:
        for worker in by_backend.values():
            worker.close()


def test_generation_leaves_out_what_takes_long(run):
    import argparse

    import generation

    class Model:
        context_length = 256

    def cells(full):
        options = argparse.Namespace(
            prompts=[8, 512],
            batches=[1, 64],
            samplers=["greedy", "chain"],
            new_tokens=None,
            full=full,
        )
        found = list(generation.cells("shakespeare", Model(), options))
        assert {(cell.length, cell.new_tokens) for cell in found} == {(8, 65), (128, 128)}
        return {(cell.length, cell.batch, cell.sampler) for cell in found}

    short = {(8, batch, sampler) for batch in (1, 64) for sampler in ("greedy", "chain")}
    assert cells(full=False) == short | {(128, 1, "greedy")}
    assert cells(full=True) == short | {(128, *rest) for _, *rest in short}


def test_generation_refuses_smollm2_without_its_folder(run, capsys):
    with pytest.raises(SystemExit, match="2"):
        run("generation.py", "--models", "smollm2")
    assert "the model smollm2 needs --smollm2 FOLDER" in capsys.readouterr().err


def test_bytes_of_a_step(run):
    import generators

    layer = 4 * (16 * 16 + 16) + 2 * 2 * 16 + (16 * 64 + 64) + (64 * 16 + 16)
    weights = 512 * 16 + 2 * layer + 2 * 16  # the table of tokens, the layers, the last norm
    cache = 2 * 2 * 16  # keys and values of two layers, for a token
    model = generators.MODELS["tiny"].load(None, "float32")
    assert generators.bytes_of_step(model, 3, 10.5) == 4 * (weights + 3 * 10.5 * cache)


def test_work_that_differs_is_named(run, capsys):
    import same_work

    prompts = np.array([[4, 5], [6, 7]])
    own, near, far = np.array([[1, 2, 3], [1, 2, 3]]), np.array([1, 2, 0]), np.array([0, 2, 3])
    texts = {"ours": own, "same": own.copy(), "near": own.copy(), "far": own.copy()}
    texts["near"][1], texts["far"][0] = near, far
    seen = []

    def logits(ids):
        seen.append(ids.tolist())
        return np.array([[[9.0] * 4, [2.0, 7.0, 0.0, 2.0005]]])

    found = list(same_work.differences(texts, prompts, logits))
    assert [where for where, _ in found] == [
        "near: row 1 differs from ours at new token 2",
        "far: row 0 differs from ours at new token 0",
    ]
    assert [gap for _, gap in found] == pytest.approx([0.0005, 5.0])
    assert seen == [[[6, 7, 1, 2]], [[4, 5]]]
    same_work.agreement(texts, found, Console(width=200))
    lines = capsys.readouterr().out.splitlines()
    assert [line.rpartition(": ")[2] for line in lines] == ["rounding", "not the same work"]


def test_targets_of_generation(run):
    import generation_targets

    def record(name, seconds, sampler="greedy", compiling=0.0, dtype="float32", **case):
        who, backend, mode = [*name.split(", "), "", ""][:3]
        case = {"model": "gpt2-124m", "prompt": 8, "batch": 1} | case
        case |= {"who": who, "backend": backend, "mode": mode, "dtype": dtype}
        return case | {"sampler": sampler, "median": seconds, "compile": compiling}

    long, eight = {"prompt": 512, "batch": 8}, {"batch": 8}
    run_of = [record("limit", 2.0), record("ours, jax, compiled", 3.0, compiling=2.0)]
    run_of += [record("KerasHub, jax, jit", 6.0, compiling=8.0)]
    run_of += [record("ours, tensorflow, default", 1.0)]
    run_of += [record("KerasHub, tensorflow, XLA", 4.0, compiling=8.0)]
    run_of += [record("KerasHub, tensorflow, graph", 2.0, compiling=1.0)]
    run_of += [record("limit", 2.0, "chain"), record("ours, jax, compiled", 3.3, "chain")]
    run_of += [record("ours, jax, default", 1.0, **long), record("KerasHub, jax, jit", 4.0, **long)]
    run_of += [record("ours, torch, default", 6.0, **eight)]
    run_of += [record("ours, torch, default", 3.0, dtype="bfloat16", **eight)]
    run_of += [record("KerasHub, torch, eager", 8.0, **eight)]
    run_of += [record("transformers, torch, eager", 12.0, **eight)]
    run_of += [{key: value for key, value in run_of[0].items() if key != "median"}]  # it failed
    where, many = "gpt2-124m, batch 1, prompt 8", "gpt2-124m, batch 8, prompt 8, greedy"
    expected = [
        (f"{where}, greedy: ours on JAX (compiled) / KerasHub (jit)", 0.5, 0.9),
        (f"{where}, greedy: ours on JAX (compiled) / KerasHub (jit): compiling", 0.25, 0.5),
        (f"{where}, greedy: ours on JAX (compiled) / limit", 1.5, 1.15),
        (f"{where}, greedy: ours on TensorFlow (default) / KerasHub (graph)", 0.5, 0.9),
        (f"{where}, greedy: ours on TensorFlow (default) / limit", 0.5, 1.15),
        (f"{where}, chain: ours on JAX (compiled) / its greedy", 1.1, 1.05),
        (f"{where}, chain: ours on JAX (compiled) / limit", 1.65, 1.15),
        (
            "gpt2-124m, batch 8, prompt 512, greedy: ours on JAX (default) / KerasHub (jit)",
            *(0.25, 0.3),
        ),
        (f"{many}: ours on torch (default) / KerasHub (eager)", 0.75, 1),
        (f"{many}: ours on torch (default) / transformers", 0.5, 0.85),
        (f"{many}: ours on torch (default, bfloat16): bfloat16 / float32", 0.5, 0.6),
    ]
    found = list(generation_targets.findings(run_of, amx=True))
    assert [what for what, *_ in found] == [what for what, *_ in expected]
    np.testing.assert_allclose([n for _, *n in found], [n for _, *n in expected])
    *_, (_, _, most) = generation_targets.findings(run_of, amx=False)
    assert most == 1


def test_retracing(run):
    out = run("generation.py", "--smoke", "--retracing")
    assert re.search(r"the first call traced \d+ graphs", out)
    assert re.search(r"retracing: graphs traced for prompt of 5, 20, 33, 64 tokens", out)


def test_memory_of_a_long_text(run):
    out = run("generation.py", "--smoke", "--memory")
    assert re.search(r"60 tokens, .*: [\d.]+ MB after a quarter, [\d.]+ MB at the end", out)
    import generation_modes

    kept = []  # a leak
    resident = generation_modes.watch(lambda: kept.append(np.ones(30_000_000)), seconds=0.001)
    assert resident[-1] - resident[0] > 200e6


def test_cold_start(run, monkeypatch, tmp_path):
    # The programs run, but in this process, which has paid for the imports.
    started = []

    def run_here(command, env, **_):
        assert command[:2] == [sys.executable, "-c"]
        started.append((env["KERAS_BACKEND"], Path(env["PYTHONPATH"])))
        exec(command[2], {})

    import generation_modes

    monkeypatch.setattr(generation_modes, "subprocess", SimpleNamespace(run=run_here))
    chosen = ("--backends", "jax", "--before", str(tmp_path))
    out = run("generation.py", "--smoke", "--cold", *chosen)
    assert re.search(r"JAX, first token: [\d.]+ s, .* at least", out)
    assert "cold process, JAX: first token / KerasHub and the weights" in out
    assert f"cold process, JAX: first token / first token of {tmp_path}" in out.replace("\n", "")
    here = BENCHMARKS.parent
    assert started == [("jax", here), ("jax", here), ("jax", tmp_path)]


def test_targets_judge_what_a_run_measured(run):
    import targets

    def record(contender, seconds, batch=1, **more):
        case = {"strategy": "greedy", "rows": "flat", "vocabulary": 128_256, "batch": batch}
        return case | {"contender": contender, "median": seconds} | more

    run_of = [record("one read pass", 2.0), record("ours, NumPy", 3.0)]
    run_of.append(record("ours, NumPy", 51.0, batch=16))
    assert list(targets.findings(run_of)) == [
        ("greedy, flat rows: ours, NumPy / one read pass", 1.5, 1.5 + 3e-6 / 2),
        ("greedy: ours, NumPy, 16 rows / one, worst kind of rows", 17.0, 9),
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


def test_findings(run, tmp_path, tiny_preset):
    """Texts of a tiny model are written once, and the tables tell of all of them."""
    text = tmp_path / "text.txt"
    rng = np.random.default_rng(0)
    words = ["the", "cat", "sat", "on", "a", "mat", "and", "saw", "it"]
    text.write_text(" ".join(rng.choice(words, 30_000)), "utf-8")
    chosen = ("--text", str(text), "--model", str(tiny_preset), "--tokens", "6", "--prompts", "20")
    chosen += ("--characters", "12")
    run("findings.py", "texts", str(tmp_path / "out"), *chosen, "--frontier")
    texts = (tmp_path / "out" / "texts.jsonl").read_text("utf-8").splitlines()
    names = {json.loads(line)["sampler"] for line in texts}
    assert len(texts) == 20 * len(names)
    assert {"human", "greedy", "beam 4", "p-less", "typical 0.2"} < names
    lines = run("findings.py", "tables", str(tmp_path / "out")).splitlines()
    assert lines[0].startswith("20 prompts, 1 text each, 6 tokens a text")
    for title in ("## perplexity at equal diversity", "## frontier at equal diversity", "## All"):
        assert title in lines
    rows = [line.split("|")[1].strip() for line in lines[lines.index("## All") :] if "|" in line]
    assert set(rows[2:]) == names


def test_serving(run):
    pytest.importorskip("httpx")
    out = run("serving.py", "--smoke")
    assert "8 prompts, 3 tokens each" in out
    for name in ("generate", "batch", "server"):
        assert re.search(rf"{name} +[\d.]+ s +\d+ tokens/s", out), out
    assert "not generate's: 0 of 16" in out
