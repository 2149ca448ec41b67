import json
from pathlib import Path
from typing import Any

import pytest

import logit_sampling as ls
from logit_sampling.cli import main


def run(capsys: pytest.CaptureFixture, *arguments: str) -> tuple[str, str, int]:
    """Run the command; return stdout, stderr and the exit status."""
    with pytest.raises(SystemExit) as stop:
        main(["explain", *arguments])
    out, err = capsys.readouterr()
    return out, err, int(stop.value.code or 0)


@pytest.fixture(scope="module")
def model(tiny_preset: Path) -> list[str]:
    return ["--model", str(tiny_preset)]


OPTIONS = ["--temperature", "0.8", "--top-k", "50", "--top-p", "0.95", "--min-p", "0.01"]
SAMPLER = ls.Sampler(ls.Temperature(0.8), ls.TopK(50), ls.TopP(0.95), ls.MinP(0.01))


def test_json_is_the_trace_of_the_next_token(
    capsys: pytest.CaptureFixture, model: list[str], tiny_gpt2: Any
) -> None:
    out, err, status = run(
        capsys, "the ou", *model, *OPTIONS, "--seed", "7", "--top", "3", "--json"
    )
    assert (err, status) == ("", 0)
    data = json.loads(out)
    assert data["sampler"] == repr(SAMPLER) and data["prompt"] == "the ou"
    result = ls.generate(tiny_gpt2, "the ou", sampler=SAMPLER, max_new_tokens=1, seed=7)
    assert data["drawn"] == result.token_ids[0][0]
    (drawn,) = (t for t in data["tokens"] if t["id"] == data["drawn"])
    assert drawn["raw_log_prob"] == pytest.approx(result.log_probs[0][0], abs=1e-5)
    assert drawn["final_log_prob"] == pytest.approx(result.sampler_log_probs[0][0], abs=1e-5)
    assert drawn["text"] == result.texts[0]
    assert [s["name"] for s in data["stages"]] == [repr(t) for t in SAMPLER.transforms]
    assert data["stages"][1]["tokens_after"] == 50 and data["vocab_size"] == 261
    raw = [t["raw_log_prob"] for t in data["tokens"]]
    assert raw == sorted(raw, reverse=True) and 3 <= len(raw) <= 7


def test_the_table_has_the_texts_and_the_picture_is_made(
    capsys: pytest.CaptureFixture,
    model: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    picture = tmp_path / "next.png"
    out, err, status = run(capsys, "the", *model, "--greedy", "--plot", str(picture))
    assert (err, status) == (f"logit-sampling: the picture is {picture}\n", 0)
    lines = out.splitlines()
    assert lines[2].split() == ["1", "Greedy()", "1", "260", *lines[2].split()[4:]]
    assert lines[4].split()[:2] == ["token", "id"]
    assert lines[5].split()[-1] == "stays" and "100%" in lines[5]
    assert all(line.rstrip().endswith("1 Greedy removed it") for line in lines[6:15])
    assert lines[15].startswith("251 others")
    assert picture.stat().st_size > 1000


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a", "--top-k", "0"], "--top-k needs to be a finite integer in [1, inf)"),
        (["a", "--top", "0"], "Invalid value for '--top': Input should be greater"),
        (["a", "--plot", "next.gif"], "a plot ends in .png, .svg, .pdf; got 'next.gif'"),
        (["", "--model", "shakespeare"], "prompt 0 is empty, and model 'shakespeare' has no"),
        (["a" * 99], "prompt 0 has 100 tokens, but the context of model"),
        (["a", "--model", "no-such-model"], "unknown model 'no-such-model'"),
    ],
)
def test_bad_input_is_one_line_and_status_2(
    capsys: pytest.CaptureFixture, model: list[str], arguments: list[str], message: str
) -> None:
    out, err, status = run(capsys, *model, *arguments)
    assert (out, status, err.count("\n")) == ("", 2, 1)
    assert err.startswith("logit-sampling: ")
    assert message in err
