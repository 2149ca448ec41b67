"""The numbers of a comparison in a terminal, a notebook, a paper and a data frame."""

import csv
import io
import json
import math
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
from logit_sampling.evaluation.legend import legend
from logit_sampling.evaluation.tables import differences, numbers

from .made import compared, wave

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
    told = " ".join(str(comparison).split())
    assert legend(comparison) in told
    assert "Differences from greedy measure difference p a|b_&<i>\\x1b[31m seq-rep-2 -" in told
    assert "Differences" not in str(replace(comparison, baseline=None))
    assert repr(comparison.results[0]) == "<Result 'greedy': Greedy(), 24 texts>"


def test_a_notebook_shows_a_table_and_no_markup_of_texts(comparison: Comparison) -> None:
    html = comparison._repr_html_()
    assert html.count("<tr>") == (1 + 3) + (1 + len(MEASURES))
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
    lines = replace(comparison, baseline=None).to_markdown(tmp_path / "a.md").splitlines()
    cells = [re.split(r"(?<!\\)\|", line) for line in lines]
    assert {len(own) for own in cells} == {len(MEASURES) + 3}
    assert cells[0][3].strip() == "distinct-2"
    cut = comparison.results[1].distinct_2
    assert re.split(r"(?<!\\)\|", lines[4])[3].strip() == f"{cut.mean:.2f} [{cut.interval(2)}]"
    latex = replace(comparison, baseline=None).to_latex(tmp_path / "a.tex")
    assert r"a|b\_\&<i>\textbackslash{}x1b[31m & " in latex
    assert latex.count(r"\\") == 4
    assert f"${cut.mean:.2f}$ {{" in latex
    assert (tmp_path / "a.tex").read_text("utf-8") == latex


def test_differences_are_exported_where_there_is_a_baseline(comparison: Comparison) -> None:
    """A row of a result has them as columns; papers have a second table."""
    rows = comparison.records()
    for own in comparison.differences():
        name = own.measure.replace("-", "_") + "_difference"
        assert rows[2][name] == own.estimate.mean
        assert rows[2][f"{name}_low"] == own.estimate.low
        assert rows[2][f"{name}_p"] == own.corrected
        assert name not in rows[1] and name not in rows[0]
    own = next(d for d in comparison.differences() if d.measure == "perplexity")
    number, interval = f"{own.estimate.mean:+.2f}", own.estimate.interval(2)
    name = NASTY.replace("|", "\\|").replace("\x1b", "\\x1b")
    markdown = comparison.to_markdown()
    assert "\n\nDifferences from greedy\n\n|  | measure | difference | p |\n" in markdown
    assert f"| {name} | perplexity | {number} [{interval}] | <0.001 |\n" in markdown
    latex = comparison.to_latex()
    ends = interval.replace(", ", "$, $")
    assert f" & perplexity & ${number}$ {{\\footnotesize[${ends}$]}} & $<0.001$ " in latex
    assert latex.count("tabular") == 4


def test_a_difference_that_is_not_known_is_a_dash() -> None:
    unknown = compared({"a": lambda i: -1.0, "b": lambda i: -2.0}, baseline="a", measures=("kept",))
    assert math.isnan(unknown.differences()[0].estimate.mean)
    assert "b kept - -" in " ".join(str(unknown).split())
    assert "| b | kept | - | - |" in unknown.to_markdown()
    assert unknown.records()[1]["kept_difference"] is None
    for shown in (str(unknown), unknown.to_markdown(), unknown.to_latex(), unknown._repr_html_()):
        assert "nan" not in shown


def test_the_legend_tells_what_is_absent_and_what_is_left_out(toy: Any) -> None:
    """Also of a folder: a sampler that wrote with fewer seeds than another is not shown."""
    made = compared({"a": wave, "b": wave}, measures=("judge_perplexity",))
    assert "Not known of these texts: judge-perplexity." in legend(made)
    assert "intervals" not in legend(made).lower()
    same = compared({"a": lambda i: -1.0})  # one value for all prompts, which are enough
    assert "intervals" not in legend(same).lower()
    assert made.left_out == {}
    assert "Left out" not in legend(made)

    two = ls.compare(toy, ["a", "b"], ["x: top_k=3", "y: top_k=2"], [0, 1], 4)
    some = [text for text in two.texts if text.sampler == "y" or text.run == 0]
    part = replace(two, texts=tuple(some))
    assert [own.name for own in part.results] == ["y"]
    assert part.left_out == {"x": (2, 4)}
    told = "Left out, since no prompt has all of their texts: x (2 of 4 texts)."
    assert told in legend(part)
    none = replace(two, texts=tuple(text for text in some if text.sampler == "x"))
    told = f"No prompt has all of its texts. {told[:-1]}, y (0 of 4 texts)."
    assert legend(none) == " ".join(str(none).split()) == told


def test_short_human_texts_are_not_counted_together_with_whole_ones(toy: Any) -> None:
    """distinct-1 of four tokens and of two differ by that alone; a mean over texts has all."""
    prompts = [Prompt("x", "a", "abab"), Prompt("y", "a", "a$"), Prompt("z", "a", "ab\n ")]
    measures = ["distinct_1", "seq_rep_1", "self_bleu"]
    made = ls.compare(toy, [*prompts, Prompt("w", "a")], ["greedy"], [0], 4, measures=measures)
    assert made.human is not None
    assert made.human.distinct_1.mean == 4 / 8
    assert made.human.seq_rep_1.mean == pytest.approx((2 / 4 + 0 + 0) / 3)
    told = "Human texts: of 3 of 4 prompts, 1 of them shorter than 4 tokens, which many of these "
    told += "numbers depend on. The human distinct-1, self-bleu are of the 2 that are long enough, "
    told += "and would differ with 4: differences from human are of the same prompts."
    assert told in legend(made)
    (found,) = made.differences("human", ["distinct_1"])  # greedy wrote "b ab" for x and for z
    assert found.estimate.mean == 3 / 8 - 4 / 8
    ended = ls.compare(toy, prompts, ["greedy"], [0], 4, measures=measures, stop_at_end=True)
    assert ended.human is not None  # the others' texts may be short too
    assert ended.human.distinct_1.mean == 5 / 10
    assert "long enough" not in legend(ended)


def test_a_frontier_of_few_texts_is_told(tiny_gpt2: Any) -> None:
    prompts = [Prompt(str(i), "the cat", " sat on a mat"[: 4 + i]) for i in range(6)]
    made = ls.compare(tiny_gpt2, prompts, ["sample"], [0], 4, measures=["frontier"])
    assert "The frontier is of 6 human texts, where MAUVE's authors had 5,000" in legend(made)
    assert "MAUVE's" not in legend(replace(made, measures=("perplexity",)))


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
