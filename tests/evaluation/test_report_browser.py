"""The page in a browser: charts, menus, search and judging. Skipped where there is no Chromium."""

import itertools
from pathlib import Path

import pytest

from logit_sampling.evaluation import Comparison, swept
from tests.evaluation.browser import BROWSER, dumped, in_browser
from tests.evaluation.made import compared

pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine")

NEXT = {
    "prompt": "prompt 0",
    "tokens": ["a", "b"],
    "model": [0.5, 0.25],
    "samplers": {"greedy": [1.0, 0.0], "top": [2 / 3, 1 / 3]},
    "others": {"tokens": 3, "model": 0.25, "samplers": {"greedy": 0.0, "top": 0.0}},
    "kept": {"greedy": [1, 0.5], "top": [2, 0.75]},
}
TRIVIAL = "<pre id='found'></pre><script>found.textContent = 6 * 7;</script>"


@pytest.fixture(scope="module", autouse=True)
def a_browser_that_runs(tmp_path_factory: pytest.TempPathFactory) -> None:
    """One in a sandbox of its own may be unable to read the file."""
    file = tmp_path_factory.mktemp("browser") / "page.html"
    file.write_text(TRIVIAL)
    if ">42</pre>" not in dumped(file):
        pytest.skip(f"{BROWSER} shows no file from {file.parent}")


@pytest.fixture
def comparison() -> Comparison:
    """Seven samplers whose perplexities go from 2.7 to 12, and a human one."""
    lines = swept("temperature=[0.5,1,2] top_k=[5,50]")
    return compared(
        {name: (lambda i, k=k: -1 - k / 4 - i / 50) for k, name in enumerate(["greedy", *lines])},
        human=lambda i: -2 - i / 40,
        settings=lines.settings,
        seeds=(3, 4),
        steps=True,
        measures=("distinct_1", "perplexity", "kept"),
    )


def test_every_part_is_there_and_drawn(comparison: Comparison, tmp_path: Path) -> None:
    page = comparison.to_html(next_tokens=[NEXT])
    found = in_browser(
        page,
        tmp_path,
        """return {
        nav: texts("nav a"),
        rows: all("#numbers tbody tr").length,
        marks: new Set(all("#numbers td:nth-child(3) svg").map(
          own => own.getBoundingClientRect().left)).size,
        points: all("#plane svg path > title").length,
        labels: texts("#plane svg text.halo").sort(),
        curves: all("#sweeps .panels svg").length,
        cells: texts("#sweeps table.heat td").length,
        steps: texts("#steps svg text").filter(text => text.includes("=") || text === "greedy"),
        bars: all("#next svg rect").map(own => Number(own.getAttribute("width"))),
        wide: document.documentElement.scrollWidth};""",
    )
    assert found["nav"] == [
        "Numbers", "Quality against diversity", "Differences", "Sweeps", "Step by step",
        "Next token", "Texts", "Judge blindly", "How it was made",
    ]  # fmt: skip
    assert (found["rows"], found["points"]) == (8, 8)
    assert found["marks"] == 1  # all on one axis, however wide their numbers are
    # Lines of three points are called by their last one, the others by what was swept.
    assert found["labels"] == sorted(
        ["human", "greedy", *["0.5", "1"] * 2, "temperature=2 top_k=5", "temperature=2 top_k=50"]
    )
    assert (found["curves"], found["cells"]) == (3, 6)
    assert sorted(found["steps"]) == sorted(r.name for r in comparison.results)
    # Roots of probabilities, pale and solid for each of two tokens and the others.
    pale, solid = found["bars"][0:6:2], found["bars"][1:6:2]
    assert [p / solid[0] for p in pale] == pytest.approx([0.5**0.5, 0.5, 0.5])
    assert [p / solid[0] for p in solid] == pytest.approx([1, 0, 0])
    assert found["wide"] == 1000


def test_labels_of_points_that_are_close_keep_apart(tmp_path: Path) -> None:
    comparison = compared(
        {"far": lambda i: -2.5}
        | {f"a sampler {k}": (lambda i, k=k: -1 - k / 200 - i / 99) for k in range(8)},
        measures=("distinct_1", "perplexity"),
    )
    code = """return all("#plane svg text.halo").map(own => own.getBoundingClientRect())
      .map(({left, right, top, bottom}) => [left, right, top + 3, bottom - 3]);"""
    found = in_browser(comparison.to_html(), tmp_path, code)
    assert len(found) == 9
    for (left, right, top, bottom), other in itertools.combinations(found, 2):
        assert right <= other[0] or other[1] <= left or bottom <= other[2] or other[3] <= top
    assert all(left > 0 and right < 1000 for left, right, _, _ in found)


