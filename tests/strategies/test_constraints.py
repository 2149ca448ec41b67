"""Rows worked by hand: biases and constraints."""

import json

import numpy as np
import pytest
import tensorflow as tf

import logit_sampling as ls

INF = np.inf
X = np.array([4.0, -2.0, 0.0, INF, -INF])


def check(transform, wanted, x=X, history=(), prompt=0):
    """Both engines give exactly `wanted`."""

    def run(v):
        return transform(v, history=np.asarray(history, np.int32), prompt_length=prompt)

    np.testing.assert_array_equal(run(x), wanted)
    np.testing.assert_array_equal(tf.function(run)(tf.constant(x)), wanted)


def test_logit_bias():
    check(ls.LogitBias({0: -1, 2: 0.5}), [3, -2, 0.5, INF, -INF])
    check(ls.LogitBias({0: -INF, 1: INF}), [-INF, INF, 0, INF, -INF])
    check(ls.LogitBias({3: -INF, 4: INF}), [4, -2, 0, -INF, -INF])  # -inf beats +inf
    check(ls.LogitBias({3: -5, 4: 5}), X)
    check(ls.LogitBias({}), X)
    assert ls.LogitBias({np.int64(3): np.float32(0.5)}) == ls.LogitBias(((3, 0.5),))


def test_suppress_and_allow():
    check(ls.SuppressTokens([0, 3]), [-INF, -2, 0, -INF, -INF])
    check(ls.SuppressTokens(1), [4, -INF, 0, INF, -INF])
    check(ls.SuppressTokens([]), X)
    for generated, wanted in ((0, -INF), (1, -INF), (2, 4)):
        transform, history = ls.SuppressTokens([0], steps=2), [1, 1, 1] + [2] * generated
        check(transform, [wanted, -2, 0, INF, -INF], history=history, prompt=3)
    check(ls.AllowTokens([0, 4]), [4, -INF, -INF, -INF, -INF])
    check(ls.AllowTokens([4]), [-INF] * 5)  # what is gone does not come back
    with pytest.raises(ValueError, match="every token of row 0 is at -inf"):
        ls.Sampler(ls.AllowTokens([4]))(X)


def test_sequences():
    bias = {(1, 0): 1.0, (2, 1, 0): 0.5, (0,): 0.25, (2, 0): 9.0, (1, 2): -1.0}
    check(ls.SequenceBias(bias), [5.75, -2, -1, INF, -INF], history=[2, 1])
    check(ls.SequenceBias(bias), [5.25, -2, -1, INF, -INF], history=[1])
    check(ls.SequenceBias(bias), [4.25, -2, 0, INF, -INF])
    check(ls.SequenceBias({(1, 0): INF, (0,): -INF}), [-INF, -2, 0, INF, -INF], history=[1])
    check(ls.SequenceBias({(1, 0): 1.0, (0,): -1.0}), X, history=[1])
    check(ls.SequenceBias({}), X, history=[1])
    words = ls.BadWords([[1, 0], [1, 1], 2, [2, 1, 3]])
    check(words, [-INF, -INF, -INF, -INF, -INF], history=[2, 1])
    check(words, [4, -2, -INF, INF, -INF], history=[2, 3])
    # Padding does not stand between two tokens.
    check(words, [-INF, -INF, -INF, -INF, -INF], history=[2, -1, 1, 9, -1])


def test_what_counts_the_tokens_generated():
    for generated, end in ((0, -INF), (2, -INF), (3, 4)):
        history = [1, 1] + [2] * generated
        check(ls.MinNewTokens(3, 0), [end, -2, 0, INF, -INF], history=history, prompt=2)
    check(ls.MinNewTokens(1, [0, 3]), [-INF, -2, 0, -INF, -INF])
    check(ls.MinNewTokens(0, 0), X)
    check(ls.MinNewTokens(2, 0), [-INF, -2, 0, INF, -INF], history=[1, -1, 9])
    forced = ls.ForcedTokens([4, 1])
    check(forced, [-INF, -INF, -INF, -INF, 0])  # even from -inf
    check(forced, [-INF, 0, -INF, -INF, -INF], history=[3])
    check(forced, X, history=[3, 3])
    check(forced, [-INF, -INF, -INF, -INF, 0], history=[3, 3], prompt=2)
    assert forced == ls.ForcedTokens({1: 1, 0: 4})


