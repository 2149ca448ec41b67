"""The numbers of a comparison in a terminal, a notebook, a paper and a data frame."""

import csv
import io
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas
import pytest
from rich.cells import cell_len
from rich.console import Console

import logit_sampling as ls
from logit_sampling.evaluation import Comparison, Prompt
from logit_sampling.evaluation.tables import differences, legend, numbers

MEASURES = ("seq_rep_2", "distinct-2", "perplexity", "longest_repeat", "kept")
NASTY = "a|b_&<i>\x1b[31m"


@pytest.fixture
def comparison(toy: Any) -> Comparison:
    prompts = [Prompt(str(i), "ab$"[i % 3], "b ab ab") for i in range(24)]
    samplers = {"greedy": ls.Greedy(), NASTY: ls.Sampler(ls.TopK(3))}
    made = ls.compare(
        toy, prompts, samplers, (0, 1), 7, measures=MEASURES, baseline="greedy", steps=True
    )
    timed = (replace(t, seconds=0.0021) if t.seconds else t for t in made.texts)
    return replace(made, texts=tuple(timed))


def printed(parts: Any, width: int) -> list[str]:
    console = Console(file=io.StringIO(), width=width)
    for part in parts:
        console.print(part)
    return console.file.getvalue().splitlines()  # type: ignore[attr-defined]


@pytest.mark.parametrize("width", [40, 60, 80, 160])
def test_a_table_fits_its_terminal_and_leaves_nothing_out(
    comparison: Comparison, width: int
) -> None:
    lines = printed(numbers(comparison, width), width)
    assert max(map(cell_len, lines)) <= width
    text = "\n".join(lines)
    assert "…" not in text
    assert "\x1b" not in text
    titles = ["seq-rep-2", "distinct-2", "perplexity", "longest-repeat", "kept", "ms/token"]
    heads = [line.split() for line in lines if line.split()[0] in titles]
    assert [title for head in heads for title in head] == titles
    assert len(heads) == {40: 4, 60: 2, 80: 2, 160: 1}[width]
    found = [
        own
        for line in lines
        if line.startswith("greedy ")
        for own in re.split(r"\s{2,}", line.strip())[1:]
    ]
    greedy = comparison.results[0]
    assert found == [
        f"{greedy.number('seq_rep_2').mean:.2f}",
        f"{greedy.number('distinct_2').mean:.2f}",
        f"{greedy.perplexity.mean:.2f}",
        f"{greedy.longest_repeat.mean:.1f}",
        "1",
        "2.1",
    ]
    for name, digits in (("distinct_2", 2), ("perplexity", 2), ("longest_repeat", 1)):
        assert comparison.results[1].number(name).interval(digits) in text


@pytest.mark.parametrize("width", [40, 60, 80])
def test_differences_fit_a_terminal(comparison: Comparison, width: int) -> None:
    lines = printed(differences(comparison, width), width)
    assert max(map(cell_len, lines)) <= width
    text = " ".join(" ".join(lines).split())
    for own in comparison.differences():
        if own.measure == "perplexity":
            assert f"{own.estimate.mean:+.2f}" in text
            assert own.estimate.interval(2) in text
    assert "<0.001" in text


def test_print_and_repr(comparison: Comparison) -> None:
    assert str(comparison).splitlines()[0].split()[:3] == ["seq-rep-2", "distinct-2", "perplexity"]
    assert repr(comparison) == "<Comparison of 2 samplers on 24 prompts, 96 texts>"
    assert repr(comparison.results[0]) == "<Result 'greedy': Greedy(), 24 texts>"


def test_a_notebook_shows_a_table_and_no_markup_of_texts(comparison: Comparison) -> None:
    html = comparison._repr_html_()
    assert html.count("<tr>") == 4
    assert "Comparison of 2 samplers on 24 prompts" in html
    assert "<i>" not in html
    assert "a|b_&amp;&lt;i&gt;\\x1b[31m" in html
    assert f">{comparison.results[1].perplexity.mean:.2f}\n" in html


