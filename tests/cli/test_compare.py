"""The command compare: what it prints, writes and refuses."""

import io
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.cells import cell_len

import logit_sampling as ls
from logit_sampling import evaluation
from logit_sampling.cli import main
from logit_sampling.cli.options import complete_measure
from logit_sampling.evaluation import default_samplers
from logit_sampling.evaluation.measures import measure
from logit_sampling.models import loading

OPTIONS = ["--max-new-tokens", "20", "--top-k", "7", "--top-p", "0.5", "--temperature", "1.5"]
NAMES = ["greedy", "top-k 7", "top-p 0.5", "pure sampling"]


def run(capsys: pytest.CaptureFixture, *arguments: str) -> tuple[str, str, int]:
    """Run the command; return stdout, stderr and the exit status."""
    with pytest.raises(SystemExit) as stop:
        main(["compare", *arguments])
    out, err = capsys.readouterr()
    return out, err, int(stop.value.code or 0)


@pytest.fixture
def model(tiny_preset: Path) -> list[str]:
    return ["--model", str(tiny_preset), *OPTIONS]


@pytest.fixture
def expected(tiny_gpt2: Any) -> evaluation.Comparison:
    return ls.compare(tiny_gpt2, ["the", "a\nb"], default_samplers(1.5, 7, 0.5), range(2), 20)


def without_times(comparison: dict[str, Any]) -> Any:
    for result in comparison["results"]:
        assert result.pop("seconds_per_token") > 0
        result.pop("model")
        result["perplexity"] = round(result["perplexity"]["mean"], 3)
        for text in result["texts"]:
            text.pop("seconds")
            text["log_prob"] = round(text["log_prob"], 4)
    return comparison["results"], comparison["prompts"], comparison["seeds"]


def test_json_is_the_comparison_and_nothing_else(
    capsys: pytest.CaptureFixture, model: list[str], expected: Any, monkeypatch: Any
) -> None:
    load = loading.load_model

    def noisy(name: str, **options: Any) -> Any:
        print("a library talks")
        return load(name, **options)

    monkeypatch.setattr(loading, "load_model", noisy)
    out, err, status = run(capsys, "the", "a\nb", *model, "-n", "2", "--json")
    data = json.loads(out)
    assert data.pop("model") == model[1]
    assert without_times(data) == without_times(json.loads(json.dumps(expected.to_dict())))
    assert data["calls"][0]["command"].startswith("logit-sampling")
    assert (err, status) == ("a library talks\n", 0)


