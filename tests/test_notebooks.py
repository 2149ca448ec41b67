"""The notebooks run, show what they say, and hold the outputs of the code that they hold."""

import copy
import importlib.util
import re
import tomllib
from pathlib import Path
from typing import Any

import nbformat
import pytest

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
HOME = "https://github.com/logit-sampling/logit-sampling/blob/main/"
COLAB = (
    "https://colab.research.google.com/github/logit-sampling/logit-sampling/blob/main/notebooks/"
)

_spec = importlib.util.spec_from_file_location("execute", ROOT / "notebooks/execute.py")
assert _spec is not None and _spec.loader is not None
execute: Any = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(execute)

# What a notebook says of its outputs. This runs behind its last cell, on its names.
SAYS = {
    "quick-start": """
again = ls.generate(model, "ROMEO:", max_new_tokens=60, seed=7)
assert again.texts == result.texts and len(result.token_ids[0]) == 60
assert [stage.tokens_after for stage in explanation.stages[:2]] == [model.vocab_size, 50]
first, second = (total / count for total, count in zip(scores.totals, scores.counts))
assert first > second + 1
""",
    "greedy-vs-top-k-vs-top-p": """
greedy, *others = comparison.results
assert all(greedy.seq_rep_4.low > own.seq_rep_4.mean for own in others)
assert all(greedy.distinct_2.high < own.distinct_2.low for own in others)
for few, many in (("top_k=1", "top_k=64"), ("top_p=0.1", "top_p=0.99")):
    few, many = sweep.result(few), sweep.result(many)
    assert few.perplexity.mean < many.perplexity.mean and few.distinct_2.mean < many.distinct_2.mean
top_p = ls.Sampler(ls.TopP(0.9))
of_open, of_half = (
    top_p.explain(next_logits(text)).stages[0].tokens_after for text in (open_end, half_a_name)
)
assert of_half < 5 < 10 < of_open
before = ls.Sampler(ls.TopP(0.9)).explain(next_logits(open_end)).stages[-1].tokens_after
after = ls.Sampler(ls.Temperature(0.8), ls.TopP(0.9)).explain(next_logits(open_end)).stages[-1]
assert after.tokens_after < before
""",
    "from-logits": """
guess, nats_of = np.log(len(characters)), {way: curve[-1] for way, curve in curves.items()}
assert [way for way, fit in fits.items() if fit] == list(ways)[:2]
right = [nats_of[way] for way in list(ways)[:2]]
assert max(right) < 2.6 and max(right) - min(right) < 0.2
assert nats_of["logits, from_logits=False"] > max(right) + 1
assert nats_of["softmax, from_logits=True"] > guess
assert ls.check_logits(mended).ok and nats(mended, softmax=False) < before - 1
assert not any(np.any(x != y) for x, y in zip(wrong.get_weights(), build(True, True).get_weights()))
""",
    "own-model-and-sampler": """
assert history.history["loss"][-1] < 0.3
assert report.ok and report.checks
failures = check_sampler(ls.Sampler(Wrong()), expected, draws=2000).failures
assert failures[0].name == "support"
greedy = ls.generate(model, "this is", sampler=ls.Greedy(), max_new_tokens=10, overflow="slide")
assert ("this is" + " " + greedy.texts[0].strip()).rsplit(" ", 1)[0] in rhyme
""",
}
TRAINED = {"from-logits", "own-model-and-sampler"}  # what they write depends on the machine


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def notebook(request: pytest.FixtureRequest) -> tuple[str, Any]:
    return request.param.stem, nbformat.read(request.param, as_version=4)


def test_it_runs_and_shows_what_it_holds(notebook, tmp_path, monkeypatch):
    monkeypatch.delenv("LOGIT_SAMPLING_ENGINE", raising=False)  # as for users
    name, committed = notebook
    fresh = copy.deepcopy(committed)
    fresh.cells.append(nbformat.v4.new_code_cell(SAYS[name]))
    execute.run(fresh, tmp_path)
    fresh.cells.pop()
    assert list(shown(fresh, name)) == list(shown(committed, name)), (
        f"run: python notebooks/execute.py {name}.ipynb"
    )


def shown(notebook: Any, name: str) -> Any:
    """What outputs are compared by: their kinds, and their words unless those were trained here.

    Numbers may differ in their last digits, and warnings with the versions of other packages.
    """
    for cell in notebook.cells:
        for output in cell.get("outputs", ()):
            if output.get("name") == "stderr":
                continue
            data = output.get("data", {"text/plain": output.get("text")})
            texts = [data[kind] for kind in ("text/plain", "text/html") if kind in data]
            words = [re.sub(r"[\d.,-]*\d%?|\s+", " ", text).split() for text in texts]
            yield cell.id, sorted(data), [] if name in TRAINED else words


def test_it_is_plain_and_small(notebook):
    name, held = notebook
    nbformat.validate(held)
    assert (held.nbformat, held.nbformat_minor) == (4, 5)
    assert held.metadata == {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    assert all(not cell.metadata for cell in held.cells)
    ids = [cell.id for cell in held.cells]
    assert len(set(ids)) == len(ids) and all(re.fullmatch(r"[a-z\d-]+", own) for own in ids)
    path = ROOT / f"notebooks/{name}.ipynb"
    assert path.stat().st_size < 400_000
    assert "/tmp/" not in path.read_text("utf-8") and "\\u001b" not in path.read_text("utf-8")
    code = [cell for cell in held.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))


def test_its_links_and_extras_are_there(notebook):
    name, held = notebook
    text = "\n".join(cell.source for cell in held.cells if cell.cell_type == "markdown")
    links = re.findall(r"\]\((.*?)\)", text)
    assert links[0] == f"{COLAB}{name}.ipynb"
    inside = [link.removeprefix(HOME) for link in links if link.startswith(HOME)]
    assert inside and all((ROOT / path).is_file() for path in inside)
    first = next(cell.source for cell in held.cells if cell.cell_type == "code")
    (wanted,) = re.findall(r'%pip install -q "logit-sampling(?:\[(.*)\])?"', first)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert set(filter(None, wanted.split(","))) <= set(project["optional-dependencies"])
