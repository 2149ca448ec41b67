"""The tables of docs/logits.md are what the script computes."""

import runpy
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCS = (ROOT / "docs" / "logits.md").read_text(encoding="utf-8")
TABLES = runpy.run_path(str(ROOT / "examples" / "cross_entropies.py"))["TABLES"]


def cells(table: str) -> list[str]:
    return [cell.strip() for line in table.splitlines() for cell in line.strip("|").split("|")]


@pytest.mark.parametrize("make", TABLES, ids=[make.__name__ for make in TABLES])
@pytest.mark.filterwarnings("ignore:.*received `from_logits=True`")
def test_the_table_of_the_docs(make: Callable[[], str]) -> None:
    computed = make()
    title = computed.splitlines()[0]
    assert DOCS.count(title) == 1
    written = DOCS[DOCS.index(title) :].partition("\n\n")[0]
    assert len(cells(written)) == len(cells(computed)) > 8
    for ours, theirs in zip(cells(written), cells(computed), strict=True):
        try:
            # Processors round the last digits, and bfloat16, in their own ways.
            assert float(ours) == pytest.approx(float(theirs), rel=5e-3, abs=1e-7)
        except ValueError:
            assert ours == theirs


def test_the_docs_have_no_other_table_of_this_kind() -> None:
    assert sum(line.startswith("<!--") for line in DOCS.splitlines()) == len(TABLES)