def test_length_decay():
    for generated, wanted in ((0, 4), (2, 4), (3, 8), (5, 32)):
        decay = ls.LengthDecay(start=2, factor=2.0, end_id=0)
        check(decay, [wanted, -2, 0, INF, -INF], history=[1] * generated)
    # A logit below 0 rises too, and infinite ones stay.
    check(ls.LengthDecay(0, 3.0, [1, 2, 3, 4]), [4, 2, 0, INF, -INF], history=[1])
    check(ls.LengthDecay(0, 0.5, 0), [1, -2, 0, INF, -INF], history=[1, 1])
    check(ls.LengthDecay(0, 1.0, 0), X, history=[1, 1])
    most = np.finfo(np.float32).max
    check(ls.LengthDecay(0, 9.0, 0), np.float32([most, 1]), np.float32([4, 1]), history=[1] * 999)


def test_a_model_cannot_end_early_or_say_bad_words():
    """In the loop that a generator runs: what is counted is what was drawn."""
    sampler = ls.Sampler(ls.MinNewTokens(3, 0), ls.BadWords([[1, 1], [2, 2]]), ls.ForcedTokens([2]))
    x = np.array([[9, 1, 1, -INF]] * 20, np.float32)
    state = sampler.init([[1]] * 20, 4, seed=0)
    drawn = []
    for _ in range(5):
        ids, state = sampler.step(x, state)
        drawn.append(ids)
    texts = np.stack(drawn, axis=1)
    assert (texts[:, :3] == [2, 1, 2]).all() and (texts[:, 3:] == 0).any()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ls.LogitBias({-1: 1.0}), "token ids .* got -1"),
        (lambda: ls.LogitBias({1: np.nan}), "to be a number; got nan for 1"),
        (lambda: ls.LogitBias({1: "a"}), "got 'a' for 1"),
        (lambda: ls.LogitBias({(1, 2): 1.0}), "SequenceBias takes sequences"),
        (lambda: ls.LogitBias([1, 2]), "to be a mapping, or pairs; got"),
        (lambda: ls.LogitBias(((1, 2), (1, 3))), "two biases for 1"),
        (lambda: ls.SequenceBias({(): 1.0}), "at least one of them; got"),
        (lambda: ls.BadWords([[1], []]), r"at least one of them; got \[\]"),
        (lambda: ls.BadWords("bad"), "list of token ids .* 'bad'"),
        (lambda: ls.AllowTokens([]), "at least one token id in `token_ids`"),
        (lambda: ls.AllowTokens([1.5]), r"integers of at least 0; got \[1.5\]"),
        (lambda: ls.SuppressTokens([1], steps=-1), "got -1"),
        (lambda: ls.MinNewTokens(-1, 0), "got -1"),
        (lambda: ls.MinNewTokens(1, []), "at least one token id in `end_ids`"),
        (lambda: ls.ForcedTokens({-1: 2}), "got -1: 2"),
        (lambda: ls.ForcedTokens({0: -2}), "got 0: -2"),
        (lambda: ls.ForcedTokens(3), "to be a mapping, or pairs; got 3"),
        (lambda: ls.ForcedTokens([(0, 1), (0, 2)]), "two tokens for one step"),
        (lambda: ls.LengthDecay(0, 0, 1), r"`factor` .* \(0, inf\); got 0"),
        (lambda: ls.LengthDecay(-1, 2, 1), r"`start` .* got -1"),
        (lambda: ls.LengthDecay(1, 2, None), r"`end_id` .* got None"),
    ],
)
def test_what_is_out_of_range(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    "transform",
    [
        ls.LogitBias({5: 1.0}),
        ls.SuppressTokens([5]),
        ls.AllowTokens([1, 5]),
        ls.SequenceBias({(5, 1): 1.0}),
        ls.BadWords([[1, 5]]),
        ls.MinNewTokens(1, 5),
        ls.ForcedTokens([5]),
        ls.LengthDecay(0, 2.0, 5),
    ],
    ids=repr,
)
def test_a_token_that_the_vocabulary_lacks_is_refused(transform):
    message = f"{type(transform).__name__} names token 5, but the last of a vocabulary of 5 is 4"
    for run in (transform, tf.function(transform), lambda x: ls.Sampler(transform).init([[1]], 5)):
        with pytest.raises(ValueError, match=message):
            run(tf.constant(X))


