"""Penalties and biases beside llama.cpp's, alone and in its chain."""

import numpy as np
import pytest

import logit_sampling as ls
from tests.peers.rows import RANDOM, assert_same

llama = pytest.importorskip("llama_cpp")
from tests.peers.llama import apply, dry  # noqa: E402

LOGITS = RANDOM[2]
rng = np.random.default_rng(6)
HISTORIES = [
    [3],
    [1, 2, 3, 1, 2, 3, 1, 2],
    rng.integers(0, 4, 50).tolist(),
    rng.integers(0, 60, 150).tolist(),
]


def bias(pairs):
    array = (llama.llama_logit_bias * len(pairs))(*(llama.llama_logit_bias(*p) for p in pairs))
    return llama.llama_sampler_init_logit_bias(len(LOGITS), len(pairs), array)


@pytest.mark.parametrize("history", HISTORIES, ids=len)
@pytest.mark.parametrize(
    "settings",
    [
        {"repeat_penalty": 1.4},
        {"frequency_penalty": 0.3},
        {"presence_penalty": -0.7},
        {"repeat_penalty": 1.2, "frequency_penalty": 0.2, "presence_penalty": 0.5},
        {"repeat_penalty": 0.8, "repeat_last_n": 5},
    ],
    ids=str,
)
def test_penalties(settings, history):
    theirs = llama.llama_sampler_init_penalties(
        len(LOGITS),
        settings.get("repeat_last_n", 64),
        settings.get("repeat_penalty", 1.0),
        settings.get("frequency_penalty", 0.0),
        settings.get("presence_penalty", 0.0),
    )
    ours = ls.Sampler.from_params(order="llama.cpp", **settings)
    mine = ours.probabilities(LOGITS, history=history, prompt_length=1)
    assert_same(mine, apply([theirs], LOGITS, history)[0], ours)


@pytest.mark.parametrize("history", HISTORIES, ids=len)
@pytest.mark.parametrize(
    ("settings", "breakers"),
    [
        ({"dry_multiplier": 0.8}, []),
        ({"dry_multiplier": 1.5, "dry_base": 1.3, "dry_allowed_length": 1}, []),
        ({"dry_multiplier": 0.8, "dry_penalty_last_n": 7}, []),
        ({"dry_multiplier": 0.8, "dry_allowed_length": 1}, [[2]]),
        ({"dry_multiplier": 0.8, "dry_allowed_length": 1}, [[0, 3]]),
    ],
    ids=str,
)
def test_dry(settings, breakers, history):
    theirs = dry(
        settings["dry_multiplier"],
        settings.get("dry_base", 1.75),
        settings.get("dry_allowed_length", 2),
        settings.get("dry_penalty_last_n", 64),
        breakers,
    )
    ours = ls.Sampler.from_params(order="llama.cpp", dry_sequence_breakers=breakers, **settings)
    mine = ours.probabilities(LOGITS, history=history, prompt_length=1)
    assert_same(mine, apply([theirs], LOGITS, history)[0], ours)


def test_logit_bias_comes_before_the_penalties():
    token = int(np.abs(LOGITS).argmin())
    pairs = [(token, -2.0), (5, float("-inf")), (6, 1.5)]
    penalties = llama.llama_sampler_init_penalties(len(LOGITS), 64, 1.5, 0.0, 0.0)
    theirs = apply([bias(pairs), penalties], LOGITS, [token])[0]
    ours = ls.Sampler.from_params(order="llama.cpp", logit_bias=dict(pairs), repeat_penalty=1.5)
    assert_same(ours.probabilities(LOGITS, history=[token]), theirs)
    backwards = ls.Sampler(*reversed(ours.transforms)).probabilities(LOGITS, history=[token])
    assert abs(backwards[token] / theirs[token] - 1) > 0.05


# What follows are differences; docs/peers.md explains each.


def test_difference_a_window_of_minus_1():
    # llama-server reads -1 as the whole context; the library takes it as 0, which is off.
    history = HISTORIES[2]
    theirs = llama.llama_sampler_init_penalties(len(LOGITS), -1, 1.4, 0.0, 0.0)
    plain = ls.Sampler().probabilities(LOGITS)
    assert_same(plain, apply([theirs], LOGITS, history)[0])
    ours = ls.Sampler.from_params(order="llama.cpp", repeat_penalty=1.4, repeat_last_n=-1)
    assert ours == ls.Sampler(ls.RepetitionPenalty(1.4))
