"""Comparisons of samplers on a model that can be reckoned by hand."""

import json
import math
import signal
from collections.abc import Callable, Sequence
from dataclasses import replace
from statistics import fmean
from typing import Any

import numpy as np
import pytest

import logit_sampling as ls
from logit_sampling.distribution.random import row_integers
from logit_sampling.evaluation import (
    Comparison,
    Prompt,
    Text,
    default_samplers,
    distinct_n,
    seq_rep_n,
)
from logit_sampling.evaluation.frontier import divergence_area
from logit_sampling.evaluation.intervals import difference, estimate
from logit_sampling.evaluation.legend import legend
from logit_sampling.generation.result import GenerationResult

from .conftest import PROBABILITIES

PROMPTS = ["a", "b$"]
SEEDS = (3, 1, 8)


@pytest.fixture
def comparison(toy: Any) -> Comparison:
    return ls.compare(toy, PROMPTS, default_samplers(1.0, 3, 0.7), SEEDS, max_new_tokens=12)


def test_greedy_by_hand(toy: Any) -> None:
    greedy = ls.compare(toy, ["a"], {"g": ls.Greedy()}, max_new_tokens=12).results[0]
    assert [(t.prompt, t.seed, t.text) for t in greedy.texts] == [("a", None, "b ab ab ab a")]
    assert greedy.texts[0].token_ids == (1, 2, 0) * 4
    assert greedy.seq_rep_4.mean == pytest.approx(6 / 9)
    assert greedy.distinct_1.mean == 3 / 12
    assert greedy.distinct_2.mean == 3 / 11
    assert greedy.log_prob.mean == pytest.approx(math.log(1 / 2), abs=1e-6)
    assert greedy.perplexity.mean == pytest.approx(2, abs=1e-5)
    assert greedy.texts[0].sampler_log_probs == (0.0,) * 12
    with pytest.raises(AttributeError, match="did you mean 'seq_rep_4'"):
        _ = greedy.seq_rap_4


def test_texts_are_those_of_generate_alone_and_whole(toy: Any, comparison: Comparison) -> None:
    assert comparison.prompts == tuple(PROMPTS)
    assert (comparison.seeds, comparison.tokens) == (SEEDS, 12)
    samplers = default_samplers(1.0, 3, 0.7)
    assert [result.name for result in comparison.results] == list(samplers)
    for result in comparison.results:
        assert result.sampler == repr(samplers[result.name])
        assert [(t.prompt, t.seed) for t in result.texts] == [
            (prompt, None if result.name == "greedy" else seed)
            for seeds in ([SEEDS[:1]] if result.name == "greedy" else [[s] for s in SEEDS])
            for prompt, seed in zip(PROMPTS, row_integers(seeds[0], 2), strict=True)
        ]
        for text in result.texts:
            alone = ls.generate(
                toy,
                text.prompt,
                sampler=samplers[result.name],
                seed=text.seed,
                max_new_tokens=12,
                stop_at_end=False,
            )
            assert text.text == alone.texts[0]
            assert text.token_ids == tuple(alone.token_ids[0])
            assert len(text.token_ids) == 12
            assert text.log_prob == pytest.approx(fmean(alone.log_probs[0]), abs=1e-6)


def test_numbers_are_means_over_prompts_and_seeds(comparison: Comparison) -> None:
    for result in comparison.results:
        seeds = 1 if result.name == "greedy" else 3
        of_seed = [result.texts[first : first + 2] for first in range(0, 2 * seeds, 2)]
        ids = [[t.token_ids for t in texts] for texts in of_seed]
        assert result.seq_rep_4.mean == pytest.approx(
            fmean(seq_rep_n(own) for texts in ids for own in texts)
        )
        assert result.distinct_2.mean == pytest.approx(fmean(distinct_n(t, 2) for t in ids))
        log_prob = fmean(t.log_prob for texts in of_seed for t in texts)
        assert result.number("log_prob").mean == pytest.approx(log_prob)
        assert result.perplexity.mean == pytest.approx(math.exp(-log_prob))
        assert (result.distinct_2.low, result.distinct_2.high) == (None, None)  # of 6 texts


