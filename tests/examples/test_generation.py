import runpy
from pathlib import Path

import pytest

from logit_sampling.distribution.random import row_integers

EXAMPLES = Path(__file__).parents[2] / "examples"


def main_of(name: str) -> tuple[Path, dict]:
    path = EXAMPLES / name
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 60
    return path, runpy.run_path(str(path))


@pytest.mark.parametrize("name", ["generate_text", "greedy_vs_top_k", "in_other_loops", "search"])
def test_help(name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture) -> None:
    monkeypatch.setattr("sys.argv", [f"{name}.py", "--help"])
    with pytest.raises(SystemExit, match="0"):
        runpy.run_path(str(EXAMPLES / f"{name}.py"), run_name="__main__")
    assert f"usage: {name}.py [-h] [model]" in capsys.readouterr().out


def test_generate_text(tiny_preset: Path, capsys: pytest.CaptureFixture) -> None:
    main_of("generate_text.py")[1]["main"](str(tiny_preset))
    out = capsys.readouterr().out
    assert "Sampler(Temperature(temperature=0.8), TopK(k=50), TopP(p=0.95))" in out
    assert "seed 7, 40 tokens, length" in out
    assert f"seed {row_integers(7, 2)[1]}" in out
    assert out.rindex("ROMEO:") > out.index("To be")
    assert out.count("nats in") == 2


def test_own_loop(capsys: pytest.CaptureFixture) -> None:
    main_of("own_loop.py")[1]["main"]()
    lines = capsys.readouterr().out.splitlines()
    assert [lines[0], lines[3], lines[6]] == [
        "Greedy()",
        "Sampler(TopK(k=3))",
        "Sampler(Temperature(temperature=2.0))",
    ]
    # The model has learned the text, so that greedy repeats it.
    assert lines[1].strip().startswith("the cat sat on") or "the dog sat on the" in lines[1]
    assert all(len(line) == 4 + 8 + 40 for i, line in enumerate(lines) if i % 3)


def test_in_other_loops(tiny_preset: Path, capsys: pytest.CaptureFixture) -> None:
    main_of("in_other_loops.py")[1]["main"](str(tiny_preset))
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("KerasHub: ") and len(lines[0]) > 20
    assert lines[1] == "the same here: True"
    assert "Sampler(TopK(k=5))" in lines
    assert "Sampler(Temperature(temperature=0.6), TopK(k=50), TopP(p=0.9))" in lines


def test_search(tiny_preset: Path, capsys: pytest.CaptureFixture) -> None:
    main_of("search.py")[1]["main"](str(tiny_preset))
    lines = capsys.readouterr().out.splitlines()
    scores = [float(line.split()[0]) for line in lines[1:9]]
    assert scores[:4] == sorted(scores[:4], reverse=True)
    assert scores[4:] == sorted(scores[4:], reverse=True)
    assert lines[10].startswith("  '")
    assert 1 < float(lines[11].split(":")[1].split()[0]) < 3
