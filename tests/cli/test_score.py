import io
import json
from pathlib import Path
from typing import Any

import pytest

import logit_sampling as ls
from logit_sampling.cli import main


def run(capsys: pytest.CaptureFixture, *arguments: str) -> tuple[str, str, int]:
    """Run the command; return stdout, stderr and the exit status."""
    with pytest.raises(SystemExit) as stop:
        main(["score", *arguments])
    out, err = capsys.readouterr()
    return out, err, int(stop.value.code or 0)


@pytest.fixture(scope="module")
def model(tiny_preset: Path) -> list[str]:
    return ["--model", str(tiny_preset)]


def test_texts_and_files_are_scored(
    capsys: pytest.CaptureFixture, model: list[str], tiny_gpt2: Any, tmp_path: Path
) -> None:
    file = tmp_path / "text.txt"
    file.write_text("a cat")
    expected = ls.score(tiny_gpt2, ["the\ncat", "a cat"])
    out, err, status = run(capsys, "the\ncat", "--file", str(file), *model)
    counts, totals = expected.counts, expected.totals
    shown = f"{str(file)[:57]}..." if len(str(file)) > 60 else str(file)
    assert out == (
        f"{totals[0]:.2f} nats in {counts[0]} tokens: 'the\\ncat'\n"
        f"{totals[1]:.2f} nats in {counts[1]} tokens: {shown}\n"
        f"perplexity {expected.perplexity:.2f} over {sum(counts)} tokens\n"
    )
    assert (err, status) == ("", 0)


def test_json_has_each_token(
    capsys: pytest.CaptureFixture, model: list[str], tiny_gpt2: Any
) -> None:
    text = "the cat " * 12
    expected = ls.score(tiny_gpt2, text, overflow="slide")
    out, _, status = run(capsys, text, *model, "--overflow", "slide", "--json")
    data = json.loads(out)
    assert (data["model"], status) == (model[1], 0)
    assert data["token_ids"] == expected.token_ids
    assert data["texts"] == [text]
    assert data["log_probs"][0][0] is None
    assert data["log_probs"][0][1:] == pytest.approx(expected.log_probs[0][1:], abs=1e-4)
    assert data["perplexity"] == pytest.approx(expected.perplexity, rel=1e-5)


def test_texts_from_standard_input(
    capsys: pytest.CaptureFixture, model: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """An argument is a line, whose end a shell adds; a file is what it is."""
    for arguments, text in ((["-"], "the\ncat"), (["--file", "-"], "the\ncat\n")):
        monkeypatch.setattr("sys.stdin", io.StringIO("the\ncat\n"))
        out, _, status = run(capsys, *arguments, *model, "--json")
        assert (json.loads(out)["texts"], status) == ([text], 0)


def test_control_characters_of_a_text_are_shown(
    capsys: pytest.CaptureFixture, model: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a\x07b").write_text("abc")
    out, _, _ = run(capsys, "a\x1b[2Jb", "--file", "a\x07b", *model)
    assert "\x1b" not in out and "'a\\x1b[2Jb'" in out and r"a\x07b" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "nothing to score: give texts, or --file with a path"),
        (["a" * 99], "text 0 has 100 tokens, but the context of model"),
        (["--file", "no-such-file"], "there is no file no-such-file, seen from"),
        (["a" * 99], "shorten it, or pass --overflow slide"),
        (["a", "--overflow", "cut"], "Invalid value for '--overflow': 'cut' is not one of"),
    ],
)
def test_bad_input_is_one_line_and_status_2(
    capsys: pytest.CaptureFixture, model: list[str], arguments: list[str], message: str
) -> None:
    out, err, status = run(capsys, *model, *arguments)
    assert (out, status, err.count("\n")) == ("", 2, 1)
    assert message in err
