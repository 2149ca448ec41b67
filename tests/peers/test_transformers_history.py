"""Penalties and constraints beside transformers', alone and in the order of `generate`."""

from typing import Any

import numpy as np
import pytest

import logit_sampling as ls
from tests.peers.rows import RANDOM, assert_same

pytest.importorskip("transformers")
from tests.peers.test_transformers import generate_distribution, hf, processor_distribution

LOGITS = RANDOM[2]
HISTORIES = [[7], [3, 5, 3, 5, 3], np.random.default_rng(4).integers(0, 6, 40).tolist()]
LIKELY = np.argsort(-LOGITS)[:8].tolist()

SINGLE = [
    (ls.RepetitionPenalty(1.7), lambda: hf.RepetitionPenaltyLogitsProcessor(1.7)),
    (ls.RepetitionPenalty(0.6), lambda: hf.RepetitionPenaltyLogitsProcessor(0.6)),
    (ls.NoRepeatNGram(2), lambda: hf.NoRepeatNGramLogitsProcessor(2)),
    (ls.NoRepeatNGram(3), lambda: hf.NoRepeatNGramLogitsProcessor(3)),
    (ls.NoRepeatNGram(1), lambda: hf.NoRepeatNGramLogitsProcessor(1)),
    (
        ls.SequenceBias({(5, 3): 2.0, (3, 5, 3): -4.0, (9,): 1.0, (1, 2): float("-inf")}),
        lambda: hf.SequenceBiasLogitsProcessor(
            [[[5, 3], 2.0], [[3, 5, 3], -4.0], [[9], 1.0], [[1, 2], float("-inf")]]
        ),
    ),
    (
        ls.BadWords([[3, 5], [5, 3], [11], [1, 1, 2]]),
        lambda: hf.NoBadWordsLogitsProcessor([[3, 5], [5, 3], [11], [1, 1, 2]]),
    ),
    (ls.SuppressTokens(LIKELY[:3]), lambda: hf.SuppressTokensLogitsProcessor(LIKELY[:3])),
]


@pytest.mark.parametrize(("ours", "theirs"), SINGLE, ids=[repr(ours) for ours, _ in SINGLE])
@pytest.mark.parametrize("history", HISTORIES, ids=len)
def test_one_processor(ours, theirs, history):
    mine = ls.Sampler(ours).probabilities(LOGITS, history=history, prompt_length=1)
    assert_same(mine, processor_distribution(theirs(), LOGITS, history))


SETTINGS: list[dict[str, Any]] = [
    {"repetition_penalty": 1.5, "temperature": 1.3, "top_p": 0.9},
    {"sequence_bias": [[[LIKELY[0]], -3.0], [[3, LIKELY[1]], 2.0]], "repetition_penalty": 2.0},
    {"no_repeat_ngram_size": 2, "bad_words_ids": [[3, 4], [LIKELY[0]]], "top_k": 30},
    {"min_new_tokens": 4, "eos_token_id": LIKELY[:2], "temperature": 0.7},
    {"min_length": 5, "eos_token_id": LIKELY[0]},
    {"min_length": 60, "min_new_tokens": 2, "eos_token_id": LIKELY[0]},
    {"exponential_decay_length_penalty": (2, 1.3), "eos_token_id": LIKELY[3]},
    {"exponential_decay_length_penalty": (2, 1.3), "eos_token_id": [190, LIKELY[3]]},
    {"suppress_tokens": LIKELY[:2], "begin_suppress_tokens": LIKELY[2:4], "top_k": 5},
    {"forced_bos_token_id": 17},
    {"forced_eos_token_id": 18, "max_length": 6},
    {"forced_eos_token_id": 18, "max_length": 2, "suppress_tokens": [20]},
    {"do_sample": False, "repetition_penalty": 3.0},
]


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
@pytest.mark.parametrize(
    ("history", "prompt_length"),
    [(HISTORIES[0], 1), *((history, n) for history in HISTORIES[1:] for n in (1, 3))],
    ids=lambda value: str(value)[:20],
)
def test_the_chain_of_generate(settings, history, prompt_length):
    ours = ls.Sampler.from_params(order="hf", **settings)
    mine = ours.probabilities(LOGITS, history=history, prompt_length=prompt_length)
    assert_same(mine, generate_distribution(LOGITS, history, prompt_length, **settings), ours)


def test_a_wrong_order_would_be_seen():
    settings = {"repetition_penalty": 1.8, "top_k": 5}
    history = LIKELY[:3]
    theirs = generate_distribution(LOGITS, history, 1, **settings)
    chain = ls.Sampler.from_params(order="hf", **settings).transforms
    other = ls.Sampler(*reversed(chain)).probabilities(LOGITS, history=history)
    assert np.flatnonzero(other).tolist() != np.flatnonzero(theirs).tolist()


# What follows are differences; docs/peers.md explains each.


def test_difference_a_bad_word_that_is_the_end_alone():
    end = LIKELY[0]
    theirs = generate_distribution(LOGITS, bad_words_ids=[[end], [LIKELY[1]]], eos_token_id=end)
    assert theirs[end] > 0 and theirs[LIKELY[1]] == 0
    ours = ls.Sampler.from_params(order="hf", bad_words_ids=[[end], [LIKELY[1]]])
    assert ours.probabilities(LOGITS, history=[0])[end] == 0


def test_difference_a_second_suppressed_step_behind_a_forced_start():
    # With a prompt of one token and a forced start, transformers takes the step after it as first.
    settings = {"begin_suppress_tokens": [LIKELY[0]], "forced_bos_token_id": 17}
    ours = ls.Sampler.from_params(order="hf", **settings)
    history = [0, 17]
    theirs = generate_distribution(LOGITS, history, 1, **settings)
    mine = ours.probabilities(LOGITS, history=history, prompt_length=1)
    assert theirs[LIKELY[0]] == 0 and mine[LIKELY[0]] > 0


def test_difference_watermark():
    with pytest.raises(ValueError, match=r"torch's generator"):
        ls.Sampler.from_params(order="hf", watermarking_config={"bias": 2.0})
