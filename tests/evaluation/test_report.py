"""The page of a comparison: its data, its tables, and what it must not hold."""

import json
import math
import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

import logit_sampling as ls
from logit_sampling.evaluation import Comparison, next_tokens, swept, visible
from logit_sampling.evaluation.report.data import sweeps
from logit_sampling.evaluation.report.page import SCRIPTS, lighter
from logit_sampling.plotting.figures import COLOURS
from tests.evaluation.made import compared, wave

FOLDER = Path(ls.__file__).parent / "evaluation" / "report"


class Page(HTMLParser):
    """The elements of a page, and the text of each."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[tuple[str, str]] = []
        self._open = [""]
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in ("meta", "path", "circle"):
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in ("path", "circle"):
            assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append((self._open[-1], data))

    def told(self, tag: str) -> list[str]:
        return [text for own, text in self.texts if own == tag]

    @property
    def data(self) -> Any:
        return json.loads(self.told("script")[0])


def test_sweeps_are_found() -> None:
    lines = swept("top_k=[50, 5] temperature=[2, 0.5, 1] min_p=[0.1]")
    other = swept("temperature=[1, 0.5] top_p=0.9")
    names = ["greedy", *lines, *other]
    results = compared(
        {name: lambda i: -1.0 for name in names}, 1, settings=lines.settings | other.settings
    ).results
    found = sweeps(results)
    shown = [
        (own["title"], own["names"], [
            (line["label"], [results[place].name for place in line["places"]])
            for line in own["lines"]
        ])
        for own in found
    ]  # fmt: skip
    assert shown == [
        ("", ["temperature", "top_k"], [
            (f"top_k={k}", [f"top_k={k} temperature={t} min_p=0.1" for t in (0.5, 1, 2)])
            for k in (50, 5)
        ]),
        ("top_p=0.9", ["temperature"], [
            ("", ["temperature=0.5 top_p=0.9", "temperature=1 top_p=0.9"])
        ]),
    ]  # fmt: skip
    assert sweeps(results[:1]) == sweeps(results[1:2]) == []


def test_the_data_are_those_of_the_comparison() -> None:
    comparison = compared(
        {"a": lambda i: -1 - wave(i), "b": lambda i: -2 - wave(i)},
        human=lambda i: -1.5 - wave(i),
        seeds=(3, 5),
        steps=True,
        measures=("perplexity", "kept", "seq_rep_4"),
        text="two\nwords",
    )
    page = comparison.to_html(next_tokens=[{"prompt": "x"}])
    data = Page(page).data
    assert data["prompts"] == [f"prompt p{i}" for i in range(24)]
    assert data["ids"] == list(comparison.prompt_ids) and data["seeds"] == [3, 5]
    assert [own["name"] for own in data["measures"]] == list(comparison.measures)
    assert data["nextTokens"] == [{"prompt": "x"}]
    for told, own in zip(
        [*data["humans"], *data["results"]], [*comparison.humans, *comparison.results], strict=True
    ):
        assert told["name"] == own.name and told["human"] == (own.name == "human")
        for name in comparison.measures:
            known = own.number(name)
            mean = None if math.isnan(known.mean) else known.mean
            assert told["numbers"][name] == [mean, known.low, known.high]
        assert told["texts"] == [[text.text for text in row] for row in own.grid]
    assert (
        data["results"][0]["steps"] == {"kept": [4, 3, 2, 1]} and data["humans"][0]["steps"] == {}
    )
    assert page.count(r"two\nwords of a p7 3") == 1
    assert "log_probs" not in page and "token_ids" not in page


def test_texts_that_failed_are_none_and_token_ids_are_shown_without_a_tokenizer() -> None:
    known = compared({"a": lambda i: -1.0}, 2)
    failed = replace(known.texts[0], finish_reason="error", error="why")
    mute = replace(known.texts[1], text=None)
    comparison = replace(known, texts=(failed, mute))
    assert Page(comparison.to_html()).data["results"][0]["texts"] == [[None], ["1 2 3 4"]]
    assert "1 text with 4 tokens in all, and 1 text that failed." in comparison.to_html()


HOSTILE = (
    '</script><script>alert(1)</script><img src=x onerror=alert(2)><!-- $data \x1b[31m\u2028 & "'
)


def test_hostile_texts_names_and_titles_stay_texts() -> None:
    comparison = compared(
        {HOSTILE: lambda i: -1.0, "b": lambda i: -2.0},
        2,
        lambda i: -1.5,
        settings={HOSTILE: {HOSTILE: 1}, "b": {HOSTILE: 2}},
        text=HOSTILE,
        prompt=HOSTILE,
        metrics={HOSTILE: lambda text, ids: 1.0},
        measures=("perplexity", HOSTILE),
        baseline=HOSTILE,
    )
    comparison.calls[0]["command"] = HOSTILE
    page = Page(comparison.to_html(title=HOSTILE, next_tokens=[{"prompt": HOSTILE}]))
    tags = [tag for tag, _ in page.elements]
    assert tags.count("script") == 2 and "img" not in tags
    assert not any(name.startswith("on") for _, attributes in page.elements for name in attributes)
    shown = visible(HOSTILE)
    assert page.told("h1") == page.told("title") == [shown]
    assert page.data["prompts"] == [f"{shown} p{i}" for i in range(2)]
    assert page.data["results"][0]["texts"][1] == [f"{shown} of {shown} p1 0"]
    assert page.data["nextTokens"] == [{"prompt": HOSTILE}]
    assert shown in page.told("dt") and shown in page.told("code")
    assert "\x1b" not in comparison.to_html()


def test_nothing_is_loaded() -> None:
    page = compared({"a": lambda i: -1 - wave(i), "b": lambda i: -2 - wave(i)}).to_html()
    assert set(re.findall(r"https?://[^\"'\s]*", page)) == {"http://www.w3.org/2000/svg"}
    elements = Page(page).elements
    assert not any({"src", "srcset", "action", "xlink:href"} & own.keys() for _, own in elements)
    assert not any(own.get("href", "#")[:1] != "#" for _, own in elements)  # type: ignore[index]
    assert "link" not in {tag for tag, _ in elements}
    for loads in ("@import", "url(", "fetch(", "XMLHttpRequest", "WebSocket", "import(", "eval("):
        assert loads not in page
    (policy,) = (own["content"] for _, own in elements if "http-equiv" in own)
    assert policy is not None and policy.startswith("default-src 'none'; ")


def test_every_file_of_the_page_is_in_it() -> None:
    page = compared({"a": lambda i: -1.0}, 1).to_html()
    assert {path.stem for path in FOLDER.glob("*.js")} == set(SCRIPTS)
    for path in [*FOLDER.glob("*.js"), FOLDER / "page.css"]:
        assert path.read_text("utf-8") in page
    foot = page[page.index('<section id="about">') :]
    told = ["Chain(a)", "weights 0123abcd", "Seeds 0; 4 tokens a text", "numpy 2.4.0"]
    told += ["logit-sampling compare --prompts p.txt", "2026-01-02T03:04:05+00:00"]
    assert [text for text in told if text not in foot] == []


def test_marks_share_an_axis_and_the_rule_is_human() -> None:
    comparison = compared(
        {"a": lambda i: -1 - wave(i), "b": lambda i: -2 - wave(i)}, human=lambda i: -1.5
    )
    page = comparison.to_html()
    table = page[page.index('<section id="numbers">') : page.index('<section id="plane">')]
    dots = [float(x) for x in re.findall(r'class="dot" cx="([\d.]+)"', table)]
    ends = [
        [float(x) for x in pair]
        for pair in re.findall(r'class="whisker" d="M([\d.]+) 7.0H([\d.]+)"', table)
    ]
    (rule,) = set(re.findall(r'class="rule" d="M([\d.]+) ', table))
    own = [r.number("perplexity") for r in (*comparison.humans, *comparison.results)]
    low, high = own[1].low, own[2].high
    assert low is not None and high is not None

    def x(value: float | None) -> Any:
        assert value is not None
        return pytest.approx(5 + 94 * (value - low) / (high - low), abs=0.06)

    assert dots == [x(e.mean) for e in own] and float(rule) == x(own[0].mean)
    assert ends == [[x(e.low), x(e.high)] for e in own[1:]]
    (found,) = comparison.differences()
    assert f"<b>+{found.estimate.mean:.2f}</b>" in page and "p &lt; 0.001" in page


def test_the_page_is_written_whole_or_not_at_all(tmp_path: Path, monkeypatch: Any) -> None:
    comparison = compared({"a": lambda i: -1.0}, 1)
    target = tmp_path / "page.html"
    assert comparison.to_html(target, title="Mine") == target.read_text("utf-8")
    assert "<h1>Mine</h1>" in target.read_text("utf-8")
    target.write_text("old")

    def fail(file: int) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(OSError, match="disk full"):
        comparison.to_html(target)
    assert target.read_bytes() == b"old" and list(tmp_path.iterdir()) == [target]


def test_a_comparison_without_a_whole_result_says_so() -> None:
    known = compared({"a": lambda i: -1.0, "b": lambda i: -1.0}, 1)
    comparison = Comparison(known.setting, known.calls, ())
    page = Page(comparison.to_html())
    assert "No prompt has all of its texts." in page.told("p")
    assert page.data["results"] == []


def luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(a: str, b: str) -> float:
    light, dark = sorted((luminance(a), luminance(b)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_colours_have_contrast_in_both_themes() -> None:
    style = (FOLDER / "page.css").read_text("utf-8")
    both = dict(re.findall(r"--(\w+): light-dark\(([^)]*)\)", style))
    themes = [{name: pair.split(", ")[i] for name, pair in both.items()} for i in (0, 1)]
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    for theme, colours in zip(themes, (COLOURS, map(lighter, COLOURS)), strict=True):
        for ground in ("ground", "raised"):
            assert contrast(theme["ink"], theme[ground]) > 7
            assert contrast(theme["grey"], theme[ground]) > 4.5
        assert contrast(theme["ink"], theme["hit"]) > 4.5
        assert min(contrast(colour, theme["ground"]) for colour in colours) > 3


def test_next_tokens_are_the_numbers_of_the_picture(toy: Any) -> None:
    samplers = {"greedy": ls.Greedy(), "top-k 3": ls.Sampler(ls.TopK(3))}
    first, second = next_tokens(toy, ["$ a", [1]], samplers, top=3)
    # After "a": b 1/2, a 1/4, space 1/8, the two others 1/16 each.
    assert first == {
        "prompt": "$ a",
        "tokens": ["b", "a", "␣"],
        "model": [0.5, 0.25, 0.125],
        "samplers": {"greedy": [1, 0, 0], "top-k 3": [0.571429, 0.285714, 0.142857]},
        "others": {"tokens": 2, "model": 0.125, "samplers": {"greedy": 0, "top-k 3": 0}},
        "kept": {"greedy": (1, pytest.approx(0.5)), "top-k 3": (3, pytest.approx(0.875))},
    }
    assert second["prompt"] == "1" and second["tokens"] == ["␣", "a", "b"]
    assert list(next_tokens(toy, ["a"])[0]["samplers"]) == list(ls.evaluation.default_samplers())