def test_intervals_are_over_prompts_or_else_over_texts(toy: Any) -> None:
    own: dict[str, Any] = {"samplers": {"pure": ls.Sampler()}, "max_new_tokens": 8}
    many = ls.compare(toy, ["a"] * 20, seeds=[0], **own).results[0].perplexity
    few = ls.compare(toy, ["a", "b"], seeds=range(10), **own).results[0].perplexity
    for number, over in ((many, "prompts"), (few, "texts")):
        assert (number.units, number.over) == (20, over)
        assert number.low is not None and number.high is not None
        assert number.low < number.mean < number.high


def test_differences_are_paired_and_named(toy: Any) -> None:
    comparison = ls.compare(
        toy,
        ["a", "b"] * 12,
        ["greedy", "all: sample", "same: top_k=99", "cold: temperature=0.3"],
        range(2),
        8,
        baseline="all",
        measures=["seq_rep_2", "distinct_2", "log_prob"],
    )
    found = {(d.name, d.measure): d for d in comparison.differences()}
    assert len(found) == 3 * 3
    assert {d.baseline for d in found.values()} == {"all"}
    same, cold = found["same", "log_prob"], found["cold", "log_prob"]
    assert (same.estimate.mean, same.p) == (0, 1)  # the same draws
    result = {own.name: own.log_prob.mean for own in comparison.results}
    assert cold.estimate.mean == pytest.approx(result["cold"] - result["all"])
    assert cold.corrected is not None and cold.p is not None
    assert cold.p < cold.corrected < 0.05
    assert cold.estimate.low is not None and cold.estimate.low > 0
    other = comparison.differences("greedy", ["distinct_2"])
    assert [d.baseline for d in other] == ["greedy"] * 3
    with pytest.raises(ValueError, match="no result is called 'x'; there are 'greedy', 'all'"):
        comparison.differences("x")


def test_the_default_samplers(toy: Any) -> None:
    by_default = ls.compare(toy, "a", seeds=[0], max_new_tokens=4)
    assert [(r.name, r.sampler) for r in by_default.results] == [
        ("greedy", repr(ls.Greedy())),
        ("top-k 50", repr(ls.Sampler(ls.TopK(50)))),
        ("top-p 0.9", repr(ls.Sampler(ls.TopP(0.9)))),
        ("pure sampling", repr(ls.Sampler())),
    ]
    assert default_samplers(0.5, 7, 0.25) == {
        "greedy": ls.Greedy(),
        "top-k 7": ls.Sampler(ls.Temperature(0.5), ls.TopK(7)),
        "top-p 0.25": ls.Sampler(ls.Temperature(0.5), ls.TopP(0.25)),
        "pure sampling": ls.Sampler(ls.Temperature(0.5)),
    }


def test_the_first_call_of_a_cache_length_is_not_timed(toy: Any, monkeypatch: Any) -> None:
    generate = ls.generate
    calls: list[int] = []

    def timed(*args: Any, max_new_tokens: int, **options: Any) -> GenerationResult:
        first = max_new_tokens not in calls
        calls.append(max_new_tokens)
        result = generate(*args, max_new_tokens=max_new_tokens, **options)
        return replace(result, seconds=1000.0 if first else 6.0)

    import sys

    monkeypatch.setattr(sys.modules["logit_sampling.evaluation.jobs"], "generate", timed)
    samplers = {"greedy": ls.Greedy(), "top-k": ls.Sampler(ls.TopK(2))}
    results = ls.compare(toy, PROMPTS, samplers, SEEDS, max_new_tokens=12).results
    assert [r.seconds_per_token.mean for r in results] == [6.0 / 24, 6.0 / 24]
    assert calls == [12] * (1 + 1 + 3)  # the warm-up, then greedy once and top-k for each seed


