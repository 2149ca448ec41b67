"""Rows for comparing with another system, and the comparison."""

import numpy as np

rng = np.random.default_rng(20)

SMALL = np.log(np.array([0.15, 0.5, 0.05, 0.3], np.float32))
RANDOM = [(rng.normal(size=200) * spread).astype(np.float32) for spread in (0.1, 1, 3, 6)]
MASKED = np.where(rng.random(200) < 0.5, -np.inf, RANDOM[2]).astype(np.float32)
ROWS = [SMALL, *RANDOM, MASKED]
TIED = np.array([0, 2, 1, 1, 1, -1], np.float32)


def assert_same(ours: np.ndarray, theirs: np.ndarray, context: object = "") -> None:
    """Assert that the same tokens have mass, and the same mass but for float32's rounding."""
    assert ours.shape == theirs.shape
    assert np.flatnonzero(ours).tolist() == np.flatnonzero(theirs).tolist(), context
    np.testing.assert_allclose(ours, theirs, rtol=2e-4, atol=1e-7, err_msg=str(context))


def softmax(logits: np.ndarray) -> np.ndarray:
    weights = np.exp(logits.astype(np.float64) - logits.max())
    return weights / weights.sum()
