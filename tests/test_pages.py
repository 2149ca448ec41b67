"""The Python of the pages that are no tutorial runs as it stands there."""

import re
import textwrap
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

import logit_sampling as ls
from logit_sampling.evaluation import named, read_samplers
from logit_sampling.evaluation.measures import measure

ROOT = Path(__file__).parents[1]


def blocks(page: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", (ROOT / page).read_text("utf-8"), re.DOTALL)


def test_the_code_of_the_page_on_generation(capsys):
    pytest.importorskip("llguidance")
    code, grammars, searches = blocks("docs/generation.md")
    names: dict = {}
    exec(code, names)
    assert len(names["result"].texts) == 4
    assert all(text in capsys.readouterr().out for text in names["result"].texts[:1])

    names |= {"small_model": names["model"], "prompts": ["ROMEO:"]}
    names["schema"] = {"type": "object", "properties": {"ok": {"type": "boolean"}}}
    names["text"] = 'start: "aye" | "no"'
    written = iter(line for line in grammars.splitlines() if line.startswith("ls.generate"))
    exec("".join(f"{line}\n" for line in grammars.splitlines() if "schema=" not in line), names)
    assert eval(next(written), names).texts[0].startswith("{")
    assert eval(next(written), names).texts[0] in ("yes", "no")
    assert eval(next(written), names).texts[0] in ("aye", "no")

    exec(searches, names)
    # A draft that is the target is always right.
    (line,) = (line for line in searches.splitlines() if "small_model" in line)
    assert eval(line, names).accepted[0] > 3.9


def test_the_code_of_the_page_on_logits():
    import keras

    (code,) = blocks("docs/logits.md")
    softmax = keras.layers.Dense(4, activation="softmax")
    model = keras.Sequential([keras.Input((3,)), softmax])
    model.compile(loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    names: dict = {"model": model, "x": np.eye(3, dtype=np.float32), "y": np.arange(3)}
    exec(code, names | {"p": [0.5, 0.25, 0.25]})
    assert ls.check_logits(model).ok


def test_the_code_of_the_page_on_backends():
    page = (ROOT / "docs/backends.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    names: dict = {}
    exec(code, names)
    logits = np.random.default_rng(0).normal(0, 3, (4, 5000)).astype(np.float32)
    for seed in range(20):
        expected = names["sampler"](logits, seed=seed)
        np.testing.assert_array_equal(names["draw"](tf.constant(logits), seed), expected)
        np.testing.assert_array_equal(names["draw_in_jax"](logits, seed), expected)


def test_the_code_of_the_page_on_comparing(tmp_path):
    page = (ROOT / "docs/compare.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    names: dict = {}
    exec(code, names)
    assert names["comparison"].results[0].lines.mean > 0
    (grid,) = re.findall(r"  ```toml\n(.*?)```", page, re.DOTALL)
    (tmp_path / "grid.toml").write_text(textwrap.dedent(grid))
    assert len(named(read_samplers(tmp_path / "grid.toml"))) == 2 + 3 * 2
    for line in page.splitlines():  # every measure of the table is there
        if line.startswith("| `"):
            for name in re.findall(r"`([\w-]+)`", line.split("|")[1]):
                assert measure(name.replace("-N", "-4")).meaning


def test_the_code_of_the_page_on_the_engine(capsys):
    page = (ROOT / "docs/engine.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    names: dict = {"prompts": ["ROMEO:"]}
    for block in blocks:
        exec(block, names)
    alone = ls.generate(
        names["model"], "ROMEO:", sampler=ls.Sampler(ls.TopK(50)), max_new_tokens=20, seed=7
    )
    assert capsys.readouterr().out == f"{alone.texts[0]}['length']\n"
    assert names["result"].accepted is not None


def test_the_strategy_of_the_page_on_the_inside():
    page = (ROOT / "docs/inside.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    names: dict = {"__name__": "inside"}
    exec(code, names)
    above = names["AboveUniform"]
    x = np.log([[0.4, 0.35, 0.2, 0.05], [0.7, 0.1, 0.1, 0.1]]).astype(np.float32)
    for times in (1.0, [1.0, 5.0]):
        made = above(times)
        eager = ls.Sampler(made).probabilities(x)
        graph = tf.function(ls.Sampler(made).probabilities)(tf.constant(x))
        np.testing.assert_allclose(graph, eager, rtol=1e-6)
        assert (eager[0] > 0).tolist() == [True, True, False, False]
        kept = np.isfinite(made.of_row(1).formula(x[1].tolist()))
        np.testing.assert_array_equal(eager[1] > 0, kept)


def test_the_loop_of_the_page_on_the_inside_is_that_of_the_code():
    page = (ROOT / "docs/inside.md").read_text(encoding="utf-8")
    loop = next(t for t in re.findall(r"```text\n(.*?)```", page, re.DOTALL) if "while" in t)
    code = (ROOT / "logit_sampling/decoding/sampling.py").read_text(encoding="utf-8")
    assert "".join(loop.split()) in "".join(code.split())
    for path in re.findall(r"`([a-z_/]+\.py)`", page):
        known = path == "above_uniform.py" or path.endswith("strategies/above_uniform.py")
        assert (
            known
            or (ROOT / "logit_sampling" / path).is_file()
            or (ROOT / path).is_file()
            or (list((ROOT / "logit_sampling").rglob(path)))
        ), path


def test_the_code_of_the_page_on_the_playground():
    pytest.importorskip("anywidget")
    (code,) = re.findall(
        r"```python\n(.*?)```", (ROOT / "docs/play.md").read_text("utf-8"), re.DOTALL
    )
    head, _, last = code.strip().rpartition("\n")
    names: dict = {}
    exec(head, names)
    shown = eval(last, names)
    assert [row["text"] for row in shown.answer["rows"]] == names["texts"]
