"""Our own chains are certified with what we offer to others; for each alone see every strategy."""

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
CHAINS = {
    "empty": ls.Sampler(),
    "greedy": ls.Greedy(),
    "cold": ls.Sampler(ls.Temperature(0)),
    "half": ls.Sampler(ls.TopP(0.5)),
    "common": ls.Sampler(ls.Temperature(0.8), ls.TopK(20), ls.TopP(0.95)),
    "reversed": ls.Sampler(ls.MinP(0.05), ls.TopP(0.8), ls.Temperature(1.5)),
}


@pytest.mark.parametrize("name", CHAINS)
def test_ours_pass(name):
    sampler = CHAINS[name]
    check_sampler(sampler, sampler, row_seeds=True, **QUICK).raise_for_failures()


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
