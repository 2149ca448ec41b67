"""Texts that outgrow the context."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import logit_sampling as ls
from logit_sampling.decoding.window import window_start
from tests.generation.models import Windowed


@given(st.integers(1, 300), st.integers(2, 40))
def test_windows(length: int, context: int) -> None:
    start = window_start(length, context)
    assert length - start <= context
    if length <= context:
        assert start == 0
    else:
        assert length - start > context // 2
        # It moves by more than half a context at once, when it must.
        assert start - window_start(length - 1, context) in (0, context - context // 2)
        assert (start > window_start(length - 1, context)) == (
            length - window_start(length - 1, context) > context
        )
    assert window_start(length, None) == 0


def by_hand(model: Windowed, prompt: list[int], seed: int, new: int) -> list[int]:
    """Draw step by step, with a penalty that sees the whole text."""
    sampler = ls.Sampler(ls.RepetitionPenalty(1.5), ls.TopK(8))
    ids, state = list(prompt), sampler.init([prompt], model.vocab_size, seed=[seed])
    for _ in range(new):
        window = ids[window_start(len(ids), model.context_length) :]
        drawn, state = sampler.step(model.row(window)[None], state)
        ids.append(int(drawn[0]))
    return ids[len(prompt) :]


PROMPTS = [[1], [5, 6, 7, 8, 9, 10], list(range(8)), [int(i) % 30 for i in range(25)], [3, 3]]


def test_sliding_rows_get_what_each_gets_alone() -> None:
    model = Windowed(8)
    result = ls.generate(
        model,
        PROMPTS,
        sampler=ls.Sampler(ls.RepetitionPenalty(1.5), ls.TopK(8)),
        max_new_tokens=30,
        overflow="slide",
        seed=4,
    )
    for row, prompt in enumerate(PROMPTS):
        assert result.token_ids[row] == by_hand(Windowed(8), prompt, result.seeds[row], 30)
    assert result.finish_reasons == ["length"] * 5
    # Each row is read anew when it must be, and a token a step otherwise.
    lengths = [[len(prompt) + more for more in range(30)] for prompt in PROMPTS]
    windows = [{window_start(length, 8) for length in own} for own in lengths]
    assert sum(map(len, model.prefills)) == sum(map(len, windows))
    assert len(model.steps) <= 30 and {columns for _, columns in model.steps} == {1}
    assert len(model.steps) > 5


def test_going_on_from_a_text_that_slides_continues_it() -> None:
    options: dict[str, Any] = {"overflow": "slide", "seed": 4}
    whole = ls.generate(Windowed(8), [[1, 2]], max_new_tokens=40, **options).token_ids[0]
    rest = ls.generate(Windowed(8), [[1, 2, *whole[:23]]], max_new_tokens=17, **options)
    assert rest.token_ids[0] == whole[23:]


def test_nothing_changes_within_the_context() -> None:
    results = [
        ls.generate(Windowed(20), PROMPTS[:2], max_new_tokens=14, overflow=overflow, seed=1)
        for overflow in ("error", "slide")
    ]
    assert results[0].token_ids == results[1].token_ids


def test_a_prompt_that_does_not_fit_names_the_way_out() -> None:
    with pytest.raises(ValueError, match=r"has 25 tokens, .* has 8 .* to 7 .*overflow=\"slide\""):
        ls.generate(Windowed(8), PROMPTS[3:4], max_new_tokens=1)
    with pytest.raises(
        ValueError, match=r"6 tokens and max_new_tokens is 3, .* at most 2 new .*slid"
    ):
        ls.generate(Windowed(8), PROMPTS[1:2], max_new_tokens=3)


def test_a_language_model_slides(tiny_gpt2: Any) -> None:
    result = ls.generate(
        tiny_gpt2,
        ["the", "a cat"],
        max_new_tokens=110,
        seed=2,
        overflow="slide",
        stop_at_end=False,
        echo=True,
    )
    assert [len(ids) for ids in result.token_ids] == [110, 110]
    assert result.prompt_ids is not None
    texts = [p + ids for p, ids in zip(result.prompt_ids, result.token_ids, strict=True)]
    scored = ls.score(tiny_gpt2, texts, overflow="slide")
    for row in range(2):
        np.testing.assert_allclose(scored.log_probs[row][-110:], result.log_probs[row], atol=5e-5)
