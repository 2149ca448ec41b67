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


def theirs_of(gpt2: Any, beams: int, **options: Any) -> tuple[list[list[int]], np.ndarray]:
    found = gpt2.generate(
        torch.tensor(PROMPTS),
        attention_mask=torch.ones(3, 2, dtype=torch.int64),
        num_beams=beams,
        num_return_sequences=beams,
        max_new_tokens=LENGTH,
        do_sample=False,
        pad_token_id=0,
        return_dict_in_generate=True,
        output_scores=True,
        **options,
    )
    return found.sequences[:, 2:].tolist(), found.sequences_scores.numpy()


def ours_of(gpt2: Any, search: ls.BeamSearch, **options: Any) -> Any:
    def model(ids: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return gpt2(torch.tensor(ids, dtype=torch.int64)).logits.numpy()

    n = search.num_beams
    return ls.generate(model, PROMPTS, n=n, max_new_tokens=LENGTH, search=search, **options)


@pytest.mark.parametrize("ends", [(), (9, 30)])
@pytest.mark.parametrize("power", [0.0, 1.0, 2.0])
@pytest.mark.parametrize("early", [False, True])
def test_the_best_texts_are_those_of_transformers(
    gpt2: Any, early: bool, power: float, ends: tuple[int, ...]
) -> None:
    texts, scores = theirs_of(
        gpt2,
        4,
        length_penalty=power,
        early_stopping=early or "never",
        eos_token_id=list(ends) or None,
    )
    search = ls.BeamSearch(4, length_penalty=power, early_stopping=early)
    ours = ours_of(gpt2, search, stop_at_end=ends)
    for text, ids in zip(texts, ours.token_ids, strict=True):
        assert text[: len(ids)] == ids
        assert set(text[len(ids) :]) <= {0, 9}  # what transformers fills rows with
    np.testing.assert_allclose(ours.scores, scores, rtol=1e-4)


def test_their_default_stops_before_it_has_the_best(gpt2: Any) -> None:
    _, scores = theirs_of(gpt2, 2, length_penalty=3.0, eos_token_id=[9, 30])
    ours = ours_of(gpt2, ls.BeamSearch(2, length_penalty=3.0), stop_at_end=[9, 30])
    gains = np.array(ours.scores) - scores
    assert gains.min() > -1e-5
    assert gains.max() > 0.01, gains


def test_their_scores_are_not_of_what_the_processors_leave(gpt2: Any) -> None:
    banned = [11, 21, 4]
    chain = ls.Sampler(ls.SuppressTokens(banned))
    ours = ours_of(gpt2, ls.BeamSearch(3), sampler=chain)
    options: dict[str, Any] = {"suppress_tokens": banned, "early_stopping": "never"}
    texts, scores = theirs_of(gpt2, 3, renormalize_logits=True, **options)
    assert ours.token_ids == texts
    np.testing.assert_allclose(ours.scores, scores, rtol=1e-4)
    _, raw = theirs_of(gpt2, 3, **options)
    assert (raw < scores - 0.01).all()  # the mass of the others is lost
