"""Our own samplers are certified with what we offer to others."""

import functools

import numpy as np
import pytest
import tensorflow as tf

import logit_sampling as ls
from logit_sampling.testing import check_sampler

QUICK = {
    "draws": 200,
    "batch_size": 50,
    "vocab_size": 60,
    "wide_vocab_size": 2000,
    "dtypes": ("bfloat16",),
}
PARAMETERS = {
    "Temperature": (0.7,),
    "DynamicTemperature": (1.0, 0.5),
    "TopK": (10,),
    "TopP": (0.9,),
    "MinP": (0.3,),
    "Typical": (0.8,),
    "Epsilon": (0.02,),
    "Eta": (0.02,),
    "TopA": (0.3,),
    "TopNSigma": (1.0,),
    "TopH": (0.7,),
    "PLess": (),
    "XTC": (0.5, 0.05),
    "LogitBias": ({3: 1.5, 5: -2.0},),
    "SuppressTokens": ((1, 7),),
    "AllowTokens": (tuple(range(20)),),
    "Mirostat": (3.0, 0.1),
    "AdaptiveP": (0.3,),
}
CHAINS = {
    "empty": ls.Sampler(),
    "greedy": ls.Greedy(),
    "cold": ls.Sampler(ls.Temperature(0)),
    "half": ls.Sampler(ls.TopP(0.5)),
    "common": ls.Sampler(ls.Temperature(0.8), ls.TopK(20), ls.TopP(0.95)),
    "reversed": ls.Sampler(ls.MinP(0.05), ls.TopP(0.8), ls.Temperature(1.5)),
} | {
    name: ls.Sampler(getattr(ls, name)(*values))
    for name, values in PARAMETERS.items()
    if hasattr(ls, name)
}


@pytest.mark.parametrize("name", CHAINS)
def test_ours_pass(name):
    sampler = CHAINS[name]
    check_sampler(sampler, sampler, row_seeds=True, **QUICK).raise_for_failures()


OF_HISTORY = {
    "RepetitionPenalty": (1.3,),
    "PresencePenalty": (0.7,),
    "FrequencyPenalty": (0.4,),
    "NoRepeatNGram": (2,),
    "DRY": (0.8,),
}


@pytest.mark.parametrize("name", [name for name in OF_HISTORY if hasattr(ls, name)])
def test_ours_pass_behind_a_history(name):
    sampler = ls.Sampler(getattr(ls, name)(*OF_HISTORY[name]), ls.TopK(30))
    history = np.array([[3, 9, 4, 3, 9, 4, 5, 3, 9, 4]])
    ones = np.ones((1, 60), np.float32)
    unchanged = ls.Sampler(ls.TopK(30)).probabilities(ones)
    assert (sampler.probabilities(ones, history=history) != unchanged).any()

    def draw(logits, seed):
        return sampler(logits, seed=seed, history=np.repeat(history, len(logits), axis=0))

    def expected(logits):
        return sampler.probabilities(logits, history=np.repeat(history, len(logits), axis=0))

    check_sampler(draw, expected, row_seeds=True, **QUICK).raise_for_failures()


@pytest.mark.parametrize("jit_compile", [False, True], ids=["graph", "XLA"])
def test_ours_pass_compiled(jit_compile):
    sampler = CHAINS["common"]

    @functools.partial(tf.function, jit_compile=jit_compile)
    def compiled(logits, seed):
        return sampler(logits, seed=seed)

    def draw(logits, seed):
        # Filled up to one shape, so that it is compiled once.
        full = np.resize(logits, (50, logits.shape[1]))
        return compiled(tf.constant(full), tf.constant(seed, tf.int64))[: len(logits)]

    report = check_sampler(draw, sampler, **QUICK | {"dtypes": (), "wide_vocab_size": None})
    assert all(check.passed is True for check in report.raise_for_failures().checks)
