"""The trouble of one row: an error that knows which."""

import pickle

import numpy as np
import pytest

import logit_sampling as ls
from logit_sampling.distribution.checks import InvalidRowError, told


def test_it_names_the_row_as_its_reader_knows_it():
    error = InvalidRowError(
        3, "token {token!r} has no place in {row}: {why}", token="{row}", why="a brace {"
    )
    assert str(error) == "token '{row}' has no place in row 3: a brace {"
    assert told(error, "this beam") == "token '{row}' has no place in this beam: a brace {"
    assert told(ValueError("of row 0"), "this row") == "of row 0"  # whose words are not ours


def test_it_goes_from_process_to_process():
    again = pickle.loads(pickle.dumps(InvalidRowError(3, "{row}: {why}", why="so")))
    assert (type(again), again.row, str(again)) == (InvalidRowError, 3, "row 3: so")


def test_samplers_raise_it():
    x = np.zeros((3, 4))
    for bad, message in ((np.nan, "logits hold NaN in row 2"), (-np.inf, "every token of row 2")):
        x[2] = bad
        with pytest.raises(InvalidRowError, match=message) as raised:
            ls.Sampler()(x, seed=1)
        assert raised.value.row == 2
