"""Comparisons of samplers on a model that can be reckoned by hand."""

import json
import math
import signal
from collections.abc import Callable
from dataclasses import replace
from statistics import fmean, stdev
from typing import Any

import numpy as np
import pytest

import logit_sampling as ls
from logit_sampling.distribution.random import row_integers
from logit_sampling.evaluation import Comparison, default_samplers, distinct_n, seq_rep_n
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
    assert greedy.seq_rep_4.mean == greedy.texts[0].seq_rep_4 == pytest.approx(6 / 9)
    assert greedy.distinct_1.mean == 3 / 12
    assert greedy.distinct_2.mean == 3 / 11
    assert greedy.log_prob.mean == pytest.approx(math.log(1 / 2), abs=1e-6)
    assert (greedy.log_prob.spread, greedy.log_prob.runs) == (0, 1)


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


def test_numbers_are_means_and_deviations_over_seeds(comparison: Comparison) -> None:
    for result in comparison.results[1:]:
        of_seed = [result.texts[first : first + 2] for first in (0, 2, 4)]
        ids = [[t.token_ids for t in texts] for texts in of_seed]
        for estimate, values in [
            (result.seq_rep_4, [fmean(map(seq_rep_n, texts)) for texts in ids]),
            (result.distinct_1, [distinct_n(texts, 1) for texts in ids]),
            (result.distinct_2, [distinct_n(texts, 2) for texts in ids]),
            (result.log_prob, [fmean(t.log_prob for t in texts) for texts in of_seed]),
        ]:
            assert estimate.mean == pytest.approx(fmean(values), abs=1e-9)
            assert estimate.spread == pytest.approx(stdev(values), abs=1e-9)
            assert estimate.runs == 3
    assert comparison.results[3].log_prob.spread > 0


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

    monkeypatch.setattr(sys.modules["logit_sampling.evaluation.compare"], "generate", timed)
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
        assert own.texts == other.texts
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


def test_progress(toy: Any) -> None:
    seen: list[tuple[str, int, int]] = []
    samplers = {"greedy": ls.Greedy(), "pure": ls.Sampler()}
    ls.compare(toy, ["a"], samplers, (0, 1), 4, on_run=lambda *run: seen.append(run))
    assert seen == [("greedy", 0, 3), ("pure", 1, 3), ("pure", 2, 3)]


@pytest.mark.parametrize("calls", [1, 36, 37, 84])
def test_ctrl_c_ends_it_and_what_is_cut_counts_for_nothing(calls: int) -> None:
    """24 calls for a sampler of two seeds and 12 tokens, and before all 12 to warm up."""
    counted, before = [0], PROBABILITIES.astype(np.float32)

    def model(ids: np.ndarray) -> np.ndarray:
        counted[0] += 1
        if counted[0] == calls:
            signal.raise_signal(signal.SIGINT)  # in this thread, now
        return np.log(before)[ids[:, -1]]

    samplers = {name: ls.Sampler(ls.TopK(k)) for name, k in (("a", 5), ("b", 3), ("c", 2))}
    arguments: Any = ([[0], [1]], samplers, (3, 1), 12)
    with pytest.raises(ls.Interrupted) as raised:
        ls.compare(model, *arguments)
    assert counted[0] == calls
    result, complete = raised.value.result, max(0, (calls - 1 - 12) // 24)
    whole = ls.compare(model, *arguments)
    assert (result.seeds, result.tokens, len(result.results)) == ((3, 1), 12, complete)
    for own, expected in zip(result.results, whole.results, strict=False):
        time = own.seconds_per_token
        assert replace(own, seconds_per_token=time) == replace(expected, seconds_per_token=time)


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
    assert top_k["seq_rep_4"] == {
        "mean": comparison.results[1].seq_rep_4.mean,
        "spread": comparison.results[1].seq_rep_4.spread,
        "runs": 3,
    }


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"prompts": []}, "prompts is empty"),
        ({"prompts": ["a", ""]}, "prompt 1 is empty"),
        ({"prompts": ["a" * 39]}, "39 tokens"),
        ({"samplers": {}}, "samplers is empty"),
        ({"seeds": ()}, r"at least one; got \(\)"),
        ({"seeds": 3}, "list of different integers.* got 3"),
        ({"seeds": (1, 2, 1)}, r"different integers.* got \(1, 2, 1\)"),
        ({"max_new_tokens": 3}, "at least 4 for 4-grams, got 3"),
        ({"seeds": (0, 1.5)}, "1.5"),
        ({"samplers": {"g": ls.Greedy(), "k": ls.TopK(3)}}, "sampler 'k': sampler must be a"),
        (
            {"samplers": {"g": ls.Greedy(), "k": ls.Sampler(ls.TopK([1, 2, 3]))}},
            "sampler 'k': .* 3",
        ),
    ],
)
def test_bad_input(toy: Any, change: dict[str, Any], message: str) -> None:
    arguments: dict[str, Any] = {"prompts": ["a"], "max_new_tokens": 4, **change}
    run: Callable[..., Comparison] = ls.compare
    runs: list[Any] = []
    with pytest.raises(ValueError, match=message):
        run(toy, **arguments, on_run=lambda *run: runs.append(run))
    assert len(runs) <= 1  # nothing was written in vain