def test_a_narrow_window_needs_no_scrolling_sideways(
    comparison: Comparison, tmp_path: Path
) -> None:
    page = comparison.to_html(next_tokens=[NEXT]).replace(
        "<body>", '<body style="width:360px;margin:0">'
    )
    code = """return all("body *").filter(own => !own.closest(".scroll") && !own.closest("svg")
      && own.getBoundingClientRect().right > 361).map(own => own.outerHTML.slice(0, 80));"""
    assert in_browser(page, tmp_path, code) == []


def test_menus_sort_and_theme(comparison: Comparison, tmp_path: Path) -> None:
    found = in_browser(
        comparison.to_html(),
        tmp_path,
        """
        const [across, up] = all("#plane select"), title = () => texts("#plane svg text.title");
        const before = title();
        choose(across, 1); choose(up, 0);
        const names = () => texts("#numbers tbody th");
        const head = all("#numbers thead button")[2];
        head.click(); const rising = names(); head.click(); const falling = names();
        const unknown = all("#numbers thead button")[3], last = [];
        for (let i = 0; i < 2; i++) { unknown.click(); last.push(names().at(-1)); }
        head.click(); head.click();
        const sorted = head.closest("th").getAttribute("aria-sort");
        const ground = () => getComputedStyle(document.body).backgroundColor;
        const themes = [];
        for (let i = 0; i < 3; i++) { button(section("theme").textContent).click();
          themes.push([section("theme").textContent, ground()]); }
        choose(all("#sweeps select")[0], 1);
        return {before, after: title(), rising, falling, sorted, themes, last,
          cells: texts("#sweeps table.heat td")};""",
    )
    assert found["before"] == ["↑ perplexity", "distinct-1 →"]
    assert found["after"] == ["↑ distinct-1", "perplexity →"]
    order = sorted(
        [comparison.humans[0], *comparison.results], key=lambda r: r.number("perplexity").mean
    )
    assert found["rising"] == [r.name for r in order] == found["falling"][::-1]
    assert found["sorted"] == "descending" and found["last"] == ["human", "human"]
    assert found["themes"][:2] == [
        ["Theme: light", "rgb(255, 255, 255)"],
        ["Theme: dark", "rgb(20, 24, 29)"],
    ]
    assert found["themes"][2][0] == "Theme: auto"
    numbers = [
        comparison.result(f"temperature={t} top_k={k}").number("perplexity")
        for k in (5, 50)
        for t in (0.5, 1, 2)
    ]
    assert found["cells"] == [f"{n.mean:.2f}{n.low:.2f}, {n.high:.2f}" for n in numbers]


def test_texts_are_searched_and_added_as_they_are_needed(tmp_path: Path) -> None:
    comparison = compared(
        {"a": lambda i: -1.0, "b": lambda i: -1.0},
        200,
        lambda i: -1.0,
        text="<i>W</i>",
        seeds=(3, 4),
    )
    found = in_browser(
        comparison.to_html(),
        tmp_path,
        """
        const list = () => texts("#texts article").length, first = list();
        const field = document.querySelector("#texts input[type=search]");
        const columns = texts("#texts article:first-child .columns p");
        type(field, "OF A P77"); const one = texts("#texts article .columns p");
        const hidden = button("more").hidden;
        const marks = texts("#texts mark"), count = texts("#texts [role=status]");
        type(field, "("); const none = list();
        type(field, ""); choose(all("#texts select")[0], 1);
        const other = texts("#texts article:first-child .columns p");
        all("#texts input[type=checkbox]")[0].click();
        const fewer = texts("#texts article:first-child h4");
        button("more").click();
        return {first, columns, one, hidden, marks, count, none, other, fewer, more: list(),
          italics: all("#texts i").length};""",
    )
    assert 0 < found["first"] < 200
    assert found["columns"] == [
        "<i>W</i> of human p0 0",
        "<i>W</i> of a p0 3",
        "<i>W</i> of b p0 3",
    ]
    assert found["one"] == [
        "<i>W</i> of human p77 0", "<i>W</i> of a p77 3", "<i>W</i> of b p77 3"
    ]  # fmt: skip
    assert found["marks"] == ["of a p77"]
    assert found["hidden"] is True
    assert found["count"] == ["1 prompt, 200 in all"]
    assert found["none"] == 0 and found["italics"] == 0
    assert found["other"][1] == "<i>W</i> of a p0 4"
    assert found["fewer"] == ["human", "b"]
    assert found["more"] == found["first"] + 15


