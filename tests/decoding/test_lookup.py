"""Prompt lookup has the distribution of the sampler, and is quicker where a text copies."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import logit_sampling as ls
from logit_sampling.decoding.lookup import Lookup, _Copies
from tests.decoding.test_speculative import (
    accept_always,
    by_state,
    p_values,
    subtract_nothing,
    target,
)

PROMPTS = [[0, 1, 2, 0, 1], [2, 3, 2, 3, 2, 3]]
"""Most first tokens are followed by a draft."""


@pytest.mark.parametrize(
    "sampler",
    [
        ls.Sampler(),
        ls.Sampler(ls.Temperature(0.7), ls.TopK(3)),
        ls.Sampler(ls.RepetitionPenalty(2.0), ls.TopP(0.9)),
        ls.Sampler(ls.XTC(0.5, 0.2)),
    ],
    ids=str,
)
def test_texts_have_the_distribution_of_the_sampler(sampler: ls.Sampler) -> None:
    assert min(p_values(sampler, "lookup", 2, prompts=PROMPTS)) > 1e-3


def test_a_sampler_that_learns_from_its_draws() -> None:
    sampler = ls.Sampler(ls.Mirostat(tau=1.5, eta=0.9))
    assert min(p_values(sampler, "lookup", 2, oracle=by_state, prompts=PROMPTS)) > 1e-3


@pytest.mark.parametrize("fault", [accept_always, subtract_nothing])
def test_the_test_sees_faults(fault: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    fault(monkeypatch)
    assert max(p_values(ls.Sampler(), "lookup", 2, prompts=PROMPTS)) < 1e-6


def counter(ids: np.ndarray) -> np.ndarray:
    """A model that counts to eleven, again and again."""
    return 30.0 * np.eye(12, dtype=np.float32)[(ids + 1) % 12]


def test_what_repeats_is_written_in_few_calls() -> None:
    calls = []

    def counted(ids: np.ndarray) -> np.ndarray:
        calls.append(ids.shape)
        return counter(ids)

    result = ls.generate(counted, [[0]], max_new_tokens=120, seed=0, draft="lookup")
    assert result.token_ids[0] == [(i + 1) % 12 for i in range(120)]
    assert result.accepted is not None and result.accepted[0] > 2
    assert len(calls) < 30  # 13 until it repeats, then 3, 6, 12 and 16 at once
    few = ls.generate(counter, [[0]], max_new_tokens=120, seed=0, draft="lookup", num_draft=1)
    assert few.token_ids == result.token_ids


def test_a_text_is_what_it_is_alone_and_a_shorter_one_its_beginning() -> None:
    sampler = ls.Sampler(ls.Temperature(0.5))
    options: dict[str, Any] = {"sampler": sampler, "draft": "lookup", "num_draft": 3}
    batch = ls.generate(target, PROMPTS, n=3, max_new_tokens=14, seed=20, **options)
    assert batch.accepted is not None and sum(batch.accepted) > 0
    for row in range(6):
        alone = ls.generate(
            target, [PROMPTS[row // 3]], max_new_tokens=14, seed=[batch.seeds[row]], **options
        )
        assert alone.token_ids == [batch.token_ids[row]]
    for length in range(1, 14):
        shorter = ls.generate(target, PROMPTS, n=3, max_new_tokens=length, seed=20, **options)
        assert shorter.token_ids == [ids[:length] for ids in batch.token_ids]


def test_greedy_is_greedy_with_a_cache(tiny_llama: Any) -> None:
    prompts = [[7, 8, 9] * 4, [3, 1, 4, 1, 5, 9, 2, 6], [20, 21] * 6]
    options: dict[str, Any] = {"sampler": ls.Greedy(), "max_new_tokens": 30}
    plain = ls.generate(tiny_llama, prompts, **options)
    ours = ls.generate(tiny_llama, prompts, **options, draft="lookup")
    assert ours.token_ids == plain.token_ids
    np.testing.assert_allclose(ours.log_probs, plain.log_probs, atol=5e-5)
    assert ours.accepted is not None and max(ours.accepted) > 0


def test_drafts_by_hand() -> None:
    none: frozenset[int] = frozenset()
    copies = _Copies(8)
    text = [1, 2, 3, 4, 5, 9, 2, 3]
    assert copies.draft(text, 9, none) == [4, 5, 9]  # what followed 2, 3; three at first
    copies.learn(3, 3)
    assert copies.draft(text, 9, none) == [4, 5, 9, 2, 3]  # six at most: there are five
    assert copies.draft(text, 2, none) == [4, 5]
    assert copies.draft(text, 9, frozenset([5])) == [4, 5]  # nothing behind an end
    copies.learn(5, 1)
    assert copies.draft(text, 9, none) == [4]
    copies.learn(1, 0)  # two rounds without, then four
    assert [copies.draft(text, 9, none) for _ in range(3)] == [[], [], [4]]
    copies.learn(1, 0)
    assert [copies.draft(text, 9, none) for _ in range(5)] == [[]] * 4 + [[4]]
    assert copies.draft([*text, 7], 9, none) == []
    assert copies.draft([*text, 7, 4, 5, 9], 9, none) == [2]
    # The longer ending counts: 8, 1, 2 and not the latest 1, 2.
    assert _Copies(8).draft([8, 1, 2, 5, 0, 1, 2, 6, 8, 1, 2], 1, none) == [5]


def test_what_is_refused() -> None:
    for options, message in (
        ({"draft": "look"}, "draft must be a model or \"lookup\", got 'look'"),
        ({"draft": "lookup", "num_draft": 0}, "num_draft must be an integer of at least 1"),
        ({"draft": "lookup", "overflow": "slide"}, "draft= does not go together with overflow="),
        ({"draft": "lookup", "search": ls.BeamSearch()}, "draws nothing: leave one out"),
    ):
        with pytest.raises(ValueError, match=message):
            ls.generate(target, PROMPTS, **options)
    assert Lookup(3).rows(2) == 2
