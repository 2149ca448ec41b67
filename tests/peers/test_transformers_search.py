"""Our beam search beside that of transformers, on one set of random weights."""

import logging
from typing import Any

import numpy as np
import pytest

import logit_sampling as ls

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

logging.getLogger("transformers").setLevel(logging.ERROR)
PROMPTS = [[7, 3], [1, 4], [20, 21]]
LENGTH = 8


@pytest.fixture(scope="module")
def gpt2() -> Any:
    torch.manual_seed(0)
    config = transformers.GPT2Config(
        vocab_size=50, n_positions=32, n_embd=16, n_layer=2, n_head=2, initializer_range=0.3
    )
    return transformers.GPT2LMHeadModel(config).eval()


@pytest.mark.parametrize("ends", [(), (9, 30)])
@pytest.mark.parametrize("power", [0.0, 1.0, 2.0])
@pytest.mark.parametrize("early", [False, True])
def test_the_best_texts_are_those_of_transformers(
    gpt2: Any, early: bool, power: float, ends: tuple[int, ...]
) -> None:
    beams = 4
    theirs = gpt2.generate(
        torch.tensor(PROMPTS),
        attention_mask=torch.ones(3, 2, dtype=torch.int64),
        num_beams=beams,
        num_return_sequences=beams,
        length_penalty=power,
        early_stopping=early or "never",
        max_new_tokens=LENGTH,
        do_sample=False,
        eos_token_id=list(ends) or None,
        pad_token_id=0,
        return_dict_in_generate=True,
        output_scores=True,
    )

    def model(ids: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return gpt2(torch.tensor(ids, dtype=torch.int64)).logits.numpy()

    ours = ls.generate(
        model,
        PROMPTS,
        n=beams,
        max_new_tokens=LENGTH,
        stop_at_end=ends,
        search=ls.BeamSearch(beams, length_penalty=power, early_stopping=early),
    )
    for row, ids in enumerate(ours.token_ids):
        text = theirs.sequences[row].tolist()[2:]
        assert text[: len(ids)] == ids
        assert set(text[len(ids) :]) <= {0, 9}  # what transformers fills rows with
    np.testing.assert_allclose(ours.scores, theirs.sequences_scores.numpy(), rtol=1e-4)
