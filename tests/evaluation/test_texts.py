"""Prompts from files."""

import io
from pathlib import Path
from typing import Any

import pytest

from logit_sampling.evaluation import Prompt, read_prompts
from logit_sampling.evaluation.texts import as_prompts


def test_lines(tmp_path: Path) -> None:
    path = tmp_path / "prompts.txt"
    path.write_text("\ufeffROMEO:\n\nFirst Citizen:\\nBefore\n  C:\\\\x \n", "utf-8")
    assert read_prompts(path) == (
        Prompt("1", "ROMEO:"),
        Prompt("3", "First Citizen:\nBefore"),
        Prompt("4", "  C:\\x "),
    )


def test_json_lines(tmp_path: Path) -> None:
    path = tmp_path / "prompts.jsonl"
    path.write_text('{"prompt": "a\\nb", "id": 7, "human": " c"}\n"plain"\n{"prompt": [1, 2]}\n')
    assert read_prompts(path) == (
        Prompt("7", "a\nb", " c"),
        Prompt("2", "plain"),
        Prompt("3", (1, 2)),
    )


@pytest.mark.filterwarnings("error")
def test_prompts_that_still_have_their_line_breaks_are_told(tmp_path: Path) -> None:
    """As readlines gives them: one that nobody sees, and a text begins on the next line."""
    path = tmp_path / "prompts.txt"
    path.write_text("ROMEO:\nJULIET:")
    with path.open() as file, pytest.warns(UserWarning, match="end in a line break"):
        assert [prompt.text for prompt in as_prompts(file.readlines())] == ["ROMEO:\n", "JULIET:"]
    for meant in ("a\n", ["a", "b"], ["a\nb\n", "c\n"], ["a\n", "b", "c"], [[1], [2]]):
        as_prompts(meant)
    as_prompts([Prompt("0", "a\n"), Prompt("1", "b\n")])


def test_standard_input(monkeypatch: Any) -> None:
    class Stdin:
        buffer = io.BytesIO("é\nb".encode())

    monkeypatch.setattr("sys.stdin", Stdin)
    assert [prompt.text for prompt in read_prompts("-")] == ["é", "b"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "has no prompt: write one a line"),
        (b"\n \n", "has no prompt"),
        (b"a\n\xff\n", "is no UTF-8 text"),
        (b'{"prompt": "a"\n', "line 1 is no JSON"),
        (b'a\n{"text": "a"}\n', "line 2: unknown text"),
        (b'{"id": 3}\n', "line 1: no `prompt`"),
        (b'{"prompt": 3}\n', "`prompt` is a string or a list of token ids, got 3"),
        (b'{"prompt": null}\n', "`prompt` is null"),
        (b'{"prompt": "a", "human": {}}\n', "`human` is a string or a list"),
        (b'{"prompt": "a", "id": 2}\nb\n', "two prompts have the id '2'"),
    ],
)
def test_bad_files(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "p"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        read_prompts(path)
