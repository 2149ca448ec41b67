"""The pages of the site: those made from the code, and the code of those written by hand.

Sphinx is not needed here; `python docs/build.py` builds all, and checks formulas and links.
"""

import re
from pathlib import Path

import numpy as np
import pytest

import logit_sampling as ls
from docs import build, pictures, reference_pages, strategy_pages
from docs.formulas import BESIDES, FORMULAS, LETTERS, SYMBOLS
from logit_sampling.catalogue import entries
from logit_sampling.strategies.table import TABLE

pytest.importorskip("matplotlib")
pytest.importorskip("llguidance")
DOCS = Path(__file__).parents[1] / "docs"
NAMES = [entry.name for entry in entries()]


@pytest.fixture(scope="module")
def at() -> list[pictures.Place]:
    return pictures.places(ls.load_model("shakespeare"))


@pytest.mark.parametrize("name", NAMES)
def test_every_strategy_has_a_page(name: str, at: list[pictures.Place]) -> None:
    (entry,) = (entry for entry in entries() if entry.name == name)
    page = strategy_pages.page(entry, at)
    headings = re.findall(r"^## (.*)$", page, re.MULTILINE)
    wanted = ["Formula", "What it does to three rows", "Parameters", "Example", "Edge cases"]
    wanted += ["Other systems", "Source"]
    without = {"Greedy": {"Parameters", "Source"}, "PLess": {"Parameters"}}.get(name, set())
    assert headings == [heading for heading in wanted if heading not in without]
    assert all(f"$$\n{line}\n$$" in page for line in strategy_pages.lines(FORMULAS[name]))
    assert FORMULAS[name].count("{") == FORMULAS[name].count("}")
    assert entry.source.split(",")[0] in page
    assert all(f"| `{own.name}` |" in page for own in entry.parameters)
    assert ">>> " in page and page.count("```") % 2 == 0
    for picture in ("svg", "-dark.svg"):
        assert f"]({strategy_pages.file_name(name)}{picture if '-' in picture else '.svg'})" in page
    if name not in {"Greedy", "Guidance", "Watermark", "Grammar"}:
        assert "def formula(self" in page


def test_nothing_stands_there_for_a_strategy_that_is_none() -> None:
    known = {"Greedy", *(row.name for row in TABLE)}
    assert set(FORMULAS) == set(pictures.PICTURED) == known
    assert set(SYMBOLS) | set(BESIDES) <= known
    for name, symbols in SYMBOLS.items():
        parameters = {
            own.name for entry in entries() if entry.name == name for own in entry.parameters
        }
        assert set(symbols.values()) <= parameters, name
    # A letter that means the same in all formulas is no parameter in one.
    for entry in entries():
        clashes = {own.name for own in entry.parameters} & set(LETTERS)
        assert clashes <= set(SYMBOLS.get(entry.name, {}).values()), entry.name


def test_pictures_show_something(at: list[pictures.Place], tmp_path: Path) -> None:
    for name in NAMES:
        changes = [abs(pictures.after(name, place)[1] - place.before).max() for place in at]
        assert max(changes) > 0.01, f"the picture of {name} shows no change"
    pictures.draw("TopK", at, tmp_path / "top_k.svg")
    light, dark = ((tmp_path / f"top_k{own}.svg").read_text() for own in ("", "-dark"))
    assert light.startswith("<?xml") and "#222a35" in light and "#222a35" not in dark
    assert len(at) == 3 and np.all(np.diff([place.entropy for place in at]) > 0)


def test_edge_cases_are_run() -> None:
    lines = [*strategy_pages.edges("TopK")]
    assert lines[1] == "| all are equal | 0, 0, 0, 0 | 0.5, 0.5, 0, 0 |"
    assert "ValueError" in lines[-1]


def test_differences_of_other_systems_find_their_strategies() -> None:
    found = {entry.name: "\n".join(strategy_pages._elsewhere(entry)) for entry in entries()}
    assert "top_k (15)" in found["TopK"] and "top_p (16)" in found["TopP"]
    assert "mlx-lm" in found["XTC"] and "vLLM" in found["BadWords"]
    assert "Differences from llama.cpp" in found["Mirostat"] and "Mirostat" not in found["TopK"]


def test_every_public_name_is_in_the_reference() -> None:
    listed = [name for own in reference_pages.names().values() for name in own]
    assert len(listed) == len(set(listed))
    assert set(ls.__all__) <= set(listed)
    for name in listed:
        assert reference_pages.value_of(name) is not None


def test_links_that_lead_nowhere_are_found(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in/b.html").write_text('<h2 id="there">B</h2><a href="../a.html">back</a>')
    good = '<a href="in/b.html#there">b</a> <a href="https://example.org/x">x</a> <img src="p.svg">'
    (tmp_path / "a.html").write_text(good)
    (tmp_path / "p.svg").write_text("<svg/>")
    assert build.broken(tmp_path) == []
    bad = '<a href="in/b.html#gone">b</a> <a href="c.html">c</a> <a href="#up">u</a>'
    bad += '<img src="q.svg">'
    (tmp_path / "llms.txt").write_text("- [A](a.html): a\n- [D](_sources/d.md.txt)\n")
    (tmp_path / "a.html").write_text(bad + '<script src="https://example.org/s.js"></script>')
    found = "\n".join(build.broken(tmp_path))
    assert found.count("\n") == 5
    for link in (
        "in/b.html#gone",
        "c.html",
        "q.svg",
        "#up",
        "https://example.org/s.js",
        "d.md.txt",
    ):
        assert link in found


@pytest.mark.parametrize("page", ["index", "contract", "random"])
def test_the_code_of_the_pages(page: str) -> None:
    names: dict = {}
    for block in re.findall(r"```python\n(.*?)```", (DOCS / f"{page}.md").read_text(), re.DOTALL):
        exec(block, names)
    assert names


def test_the_navigation_has_every_page() -> None:
    """And none that is neither written nor made by the build."""
    tocs = re.findall(r"\{toctree\}\n(?::.*\n)*([^`:]*)```", (DOCS / "index.md").read_text())
    listed = [line for toc in tocs for line in toc.split()]
    written = {p.relative_to(DOCS).with_suffix("").as_posix() for p in DOCS.rglob("*.md")}
    made = {"strategies/index", "reference/index", "changelog", "contributing"}
    made |= {f"notebooks/{p.stem}" for p in (DOCS.parent / "notebooks").glob("*.ipynb")}
    own = {p for p in written if not p.startswith(("strategies/", "reference/", "_"))} - {"index"}
    assert sorted(listed) == sorted(own | made)
