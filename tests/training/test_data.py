from dataclasses import replace
from itertools import islice

import numpy as np
import pytest

from logit_sampling.training import Recipe
from logit_sampling.training.data import batches, sized, steps_per_epoch


@pytest.fixture
def ids():
    """Tokens that occur once each, so that a window has one place."""
    return np.random.default_rng(0).permutation(5000).astype(np.int32)


def test_targets_are_the_next_tokens_of_windows_of_the_text(ids, recipe):
    steps = steps_per_epoch(ids, recipe)
    assert steps == 19  # 156 windows of 32 in batches of 8
    places = []
    for x, y in islice(batches(ids, recipe, 0), steps):
        assert x["token_ids"].shape == y.shape == (8, 32)
        assert (x["padding_mask"] == 1).all()
        for row, target in zip(x["token_ids"], y, strict=True):
            window = np.append(row, target[-1])
            np.testing.assert_array_equal(row[1:], target[:-1])
            (place,) = np.flatnonzero(ids == window[0])
            np.testing.assert_array_equal(window, ids[place : place + 33])
            places.append(place)
    # Windows follow each other without overlap, in random order, each at most once.
    assert places != sorted(places)
    assert len(set(places)) == len(places) == steps * 8
    assert len({place % 32 for place in places}) == 1


def test_the_stream_from_an_epoch_on_is_the_rest_of_the_whole_stream(ids, recipe):
    steps = steps_per_epoch(ids, recipe)
    whole = list(islice(batches(ids, recipe, 0), 3 * steps))
    rest = list(islice(batches(ids, recipe, 2), steps))
    for (x, y), (other_x, other_y) in zip(whole[2 * steps :], rest, strict=True):
        np.testing.assert_array_equal(x["token_ids"], other_x["token_ids"])
        np.testing.assert_array_equal(y, other_y)
    assert not np.array_equal(whole[0][1], whole[steps][1])


@pytest.mark.parametrize(
    ("windows", "size"), [(1, 1), (19, 1), (20, 2), (43, 4), (320, 32), (5000, 32)]
)
def test_a_small_text_gets_small_batches(windows, size):
    recipe = Recipe(context=32)
    assert sized(recipe, 32 * windows + 1).batch_size == size
    assert sized(replace(recipe, batch_size=7), 32 * windows + 1).batch_size == 7
    ids = np.arange(32 * windows + 1, dtype=np.int32)
    (x, _), *_ = islice(batches(ids, recipe, 0), 1)
    assert x["token_ids"].shape == (size, 32)
