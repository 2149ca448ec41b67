"""The training runs: that they run, and that docs/logits.md states what they gave."""

import json
import math
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
EXAMPLE = ROOT / "examples" / "from_logits.py"


def test_four_runs_of_a_tiny_model(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    text = tmp_path / "text.txt"
    text.write_text("the cat sat on the mat. the dog sat on the log. " * 40)
    script = runpy.run_path(str(EXAMPLE))
    script["main"](["--out", str(tmp_path), "--text", str(text), "--quick"])
    results = json.loads((tmp_path / "from_logits.json").read_text())
    assert [run["verdict"] for run in results["runs"].values()] == [True, True, False, False]
    for run in results["runs"].values():
        assert (len(run["shown"]), len(run["nats"])) == (2, 3)
        # Untrained, the same weights know nothing, whatever follows them.
        assert run["nats"][0] == pytest.approx(math.log(results["vocabulary"]), abs=0.05)
        assert run["text"].startswith("ROMEO:")
    shown = {name: run["shown"][0] for name, run in results["runs"].items()}
    assert shown["logits, from_logits=True"] == pytest.approx(results["guess"], abs=0.1)
    assert shown["logits, from_logits=False"] > results["guess"] + 2
    assert (tmp_path / "from_logits.png").stat().st_size > 10_000
    assert script["tables"](results) in capsys.readouterr().out


def test_the_docs_state_what_the_runs_gave() -> None:
    results = json.loads((DOCS / "from_logits.json").read_text())
    docs = (DOCS / "logits.md").read_text(encoding="utf-8")
    assert runpy.run_path(str(EXAMPLE))["tables"](results) in docs
    prose = " ".join(docs.split())
    for fact in (
        f"({results['parameters']:,} parameters, {results['vocabulary']} tokens)",
        f"for {results['steps']} steps",
        f"({results['held_out_tokens']:,} tokens)",
        f"ln {results['vocabulary']} = {results['guess']:.2f} nats",
        f"cannot pass {results['floor']:.2f}",
    ):
        assert fact in prose
    assert (DOCS / "from_logits.png").is_file()


def test_the_docs_count_the_table_of_verdicts() -> None:
    from tests.diagnostics.test_verdicts import ODD, PAIRINGS

    prose = " ".join((DOCS / "logits.md").read_text(encoding="utf-8").split())
    assert f"the table of {len(PAIRINGS) + len(ODD)} models and losses" in prose