@pytest.mark.parametrize(("width", "columns"), [(80, 2), (120, 4)])
def test_texts_stand_side_by_side_above_the_numbers(
    capsys: pytest.CaptureFixture,
    model: list[str],
    expected: Any,
    monkeypatch: Any,
    width: int,
    columns: int,
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    out, err, status = run(capsys, "the", "a\nb", *model, "--seeds", "2")
    assert (err, status) == ("", 0)
    lines = out.splitlines()
    assert max(map(cell_len, lines)) <= width
    headings = [
        [name.strip() for name in line.split("│")] for line in lines if line.startswith(NAMES[0])
    ]
    assert headings[:2] == [NAMES[:columns]] * 2  # one for each prompt, then the numbers
    prompts = [line for line in lines if "─" in line and "┼" not in line]
    assert [line.rstrip("─ ") for line in prompts] == ["the", "a⏎b"]

    numbers = lines[next(i for i, line in enumerate(lines) if "seq-rep-4" in line) :]
    for line, result in zip(numbers[1:5], expected.results, strict=True):
        cells = re.split(r"\s{2,}", line.strip())
        assert cells[:4] == [
            result.name,
            result.seq_rep_4.format(2),
            result.distinct_1.format(2),
            result.distinct_2.format(2),
        ]
        assert float(cells[4]) == pytest.approx(result.perplexity.mean, abs=0.02)
        assert re.fullmatch(r"\d+\.\d", cells[5])
    told = " ".join(out.split())
    assert "2 prompts, 2 texts each, one from greedy and searches, 20 tokens a text" in told


def test_columns_hold_the_whole_text_of_the_first_seed(
    capsys: pytest.CaptureFixture, tiny_preset: Path, monkeypatch: Any
) -> None:
    """Markup is text, a line break stays one, and a control character cannot steer the terminal."""
    texts = ["\n[bold]one[/bold] :smile:\nand\tmore", "\x1b[31mtwo\x9b\r", "three " * 30, "four"]
    comparison = ls.compare(
        lambda ids: np.zeros((len(ids), 3)), [[0]], default_samplers(1.5, 7, 0.5), (0, 1), 4
    )
    shown = dict(zip(NAMES, texts, strict=True))
    made = tuple(replace(t, text="no" if t.run else shown[t.sampler]) for t in comparison.texts)
    monkeypatch.setattr(
        evaluation, "compare", lambda *args, **options: replace(comparison, texts=made)
    )
    monkeypatch.setenv("COLUMNS", "80")
    out, _, _ = run(capsys, "p", "--model", str(tiny_preset))
    left, right = zip(
        *[[c.strip() for c in line.split("│")] for line in out.splitlines() if "│" in line],
        strict=True,
    )
    assert left[:4] == ("greedy", "[bold]one[/bold] :smile:", "and     more", "top-p 0.5")
    assert right[:4] == ("top-k 7", r"\x1b[31mtwo\x9b\r", "", "pure sampling")
    assert " ".join(left[4:]).split() == ["three"] * 30
    assert right[4] == "four"


def test_prompts_of_a_file_samplers_of_a_file_and_a_folder_to_go_on_with(
    capsys: pytest.CaptureFixture, model: list[str], tmp_path: Path, monkeypatch: Any
) -> None:
    """The second command loads no model; each form has the numbers."""
    prompts = tmp_path / "prompts.jsonl"
    rows = [{"prompt": "the", "id": i, "human": " cat sat on the mat"} for i in range(20)]
    prompts.write_text("".join(json.dumps(row) + "\n" for row in rows))
    grid = tmp_path / "grid.toml"
    grid.write_text('samplers = ["greedy"]\nsweep = "temperature=[0.5, 1]"')
    out = tmp_path / "out"
    options = [*model[:2], "--max-new-tokens", "4", "--samplers", str(grid), "--out", str(out)]
    options += ["--sampler", "mine: top_k=3", "-n", "1", "--baseline", "mine"]
    shown = ["--measure", "distinct-1", "--measure", "log-prob"]
    text, err, status = run(capsys, "--prompts", str(prompts), *options, *shown)
    assert (err, status) == ("", 0)
    assert "and 12 prompts more" in text
    assert "Differences from mine" in text
    texts = (out / "texts.jsonl").read_text("utf-8").splitlines()
    assert len(texts) == 20 * (1 + 1 + 1 + 2)

    monkeypatch.setattr(loading, "load_model", lambda *_, **__: pytest.fail("it was loaded"))
    loaded = evaluation.Comparison.load(out, ["distinct_1", "log_prob"])
    for form, expected in (
        ("csv", loaded.to_csv()),
        ("markdown", loaded.to_markdown()),
        ("latex", loaded.to_latex()),
        ("json", json.dumps(loaded.to_dict())),
    ):
        told, _, status = run(capsys, "--load", str(out), *shown, "--format", form)
        assert (told.strip(), status) == (expected.strip(), 0)


@pytest.mark.parametrize("form", ["text", "csv"])
def test_a_folder_without_whole_texts_says_so(
    capsys: pytest.CaptureFixture, tmp_path: Path, form: str
) -> None:
    made = ls.compare(lambda ids: np.zeros((len(ids), 3)), [[0]], ["greedy"], max_new_tokens=4)
    replace(made, texts=()).save(tmp_path)
    out, err, _ = run(capsys, "--load", str(tmp_path), "--format", form)
    assert out == ""
    assert err.startswith("logit-sampling: No prompt has all of its texts. Left out")
    assert "greedy (0 of 1 texts)" in err


def test_prompts_of_standard_input(
    capsys: pytest.CaptureFixture, model: list[str], monkeypatch: Any
) -> None:
    class Stdin:
        buffer = io.BytesIO(b"the\na b\n")

    monkeypatch.setattr("sys.stdin", Stdin)
    options = ["--max-new-tokens", "4", "-n", "1", "--json", "--sampler", "greedy"]
    out, _, _ = run(capsys, "-", *model[:2], *options)
    assert json.loads(out)["prompts"] == ["the", "a b"]


def test_the_default_length_shrinks_to_a_small_context(
    capsys: pytest.CaptureFixture, model: list[str]
) -> None:
    out, err, _ = run(capsys, "the cat", *model[:2], "-n", "1", "--sampler", "greedy", "--json")
    (text,) = json.loads(out)["results"][0]["texts"]
    assert 4 < len(text["token_ids"]) < 48
    assert err.startswith(f"logit-sampling: writing {len(text['token_ids'])} tokens, not 100: more")
    options = ["--overflow", "slide", "--max-new-tokens", "60"]
    out, err, _ = run(
        capsys, "the cat", *model[:2], "-n", "1", "--sampler", "greedy", "--json", *options
    )
    assert (len(json.loads(out)["results"][0]["texts"][0]["token_ids"]), err) == (60, "")


def test_two_models_and_a_judge(
    capsys: pytest.CaptureFixture, tiny_preset: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    shutil.copytree(tiny_preset, other)
    models = ["--model", str(tiny_preset), "--model", str(other), "--judge", str(tiny_preset)]
    options = ["--max-new-tokens", "4", "-n", "1", "--json", "--sampler", "greedy"]
    out, _, status = run(capsys, "the", *models, *options)
    assert status == 0
    first, second = json.loads(out)["results"]
    assert first["name"] == f"{tiny_preset}: greedy"
    assert second["name"] == f"{other}: greedy"
    assert first["judge_perplexity"]["mean"] == second["judge_perplexity"]["mean"] > 1


def test_the_judge_has_the_dtype_of_the_others(
    capsys: pytest.CaptureFixture, monkeypatch: Any
) -> None:
    loaded = []

    def load(name: str, **options: Any) -> Any:
        loaded.append((name, options))
        if name == "second":
            raise ValueError("enough")
        return name

    monkeypatch.setattr(loading, "load_model", load)
    run(capsys, "a", "--model", "first", "--judge", "second", "--dtype", "float16")
    assert loaded == [("first", {"dtype": "float16"}), ("second", {"dtype": "float16"})]


def test_completion_of_measures() -> None:
    assert list(complete_measure("seq")) == [f"seq-rep-{n}" for n in range(1, 5)]
    assert list(complete_measure("step_")) == ["step-entropy"]
    assert all(measure(name).title == name for name in complete_measure("") if name != "self-bleu")


def test_plot(capsys: pytest.CaptureFixture, model: list[str], tmp_path: Path) -> None:
    target = tmp_path / "next.png"
    out, err, status = run(capsys, "the", *model, "--seeds", "1", "--plot", str(target))
    assert (err, status) == (f"logit-sampling: drawn to {target}\n", 0)
    assert "seq-rep-4" in out
    assert target.read_bytes().startswith(b"\x89PNG")
    assert list(tmp_path.iterdir()) == [target]


def test_a_plot_that_fails_does_not_cost_the_results(
    capsys: pytest.CaptureFixture, model: list[str], tmp_path: Path, monkeypatch: Any
) -> None:
    def fail(*args: Any) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(evaluation, "plot_next_token", fail)
    options = ["--seeds", "1", "--max-new-tokens", "4", "--plot", str(tmp_path / "p.png"), "--json"]
    out, err, status = run(capsys, "the", *model, *options)
    assert json.loads(out)["tokens"] == 4
    assert (err, status) == ("logit-sampling: disk full\n", 2)


@pytest.mark.parametrize("whole", [0, 1])
@pytest.mark.parametrize("as_json", [False, True])
def test_ctrl_c_tells_of_the_samplers_that_are_whole(
    capsys: pytest.CaptureFixture, model: list[str], monkeypatch: Any, whole: int, as_json: bool
) -> None:
    """And of what a folder keeps."""

    def same(ids: np.ndarray) -> np.ndarray:
        return np.zeros((len(ids), 3))

    comparison = ls.compare(same, [[0]], {"greedy": ls.Greedy()}, max_new_tokens=4)
    comparison = replace(comparison, texts=comparison.texts[:whole])

    def interrupted(*args: Any, **options: Any) -> Any:
        raise ls.Interrupted(comparison)

    monkeypatch.setattr(evaluation, "compare", interrupted)
    out, err, status = run(capsys, "a", *model, *(["--json"] if as_json else []))
    assert status == 130
    assert err == f"logit-sampling: interrupted; whole are the texts of {whole} of 4 samplers\n"
    if as_json:
        data = json.loads(out)
        assert data["interrupted"] is True
        assert [result["name"] for result in data["results"]] == ["greedy"][:whole]
    else:
        assert ("greedy" in out, "seq-rep-4" in out) == (bool(whole), bool(whole))
    _, err, _ = run(capsys, "a", *model, "--out", "folder")
    kept = f"folder keeps {whole} {'text' if whole else 'texts'}, and the same command goes on\n"
    assert err.endswith(f" of 4 samplers; {kept}")


def test_ctrl_c_while_a_model_loads_tells_that_nothing_is_written(
    capsys: pytest.CaptureFixture, monkeypatch: Any
) -> None:
    def interrupted(*args: Any, **options: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(loading, "load_model", interrupted)
    told = "logit-sampling: interrupted before the first text: nothing was written\n"
    assert run(capsys, "a") == ("", told, 130)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a", "--top-k", "0"], "--top-k needs to be a finite integer in [1, inf); got 0"),
        (["a", "--top-p", "1.2"], "--top-p needs to be a finite number in (0, 1]; got 1.2"),
        (["a", "--temperature", "-1"], "--temperature needs to be a finite number"),
        (["a", "--seeds", "0"], "'--seeds': Input should be greater than or equal to 1"),
        (["a", "--batch-size", "0"], "'--batch-size': Input should be greater than or equal to 1"),
        (
            ["a", "--max-new-tokens", "3"],
            "'--max-new-tokens': Input should be greater than or equal to 4",
        ),
        (["a", "--measure", "perplexety"], "did you mean 'perplexity'"),
        (
            ["a", "--measure", "seq-rap-4"],
            "--measure: no measure 'seq-rap-4'; did you mean 'seq-rep-4'",
        ),
        (["a", "b", "--sampler", "top_p=[0.5,0.9]"], "sampler 'top_p=[0.5,0.9]'"),
        (["a", "--baseline", "x"], "--baseline 'x' is none of 'greedy', 'top-k 50'"),
        (
            ["a", "--format", "html"],
            "'html' is not one of 'text', 'json', 'csv', 'markdown', 'latex'",
        ),
        (["a", "--report", "r.txt"], "a page that ends in .html; got 'r.txt'"),
        (["a", "--report", "nowhere/r.html"], "'nowhere/r.html' does not exist"),
        (["a", "--sweep", "temperature=1"], "has nothing to sweep"),
        (["a", "--sampler", "top_k=5", "--top-p", "0.9"], "--top-p is for the samplers that are"),
        (["a", "--samplers", "x.json"], "ends in .toml, .yaml or .yml"),
        (["a", "--model", "m", "--model", "m"], "--model is there twice with 'm'"),
        (["a", "--prompts", "p.txt"], "prompts or --prompts FILE, not both"),
        (["a", "--load", "f"], "leave out prompts, --prompts and --out"),
        (["--load", "nowhere"], "nowhere holds no comparison"),
        (["a", "--frontier"], "needs prompts that say how their authors went on"),
        (["--prompts", "nowhere.txt"], "nowhere.txt"),
        ([], "give texts to continue, or --prompts FILE"),
        (["a", ""], "prompt 1 is empty"),
        (["a", "--plot", "nowhere/p.png"], "'nowhere/p.png' does not exist: create it first"),
        (["a", "--plot", "p.txt"], "a plot ends in .png, .svg, .pdf; got 'p.txt'"),
    ],
)
def test_bad_options_are_refused_before_the_model_loads(
    capsys: pytest.CaptureFixture, monkeypatch: Any, arguments: list[str], message: str
) -> None:
    monkeypatch.setattr(loading, "load_model", lambda *_, **__: pytest.fail("it was loaded"))
    out, err, status = run(capsys, *arguments)
    assert (out, status) == ("", 2)
    assert err.startswith("logit-sampling: ")
    assert message in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a" * 40], "ask for at most 7 new tokens or shorten the prompt"),
    ],
)
def test_bad_input(
    capsys: pytest.CaptureFixture,
    model: list[str],
    tmp_path: Path,
    arguments: list[str],
    message: str,
) -> None:
    plot = tmp_path / "p.png"
    out, err, status = run(capsys, *model, *arguments, "--plot", str(plot))
    assert (out, status) == ("", 2)
    assert err.startswith("logit-sampling: ")
    assert message in err
    assert err.count("\n") == 1
    assert not plot.exists()


def test_unknown_model(capsys: pytest.CaptureFixture) -> None:
    out, err, status = run(capsys, "a", "--model", "hamlet")
    assert (out, status) == ("", 2)
    assert err.startswith("logit-sampling: unknown model 'hamlet'")
    assert err.count("\n") == 1
