import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import logit_sampling as ls
from logit_sampling.cli import main
from logit_sampling.cli.options import build_sampler


def run(capsys: pytest.CaptureFixture, *arguments: str) -> tuple[str, str, int]:
    """Run the command; return stdout, stderr and the exit status."""
    with pytest.raises(SystemExit) as stop:
        main(["generate", *arguments])
    out, err = capsys.readouterr()
    return out, err, int(stop.value.code or 0)


@pytest.fixture(scope="module")
def model(tiny_preset: Path) -> list[str]:
    return ["--model", str(tiny_preset), "--max-new-tokens", "20"]


def test_one_text_is_the_prompt_and_its_continuation(
    capsys: pytest.CaptureFixture, model: list[str], tiny_gpt2: Any
) -> None:
    options = ["--temperature", "0.8", "--top-k", "50", "--top-p", "0.95", "--min-p", "0.01"]
    sampler = ls.Sampler(ls.Temperature(0.8), ls.TopK(50), ls.TopP(0.95), ls.MinP(0.01))
    text = ls.generate(tiny_gpt2, "the", sampler=sampler, max_new_tokens=20, seed=7).texts[0]
    out, err, status = run(capsys, "the", *model, *options, "--seed", "7")
    assert (out, status) == (f"the{text}\n", 0)
    assert err == ""


def test_several_texts_have_headings(
    capsys: pytest.CaptureFixture, model: list[str], tiny_gpt2: Any
) -> None:
    texts = ls.generate(tiny_gpt2, ["the", "a"], max_new_tokens=20, seed=3, n=2).texts
    out, _, _ = run(capsys, "the", "a", *model, "--seed", "3", "--n", "2")
    assert out == (
        f"--- prompt 0, sample 0, seed 3 ---\nthe{texts[0]}\n"
        f"--- prompt 0, sample 1, seed 4 ---\nthe{texts[1]}\n"
        f"--- prompt 1, sample 0, seed 5 ---\na{texts[2]}\n"
        f"--- prompt 1, sample 1, seed 6 ---\na{texts[3]}\n"
    )


def test_json_has_the_result_and_what_made_it(
    capsys: pytest.CaptureFixture, model: list[str], tiny_gpt2: Any
) -> None:
    expected = ls.generate(tiny_gpt2, ["the"], sampler=ls.Greedy(), max_new_tokens=20, seed=1)
    out, err, status = run(capsys, "the", *model, "--greedy", "--seed", "1", "--json")
    data = json.loads(out)
    assert (data.pop("model"), data.pop("sampler")) == (model[1], "Greedy()")
    assert data.pop("seconds") > 0
    wanted = expected.to_dict()
    for name in ("log_probs", "sampler_log_probs"):
        assert data.pop(name)[0] == pytest.approx(wanted.pop(name)[0], abs=1e-5)
    del wanted["seconds"]
    assert data == wanted
    assert (err, status) == ("", 0)


def test_without_a_seed_texts_differ(capsys: pytest.CaptureFixture, model: list[str]) -> None:
    assert run(capsys, "the", *model)[0] != run(capsys, "the", *model)[0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a", "--top-k", "0"], "TopK needs `k` to be a finite integer in [1, inf)"),
        (["a", "--top-p", "1.2"], "TopP needs `p` to be a finite number in (0, 1]"),
        (["a", "--temperature", "-1"], "Temperature needs `temperature` to be a finite number"),
        (["a", "--min-p", "2"], "MinP needs `p` to be a finite number in [0, 1]"),
        (["a", "--greedy", "--top-k", "5"], "--greedy takes the likeliest token, so TopK(k=5)"),
        ([""], "prompt 0 is empty"),
        (["a" * 99], "prompt 0 has 100 tokens, but the context of model"),
        (["a" * 30], "ask for at most 17 new tokens"),
        (["a", "--max-new-tokens", "0"], "max_new_tokens must be an integer of at least 1, got 0"),
        (["a", "--n", "0"], "n must be an integer of at least 1, got 0"),
        (["a", "--model", "no-such-model"], "unknown model 'no-such-model': give a shipped model"),
    ],
)
def test_bad_input_is_one_line_and_status_2(
    capsys: pytest.CaptureFixture, model: list[str], arguments: list[str], message: str
) -> None:
    out, err, status = run(capsys, *model, *arguments)
    assert (out, status) == ("", 2)
    assert err.startswith("logit-sampling: ")
    assert err.count("\n") == 1
    assert message in err


def test_damaged_folder_is_one_line_and_status_2(
    capsys: pytest.CaptureFixture, tmp_path: Path
) -> None:
    (tmp_path / "config.json").write_text("{")
    (tmp_path / "tokenizer.json").write_text("{}")
    out, err, status = run(capsys, "a", "--model", str(tmp_path))
    assert (out, status, err.count("\n")) == ("", 2, 1)
    assert f"{tmp_path}/config.json is damaged" in err


def test_options_left_out_are_off() -> None:
    assert build_sampler() == ls.Sampler()
    assert build_sampler(greedy=True) == ls.Greedy()
    assert build_sampler(temperature=1.0, top_p=1.0) == ls.Sampler(
        ls.Temperature(1.0), ls.TopP(1.0)
    )


def test_tensorflow_is_silent_unless_asked(tiny_preset: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "logit_sampling", "generate", "the", "--greedy"]
    command += ["--model", str(tiny_preset), "--max-new-tokens", "4"]
    environment = {k: v for k, v in os.environ.items() if k != "TF_CPP_MIN_LOG_LEVEL"}
    environment["PYTHONPATH"] = str(Path(ls.__file__).parents[1])

    def stderr(**variables: str) -> str:
        result = subprocess.run(
            command, env=environment | variables, cwd=tmp_path, capture_output=True, text=True
        )
        assert result.returncode == 0
        assert result.stdout.startswith("the")
        return result.stderr

    assert stderr() == ""
    assert stderr(TF_CPP_MIN_LOG_LEVEL="0") != ""
