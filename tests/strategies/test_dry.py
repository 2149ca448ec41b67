"""Rows worked by hand: DRY."""

import numpy as np
import pytest
import tensorflow as tf

import logit_sampling as ls


def penalties(transform, history, size=6, prompt=0) -> list[float]:
    """Return by how much each token is lowered, the same on both engines."""

    def run(x):
        return transform(x, history=history, prompt_length=prompt)

    new = run(np.zeros(size))
    graph = tf.function(run)(tf.zeros(size, tf.float64))
    np.testing.assert_allclose(graph, new, rtol=1e-15, atol=0)
    return (-new).tolist()


def test_the_longest_passage_counts():
    #                 1 2 | 3        0 1 2 | 4        0 1 2
    history = [5, 1, 2, 3, 0, 1, 2, 4, 0, 1, 2]
    assert penalties(ls.DRY(0.5, base=3.0), history) == [0, 0, 0, 0.5, 1.5, 0]
    assert penalties(ls.DRY(0.5, base=3.0, allowed_length=3), history) == [0, 0, 0, 0, 0.5, 0]
    assert penalties(ls.DRY(0.5, base=3.0, allowed_length=4), history) == [0] * 6
    assert penalties(ls.DRY(0.5, base=3.0, allowed_length=1), history) == [0, 0, 0, 1.5, 4.5, 0]
    assert penalties(ls.DRY(0.0), history) == [0] * 6
    assert penalties(ls.DRY(0.5, base=1.0), history) == [0, 0, 0, 0.5, 0.5, 0]


def test_a_passage_may_overlap_its_repetition():
    # Before the last 1 stand four of them, and they end the history too.
    assert penalties(ls.DRY(1.0, base=2.0), [1, 1, 1, 1, 1]) == [0, 4, 0, 0, 0, 0]
    assert penalties(ls.DRY(1.0, base=2.0), [0, 1, 0, 1, 0]) == [0, 2, 0, 0, 0, 0]


def test_the_window_holds_the_passage_and_what_followed_it():
    history = [0, 1, 2, 3, 0, 1, 2]
    wanted = {7: 2, 6: 1, 5: 0, 4: 0}  # what is left of 0 1 2 before the 3
    for window, penalty in wanted.items():
        transform = ls.DRY(1.0, base=2.0, window=window)
        assert penalties(transform, history) == [0, 0, 0, penalty, 0, 0]


def test_breakers():
    history = [0, 1, 2, 3, 0, 1, 2]
    assert penalties(ls.DRY(1.0, base=2.0, breakers=[1]), history) == [0] * 6
    assert penalties(ls.DRY(1.0, base=2.0, breakers=[0]), history) == [0, 0, 0, 1, 0, 0]
    assert penalties(ls.DRY(1.0, base=2.0, breakers=[5]), history) == [0, 0, 0, 2, 0, 0]
    # One token that breaks is never penalised; two that break are no reason to spare either.
    assert penalties(ls.DRY(1.0, base=2.0, breakers=[3]), history) == [0] * 6
    assert penalties(ls.DRY(1.0, base=2.0, breakers=[(3, 3)]), history) == [0, 0, 0, 2, 0, 0]
    # What comes after the end of a breaker may repeat.
    transform = ls.DRY(1.0, base=2.0, allowed_length=1, breakers=[(0, 1)])
    assert penalties(transform, history) == [0, 0, 0, 1, 0, 0]
    assert penalties(transform, [*history, 3, 0]) == [0, 4, 0, 0, 0, 0]
    assert penalties(transform, [*history, 3, 0, 1]) == [0] * 6


def test_a_breaker_counts_while_all_of_it_is_in_the_window():
    transform = ls.DRY(1.0, base=2.0, allowed_length=1, window=5, breakers=[(0, 1, 1)])
    assert penalties(transform, [0, 1, 1, 1, 1]) == [0, 2, 0, 0, 0, 0]
    # The window is 1 1 1 1 1.
    assert penalties(transform, [0, 1, 1, 1, 1, 1]) == [0, 8, 0, 0, 0, 0]
    state = transform.init(np.array([[0, 1, 1, 1, 1]]), 6)
    for later in ([0, 8, 0, 0, 0, 0], [0, 8, 0, 0, 0, 0]):
        state = transform.update(state, [1])
        assert (-transform.apply(np.zeros((1, 6)), state))[0].tolist() == later


def test_the_power_stays_below_overflow():
    history = [1] * 400
    (penalty,) = penalties(ls.DRY(1.0), history, 2)[1:]
    assert penalty == 1.75**158  # the last power that a float32 can hold
    x = np.zeros(2, np.float32)
    new = ls.DRY(100.0, base=10.0)(x, history=history)
    np.testing.assert_array_equal(new, np.float32([0, -np.finfo(np.float32).max]))
    # So a token without rivals can still be drawn.
    alone = ls.Sampler(ls.AllowTokens([1]), ls.DRY(100.0, base=10.0))
    assert alone.probabilities(x, history=history).tolist() == [0, 1]


def test_the_prompt_counts():
    assert penalties(ls.DRY(1.0, base=2.0), [0, 1, 2, 0, 1], prompt=5) == [0, 0, 1, 0, 0, 0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"multiplier": -1}, r"`multiplier` .* got -1"),
        ({"multiplier": 1, "base": 0.9}, r"`base` .* \[1, inf\).* got 0.9"),
        ({"multiplier": 1, "allowed_length": 0}, r"`allowed_length` .* got 0"),
        ({"multiplier": 1, "window": -1}, r"`window` .* got -1"),
        ({"multiplier": 1, "breakers": [[]]}, "sequences of at least one"),
        ({"multiplier": 1, "breakers": "\n"}, r"`breakers` to be a list of token ids"),
        ({"multiplier": 1, "breakers": 3}, r"`breakers` to be a list of token ids .* got 3"),
    ],
)
def test_what_is_out_of_range(arguments, message):
    with pytest.raises(ValueError, match=message):
        ls.DRY(**arguments)


def test_a_breaker_beyond_the_vocabulary_is_refused():
    with pytest.raises(ValueError, match="DRY names token 9, but the last of a vocabulary of 6 is"):
        ls.DRY(1.0, breakers=[(1, 9)])(np.zeros(6), history=[1])
