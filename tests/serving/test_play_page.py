"""The page of the playground in a browser, at the size of a screen and of a phone."""

import json
import shlex
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import logit_sampling as ls
from logit_sampling.decoding.reader import Reader
from tests.serving.conftest import serving

pytest.importorskip("uvicorn")
playwright = pytest.importorskip("playwright.sync_api", reason="the page needs playwright")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
if CHROMIUM is None:
    pytest.skip("the page needs chromium", allow_module_level=True)

ARGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
SIZES = {"screen": (1280, 800), "phone": (360, 740)}
LINE = "order=written temperature=0.8 top_k=50"
# What the rows of the distribution say: the id, and the numbers behind what is shown.
ROWS = """e => [...e.shadowRoot.querySelectorAll(".view .row")].map(row =>
    [Number(row.dataset.id), ...[...row.querySelectorAll(".p")].map(cell => cell.dataset.value)])"""


@pytest.fixture(scope="module")
def site(model: Any) -> Iterator[str]:
    with serving(ls.Engine(model), play=True) as address:
        yield f"{address}/play"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=ARGS)
        yield browser
        browser.close()


@pytest.fixture(params=SIZES)
def page(request: Any, browser: Any, site: str) -> Iterator[Any]:
    """The page at its beginning; nothing may go wrong in it."""
    width, height = SIZES[request.param]
    context = browser.new_context(
        viewport={"width": width, "height": height}, reduced_motion="reduce"
    )
    context.set_default_timeout(15_000)
    wrong: list[str] = []
    context.on("console", lambda said: wrong.append(said.text) if said.type == "error" else None)
    context.on("weberror", lambda error: wrong.append(str(error.error)))
    page = context.new_page()
    opened(page, site)
    yield page
    context.close()
    assert not wrong


def opened(page: Any, address: str) -> None:
    page.goto(address)
    page.wait_for_selector("html[data-ready]")
    until(page, "document.getElementById('distribution').answer !== null")


def until(page: Any, condition: str) -> None:
    """Wait until something is so; the page allows no function made of a text, as waiting needs."""
    ends = time.monotonic() + 15
    while not page.evaluate(condition):
        assert time.monotonic() < ends, condition
        page.wait_for_timeout(15)


def asked(page: Any, change: Any) -> None:
    """Make a change, and wait for the picture that comes of it."""
    page.evaluate("window.before = document.getElementById('distribution').answer")
    change()
    until(page, "document.getElementById('distribution').answer !== window.before")


def line(page: Any, letter: str = "a") -> str:
    return str(page.input_value(f"#chain-{letter} .line"))


def chips(page: Any) -> list[int]:
    told = page.eval_on_selector_all("#text .chip", "all => all.map(e => Number(e.dataset.id))")
    return list(told)


def tree(page: Any) -> str:
    """What the tree shows, once all of it is read."""
    until(page, "![...document.querySelectorAll('#tree .chip')].some(e => !e.dataset.value)")
    return str(page.inner_text("#tree"))


def explained(model: Any, line: str, tokens: tuple[int, ...] = (), seed: int = 7) -> Any:
    prompt = model.tokenizer.encode("ROMEO:")
    ids = [*prompt, *tokens]
    logits = Reader(model).read({0: ids}).logits[0, -1]
    own = {"history": ids, "prompt_length": len(prompt), "seed": seed, "step": len(ids)}
    return ls.Sampler.parse(line).explain(logits, **own)


def test_numbers_are_those_of_explain(page: Any, model: Any) -> None:
    asked(page, lambda: page.check("#on-B"))
    told = page.eval_on_selector("#distribution", ROWS)
    ours, greedy = explained(model, LINE), explained(model, "greedy")
    assert len(told) > 10
    for id, raw, under_a, under_b in told:
        assert float(raw) == ours.raw_log_probs[id]
        for value, own in ((under_a, ours), (under_b, greedy)):
            assert (-np.inf if value == "null" else float(value)) == own.final_log_probs[id]
    for card, stage in zip(page.query_selector_all("#chain-a .card"), ours.stages, strict=True):
        for what in ("tokens_after", "removed_mass", "entropy_before", "entropy_after"):
            shown = card.query_selector(f"[data-what={what}]").get_attribute("data-value")
            assert float(shown) == getattr(stage, what)
    marks = page.locator("#distribution .row:has(.mark0)")
    assert int(marks.get_attribute("data-id")) == ours.drawn


