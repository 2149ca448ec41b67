"""The three sentences of a report: what is clear, what is not, and what is too little to tell."""

from dataclasses import replace

import pytest

from logit_sampling.evaluation import Comparison, Difference, Estimate
from logit_sampling.evaluation.report.summary import _needed, summary
from tests.evaluation.made import compared, wave


def sentences(comparison: Comparison) -> list[str]:
    return summary(comparison, comparison.differences())


def number(comparison: Comparison, name: str) -> str:
    return comparison.result(name).number("perplexity").format(2)


def test_clear_differences_are_named() -> None:
    comparison = compared({"a": lambda i: -1 - wave(i), "b": lambda i: -2 - 2 * wave(i)})
    (found,) = comparison.differences()
    assert found.corrected is not None and found.corrected < 0.001
    assert sentences(comparison) == [
        "2 samplers on toy continued 24 prompts by 4 tokens: 48 texts with 192 tokens in all.",
        "How the authors of the prompts went on is not known, so that no number is a goal: "
        f"perplexity goes from {number(comparison, 'a')} (a) to {number(comparison, 'b')} (b).",
        f"1 of 1 difference from a is clear: perplexity of b (+{found.estimate.format(2)}).",
    ]


def test_several_clear_differences_are_counted_by_measure() -> None:
    comparison = compared(
        {name: lambda i, k=k: -1 - k / 4 - (k + 1) * wave(i) / 9 for k, name in enumerate("abcde")},
        measures=("perplexity", "log_prob", "length"),
        baseline="b",
    )
    known = [d for d in comparison.differences() if d.measure != "length"]
    assert all(d.corrected is not None and d.corrected < 0.05 for d in known)
    assert sentences(comparison)[2] == (
        "8 of 12 differences from b are clear after correction for their number: 4 of 4 in "
        "perplexity (3 higher and 1 lower), 4 of 4 in log-prob (1 higher and 3 lower) and 0 of 4 "
        "in length; 4 are not."
    )


def test_when_no_difference_is_clear_it_says_how_many_prompts_would_show_one() -> None:
    # b is above a for half of the prompts and below for the other, but for a little.
    comparison = compared(
        {"a": lambda i: -1.0, "b": lambda i: -1.01 - wave(i)}, measures=("log_prob",)
    )
    (found,) = comparison.differences()
    assert found.corrected is not None and found.corrected > 0.5
    needed = found.needed(found.estimate.mean)
    assert needed > 1000
    assert sentences(comparison)[2] == (
        "No difference from a is clear after correction for their number, 1, which does not show "
        f"that there is none (log-prob of b, -0.01, would take about {needed:,} prompts such as "
        "these, uncorrected)."
    )


def test_what_many_comparisons_bring_about_by_chance_is_not_clear() -> None:
    comparison = compared(
        {"a": lambda i: -1.0} | dict.fromkeys("bcdefghijklm", lambda i: -1.13 - wave(i)),
        measures=("log_prob",),
    )
    for found in comparison.differences():
        assert found.p is not None and found.p < 0.05
        assert found.corrected is not None and found.corrected > 0.05
        assert found.needed(found.estimate.mean) <= 24  # for one of them alone
    assert sentences(comparison)[2] == (
        "No difference from a is clear after correction for their number, 12, which does not show "
        "that there is none."
    )
    assert (
        'class="dot"' not in comparison.to_html().split('id="differences"')[1].split("</table>")[0]
    )


def test_too_few_prompts_tell_nothing() -> None:
    comparison = compared(
        {"a": lambda i: -1 - wave(i), "b": lambda i: -9 - wave(i)}, 3, lambda i: -2 - wave(i)
    )
    assert sentences(comparison)[1:] == [
        f"In perplexity a is nearest to the human texts, with {number(comparison, 'a')} against "
        f"{number(comparison, 'human')}; the prompts are too few to tell which differ from them.",
        "No difference from a can be told from chance: 3 prompts are too few, intervals take 20 "
        "prompts or 20 texts.",
    ]


