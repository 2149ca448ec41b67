"""`logit-sampling certify`: the list, the table, JSON, the page, and what is refused."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from logit_sampling.cli import main
from logit_sampling.testing import Check, Report
from logit_sampling.testing.peers import PEERS
from logit_sampling.testing.peers.case import RULES, cells

FEW = ("--draws", "100", "--quick", "--only", "Temperature(temperature=0.7)")


def run(capsys, *arguments):
    """Return stdout, stderr and the exit status."""
    with pytest.raises(SystemExit) as stop:
        main(["certify", *arguments])
    out, err = capsys.readouterr()
    return out, err, int(stop.value.code or 0)


@pytest.fixture
def absent(monkeypatch):
    monkeypatch.setitem(PEERS, "mlx-lm", replace(PEERS["mlx-lm"], imports=("no_such_module",)))


def test_without_a_peer_it_lists_all_and_what_is_installed(capsys, absent):
    out, _, status = run(capsys)
    lines = {line.split()[0]: line for line in out.splitlines()}
    assert list(lines) == list(PEERS) and not status
    assert 'not installed: pip install mlx-lm "mlx[cpu]"' in lines["mlx-lm"]
    assert "logit-sampling " in lines["logit-sampling"] and "numpy" in lines["logit-sampling"]
    known = {peer["peer"]: peer for peer in json.loads(run(capsys, "--json")[0])}
    assert known["mlx-lm"]["versions"] is None
    assert "numpy" in known["logit-sampling"]["versions"]


def test_ours(capsys):
    out, _, status = run(capsys, "logit-sampling", *FEW)
    assert not status and "100 draws a row" in out
    assert "Temperature(temperature=0.7)" in out and "one draw" in out
    data = json.loads(run(capsys, "logit-sampling", *FEW, "--json")[0])
    assert data["peer"] == "logit-sampling" and data["draws"] == 100
    assert all(set(sampler["cells"]) == set(RULES) for sampler in data["samplers"])
    assert data["samplers"][0]["ok"] and data["samplers"][0]["cells"]["support"] == "yes"


def test_a_peer_that_fails(capsys):
    pytest.importorskip("keras_hub")
    chosen = ("keras-hub", "--draws", "100", "--quick", "--only", "TopKSampler(k=10)")
    out, _, status = run(capsys, *chosen)
    assert status == 1
    assert "1 of 45 pairs of different seeds" in " ".join(out.split())


def test_the_table_goes_between_its_marks(capsys, tmp_path):
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- certify logit-sampling -->\nold\n<!-- end -->\nafter\n")
    for _ in range(2):
        run(capsys, "logit-sampling", *FEW, "--write", str(page))
        text = page.read_text()
        assert text.startswith(
            "before\n<!-- certify logit-sampling -->\n\n`logit-sampling certify "
        )
        assert text.endswith("\n\n<!-- end -->\nafter\n") and "old" not in text
        assert text.count("| sampler | checked as | support |") == 1


def test_a_cell_counts_what_failed():
    checks = (
        Check("support", "spread", True, ""),
        Check("support", "all equal", False, "", {"tied": True}),
        Check("distribution", "all equal", True, "", {"tied": True}),
        Check("support", "float16", True, ""),
        Check("seeds", "-", None, "fn takes no seed"),
    )
    found = cells(Report(checks, {}))
    assert found["support"] == "yes" and found["ties"] == "no (1/2)"
    assert found["types"] == "yes" and found["seeds"] == "-" and found["input"] == "-"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nobody"], "there is no peer 'nobody'; there are logit-sampling, keras-hub"),
        (["mlx-lm"], 'mlx-lm is not installed: pip install mlx-lm "mlx[cpu]"'),
        (["logit-sampling", "--only", "xyz"], "no sampler of logit-sampling has 'xyz' in its name"),
        (["--only", "x"], "--write and --only need a PEER"),
        (["logit-sampling", "--write", "{page}"], "has no lines <!-- certify logit-sampling -->"),
    ],
    ids=["unknown", "absent", "only", "no peer", "no marks"],
)
def test_what_is_refused(capsys, tmp_path, absent, arguments, said):
    page = tmp_path / "page.md"
    page.write_text("nothing\n")
    _, err, status = run(capsys, *(part.format(page=page) for part in arguments))
    assert status == 2 and said in err


def test_every_table_of_the_page_is_of_a_peer():
    page = (Path(__file__).parents[2] / "docs" / "certification.md").read_text(encoding="utf-8")
    for name in PEERS:
        assert page.count(f"<!-- certify {name} -->\n\n`logit-sampling certify {name} ") == 1