def test_csv_json_and_data_frame_have_the_numbers(comparison: Comparison, tmp_path: Path) -> None:
    rows = list(csv.DictReader(io.StringIO(comparison.to_csv(tmp_path / "a.csv"))))
    assert (tmp_path / "a.csv").read_text("utf-8") == comparison.to_csv()
    frame = comparison.to_dataframe()
    assert isinstance(frame, pandas.DataFrame)
    assert [row["name"] for row in rows] == list(frame["name"]) == ["human", "greedy", NASTY]
    for i, own in enumerate((comparison.human, *comparison.results)):
        assert own is not None
        number = own.number("distinct_2")
        assert float(rows[i]["distinct_2"]) == frame["distinct_2"][i] == number.mean
        assert (number.low is None) == (i < 2)
        if number.low is None:
            assert rows[i]["distinct_2_low"] == ""
        else:
            assert float(rows[i]["distinct_2_low"]) == frame["distinct_2_low"][i] == number.low
    assert rows[0]["seconds_per_token"] == ""
    data = json.loads(comparison.to_json(tmp_path / "a.json"))
    assert json.loads((tmp_path / "a.json").read_text("utf-8")) == data
    assert data["results"][1]["distinct_2"]["mean"] == comparison.results[1].distinct_2.mean
    assert len(data["differences"]) == len(MEASURES)


def test_settings_of_a_sweep_are_columns(toy: Any) -> None:
    from logit_sampling.evaluation import swept

    lines = swept("temperature=[0.5, 1]", "top_k=[2, 3]")
    comparison = ls.compare(toy, ["a"], lines, [0], 4)
    rows = comparison.records()
    assert [(row["temperature"], row["top_k"]) for row in rows] == [
        (0.5, 2),
        (0.5, 3),
        (1, 2),
        (1, 3),
    ]


def test_markdown_and_latex(comparison: Comparison, tmp_path: Path) -> None:
    lines = comparison.to_markdown(tmp_path / "a.md").splitlines()
    cells = [re.split(r"(?<!\\)\|", line) for line in lines]
    assert {len(own) for own in cells} == {len(MEASURES) + 3}
    assert cells[0][3].strip() == "distinct-2"
    cut = comparison.results[1].distinct_2
    assert re.split(r"(?<!\\)\|", lines[4])[3].strip() == f"{cut.mean:.2f} [{cut.interval(2)}]"
    latex = comparison.to_latex(tmp_path / "a.tex")
    assert r"a|b\_\&<i>\textbackslash{}x1b[31m & " in latex
    assert latex.count(r"\\") == 4
    assert f"${cut.mean:.2f}$ {{" in latex
    assert (tmp_path / "a.tex").read_text("utf-8") == latex


def test_the_legend_says_what_intervals_are_of(toy: Any, comparison: Comparison) -> None:
    text = legend(comparison)
    assert text.startswith(
        "24 prompts, 2 texts each, one from greedy and searches, 7 tokens a text"
    )
    assert "its 95 % interval, over prompts such as these" in text
    assert "seq-rep-2: share of 2-grams" in text
    few = legend(ls.compare(toy, "a", ["sample"], range(20), 4))
    assert "its 95 % interval, over draws for these prompts alone" in few
    assert "No intervals: they take 20 prompts, or 20 texts" in legend(
        ls.compare(toy, "a", ["sample"], [0], 4)
    )
    prompts = [Prompt("x", "a", "b a"), Prompt("y", "b", "ab ab"), Prompt("z", "a")]
    assert "Human texts: of 2 of 3 prompts, 1 of them shorter than 4 tokens" in legend(
        ls.compare(toy, prompts, ["greedy"], max_new_tokens=4)
    )
    assert "Human texts" not in text
    assert "at most 4 tokens a text." in legend(
        ls.compare(toy, "a", ["sample"], [0], 4, stop_at_end=True)
    )
