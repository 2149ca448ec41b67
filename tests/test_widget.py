"""An explanation in a notebook: what the widget holds, what it answers, and what it shows."""

import json
import shutil
import sys
from typing import Any

import numpy as np
import pytest

import logit_sampling as ls

LOGITS = np.random.default_rng(0).normal(0, 2, 300).astype(np.float32)
TEXTS = [f"t{i}" for i in range(300)]


@pytest.fixture
def shown() -> Any:
    pytest.importorskip("anywidget")
    chain = ls.Sampler(ls.Temperature(0.8), ls.TopK(5))
    return chain.explain(LOGITS, seed=7).widget(TEXTS, ls.Greedy().explain(LOGITS, seed=7))


def test_it_holds_the_explanations_numbers(shown):
    own = ls.Sampler(ls.Temperature(0.8), ls.TopK(5)).explain(LOGITS, seed=7)
    first, greedy = shown.answer["chains"]
    assert first["stages"] == own.to_dict()["stages"] and first["kept"] == 5
    assert first["drawn"] == own.drawn and first["drawn_text"] == TEXTS[own.drawn]
    assert greedy["kept"] == 1
    rows = shown.answer["rows"]
    assert (shown.answer["total"], len(rows)) == (300, 100)
    for row in rows:
        told = own.token(row["id"], row["text"]).to_dict()
        assert row["raw_log_prob"] == told["raw_log_prob"] and row["text"] == TEXTS[row["id"]]
        assert row["chains"][0] == {
            name: told[name] for name in ("final_log_prob", "removed_by", "log_probs")
        }
    json.dumps(shown.answer, allow_nan=False)


def test_it_answers_for_other_rows(shown, monkeypatch):
    sent: list[Any] = []
    monkeypatch.setattr(shown, "send", sent.append)
    shown._msg_callbacks(shown, {"id": "x", "first": 250, "count": 10_000}, [])
    (told,) = sent
    assert told["id"] == "x" and [row["rank"] for row in told["answer"]["rows"]] == [
        *range(250, 300)
    ]


def test_without_texts_it_shows_ids():
    pytest.importorskip("anywidget")
    answer = ls.Greedy().explain(LOGITS, seed=7).widget().answer
    assert [row["text"] for row in answer["rows"]] == [str(row["id"]) for row in answer["rows"]]
    assert answer["chains"][0]["drawn_text"] == str(LOGITS.argmax())


def test_what_is_not_of_the_same_logits_is_refused(monkeypatch):
    pytest.importorskip("anywidget")
    one, other = (ls.Greedy().explain(logits) for logits in (LOGITS, LOGITS[::-1].copy()))
    with pytest.raises(ValueError, match="not of the same logits"):
        one.widget(TEXTS, other)
    monkeypatch.setitem(sys.modules, "anywidget", None)
    with pytest.raises(ValueError, match=r'pip install "logit-sampling\[notebook\]"'):
        one.widget(TEXTS)


# As a notebook does: the module from a blob, and a model with `get`, `on` and `send`.
PAGE = """<!doctype html><title>notebook</title><body><div id="cell"></div><script type="module">
const [code, answer] = JSON.parse(document.getElementById("data").textContent);
const heard = [], blob = new Blob([code], {type: "text/javascript"});
window.sent = [];
const model = {
  get: () => answer, on: (_, hear) => heard.push(hear), off: () => {},
  send(question) { sent.push(question); heard.forEach(hear => hear({id: question.id, answer})); },
};
const widget = await import(URL.createObjectURL(blob));
widget.default.render({model, el: document.getElementById("cell")});
</script><script id="data" type="application/json">DATA</script></body>"""


@pytest.mark.skipif(shutil.which("chromium") is None, reason="there is no chromium")
def test_a_browser_shows_it(shown, tmp_path):
    playwright = pytest.importorskip("playwright.sync_api")
    data = json.dumps([str(shown._esm), shown.answer]).replace("<", "\\u003c")
    (tmp_path / "page.html").write_text(PAGE.replace("DATA", data), "utf-8")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page(viewport={"width": 800, "height": 700})
        problems: list[str] = []
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.goto((tmp_path / "page.html").as_uri())
        page.wait_for_selector("token-distribution")
        tables = page.locator("table")
        assert tables.count() == 2 and "5 tokens stay" in tables.first.inner_text()
        stage = tables.first.locator("tbody tr").nth(1)
        assert stage.locator("td").first.inner_text() == "TopK(k=5)"
        mass = stage.locator("td").nth(2).get_attribute("title")
        assert float(mass) == shown.answer["chains"][0]["stages"][1]["removed_mass"]
        row = page.locator("token-distribution .row").first
        assert shown.answer["rows"][0]["text"] in row.inner_text()
        page.locator("token-distribution .view").evaluate("view => view.scrollTop = 150 * 30")
        page.wait_for_function("sent.length > 0")
        assert page.evaluate("sent[0].first") > 100
        assert problems == []
        browser.close()
