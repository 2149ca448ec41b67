"""JAX and torch: eager arrays through NumPy, and JAX's compiled functions through Keras."""

import subprocess
import sys

import numpy as np
import pytest

import logit_sampling as ls
from tests.processes import on

SAMPLERS = """[
    ls.Sampler(),
    ls.Greedy(),
    ls.Sampler(ls.Temperature(0.7), ls.TopK(50), ls.TopP(0.9)),
    ls.Sampler(ls.TopP(0.9), ls.MinP(0.01)),
    ls.Sampler(ls.TopK(2000), ls.Temperature([0, 0.5, 1, 2])),
]"""

IN_JAX = f"""
import jax, numpy as np, logit_sampling as ls
x = (np.random.default_rng(0).normal(size=(4, 3000)) * 3).astype(np.float32)
for number, sampler in enumerate(2 * {SAMPLERS}):
    x64 = number >= len({SAMPLERS})
    jax.config.update("jax_enable_x64", x64)
    both = jax.jit(lambda x, seed: (sampler(x, seed=seed, step=3), sampler.probabilities(x)))
    ids, shares = both(x, 7)
    assert ids.dtype == np.int32
    np.testing.assert_array_equal(ids, sampler(x, seed=7, step=3))
    rtol = 1e-6 if x64 else 2e-5
    np.testing.assert_allclose(shares, sampler.probabilities(x), rtol=rtol, atol=0)
    eager = sampler(jax.numpy.asarray(x), seed=7, step=3)
    assert isinstance(eager, jax.Array)
    np.testing.assert_array_equal(eager, ids)
bad = np.array([[0, np.nan], [-np.inf, -np.inf], [0, 1]], np.float32)
assert jax.jit(lambda x: ls.Greedy()(x, seed=0))(bad).tolist() == [-1, -1, 1]
try:
    jax.jit(ls.Sampler())(x)
except ValueError as error:
    assert "pass a seed" in str(error)
else:
    raise AssertionError("seed=None must not be frozen into a compiled function")
print("agreed")
"""


def test_jax_agrees_with_numpy():
    pytest.importorskip("jax")
    run = subprocess.run(
        [sys.executable, "-c", IN_JAX], env=on("jax"), capture_output=True, text=True, check=False
    )
    assert run.stdout == "agreed\n", run.stderr


def test_torch_tensors():
    torch = pytest.importorskip("torch")
    x = np.random.default_rng(0).normal(size=(4, 300)).astype(np.float32)
    sampler = ls.Sampler(ls.TopK(50), ls.TopP(0.9))
    ids = sampler(torch.from_numpy(x).requires_grad_(), seed=7)
    assert isinstance(ids, torch.Tensor) and ids.dtype == torch.int32
    np.testing.assert_array_equal(ids, sampler(x, seed=7))
    assert isinstance(ls.TopK(2)(torch.from_numpy(x[0])), torch.Tensor)
    assert ls.Greedy()(torch.from_numpy(x[0])).shape == ()
    half = torch.from_numpy(x).bfloat16()
    np.testing.assert_array_equal(sampler(half, seed=7), sampler(half.float().numpy(), seed=7))
