"""Rows worked by hand: penalties on what was there before."""

import numpy as np
import pytest
import tensorflow as tf

import logit_sampling as ls

INF = np.inf
X = np.array([4.0, -2.0, 0.0, 1.0, INF, -INF])
HISTORY = [0, 1, 1, 4, 5, 1]  # the last two are generated where the prompt is four tokens


def check(transform, wanted, x=X, history=HISTORY, prompt=0):
    """Both engines give exactly `wanted`."""

    def run(v):
        return transform(v, history=history, prompt_length=prompt)

    np.testing.assert_array_equal(run(x), wanted)
    np.testing.assert_array_equal(tf.function(run)(tf.constant(x)), wanted)


def test_repetition_divides_or_multiplies_once():
    check(ls.RepetitionPenalty(2.0), [2, -4, 0, 1, INF, -INF])
    check(ls.RepetitionPenalty(0.5), [8, -1, 0, 1, INF, -INF])
    check(ls.RepetitionPenalty(2.0, window=1), [4, -4, 0, 1, INF, -INF])
    check(ls.RepetitionPenalty(2.0, prompt=False), [4, -4, 0, 1, INF, -INF], prompt=4)
    check(ls.RepetitionPenalty(2.0, window=6), [2, -4, 0, 1, INF, -INF])
    check(ls.RepetitionPenalty(1.0), X)


def test_a_normalized_penalty_does_not_see_a_constant():
    row = np.array([*np.log([0.5, 0.25, 0.25]), -INF])
    penalty = ls.RepetitionPenalty(2.0, normalize=True)
    for constant in (0.0, 7.0, -30.0):
        for run in (penalty, tf.function(lambda x: penalty(x, history=[1, 3]))):
            result = run(row + constant, **({"history": [1, 3]} if run is penalty else {}))
            expected = [*np.log([0.5, 0.0625, 0.25]), -INF]
            np.testing.assert_allclose(result, expected, rtol=1e-12)


def test_presence_and_frequency():
    check(ls.PresencePenalty(0.5), [3.5, -2.5, 0, 1, INF, -INF])
    check(ls.FrequencyPenalty(0.5), [3.5, -3.5, 0, 1, INF, -INF])
    check(ls.PresencePenalty(-0.5), [4.5, -1.5, 0, 1, INF, -INF])
    # Without the prompt, and with it.
    check(ls.FrequencyPenalty(0.5), [4, -2.5, 0, 1, INF, -INF], prompt=4)
    check(ls.FrequencyPenalty(0.5, prompt=True), [3.5, -3.5, 0, 1, INF, -INF], prompt=4)
    check(ls.FrequencyPenalty(0.5, prompt=True, window=4), [4, -3, 0, 1, INF, -INF], prompt=4)
    check(ls.FrequencyPenalty(0.5, window=1), [4, -2.5, 0, 1, INF, -INF], prompt=4)
    check(ls.PresencePenalty(0.0), X)


def test_padding_and_ids_beyond_the_vocabulary_never_count():
    padded = [-1, 0, 1, -1, 1, 6, 99, -1]
    check(ls.FrequencyPenalty(0.5), [3.5, -3, 0, 1, INF, -INF], history=padded)
    # Nor do they take room in a window, or stand between two tokens.
    check(ls.FrequencyPenalty(0.5, window=3), [3.5, -3, 0, 1, INF, -INF], history=padded)
    check(ls.NoRepeatNGram(2), [4, -INF, 0, 1, INF, -INF], history=padded)


def test_a_penalty_that_is_too_great_for_the_dtype_removes_nothing():
    most = np.finfo(np.float32).max
    x = np.array([1e30, -1e30, 1.0], np.float32)
    check(ls.RepetitionPenalty(1e-30), np.float32([most, -1, 1]), x, [0, 1])
    check(ls.RepetitionPenalty(1e30), np.float32([1, -most, 1]), x, [0, 1])
    check(ls.PresencePenalty(1e300), np.float32([-most, -most, 1]), x, [0, 1])


def test_ngrams():
    x = np.arange(4.0)
    check(ls.NoRepeatNGram(1), [-INF, -INF, 2, -INF], x, [0, 1, 3, 0])
    check(ls.NoRepeatNGram(2), [0, -INF, 2, -INF], x, [0, 1, 0, 3, 0])
    check(ls.NoRepeatNGram(3), [0, 1, -INF, 3], x, [0, 1, 2, 0, 0, 1])
    check(ls.NoRepeatNGram(3), x, x, [0, 1])
    check(ls.NoRepeatNGram(3), [-INF, 1, 2, 3], x, [0, 0, 0])  # it overlaps itself
    check(ls.NoRepeatNGram(9), x, x, [0, 1, 0, 1])


def test_a_row_of_a_ragged_batch_equals_the_row_alone():
    x = np.random.default_rng(0).normal(size=(3, 9))
    history = [[1, 2, 1, 2, 1], [3], []]
    for transform in (ls.RepetitionPenalty(2.0, window=3), ls.NoRepeatNGram(2), ls.DRY(1.0)):
        together = transform(x, history=history)
        for row in range(3):
            alone = transform(x[row], history=history[row])
            np.testing.assert_array_equal(together[row], alone)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ls.RepetitionPenalty(0), r"`penalty` to be a finite number in \(0, inf\)"),
        (lambda: ls.RepetitionPenalty(-1.5), "got -1.5"),
        (lambda: ls.RepetitionPenalty(1.5, window=0), r"`window` .* or None; got 0"),
        (lambda: ls.RepetitionPenalty(1.5, window=2.5), r"integer .* got 2.5"),
        (lambda: ls.RepetitionPenalty(1.5, prompt=1), r"`prompt` .* got 1"),
        (lambda: ls.PresencePenalty(INF), "finite"),
        (lambda: ls.FrequencyPenalty("much"), "'much'"),
        (lambda: ls.FrequencyPenalty(None), "None"),
        (lambda: ls.NoRepeatNGram(0), r"\[1, .* got 0"),
        (lambda: ls.NoRepeatNGram([2, -1]), "got -1 in row 1"),
    ],
)
def test_what_is_out_of_range(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_history_whose_length_a_graph_leaves_open_is_refused():
    def run(past):
        return ls.RepetitionPenalty(2.0)(X[None], history=past)

    with pytest.raises(ValueError, match="length of the history is unknown"):
        tf.function(run, input_signature=[tf.TensorSpec([1, None], tf.int32)])(tf.constant([[1]]))
    with pytest.raises(ValueError, match="prompt_length must be an integer of at least 0, got -1"):
        ls.RepetitionPenalty(2.0)(X, history=[1], prompt_length=-1)


def test_an_open_batch():
    def run(x, past):
        return ls.Sampler(ls.FrequencyPenalty(0.5), ls.NoRepeatNGram(2), ls.DRY(1.0)).probabilities(
            x, history=past
        )

    signature = [tf.TensorSpec([None, 4]), tf.TensorSpec([None, 5], tf.int32)]
    x = np.random.default_rng(0).normal(size=(2, 4)).astype(np.float32)
    past = np.array([[0, 1, 2, 0, 1], [3, 3, 3, 3, -1]], np.int32)
    compiled = tf.function(run, input_signature=signature)
    np.testing.assert_allclose(compiled(x, past), run(x, past), rtol=1e-6)