def test_chain_is_edited(page: Any, model: Any) -> None:
    assert line(page) == LINE
    asked(page, lambda: page.fill("#chain-a [data-setting=top_k] input[type=number]", "5"))
    left = page.locator("#chain-a .card").nth(1).locator("[data-what=tokens_after]")
    assert left.get_attribute("data-value") == "5"
    page.locator("#chain-a .handle").first.focus()
    asked(page, lambda: page.keyboard.press("ArrowDown"))
    assert line(page) == "order=written top_k=5 temperature=0.8"
    assert "Temperature" in page.evaluate("document.activeElement.getAttribute('aria-label')")
    asked(page, lambda: page.select_option("#chain-a select[aria-label^=Add]", "min_p"))
    asked(page, lambda: page.get_by_role("button", name="Remove Temperature").click())
    assert line(page) == "order=written top_k=5 min_p=0.1"
    asked(page, lambda: page.locator("#chain-a").get_by_label("Greedy").check())
    assert line(page) == "greedy"  # neither changes which token is the likeliest
    page.fill("#chain-a .line", "order=llama.cpp temp=0.7 top_k=40")
    asked(page, lambda: page.locator("#chain-a .line").press("Enter"))
    asked(page, lambda: page.get_by_role("button", name="Make cards of this line").click())
    assert page.locator("#chain-a .card").count() == 2
    page.fill("#chain-a .line", "order=written top_k=0.5")
    asked(page, lambda: page.locator("#chain-a .line").press("Enter"))
    assert "TopK needs `k`" in page.inner_text("#chain-a .body > .wrong")


def test_card_is_dragged(page: Any) -> None:
    first = page.locator("#chain-a .card").first
    second = page.locator("#chain-a .card").nth(1).locator(".handle")
    second.scroll_into_view_if_needed()
    at, to = second.bounding_box(), first.bounding_box()
    page.mouse.move(at["x"] + 4, at["y"] + 4)
    page.mouse.down()
    page.mouse.move(at["x"] + 4, to["y"] + 6, steps=5)
    page.mouse.up()
    assert line(page) == "order=written top_k=50 temperature=0.8"


def test_tree_comes_back_from_link_and_file(page: Any, site: str, tmp_path: Path) -> None:
    grid = page.locator("#distribution .row[tabindex='0']")
    grid.focus()
    page.keyboard.press("ArrowDown")
    asked(page, lambda: page.keyboard.press("Enter"))
    asked(page, lambda: page.get_by_role("button", name="One token back").click())
    assert page.locator("#distribution .taken").count() == 1
    asked(page, lambda: page.locator("#distribution .view .row").first.click())
    asked(page, lambda: page.locator("#writers .main").click())
    assert len(chips(page)) == 2
    told = tree(page)
    assert page.locator("#tree ul > li").count() == 2
    page.wait_for_timeout(400)  # the address follows the state after a moment
    other = page.context.new_page()
    opened(other, page.url)
    assert tree(other) == told
    with page.expect_download() as download:
        page.click("#save-json")
    download.value.save_as(tmp_path / "state.json")
    other.goto("about:blank")
    opened(other, site)
    other.set_input_files("#file", tmp_path / "state.json")
    until(other, "document.querySelectorAll('#tree .chip').length === 3")
    assert tree(other) == told
    for kind, begins in (("svg", b"<svg"), ("png", b"\x89PNG")):
        with page.expect_download() as download:
            page.click(f"#save-{kind}")
        assert Path(download.value.path()).read_bytes().startswith(begins)


def test_text_is_that_of_generate(page: Any, model: Any) -> None:
    page.get_by_role("button", name="Write 40").click()
    until(page, "document.querySelectorAll('#text .chip').length === 40")
    until(page, "!document.querySelector('button.stop')")
    text = model.tokenizer.decode(chips(page))
    code = page.inner_text("#code")
    found: dict[str, Any] = {}
    exec(code, found)
    assert found["result"].texts[0].startswith(text)
    page.get_by_label("Command line").check()
    words = shlex.split(page.inner_text("#code"))
    assert words == ["logit-sampling", "generate", "ROMEO:", "--sampler", LINE, "--seed", "7"]
    page.get_by_label("JSON for the server").check()
    body = {"prompt": "ROMEO:", "sampler": LINE, "seed": 7, "max_tokens": 60}
    assert json.loads(page.inner_text("#code")) == body
    asked(page, lambda: page.locator("#text .chip").nth(3).click())
    assert page.locator("#text .chip.ahead").count() == 37
    assert page.locator("#writers .main").inner_text() != "Take …"