def test_texts_in_place_of_prompts_tell_of_these_prompts_alone() -> None:
    comparison = compared(
        {"a": lambda i: -1.0, "b": lambda i: -2.0}, 3, seeds=range(10), measures=("log_prob",)
    )
    texts = [
        replace(text, log_probs=(text.log_probs[0] - times * wave(text.run or 0),) * 4)
        for text in comparison.texts
        for times in [1 if text.sampler == "a" else 2]
    ]
    known = Comparison(comparison.setting, comparison.calls, tuple(texts), ("log_prob",))
    (found,) = known.differences()
    assert found.estimate.over == "texts"
    assert sentences(known)[2] == (
        "1 of 1 difference from a is clear, for these prompts alone: log-prob of b "
        f"({found.estimate.format(2)})."
    )


def test_the_nearest_to_human_texts_is_told_with_how_many_differ() -> None:
    comparison = compared(
        {
            "near": lambda i: -2 - wave(i + 1),
            "far": lambda i: -3 - wave(i) / 2,
            "below": lambda i: -0.2 - wave(i) / 9,
        },
        human=lambda i: -2.05 - wave(i),
    )
    assert sentences(comparison)[:2] == [
        "3 samplers on toy continued 24 prompts by 4 tokens: 72 texts with 288 tokens in all; "
        "beside them stand 24 texts of the prompts' authors.",
        f"In perplexity near is nearest to the human texts, with {number(comparison, 'near')} "
        f"against {number(comparison, 'human')}; clearly different from them after correction are "
        "2 of 3 in perplexity.",
    ]
    comparison = compared(
        {"far": lambda i: -3 - wave(i), "a": lambda i: -4 - wave(i)}, human=lambda i: -1
    )
    assert sentences(comparison)[1].endswith("are 2 of 2, that one among them, in perplexity.")


def test_the_measures_of_the_sentence_are_of_diversity_and_quality() -> None:
    shown = ("length", "perplexity", "distinct_1", "seq_rep_4")
    comparison = compared({"a": lambda i: -1 - wave(i)}, human=lambda i: -2.0, measures=shown)
    assert sentences(comparison)[1].startswith("In distinct-1 a is nearest to the human texts, ")
    assert "; in perplexity a, with " in sentences(comparison)[1]
    assert sentences(comparison)[2] == "There is one sampler, and nothing to compare it with."


@pytest.mark.parametrize("prompts_per_unit", [1, 8])
def test_fewer_prompts_than_there_are_are_not_asked_for(prompts_per_unit: int) -> None:
    """Of 20 units 17 would do, whether a unit is a prompt or a group of 8 of them."""
    estimate = Estimate(0.7, 0.1, 1.3, 20)
    found = Difference("b", "a", "log_prob", estimate, 0.1, 0.2, 1.0, prompts_per_unit)
    assert found.needed(0.7) == 17 * prompts_per_unit
    assert _needed(compared({"a": lambda i: -1.0}), [found]) == ""


def test_differences_that_no_prompt_changes_are_no_chance() -> None:
    """They have no interval, and of the 2 ** 24 ways to sign them 2 come so far."""
    comparison = compared({"a": lambda i: -1.0, "b": lambda i: -2.0}, measures=("log_prob",))
    assert sentences(comparison)[2] == "1 of 1 difference from a is clear: log-prob of b (-1.00)."
    assert "<small>p &lt; 0.001</small>" in comparison.to_html()


def test_what_is_missing_is_told() -> None:
    known = compared({"a": lambda i: -1.0, "b": lambda i: -2.0}, 3)
    without_b = replace(known, texts=known.texts[:3])
    without_p2 = replace(known, texts=(*known.texts[:2], *known.texts[3:]))
    assert [sentences(comparison)[0] for comparison in (without_b, without_p2)] == [
        "1 of 2 samplers on toy continued 3 prompts by 4 tokens: 3 texts with 12 tokens in all.",
        "2 samplers on toy continued 2 of 3 prompts by 4 tokens: 4 texts with 16 tokens in all.",
    ]
