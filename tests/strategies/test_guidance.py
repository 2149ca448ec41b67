"""Guidance: a second context, in a call, step by step, and inside graphs."""

import numpy as np
import pytest
import tensorflow as tf

import logit_sampling as ls

INF = np.inf
C, U = np.log([0.5, 0.25, 0.25]), np.log([0.25, 0.25, 0.5])


@pytest.mark.parametrize(
    ("scale", "masses"),
    [
        (0, [0.25, 0.25, 0.5]),
        (1, [0.5, 0.25, 0.25]),
        (2, [1, 0.25, 0.125]),  # c * c / u
        (3, [2, 0.25, 0.0625]),
        (0.5, [np.sqrt(0.125), 0.25, np.sqrt(0.125)]),
    ],
)
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_hand_worked(scale, masses, dtype):
    c, u = C.astype(dtype) + dtype(3), U.astype(dtype) - dtype(1)  # whose shifts fall out
    new = ls.guide(c, u, scale)
    np.testing.assert_allclose(np.exp(new), masses, rtol=1e-6)
    assert new.dtype == dtype
    alone = ls.Guidance(scale, lambda ids: u[None])(c)
    np.testing.assert_array_equal(alone, new)


def test_scale_1_is_the_conditional_exactly():
    rng = np.random.default_rng(0)
    c, u = rng.normal(size=(2, 99)).astype(np.float32) * 9
    peak = np.float32(c.max())
    shifted = c - peak
    np.testing.assert_array_equal(ls.guide(c, u, 1), shifted - np.log(np.exp(shifted).sum()))


def oracle(c: np.ndarray, u: np.ndarray, scale: float) -> np.ndarray:
    c, u = (x - np.log(np.exp(x).sum()) for x in (c.astype(np.float64), u.astype(np.float64)))
    return u + scale * (c - u)


@pytest.mark.parametrize("jit", [None, False, True])
def test_every_engine_does_as_the_oracle(jit):
    rng = np.random.default_rng(1)
    c, u = rng.normal(size=(2, 3, 50)).astype(np.float32) * 4
    for scale in (1.5, [0.5, 1, 4]):
        scales = np.broadcast_to(scale, 3)
        expected = [oracle(c[i], u[i], scales[i]) for i in range(3)]

        def run(c, u, scale=scale):
            return ls.guide(c, u, scale)

        new = (tf.function(run, jit_compile=jit) if jit is not None else run)(
            tf.constant(c), tf.constant(u)
        )
        assert isinstance(new, tf.Tensor)
        np.testing.assert_allclose(new, expected, rtol=1e-5, atol=2e-5)


@pytest.mark.parametrize("graph", [False, True])
def test_removed_tokens(graph):
    run = tf.function(ls.guide) if graph else ls.guide
    x = np.array([[0, -INF, 0, -INF], [-INF] * 4], np.float32)
    y = np.array([[0, 0, -INF, -INF], [0, 1, 2, 3]], np.float32)
    ln2 = np.log(2)
    for scale, first, third in ((0.5, -ln2, -INF), (1, -ln2, -ln2), (1.5, -ln2, INF)):
        new = np.asarray(run(tf.constant(x), tf.constant(y), scale))
        expected = [[first, -INF, third, -INF], [-INF] * 4]
        np.testing.assert_allclose(new, expected, rtol=1e-6, err_msg=str(scale))


def test_a_row_without_an_unconditional_distribution():
    lost = np.full((2, 3), -INF)
    lost[0] = 0
    with pytest.raises(ValueError, match="every token of row 1 is at -inf in the unconditional"):
        ls.guide(np.zeros((2, 3)), lost, 2.0)
    with pytest.raises(ValueError, match="NaN in row 0"):
        ls.guide(np.zeros(3), np.array([0, np.nan, 0]), 2.0)
    for scale in (1.0, 2.0):
        new = tf.function(lambda x, y, scale=scale: ls.Sampler()(ls.guide(x, y, scale), seed=0))
        assert new(np.zeros((2, 3)), lost).numpy().tolist()[1] == -1


class Counting:
    """Likes what comes after the last token, and keeps what it was given."""

    def __init__(self) -> None:
        self.seen: list[list[list[int]]] = []

    def __call__(self, ids: np.ndarray) -> np.ndarray:
        assert ids.dtype == np.int32
        self.seen.append(ids.tolist())
        lengths = (ids >= 0).sum(axis=1)
        last = np.where(lengths > 0, ids[np.arange(len(ids)), lengths - 1], 0) if ids.size else 0
        return 2.0 * np.eye(6)[np.broadcast_to((last + 1) % 6, len(ids))] + 0.1


