"""`order="keras_hub"` beside KerasHub's samplers: the distribution that they draw from."""

import itertools
from typing import Any
from unittest import mock

import numpy as np
import pytest

import logit_sampling as ls
from tests.peers.rows import RANDOM, ROWS, TIED, assert_same, softmax

keras_hub = pytest.importorskip("keras_hub")


def distribution(sampler: Any, logits: np.ndarray) -> np.ndarray:
    """Return the distribution of a KerasHub sampler's draw, from what it gives `categorical`.

    Instead of a random column each column is taken in turn, which tells its token.
    """
    import keras

    given, columns = [], itertools.count()

    def categorical(scores: Any, *args: Any, **kwargs: Any) -> Any:
        given.append(keras.ops.convert_to_numpy(scores)[0])
        return keras.ops.full((1, 1), next(columns), dtype="int32")

    probabilities = sampler.compute_probabilities(logits[None])
    result = np.zeros(len(logits))
    with mock.patch.object(keras.random, "categorical", categorical):
        while not given or len(given) < len(given[0]):
            (token,) = keras.ops.convert_to_numpy(sampler.get_next_token(probabilities))
            result[token] += softmax(given[-1])[len(given) - 1]
    return result


CASES = [
    ({"temperature": 0.7}, lambda: keras_hub.samplers.RandomSampler(temperature=0.7)),
    ({"top_k": 3}, lambda: keras_hub.samplers.TopKSampler(k=3)),
    (
        {"top_k": 4, "temperature": 2.0},
        lambda: keras_hub.samplers.TopKSampler(k=4, temperature=2.0),
    ),
    ({"top_p": 0.7}, lambda: keras_hub.samplers.TopPSampler(p=0.7)),
    (
        {"top_p": 0.52, "top_k": 3, "temperature": 0.9},
        lambda: keras_hub.samplers.TopPSampler(p=0.52, k=3, temperature=0.9),
    ),
    ({"top_p": 0.9, "top_k": 3}, lambda: keras_hub.samplers.TopPSampler(p=0.9, k=3)),
]


@pytest.mark.parametrize(
    ("settings", "theirs"), CASES, ids=[str(settings) for settings, _ in CASES]
)
@pytest.mark.parametrize("row", [0, 2, 3, 5])
def test_the_chain(settings, theirs, row):
    logits = ROWS[row]
    ours = ls.Sampler.from_params(order="keras_hub", **settings)
    assert_same(ours.probabilities(logits), distribution(theirs(), logits), ours)


def test_a_top_p_measured_after_top_k_would_be_seen():
    # 0.5 of the whole is below 0.52 but 0.526 of the first three is not.
    logits = ROWS[0]
    theirs = distribution(keras_hub.samplers.TopPSampler(p=0.52, k=3), logits)
    assert np.flatnonzero(theirs).tolist() == [1, 3]
    other = ls.Sampler(ls.TopK(3), ls.TopP(0.52)).probabilities(logits)
    assert np.flatnonzero(other).tolist() == [1]


# What follows are differences; docs/peers.md explains each.


def test_difference_top_p_keeps_one_more_where_the_mass_is_reached_exactly():
    halves = np.array([0, 0, -40, -40], np.float32)
    assert (distribution(keras_hub.samplers.TopPSampler(p=0.5), halves) > 0).tolist() == [
        True,
        True,
        False,
        False,
    ]
    assert (ls.Sampler(ls.TopP(0.5)).probabilities(halves) > 0).tolist() == [True, *[False] * 3]


def test_difference_a_temperature_of_0():
    with np.errstate(all="ignore"):
        sampler = keras_hub.samplers.RandomSampler(temperature=0.0)
        result = np.asarray(sampler.compute_probabilities(TIED[None]))
    assert np.isnan(result).any()
    with pytest.raises(ValueError, match=r"no `temperature` of 0"):
        ls.Sampler.from_params(order="keras_hub", temperature=0)


def test_difference_defaults():
    assert keras_hub.samplers.TopPSampler().p == 0.1
    assert keras_hub.samplers.TopKSampler().k == 5
    with pytest.raises(Exception):  # noqa: B017  # the backend's own
        distribution(keras_hub.samplers.TopKSampler(k=999), RANDOM[0])