def test_samplers_and_searches_are_written(toy: Any) -> None:
    lines = ["greedy", "mine: top_k=2 temperature=0.5", "beam num_beams=2", "c: contrastive k=2"]
    written = ls.compare(toy, PROMPTS, lines[:3], SEEDS, max_new_tokens=6)
    made = {
        "greedy": ls.Greedy(),
        "mine": ls.Sampler(ls.Temperature(0.5), ls.TopK(2)),
        "beam num_beams=2": ls.BeamSearch(2),
    }
    built = ls.compare(toy, PROMPTS, made, SEEDS, max_new_tokens=6)
    for own, other in zip(written.results, built.results, strict=True):
        assert (own.name, own.sampler) == (other.name, other.sampler)
        assert timeless(own.texts) == timeless(other.texts)
    beam = ls.generate(toy, PROMPTS, search=ls.BeamSearch(2), max_new_tokens=6, stop_at_end=False)
    assert [list(t.token_ids) for t in written.results[2].texts] == beam.token_ids
    assert [t.seed for t in written.results[2].texts] == [None, None]
    in_a_mapping = ls.compare(toy, "a", {"x": "mine: top_k=2"}, [0], max_new_tokens=6)
    assert in_a_mapping.results[0].name == "x"
    for samplers, message in (
        (["top_k=2", "top_k=2"], "two samplers are called 'top_k=2'"),
        (["top_q=2"], "did you mean"),
        ([ls.Greedy()], "a list of samplers holds lines"),
    ):
        with pytest.raises(ValueError, match=message):
            ls.compare(toy, "a", samplers, max_new_tokens=6)  # type: ignore[arg-type]


def test_prompts_draw_numbers_of_their_own(toy: Any) -> None:
    """And samplers the same ones: where two of them agree on a distribution, on the text too."""
    result = ls.compare(
        toy, ["a"] * 20, ["all: sample", "same: top_k=99"], [5], max_new_tokens=8
    ).results
    assert len({text.token_ids for text in result[0].texts}) > 10
    assert [t.token_ids for t in result[0].texts] == [t.token_ids for t in result[1].texts]


def test_progress_counts_texts(toy: Any) -> None:
    seen: list[tuple[str, int, int]] = []
    samplers = {"greedy": ls.Greedy(), "pure": ls.Sampler()}
    show: Any = lambda *run: seen.append(run)  # noqa: E731
    ls.compare(toy, ["a", "b", "a"], samplers, (0, 1), 4, on_run=show, batch_size=2)
    names = [name for name, _, _ in seen]
    assert names == ["greedy", "pure", "pure", "greedy", "pure", "pure"]
    assert [run[1:] for run in seen] == [(0, 9), (2, 9), (4, 9), (6, 9), (7, 9), (8, 9)]