def test_mappings_are_frozen_and_go_through_json():
    for transform in (
        ls.LogitBias({3: 0.5, 1: -INF}),
        ls.SequenceBias({(1, 2): 0.5, (3,): -1}),
        ls.ForcedTokens({5: 2, 0: 1}),
        ls.BadWords([[1, 2], 3]),
    ):
        again = ls.Sampler.from_config(json.loads(json.dumps(ls.Sampler(transform).get_config())))
        assert again.transforms == (transform,)
        assert hash(again) == hash(ls.Sampler(transform))
    assert repr(ls.LogitBias({3: 0.5, 1: 2})) == "LogitBias(bias=((1, 2.0), (3, 0.5)))"


def test_a_span_gets_its_budget() -> None:
    """Opened by 1, 2, closed by 3; after two tokens 4, 0 and 3 come."""
    span = ls.SpanBudget(2, (1, 2), 3, (4, 0))
    x = [1.0, 0.5, -1.0, -2.0, -INF]

    def left(*history: int) -> int | None:
        found = np.asarray(span(np.array(x, np.float32), history=history))
        return int(found.argmax()) if np.isneginf(found).sum() == 4 else None

    for history in [(), (1,), (2,), (1, 2), (1, 2, 0), (1, 0, 2, 0, 0), (1, 2, 3, 0, 0)]:
        check(span, x, x, history=history)
    assert [left(1, 2, 0, 0), left(1, 2, 0, 0, 4), left(1, 2, 0, 0, 4, 0)] == [4, 0, 3]
    assert left(1, 2, 0, 0, 4, 0, 3) is None
    assert left(1, 2, 1, 2) == 4  # a start within is part of it
    assert left(1, 2, 0, 0, 1, 1, 1) == 3  # who does not follow is told again
    text = ls.generate(
        lambda ids: np.zeros((*ids.shape, 5)),
        [[1, 2]],
        sampler=ls.Sampler(ls.SuppressTokens([3]), span),
        max_new_tokens=5,
        seed=3,
    ).token_ids[0]
    assert text[2:] == [4, 0, 3]
    generated = ls.SpanBudget(0, 1, 3, prompt=False)
    assert ls.generate(
        lambda ids: np.eye(4)[np.full(ids.shape, 1)] * 50,
        [[1]],
        sampler=ls.Sampler(generated),
        max_new_tokens=4,
        seed=0,
    ).token_ids == [[1, 3, 1, 3]]


def test_a_span_budget_from_text() -> None:
    class Letters:
        def encode(self, text: str) -> list[int]:
            return [9, *map(ord, text)]  # with a start token

    span = ls.SpanBudget.from_text(Letters(), 3, "<t>", "</t>", closing="so", prompt=False)
    assert span == ls.SpanBudget(3, list(b"<t>"), list(b"</t>"), list(b"so"), prompt=False)
    with pytest.raises(ValueError, match=r"a tokenizer needs encode\(text\); got 3"):
        ls.SpanBudget.from_text(3, 3, "a", "b")
    with pytest.raises(ValueError, match=r"that does not end as `end`, \(2,\), which would"):
        ls.SpanBudget(3, (1, 2), 2)
    with pytest.raises(ValueError, match="SpanBudget needs `start`"):
        ls.SpanBudget(3, (), 2)
