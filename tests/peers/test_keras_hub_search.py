"""Our beam search beside KerasHub's, on one model."""

from typing import Any

import keras_hub
import numpy as np
import pytest

import logit_sampling as ls

LENGTH = 9


def theirs_of(causal_lm: Any, prompt: list[int], ends: list[int] | None) -> list[int]:
    causal_lm.compile(sampler=keras_hub.samplers.BeamSampler(num_beams=3))
    ids, mask = np.zeros((2, 1, len(prompt) + LENGTH), np.int32)
    ids[0, : len(prompt)], mask[0, : len(prompt)] = prompt, 1
    data = {"token_ids": ids, "padding_mask": mask}
    found = causal_lm.generate(data, stop_token_ids=ends)
    return found["token_ids"][0][found["padding_mask"][0].astype(bool)].tolist()[len(prompt) :]


def ours_of(causal_lm: Any, prompt: list[int], ends: list[int]) -> list[int]:
    search = ls.BeamSearch(3, length_penalty=0)
    return ls.generate(
        causal_lm, [prompt], search=search, max_new_tokens=LENGTH, stop_at_end=ends
    ).token_ids[0]


@pytest.mark.parametrize("prompt", [[7], [3, 1, 4, 1], [20, 21]])
def test_without_end_tokens_the_texts_are_those_of_keras_hub(
    tiny_llama: Any, prompt: list[int]
) -> None:
    assert ours_of(tiny_llama, prompt, []) == theirs_of(tiny_llama, prompt, None)


def test_keras_hub_goes_on_counting_behind_an_end_token(tiny_llama: Any) -> None:
    """It adds up what follows the end of a text too, and so leaves the likeliest text."""
    prompt, end = [7], 45
    texts = [ours_of(tiny_llama, prompt, [end]), theirs_of(tiny_llama, prompt, [end])]
    assert [text[-1] for text in texts] == [end, end]
    assert [text.count(end) for text in texts] == [1, 1]
    ours, theirs = (
        sum(
            ls.generate(
                tiny_llama,
                [prompt],
                sampler=ls.Sampler(ls.ForcedTokens(text)),
                max_new_tokens=len(text),
            ).log_probs[0]
        )
        for text in texts
    )
    assert ours > theirs + 1
