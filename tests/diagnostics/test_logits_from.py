"""Probabilities to logits: exact, safe at 0 and 1, in every type of array."""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
import tensorflow as tf

import logit_sampling as ls

# The least positive float32, ordinary numbers, and the greatest float32 below 1.
HARD = np.array([1e-45, 1e-30, 0.1, 1 / 3, 0.5, 1 - 2**-24, 1.0, 0.0], np.float32)


def test_the_logits_are_the_nearest_float32() -> None:
    rows = np.stack([HARD / 4, 1 - HARD], axis=1)[:, None, :].astype(np.float32)
    rows[..., 1] -= rows[..., 0]
    rows = np.maximum(rows, 0)
    with np.errstate(divide="ignore"):
        expected = np.log(rows.astype(np.longdouble)).astype(np.float32)
    logits = ls.logits_from(probabilities=rows)
    assert (logits.dtype, logits.shape) == (np.float32, rows.shape)
    np.testing.assert_array_equal(logits, expected)


def test_0_and_1() -> None:
    logits = ls.logits_from(probabilities=np.array([0.0, 1.0, 0.0]))
    np.testing.assert_array_equal(logits, [-np.inf, 0.0, -np.inf])
    sampler = ls.Sampler()
    np.testing.assert_array_equal(sampler.probabilities(logits), [0, 1, 0])
    assert sampler(logits, seed=3) == 1


def test_the_sampler_draws_from_the_probabilities_and_does_not_warn() -> None:
    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.full(1000, 0.05), size=8)
    back = ls.Sampler().probabilities(ls.logits_from(probabilities=p))
    np.testing.assert_allclose(back, p, rtol=3e-7, atol=1e-38)
    with pytest.warns(ls.ProbabilitiesWarning, match=r"ls\.logits_from\(probabilities="):
        ls.Sampler()(p, seed=0)


def test_a_cut_that_was_not_normalised() -> None:
    logits = ls.logits_from(probabilities=[[0.5, 0.25, 0.0, 0.0]])
    np.testing.assert_allclose(
        ls.Sampler().probabilities(logits), [[2 / 3, 1 / 3, 0, 0]], rtol=1e-6
    )


@pytest.mark.parametrize("make", [np.float16, np.float32, np.float64, tf.constant, jnp.asarray])
def test_the_type_of_array_and_its_dtype_stay(make: Callable) -> None:
    given = make(np.array([0.5, 0.25, 0.25], np.float32))
    logits = ls.logits_from(probabilities=given)
    assert (type(logits), logits.dtype) == (type(given), given.dtype)
    np.testing.assert_allclose(np.exp(np.asarray(logits)), [0.5, 0.25, 0.25], rtol=1e-3)


def test_bfloat16() -> None:
    p = tf.cast(tf.nn.softmax(np.random.default_rng(0).normal(size=(2, 500))), tf.bfloat16)
    logits = ls.logits_from(probabilities=p)
    assert logits.dtype == tf.bfloat16


def test_inside_a_graph() -> None:
    run = tf.function(lambda p: ls.logits_from(probabilities=p))
    np.testing.assert_allclose(run(tf.constant([1.0, 0.0])), [0.0, -np.inf])


@pytest.mark.parametrize(
    ("probabilities", "message"),
    [
        ([0.5, 1.5], r"must lie in \[0, 1\], got 1.5: if these are scores"),
        ([0.5, -0.5, 1.0], "got -0.5"),
        ([0.5, np.nan], "got nan"),
        ([[0.5, 0.5], [0.0, 0.0]], "row 1 sum to 0:"),
        ([[0.5, 0.5], [0.9, 0.9]], r"row 1 sum to 1\.8.*kind=\"sigmoid\"$"),
        ([0.502, 0.502], "sum to 1.004.* rounded to bfloat16 must be of that dtype"),
        ([1, 0], r"probabilities must be floating point \(.*\), got int64"),
    ],
)
def test_what_is_refused(probabilities: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ls.logits_from(probabilities=probabilities)