@pytest.mark.parametrize("calls", [1, 36, 37, 84])
def test_ctrl_c_ends_it_and_what_is_cut_counts_for_nothing(calls: int) -> None:
    """24 calls for a sampler of two seeds and 12 tokens, and before all 12 to warm up."""
    samplers = {name: ls.Sampler(ls.TopK(k)) for name, k in (("a", 5), ("b", 3), ("c", 2))}
    arguments: Any = ([[0], [1]], samplers, (3, 1), 12)
    result = interrupted_at(calls, arguments)
    complete = max(0, (calls - 1 - 12) // 24)
    whole = ls.compare(model_that_counts(0)[0], *arguments)
    assert (result.seeds, result.tokens, len(result.results)) == ((3, 1), 12, complete)
    for own, expected in zip(result.results, whole.results, strict=False):
        assert timeless(own.texts) == timeless(expected.texts)


def test_ctrl_c_in_a_later_batch_leaves_the_prompts_that_all_samplers_have() -> None:
    """Two batches of a prompt; a sampler takes 8 calls for it, and 8 before all to warm up."""
    samplers = {name: ls.Sampler(ls.TopK(k)) for name, k in (("a", 5), ("b", 3))}
    result = interrupted_at(8 + 16 + 8 + 3, ([[0], [1]], samplers, (3,), 8), batch_size=1)
    assert [own.name for own in result.results] == ["a", "b"]
    assert result.prompts == ((0,),)
    assert len(result.texts) == 3
    assert "Not all texts are written: 1 of 2 prompts" in legend(result)


def model_that_counts(stop: int) -> tuple[Any, list[int]]:
    """A model that is interrupted in its call number `stop`, and the number of its calls."""
    counted, before = [0], PROBABILITIES.astype(np.float32)

    def model(ids: np.ndarray) -> np.ndarray:
        counted[0] += 1
        if counted[0] == stop:
            signal.raise_signal(signal.SIGINT)  # in this thread, now
        return np.log(before)[ids[:, -1]]

    return model, counted


def interrupted_at(calls: int, arguments: Any, **options: Any) -> Comparison:
    model, counted = model_that_counts(calls)
    with pytest.raises(ls.Interrupted) as raised:
        ls.compare(model, *arguments, **options)
    assert counted[0] == calls
    return raised.value.result


def timeless(texts: Sequence[Text]) -> list[Text]:
    return [replace(text, seconds=None) for text in texts]


def test_the_size_of_a_batch_changes_no_text(toy: Any) -> None:
    prompts = ["a", "b", "a ", "$"]
    found = [
        ls.compare(toy, prompts, ["sample", "greedy"], (0, 4), 6, batch_size=size).results
        for size in (1, 3, 32)
    ]
    for own, first in zip(found[1] + found[2], found[0] * 2, strict=True):
        assert timeless(own.texts) == timeless(first.texts)


def test_a_text_that_fails_counts_for_nothing(toy: Any) -> None:
    """Behind token 3 the model tells nothing; the other prompts have their numbers."""
    table = np.log(PROBABILITIES, dtype=np.float32)
    table[3] = np.nan
    prompts = ["a"] * 9 + ["\n"]
    comparison = ls.compare(
        lambda ids: table[ids[:, -1]],
        prompts,
        ["greedy", "top_k=2"],
        [0],
        8,
        tokenizer=toy.tokenizer,
    )
    greedy = comparison.results[0]
    assert (greedy.failed, greedy.texts[9].finish_reason) == (1, "error")
    assert "NaN" in (greedy.texts[9].error or "")
    assert greedy.grid[9] == (None,)
    assert greedy.log_prob.mean == pytest.approx(math.log(1 / 2), abs=1e-6)
    assert greedy.distinct_1.mean == pytest.approx(3 / (9 * 8))
    assert "count for nothing: 1 of greedy, " in legend(comparison)


def test_end_tokens_end_texts_if_asked(toy: Any) -> None:
    comparison = ls.compare(
        toy, ["a"], ["greedy"], max_new_tokens=8, stop_at_end=True, measures=["length", "ended"]
    )
    greedy = comparison.results[0]
    assert greedy.texts[0].token_ids == (1, 2)
    assert greedy.texts[0].finish_reason == "end_token"
    assert (greedy.length.mean, greedy.ended.mean) == (2, 1)


def test_several_models_are_rows(toy: Any) -> None:
    flat = ls.as_model(lambda ids: np.zeros((len(ids), 5), np.float32), tokenizer=toy.tokenizer)
    prompt = Prompt("p", "a", "b ab")
    comparison = ls.compare({"toy": toy, "flat": flat}, [prompt], ["greedy"], max_new_tokens=4)
    assert [own.name for own in comparison.results] == ["toy: greedy", "flat: greedy"]
    assert [own.model for own in comparison.results] == ["toy", "flat"]
    assert comparison.results[1].texts[0].token_ids == (0, 0, 0, 0)
    assert [own.name for own in comparison.humans] == ["toy: human", "flat: human"]
    assert comparison.humans[1].log_prob.mean == pytest.approx(math.log(1 / 5), abs=1e-6)


def test_the_human_line(toy: Any) -> None:
    """How the author went on, read by the model: a$ b is worth 1/16, 1/8, 1/8, 1/2 behind $."""
    prompts = [Prompt("x", "b$", "a$ b ab"), Prompt("y", "a", None)]
    comparison = ls.compare(toy, prompts, ["greedy"], max_new_tokens=4)
    human = comparison.human
    assert human is not None
    (text,) = human.texts
    assert (text.text, text.token_ids, text.finish_reason) == ("a$ b", (0, 4, 2, 1), "human")
    chances = [1 / 16, 1 / 16, 1 / 4, 1 / 8]
    assert text.log_probs == pytest.approx(np.log(chances), abs=1e-5)
    assert human.seq_rep_1.mean == 0
    assert comparison.result("human") is human
    with pytest.raises(ValueError, match="'human' is what authors wrote"):
        ls.compare(toy, prompts, {"human": ls.Greedy()})
    assert ls.compare(toy, ["a"], ["greedy"], max_new_tokens=4).human is None


def test_steps_are_those_of_the_sampler_that_wrote(toy: Any) -> None:
    """What is left at each step, against the distribution itself; also with a state."""
    samplers = [
        "top_k=3",
        "heat: temperature=0.5",
        "m: mirostat=2 mirostat_tau=1",
        "greedy",
        "beam",
    ]
    comparison = ls.compare(toy, ["a", "b$"], samplers, [3], 6, steps=True)
    chains = (ls.Sampler(ls.TopK(3)), ls.Sampler(ls.Temperature(0.5)))
    for result, sampler in zip(comparison.results, chains, strict=False):
        for text in result.texts:
            past = toy.encode(text.prompt)
            for place, token in enumerate(text.token_ids):
                p = sampler.probabilities(toy.logits([past + list(text.token_ids[:place])])[0, -1])
                p = p[p > 0].astype(float)
                assert text.kept is not None and text.entropies is not None
                assert text.kept[place] == p.size
                assert text.entropies[place] == pytest.approx(-(p * np.log(p)).sum(), abs=1e-5)
                assert token < 5
    assert comparison.results[0].kept.mean == 3
    assert list(comparison.results[0].steps("kept")) == [3] * 6
    mirostat = comparison.results[2].texts[0].kept
    assert mirostat is not None and len(set(mirostat)) > 1
    assert comparison.results[3].kept.mean == 1
    assert math.isnan(comparison.results[4].kept.mean)  # a search has no such steps


def test_a_judge_reads_the_texts(toy: Any) -> None:
    """It may have other tokens: half of each character's chance, read two at a time."""

    class Pairs:
        def encode(self, text: str) -> list[int]:
            ids = toy.encode(text)
            return [5 * a + b for a, b in zip(ids[::2], ids[1::2], strict=False)]

        def decode(self, ids: list[int]) -> str:
            return "".join(toy.decode([i // 5, i % 5]) for i in ids)

    flat = ls.as_model(lambda ids: np.zeros((*ids.shape, 25), np.float32), tokenizer=Pairs())
    comparison = ls.compare(toy, ["ab"], ["greedy"], max_new_tokens=8, judge=flat)
    assert comparison.results[0].judge_perplexity.mean == pytest.approx(25, rel=1e-4)
    own = ls.compare(toy, ["ab"], ["sample"], [0], 8, judge=toy).results[0]
    assert own.judge_perplexity.mean == pytest.approx(own.perplexity.mean, rel=1e-5)


def test_differences_are_of_prompts_with_texts_of_both(toy: Any) -> None:
    """Half of the authors' texts are known, and they wrote what greedy writes."""
    greedy = "b ab "
    prompts = [Prompt(str(i), "ab"[i % 2], greedy if i % 2 == 0 else None) for i in range(60)]
    comparison = ls.compare(
        toy, prompts, ["greedy"], max_new_tokens=5, baseline="human", measures=["log_prob", "zipf"]
    )
    assert comparison.human is not None
    assert comparison.human.zipf.mean != comparison.results[0].zipf.mean  # of other prompts too
    for found in comparison.differences():
        assert (found.estimate.mean, found.p) == (0, 1)


def test_needed_counts_prompts_also_where_units_are_groups_of_them(toy: Any) -> None:
    """Of 160 prompts there are 20 groups for self-BLEU."""
    comparison = ls.compare(
        toy, ["a"] * 160, ["sample", "top_k=2"], [0], 8, measures=["self_bleu", "log_prob"]
    )
    groups, prompts = comparison.differences()
    assert (groups.estimate.units, prompts.estimate.units) == (20, 160)
    alone = replace(groups, prompts_per_unit=1)
    assert groups.needed(0.01) == 8 * alone.needed(0.01)
    assert prompts.prompts_per_unit == 1


def test_numbers_that_are_no_numbers_have_no_interval() -> None:
    values = np.random.default_rng(0).normal(size=(30, 1))
    values[3] = -math.inf
    own = estimate(values)
    assert (own.mean, own.low) == (-math.inf, None)
    assert difference("a", "b", "m", values, np.zeros((30, 1))).p is None
    assert estimate(np.full((30, 1), math.nan), mean=1.0).mean == 1.0


def test_what_is_asked_for_is_shown(toy: Any) -> None:
    """A judge, steps and a frontier have their columns; a measure that needs them asks for them."""
    own = ls.compare(toy, "a", ["greedy"], max_new_tokens=4, judge=toy, steps=True)
    assert own.measures[-2:] == ("judge_perplexity", "kept")
    asked = ls.compare(toy, "a", ["top_k=2"], max_new_tokens=4, measures=["step-entropy"])
    assert asked.measures == ("step_entropy",)
    assert asked.results[0].step_entropy.mean > 0
    one = ls.compare(toy, "a", "greedy", max_new_tokens=4, measures="seq_rep_4")
    assert (one.results[0].name, one.measures) == ("greedy", ("seq_rep_4",))


def test_the_frontier_is_1_for_the_human_texts_themselves(tiny_gpt2: Any) -> None:
    """And each sampler's is that of its own clusters, learnt from the texts of all."""
    words = ["the cat sat on", "a mat and the", "cat on the mat", "sat and sat on"]
    prompts = [Prompt(str(i), words[i % 4][: 3 + i % 5], words[i % 3]) for i in range(24)]
    comparison = ls.compare(
        tiny_gpt2, prompts, ["greedy", "sample"], [0, 1], 6, frontier=True, measures=["frontier"]
    )
    assert comparison.human is not None
    assert comparison.human.frontier.mean == pytest.approx(1)
    places = comparison._clusters
    human = [places[row[0].key] for row in comparison.human.grid if row[0]]
    kinds = 1 + max(places.values())
    for result in comparison.results:
        each = []
        for j in range(len(result.grid[0])):
            own = [places[row[j].key] for row in result.grid]  # type: ignore[union-attr]
            counts = (np.bincount(ids, minlength=kinds) for ids in (own, human))
            each.append(divergence_area(*counts))
        assert result.frontier.mean == pytest.approx(np.mean(each))
        own = [places[row[0].key] for row in result.grid]  # type: ignore[union-attr]
        without = []
        for i in range(24):  # what both wrote
            both = (np.bincount(np.delete(ids, i), minlength=kinds) for ids in (own, human))
            without.append(divergence_area(*both))
        pseudo = each[0] + 23 * (np.mean(without) - np.array(without))
        assert result.values("frontier")[:, 0] == pytest.approx(pseudo)
        assert result.frontier.low is not None and result.frontier.high is not None
        assert 0 <= result.frontier.low <= result.frontier.mean <= result.frontier.high <= 1
    with pytest.raises(ValueError, match="needs embeddings of texts and of human ones"):
        ls.compare(tiny_gpt2, ["the"], ["greedy"], max_new_tokens=4).results[0].number("frontier")


def test_the_time_of_a_token_is_that_of_most_texts(toy: Any) -> None:
    comparison = ls.compare(toy, ["a"] * 5, ["greedy"], max_new_tokens=4)
    times = iter((0.1, 0.2, 0.3, 0.4, 90.0))
    texts = tuple(replace(text, seconds=next(times)) for text in comparison.texts)
    assert replace(comparison, texts=texts).results[0].seconds_per_token.mean == 0.3


def test_a_measure_of_one_s_own(toy: Any) -> None:
    metrics = {"spaces": lambda text, ids: text.count(" ")}
    comparison = ls.compare(toy, ["a"], ["greedy"], max_new_tokens=9, metrics=metrics)
    assert comparison.results[0].spaces.mean == 3
    assert "spaces" in str(comparison)
    metrics = {"own-spaces": metrics["spaces"]}  # a hyphen is as good as an underscore here too
    own = ls.compare(
        toy, ["a"], ["greedy"], max_new_tokens=9, measures=["own_spaces"], metrics=metrics
    )
    assert own.measures == ("own_spaces",)
    assert own.results[0].own_spaces.mean == own.results[0].number("own-spaces").mean > 0


def test_what_a_sampler_raises_leaves_the_others_their_results(toy: Any) -> None:
    samplers = {"greedy": ls.Greedy(), "beyond": ls.Sampler(ls.LogitBias({99: 1.0}))}
    with pytest.raises(ValueError, match="99") as raised:
        ls.compare(toy, ["a"], samplers, max_new_tokens=4)
    result = raised.value.result  # type: ignore[attr-defined]
    assert [own.name for own in result.results] == ["greedy"]


def test_a_bare_function_with_token_ids(toy: Any) -> None:
    result = ls.compare(toy.logits, [[0]], {"greedy": ls.Greedy()}, max_new_tokens=4)
    assert result.prompts == ((0,),)
    assert result.results[0].texts[0].token_ids == (1, 2, 0, 1)
    assert result.results[0].texts[0].text is None
    with_text = ls.compare(
        toy.logits, "a", {"greedy": ls.Greedy()}, max_new_tokens=4, tokenizer=toy.tokenizer
    )
    assert with_text.results[0].texts[0].text == "b ab"


def test_to_dict_goes_through_json(comparison: Comparison) -> None:
    data = json.loads(json.dumps(comparison.to_dict(), allow_nan=False))
    assert data["prompts"] == PROMPTS
    assert data["seeds"] == list(SEEDS)
    assert data["tokens"] == 12
    top_k = data["results"][1]
    assert (top_k["name"], top_k["sampler"]) == ("top-k 3", repr(ls.Sampler(ls.TopK(3))))
    assert top_k["texts"][5]["prompt"] == "b$"
    assert top_k["texts"][5]["seed"] == row_integers(8, 2)[1]
    assert top_k["texts"][5]["text"] == comparison.results[1].texts[5].text
    assert top_k["seq_rep_4"]["mean"] == comparison.results[1].seq_rep_4.mean
    assert data["calls"][0]["versions"]["numpy"] == np.__version__


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"max_tokens": 5}, "did you mean `max_new_tokens`"),
        ({"temperature": 0.5}, r"pass samplers=\{'mine': Sampler.from_params\(temperature=0.5\)\}"),
        ({"seed": 3}, "'seed': did you mean `seeds`"),
        ({"num_return_sequences": 3}, "num_return_sequences"),
    ],
)
def test_arguments_by_the_names_of_others(toy: Any, given: dict[str, Any], message: str) -> None:
    with pytest.raises(TypeError, match=message):
        ls.compare(toy, "a", **given)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"prompts": []}, "prompts is empty"),
        ({"prompts": ["a", ""]}, "prompt 1 is empty"),
        (
            {"prompts": ["a" * 39]},
            '39 tokens.* prompt; overflow="slide" goes on beyond the context',
        ),
        ({"prompts": ["a" * 40]}, '40 tokens.* fewer; overflow="slide" reads the last part'),
        ({"samplers": {}}, "samplers is empty"),
        ({"seeds": ()}, r"at least one; got \(\)"),
        ({"seeds": 3}, "list of different integers.* got 3"),
        ({"seeds": (1, 2, 1)}, r"different integers.* got \(1, 2, 1\)"),
        ({"max_new_tokens": 3}, "at least 4 for 4-grams, got 3"),
        ({"seeds": (0, 1.5)}, "1.5"),
        ({"samplers": {"g": ls.Greedy(), "k": ls.TopK(3)}}, "sampler 'k': sampler must be a"),
        ({"batch_size": 0}, "batch_size must be an integer of at least 1, got 0"),
        ({"measures": ["perplexety"]}, "did you mean 'perplexity'"),
        ({"baseline": "x"}, r"no sampler is called 'x' \(baseline\)"),
        ({"model": {}}, "model is empty"),
        ({"prompts": [Prompt("x", "a"), Prompt("x", "b")]}, "two prompts have the id 'x'"),
        ({"frontier": True}, "the frontier is to human texts: give prompts that say how"),
        ({"frontier": True, "prompts": [Prompt("x", "a", "b ab")]}, "tells no hidden states"),
        ({"measures": ["judge_perplexity"]}, "need a judge: pass judge="),
        ({"baseline": "human"}, r"no sampler is called 'human' \(baseline\)"),
        ({"metrics": {"frontier": len}}, "metric 'frontier' has a name that is taken"),
        ({"metrics": {"seq-rep-4": len}}, "metric 'seq-rep-4' has a name that is taken"),
        ({"max_new_tokens": 5.9}, "an integer of at least 4 for 4-grams, got 5.9"),
        (
            {
                "samplers": {"g": ls.Greedy(), "k": ls.Sampler(ls.TopP([0.5, 1]))},
                "prompts": ["a", "b"],
            },
            "sampler 'k': TopP has 2 values of `p`, one for each row; .* give one for each value",
        ),
        ({"samplers": [ls.BeamSearch(2)]}, "a list of samplers holds lines .* got BeamSearch"),
        ({"prompts": ["a", 3]}, "prompt 1 is a string, a list of token ids or a Prompt, got 3"),
    ],
)
def test_bad_input(toy: Any, change: dict[str, Any], message: str) -> None:
    arguments: dict[str, Any] = {"prompts": ["a"], "max_new_tokens": 4, **change}
    run: Callable[..., Comparison] = ls.compare
    runs: list[Any] = []
    with pytest.raises(ValueError, match=message):
        run(arguments.pop("model", toy), **arguments, on_run=lambda *run: runs.append(run))
    assert len(runs) <= 1  # nothing was written in vain
