"""What rules of the history cost: counted in what is read, called and built, never in time."""

import sys

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

import logit_sampling as ls
from logit_sampling.strategies import _repeats
from logit_sampling.strategies._memory import endings


class Counted(np.ndarray):
    """An array that counts how many of its elements are read by index."""

    read = 0

    def __getitem__(self, key):
        part = super().__getitem__(key)
        Counted.read += np.size(part)
        return part


def fibonacci_word(length: int) -> np.ndarray:
    first, second = "0", "01"
    while len(second) < length:
        first, second = second, second + first
    return np.array(list(second[:length]), np.int32)


LENGTH = 1 << 14
REPETITIVE = {
    "all equal": np.zeros(LENGTH),
    "period 7": np.arange(LENGTH) % 7,
    "period 101, rare": np.arange(LENGTH) % 101 == 0,
    "runs of 100": np.arange(LENGTH) // 100 % 2,
    "twice the same": np.tile(np.random.default_rng(0).integers(0, 9, LENGTH // 2), 2),
    "random": np.random.default_rng(0).integers(0, 2, LENGTH),
    "Fibonacci": fibonacci_word(LENGTH),
    "Fibonacci backwards": fibonacci_word(LENGTH)[::-1],
}


@pytest.mark.parametrize("name", REPETITIVE)
def test_how_long_all_endings_are_takes_few_steps(name):
    tokens = REPETITIVE[name].astype(np.int32)
    Counted.read = 0
    lengths = endings(tokens.view(Counted), 2**30)
    assert Counted.read < 2 * LENGTH * np.log2(LENGTH)
    for place in np.random.default_rng(1).integers(0, LENGTH, 50):
        equal = tokens[:place][::-1] == tokens[LENGTH - place :][::-1]
        assert lengths[place] == (place if equal.all() else equal.argmin())


@settings(max_examples=300)
@given(st.lists(st.integers(0, 1), max_size=40), st.integers(1, 4), st.integers(0, 50))
def test_endings_as_by_brute_force(tokens, times, enough):
    tokens = np.array(tokens * times, np.int32)
    wanted = [
        max(
            m
            for m in range(c + 1)
            if tokens[c - m : c].tolist() == tokens[len(tokens) - m :].tolist()
        )
        for c in range(len(tokens))
    ]
    found = endings(tokens, enough)
    np.testing.assert_array_equal(np.minimum(found, enough), np.minimum(wanted, enough))


OFF = 2**31 - 1


def test_a_row_without_n_grams_is_not_searched(monkeypatch):
    searched = []
    monkeypatch.setattr(_repeats, "endings", lambda x, n: searched.append(n) or endings(x, n))
    ls.NoRepeatNGram([3, OFF, 50])(np.ones((3, 20)), history=np.zeros((3, 400), np.int32))
    assert searched == [2, 0, 49]


def operations(call, *specs) -> int:
    return len(tf.function(call).get_concrete_function(*specs).graph.as_graph_def().node)


def test_a_graph_is_as_large_whatever_n():
    logits, past = tf.TensorSpec([2, 20]), tf.TensorSpec([2, 400], tf.int32)

    def once(n):
        return operations(lambda x, h: ls.NoRepeatNGram(n)(x, history=h), logits, past)

    def step(n):
        transform = ls.NoRepeatNGram(n)

        def call(x, log, lengths, ids):
            state = transform.update((log, lengths), ids)
            return transform.apply(x, state), state

        return operations(call, logits, past, past, tf.TensorSpec([2], tf.int32))

    assert once([3, OFF]) == once([3, 3]) < once(9) == once(300) == once([300, OFF])
    assert once(300) < once(3) + 100
    assert step(3) == step([3, OFF]) == step(300)


def calls(function, *arguments) -> int:
    """Return how many calls a call leads to."""
    count = 0

    def event(frame, kind, argument):
        nonlocal count
        count += kind in ("call", "c_call")

    function(*arguments)  # what it does only once
    sys.setprofile(event)
    try:
        function(*arguments)
    finally:
        sys.setprofile(None)
    return count


def test_sequences_are_compared_all_at_once():
    x, history = np.ones((2, 3000)), np.zeros((2, 9), np.int32)

    def of(count):
        rule = ls.BadWords([[i, i + 1] for i in range(count)])
        return calls(rule.apply, x, rule.init(history, 3000))

    assert of(2000) == of(20) < 500


def test_breakers_of_several_tokens_cost_a_step_next_to_nothing():
    history, token = np.zeros((2, 9), np.int32), np.ones(2, np.int32)

    def of(count):
        rule = ls.DRY(1.0, breakers=[[i, i + 1] for i in range(count)])
        return calls(rule.update, rule.init(history, 3000), token)

    assert of(2000) - of(20) < 5 * 1980