def test_why_and_in_other_systems(page: Any, model: Any) -> None:
    page.wait_for_selector("#why [data-value]")
    own = explained(model, LINE)
    mass = np.exp(own.final_log_probs)
    ends = np.cumsum(mass) / mass.sum()
    uniform, low, high = (
        float(each.get_attribute("data-value"))
        for each in page.query_selector_all("#why > p .number")[:3]
    )
    assert low <= uniform < high
    assert (low, high) == (ends[own.drawn - 1] if own.drawn else 0.0, ends[own.drawn])
    change = page.locator(".changes button").first
    promised = change.locator(".token").inner_text()
    asked(page, change.click)
    assert page.locator("#writers .main .token").inner_text() == promised
    page.locator("#systems").scroll_into_view_if_needed()
    page.wait_for_selector("#systems-table tbody tr")
    assert page.locator("#systems-table tbody tr").count() == 6
    llama = page.locator("#systems-table tr", has_text="llama.cpp")
    assert llama.locator(".stages span").all_inner_texts() == ["TopK", "Temperature"]


def test_everybody_can_use_it(page: Any) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe")
    asked(page, lambda: page.check("#on-B"))
    page.get_by_role("button", name="Write 40").first.click()
    until(page, "document.querySelectorAll('#text .chip').length === 40")
    until(page, "!document.querySelector('button.stop')")
    tree(page)
    asked(page, lambda: page.locator("#text .chip").nth(20).click())
    page.wait_for_selector("#why [data-value]")
    for theme in ("light", "dark"):
        page.emulate_media(color_scheme=theme)
        told = axe.Axe().run(page)
        assert not told.violations_count, told.generate_report()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def error_of(page: Any) -> str:
    return str(page.inner_text("#chain-a .body > .wrong"))


def stay(page: Any) -> str:
    return str(page.locator("#chain-a .end [data-value]").first.get_attribute("data-value"))


def test_likeliest_token_needs_no_cards_removed(page: Any) -> None:
    value = page.locator("#chain-a [data-setting=temperature] input[type=number]")
    asked(page, lambda: value.fill("0"))
    assert line(page) == "order=written temperature=0"
    assert error_of(page) == "" and stay(page) == "1"
    assert "No effect" in page.locator("#chain-a .card").nth(1).inner_text()
    asked(page, lambda: value.fill("0.8"))
    assert line(page) == LINE
    asked(page, lambda: page.locator("#chain-a").get_by_label("Greedy").check())
    assert line(page) == "greedy" and error_of(page) == "" and stay(page) == "1"
    asked(page, lambda: page.locator("#chain-a").get_by_label("Draw").check())
    assert line(page) == LINE


@pytest.mark.parametrize(
    "pasted",
    [
        "order=vllm temperature=0.7 top_p=0.9 repetition_penalty=1.1",
        '{"temperature": 0.7, "top_p": 0.9, "repetition_penalty": 1.1}',
        "--temp 0.7 --top-p 0.9 --repeat-penalty=1.1",
    ],
)
def test_settings_of_elsewhere_are_pasted(page: Any, pasted: str) -> None:
    page.fill("#chain-a .line", pasted)
    asked(page, lambda: page.locator("#chain-a .line").press("Enter"))
    assert error_of(page) == ""
    page.locator("#systems").scroll_into_view_if_needed()
    until(page, "document.querySelectorAll('#systems-table .stages').length === 5")
    rows = page.locator("#systems-table tbody tr")
    stages = {
        row.locator("th").inner_text(): row.locator(".stages span").all_inner_texts()
        for row in rows.all()
    }
    assert stages["vLLM"] == ["RepetitionPenalty", "Temperature", "TopP"]
    assert stages["llama.cpp"] == ["RepetitionPenalty", "TopP", "Temperature"]
    assert "unknown to" in rows.last.inner_text()  # KerasHub has no such penalty


def test_what_is_wrong_is_said_and_undone(page: Any) -> None:
    page.fill("#seed", "-3")
    assert "whole number" in page.inner_text("#seed-told")
    page.locator("#log").focus()
    assert page.input_value("#seed") == "7" and page.inner_text("#seed-told") == ""
    asked(page, lambda: page.locator("#writers .main").click())
    asked(page, lambda: page.get_by_role("button", name="Clear").click())
    assert chips(page) == []
    undo = page.get_by_role("button", name="Undo").bounding_box()
    assert undo["width"] > undo["height"]  # its word is on one line
    asked(page, lambda: page.get_by_role("button", name="Undo").click())
    assert len(chips(page)) == 1
