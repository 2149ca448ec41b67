import dataclasses
import re

import pytest

from logit_sampling.training import Recipe


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": 0}, "`epochs` must be an integer from 1 to 100000, not 0"),
        ({"layers": 1.5}, "`layers` must be an integer from 1 to 100, not 1.5"),
        ({"batch_size": True}, "`batch_size` must be an integer from 1 to 65536, not True"),
        (
            {"vocabulary_size": 257},
            "`vocabulary_size` must be an integer from 258 to 65536, not 257",
        ),
        ({"dropout": 1.0}, "`dropout` must be a number from 0.0 to 0.9, not 1.0"),
        (
            {"learning_rate": -1e-3},
            "`learning_rate` must be a number from 1e-09 to 1.0, not -0.001",
        ),
        (
            {"learning_rate": float("nan")},
            "`learning_rate` must be a number from 1e-09 to 1.0, not nan",
        ),
        ({"weight_decay": "0.1"}, "`weight_decay` must be a number from 0.0 to 10.0, not '0.1'"),
        ({"ema": 1.0}, "`ema` must be a number from 0.0 to 0.99999, not 1.0"),
        ({"ema": -0.1}, "`ema` must be a number from 0.0 to 0.99999, not -0.1"),
        ({"width": 250}, "`width` must be a multiple of `heads`: 250 is not one of 4"),
    ],
)
def test_nonsense_is_refused_with_the_value(options, message):
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        Recipe(**options)


def test_differences_name_the_fields():
    stored = dataclasses.asdict(Recipe(epochs=7))
    assert Recipe().differences(stored) == [f"`epochs`: 7, now {Recipe.epochs}"]
    assert Recipe(epochs=7).differences(stored) == []


def test_a_field_that_was_not_stored_had_its_default():
    stored = dataclasses.asdict(Recipe())
    del stored["ema"]
    assert Recipe().differences(stored) == []
    assert Recipe(ema=0.0).differences(stored) == [f"`ema`: {Recipe.ema}, now 0.0"]