def test_what_the_function_gets():
    without = Counting()
    guidance = ls.Guidance(2.0, without, prompt=[4, 5])
    x = np.zeros((2, 6))
    guidance(x, history=[[1, 2, 3], [1, 2, -1]], prompt_length=1)
    guidance(x, history=[[1, -1, 3], [1, 2, -1]], prompt_length=1)
    ls.Guidance(2.0, without)(x)
    ls.Guidance(2.0, without)(x, history=[[1, 2], [3, -1]])
    assert without.seen == [
        [[4, 5, 2, 3], [4, 5, 2, -1]],
        [[4, 5, 3], [4, 5, 2]],
        [[], []],
        [[1, 2], [3, -1]],
    ]


def test_steps_equal_calls():
    sampler = ls.Sampler(ls.Guidance([1.5, 3.0], Counting(), prompt=[2]), ls.TopK(4))
    x = np.random.default_rng(2).normal(size=(2, 6))
    prompts = [[1, 2, 3], [4]]
    state, texts = sampler.init(prompts, 6, seed=[5, 6]), [[], []]
    for _ in range(4):
        expected = []
        for row, (prompt, text) in enumerate(zip(prompts, texts, strict=True)):
            alone = ls.Sampler(*(t.of_row(row) for t in sampler.transforms))
            history, length = prompt + text, len(prompt)
            id = alone(
                x[row], seed=5 + row, step=len(history), history=history, prompt_length=length
            )
            text.append(int(id))
            expected.append(int(id))
        before = state.transforms[0].copy()
        ids, new = sampler.step(x, state)
        np.testing.assert_array_equal(state.transforms[0], before)
        state = new
        assert ids.tolist() == expected


def test_it_moves_generation_away_from_the_unconditional():
    model = lambda ids: np.zeros((len(ids), 6))  # noqa: E731
    result = ls.generate(
        model, [[0]], sampler=ls.Greedy(ls.Guidance(2.0, Counting())), max_new_tokens=4, seed=0
    )
    assert result.token_ids == [[0, 0, 0, 0]]  # never the next number: 1 after 0
    closer = ls.Greedy(ls.Guidance(0.0, Counting()))
    assert ls.generate(model, [[0]], sampler=closer, max_new_tokens=4, seed=0).token_ids == [
        [1, 2, 3, 4]
    ]


def test_a_graph_is_refused_and_told_what_to_use():
    sampler = ls.Sampler(ls.Guidance(2.0, Counting()))
    for jit in (False, True):
        with pytest.raises(ValueError, match=r"cannot be part of a graph.*logit_sampling\.guide"):
            tf.function(lambda x: sampler(x, seed=1), jit_compile=jit)(tf.zeros((2, 6)))


def last_table(ids: np.ndarray) -> np.ndarray:
    """Of what cannot read an empty text, as most models."""
    return np.zeros((6, 6))[ids[:, -1]]


def test_a_function_that_needs_a_token_is_told_of_prompt():
    with pytest.raises(ValueError, match=r"shape \(2, 0\).*IndexError: .*: give it .* as prompt="):
        ls.Guidance(2.0, last_table)(np.zeros((2, 6)))
    ls.Guidance(2.0, last_table, prompt=[4])(np.zeros((2, 6)))
    with pytest.raises(IndexError):  # else what is wrong is another thing
        ls.Guidance(2.0, last_table, prompt=[6])(np.zeros((2, 6)))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ls.Guidance(-1, Counting()), r"`scale`.*\[0, inf\); got -1.0"),
        (lambda: ls.Guidance(2.0), "`unconditional` to be a function.*got None"),
        (lambda: ls.Guidance(2.0, Counting(), prompt=[-4]), "`prompt` to be token ids"),
        (lambda: ls.Guidance(2.0, Counting()).get_config(), "JSON cannot hold its function"),
        (lambda: ls.Guidance(2.0, lambda ids: np.zeros(6))(np.zeros(6)), r"shape \(6,\) for"),
        (lambda: ls.guide(np.zeros(3), np.zeros(4), 2), r"same shape, got \(1, 3\) and \(1, 4\)"),
        (lambda: ls.guide(np.zeros(3), np.zeros(3), [1, 2]), "2 values of `scale` for 1 rows"),
        (lambda: ls.guide(np.zeros(3), np.zeros(3), -1), "guide needs `scale`.*got -1.0"),
        (lambda: ls.guide(np.zeros(3, int), np.zeros(3), 1), "must be floating point"),
    ],
)
def test_bad_input(make, message):
    with pytest.raises(ValueError, match=message):
        make()
