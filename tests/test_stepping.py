"""Steps whose tokens come from elsewhere, and rows that take no part in them."""

import numpy as np
import pytest

import logit_sampling as ls

LOGITS = np.log(np.array([[0.5, 0.3, 0.2], [0.1, 0.6, 0.3]], np.float32))
CHAIN = ls.Sampler(ls.PresencePenalty(1.0), ls.Mirostat(tau=1.0))


def test_accepting_what_was_drawn_is_a_step():
    state = CHAIN.init([[0], [1, 2]], 3, seed=5)
    ids, expected = CHAIN.step(LOGITS, state)
    pending = CHAIN.begin_step(LOGITS, state)
    assert pending.draw().tolist() == ids.tolist()
    after = pending.accept(ids)
    np.testing.assert_equal(after, expected)


def test_other_tokens_than_those_drawn_can_be_accepted():
    state = CHAIN.init([[0], [0]], 3, seed=5)
    state = CHAIN.begin_step(LOGITS, state).accept(np.array([2, 1], np.int32))
    # Surprises of 2.322 and 0.737 bits move the limit of 2 bits by a tenth of what is above 1.
    (limit,) = state.transforms[1]
    np.testing.assert_allclose(limit, 2 - 0.1 * (-np.log2([0.2, 0.6]) - 1), rtol=1e-6)
    seen = CHAIN.begin_step(LOGITS, state).logits()
    expected = np.log([[0.5, 0.3, 0.2], [0.1, 0.6, 0.3]]) - [[0, 0, 1], [0, 1, 0]]
    expected[[0, 1], [2, 0]] = -np.inf  # 3.57 and 2.63 bits
    np.testing.assert_allclose(seen, expected, rtol=1e-6)


def test_an_inactive_row_stays_as_it_is_and_raises_nothing():
    state = CHAIN.init([[0], [1, 2]], 3, seed=5)
    nothing = LOGITS.copy()
    nothing[1] = -np.inf
    with pytest.raises(ValueError, match="row 1 is at -inf"):
        CHAIN.begin_step(nothing, state).draw()
    pending = CHAIN.begin_step(nothing, state, inactive=np.array([False, True]))
    ids = pending.draw()
    assert ids[1] == -1 and ids[0] == CHAIN.step(LOGITS, state)[0][0]
    after = pending.accept(ids)
    assert after.step.tolist() == [2, 2]
    alone = CHAIN.step(LOGITS[:1], CHAIN.init([[0]], 3, seed=5))[1]
    assert after.transforms[1][0].tolist() == [
        alone.transforms[1][0][0],
        state.transforms[1][0][1],
    ]
    assert after.transforms[0][1][1].sum() == 0  # no token was counted


def test_the_same_inside_a_graph():
    tf = pytest.importorskip("tensorflow")
    state = CHAIN.init([[0], [1, 2]], 3, seed=5)

    @tf.function(jit_compile=True)
    def step(logits, inactive):
        inside = CHAIN.init(tf.constant([[0, -1], [1, 2]]), 3, seed=5, max_new_tokens=4)
        pending = CHAIN.begin_step(logits, inside, inactive)
        ids = pending.draw()
        return ids, pending.accept(ids)

    ids, after = step(tf.constant(LOGITS), tf.constant([False, True]))
    expected = CHAIN.begin_step(LOGITS, state, np.array([False, True]))
    eager = expected.accept(expected.draw())
    assert ids.numpy().tolist() == expected.draw().tolist()
    assert after.step.numpy().tolist() == eager.step.tolist() == [2, 2]
    np.testing.assert_allclose(after.transforms[1][0], eager.transforms[1][0], rtol=1e-6)