def test_pairs_are_judged_blindly(comparison: Comparison, tmp_path: Path) -> None:
    found = in_browser(
        compared({"a": lambda i: -1.0, "b": lambda i: -2.0}, 5).to_html(),
        tmp_path,
        """
        const saved = [];
        URL.createObjectURL = blob => { saved.push(blob); return "#"; };
        HTMLAnchorElement.prototype.click = () => {};
        const start = () => button("start").click();
        const shown = () => texts("#judge .pair > div").map(text => text.match(/of (\\w)/)[1]);
        const sides = [], again = [];
        start();
        const named = texts("#judge h4, #judge b").length;
        for (let i = 0; i < 3; i++) { sides.push(shown()); press(shown()[0] === "a" ? "1" : "2"); }
        button("back").click(); press(shown()[0] === "a" ? "1" : "2");
        const kept = Object.keys(localStorage).length;
        sides.push(shown()); press("0");
        const place = document.querySelector("#judge progress").value;
        sides.push(shown()); press(shown()[0] === "a" ? "2" : "1"); press("1");
        const table = texts("#judge tbody tr > *"), left = Object.keys(localStorage).length;
        button("save as CSV").click(); button("save as JSON").click();
        const [csv, json] = await Promise.all(saved.map(blob => blob.text()));
        button("judge again").click(); start();
        for (let i = 0; i < 5; i++) { again.push(shown()); press("1"); }
        return {sides, again, named, kept, place, left, table, csv, json: JSON.parse(json),
          random: [1, 2, 3].map(random).map(next => next())};""",
    )
    assert found["sides"] == found["again"]  # the seed decides
    assert {"".join(pair) for pair in found["sides"]} == {"ab", "ba"}
    assert found["named"] == 0
    assert (found["kept"], found["place"], found["left"]) == (1, 4, 0)
    # Wilson's interval of 3 in 4.
    assert found["table"] == ["a / b", "3", "1", "1", "75% [30%, 95%]"]
    better = ["a", "a", "a", "equal", "b"]
    judged = found["json"]["judgements"]
    assert [own["better"] for own in judged] == better
    assert [[own["left"], own["right"]] for own in judged] == found["sides"]
    lines = found["csv"].splitlines()
    assert lines[0] == '"prompt","seed","left","right","better"'
    assert [line.split(",")[-1].strip('"') for line in lines[1:]] == better
    assert len(set(found["random"])) == 3


def test_judgements_that_were_not_finished_go_on(tmp_path: Path) -> None:
    page = compared({"a": lambda i: -1.0, "b": lambda i: -2.0}, 5).to_html()
    code = """button("start").click(); press("1"); press("2");
      const next = texts("#judge .pair > div"); return next;"""
    first = in_browser(page, tmp_path, code)
    found = in_browser(
        page,
        tmp_path,
        """button("go on after 2").click();
        return [document.querySelector("#judge progress").value, texts("#judge .pair > div")];""",
    )
    assert found == [2, first]


def test_what_is_not_known_is_not_shown(tmp_path: Path) -> None:
    lines = swept("temperature=[0.5,1] top_k=[5,50]")
    page = compared(
        dict.fromkeys(lines, lambda i: -1.0),
        3,
        settings=lines.settings,
        measures=("perplexity", "kept", "judge_perplexity"),
    ).to_html()
    code = """const menu = all("#sweeps select")[0], found = [];
      for (const i of [0, 1]) { choose(menu, i); found.push(texts("#sweeps td")); }
      const all_of_it = document.querySelector("main").innerText;
      return [found, all_of_it.match(/null|undefined|NaN|Infinity/g)];"""
    assert in_browser(page, tmp_path, code) == [[["2.72"] * 4, ["-"] * 4], None]


def test_without_what_a_part_shows_it_is_left_out(tmp_path: Path) -> None:
    found = in_browser(
        compared({"a": lambda i: -1.0}, 1).to_html(), tmp_path, 'return texts("nav a");'
    )
    assert found == ["Numbers", "Texts", "How it was made"]
