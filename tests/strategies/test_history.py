"""What transforms of the history must do: as the oracle says, on every engine, step by step."""

import json

import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

import logit_sampling as ls
from logit_sampling.distribution.random import row_integers
from tests import oracle

CHAINS = [
    ls.RepetitionPenalty(1.3),
    ls.RepetitionPenalty(0.7, window=3, prompt=False),
    ls.PresencePenalty(0.6, prompt=True),
    ls.PresencePenalty(-0.6, window=4),
    ls.FrequencyPenalty(0.3),
    ls.FrequencyPenalty(0.3, window=5, prompt=True),
    ls.NoRepeatNGram(1),
    ls.NoRepeatNGram(2),
    ls.NoRepeatNGram(3),
    ls.DRY(0.8, allowed_length=1),
    ls.DRY(0.5, base=2.0, allowed_length=1, window=6, breakers=[0, (1, 2)]),
    ls.DRY(0.5, base=1.0, allowed_length=2, breakers=[(2, 2), (3, 1, 0)]),
    ls.LogitBias({0: 1.5, 3: -2.0}),
    ls.SuppressTokens([0, 2]),
    ls.SuppressTokens([0, 2], steps=2),
    ls.AllowTokens([1, 2, 3]),
    ls.SequenceBias({(1, 2): 1.0, (2,): 0.5, (0, 1, 2): 2.0, (3, 3): -1.5}),
    ls.BadWords([[1, 2], [3], [2, 0, 1]]),
    ls.BadWords([[1, 2], [2, 1], [0, 1, 2]], prompt=False),
    ls.MinNewTokens(3, end_ids=[1, 2]),
    ls.MinNewTokens(9, end_ids=[1, 2], prompt=True),
    ls.ForcedTokens({0: 3, 2: 1}),
    ls.SpanBudget(2, (0, 1), (3, 1), (2, 0)),
    ls.SpanBudget(1, 1, 3, prompt=False),
    ls.ForcedTokens({5: 3, 9: 1, 10: 2}, prompt=True),
    ls.LengthDecay(start=1, factor=1.5, end_id=2),
]
PER_ROW = [
    ls.RepetitionPenalty([1.3, 0.5, 2.0], window=[2, 5, 9]),
    ls.PresencePenalty([0, 1, -1], window=[1, 2, 3], prompt=True),
    ls.FrequencyPenalty([0.1, 0.2, 0.3], prompt=True),
    ls.NoRepeatNGram([1, 2, 3]),
    ls.DRY(
        [0.5, 1, 2], base=[1, 1.5, 2], allowed_length=[1, 2, 3], window=[5, 9, 12], breakers=[0]
    ),
    ls.SuppressTokens([0], steps=[0, 1, 4]),
    ls.MinNewTokens([0, 2, 5], end_ids=3),
    ls.LengthDecay(start=[0, 1, 9], factor=[0.5, 2, 3], end_id=2),
]
VOCABULARY = 5
HISTORY = [
    [1, 2, 0, 1, 2, 3, 1, 2, 0, 1, 2],
    [2, 2, -1, 2, 2, 2, 99, 2, 3, 1, 0],
    [-1, 3, 1, 0, -1, -1, 3, 1, -1, 3, -1],
]


def rows(count: int = 3, vocabulary: int = VOCABULARY) -> np.ndarray:
    return (np.random.default_rng(3).normal(size=(count, vocabulary)) * 3).astype(np.float32)


def expected(transform, x, history, prompt) -> np.ndarray:
    pairs = enumerate(zip(x.tolist(), history, strict=True))
    return np.asarray(
        [oracle.after(transform.of_row(i), row, past, prompt) for i, (row, past) in pairs]
    )


ALL, SOME = CHAINS + PER_ROW, CHAINS[::3] + PER_ROW[::3]


def applied(transforms):
    """Compile once for all: that is what takes the time."""
    return lambda x, history, prompt: [
        t(x, history=history, prompt_length=prompt) for t in transforms
    ]


ENGINES = {  # XLA takes all in loops, and each alone in test_every_strategy.py
    "eager": (ALL, applied(ALL)),
    "graph": (ALL, tf.function(applied(ALL))),
    "graph of some": (SOME, tf.function(applied(SOME))),
}


def check_all(name, x, history, prompt) -> None:
    transforms, run = ENGINES[name]
    made = run(tf.constant(x), tf.constant(history, tf.int32), prompt)
    for transform, new in zip(transforms, made, strict=True):
        wanted = expected(transform, x, history, prompt)
        np.testing.assert_allclose(new, wanted, rtol=1e-6, atol=0, err_msg=repr(transform))
        assert new.dtype == np.float32


@pytest.mark.parametrize("name", ["eager", "graph"])
def test_every_engine_does_as_the_oracle(name):
    check_all(name, rows(), HISTORY, 7)
    x = rows()
    x[0, 1], x[1, 2], x[2, :] = -np.inf, np.inf, -np.inf
    check_all(name, x, HISTORY, 7)


@pytest.mark.parametrize("name", ["eager", "graph of some"])
def test_no_history(name):
    check_all(name, rows(), [[], [], []], 0)


@pytest.mark.parametrize("history", [[[-1], [99], [-1]], [[0], [1], [2]]], ids=repr)
def test_short_histories(history):
    check_all("eager", rows(), history, 0)


def sequences(rng, ids) -> list[tuple[int, ...]]:
    return [tuple(map(int, rng.choice(ids, rng.integers(1, 4)))) for _ in range(rng.integers(5))]


def some(rng, *values):
    return values[rng.integers(len(values))]


def penalty_of(cls):
    def make(rng, ids):
        window = some(rng, None, int(rng.integers(1, 12)))
        return cls(some(rng, 0.5, 2.0), window, some(rng, True, False))

    return make


MAKERS = {
    "RepetitionPenalty": penalty_of(ls.RepetitionPenalty),
    "PresencePenalty": penalty_of(ls.PresencePenalty),
    "FrequencyPenalty": penalty_of(ls.FrequencyPenalty),
    "NoRepeatNGram": lambda rng, ids: ls.NoRepeatNGram(int(rng.integers(1, 6))),
    "DRY": lambda rng, ids: ls.DRY(
        some(rng, 0.5, 2.0),
        some(rng, 1.0, 1.5),
        int(rng.integers(1, 4)),
        some(rng, None, int(rng.integers(1, 12))),
        some(rng, (), sequences(rng, ids)),
    ),
    "SuppressTokens": lambda rng, ids: ls.SuppressTokens(
        [0], some(rng, None, int(rng.integers(9)))
    ),
    "SequenceBias": lambda rng, ids: ls.SequenceBias(
        {s: some(rng, -np.inf, -2.0, 0.5) for s in sequences(rng, ids)}
    ),
    "BadWords": lambda rng, ids: ls.BadWords(sequences(rng, ids), some(rng, True, False)),
    "MinNewTokens": lambda rng, ids: ls.MinNewTokens(
        int(rng.integers(9)), 1, some(rng, True, False)
    ),
    "ForcedTokens": lambda rng, ids: ls.ForcedTokens({s: s % 4 // 2 for s in range(0, 30, 2)}),
    "SpanBudget": lambda rng, ids: ls.SpanBudget(
        int(rng.integers(5)),
        *some(rng, (0, 1), ((0, 1), 0), ((1, 0), (1, 1)), ((1, 1), (0, 1, 1))),
        some(rng, (), (0,), (1, 0, 0)),
        some(rng, True, False),
    ),
    "LengthDecay": lambda rng, ids: ls.LengthDecay(int(rng.integers(5)), some(rng, 0.5, 1.5), 0),
}


@pytest.mark.parametrize("name", MAKERS)
@settings(max_examples=60)
@given(seed=st.integers(0, 2**32))
def test_any_history_as_the_oracle_step_by_step_and_at_once(name, seed):
    """Small vocabularies, so that much repeats; some ids are padding or beyond the vocabulary."""
    rng = np.random.default_rng(seed)
    vocabulary, length = int(rng.integers(2, 5)), int(rng.integers(31))
    past = rng.integers(0, vocabulary, (2, length)).astype(np.int32)
    past[rng.random(past.shape) < some(rng, 0, 0.2)] = -1
    transform, prompt = MAKERS[name](rng, np.arange(vocabulary)), int(rng.integers(length + 1))
    x = rng.normal(size=(2, vocabulary))
    x[:, 0] = 2.5  # above 1, so that no row looks like probabilities
    history = np.where((past < 0) & (rng.random(past.shape) < 0.5), 99, past).tolist()
    wanted = expected(transform, x, history, prompt)
    at_once = transform(x, history=history, prompt_length=prompt)
    np.testing.assert_allclose(at_once, wanted, rtol=1e-12)
    state = transform.init(past[:, :prompt], vocabulary)
    for step in range(prompt, length):
        state = transform.update(state, past[:, step])
    np.testing.assert_array_equal(transform.apply(x, state), at_once)


BANS = ls.NoRepeatNGram | ls.AllowTokens | ls.BadWords | ls.ForcedTokens | ls.SpanBudget
TOGETHER = [
    ls.Sampler(*(t for t in CHAINS if not isinstance(t, BANS))),
    ls.Sampler(
        ls.NoRepeatNGram(2), ls.BadWords([[1, 2], [3, 1, 2]]), ls.ForcedTokens({0: 3, 2: 1})
    ),
    ls.Sampler(*PER_ROW),
]


def check_loop(sampler, vocabulary, *loops) -> None:
    """Step by step as with the whole history; rows are of different lengths."""
    prompts = [[1, 2, 0, 1], [2], [3, 1]]
    past = np.full((3, 4), -1, np.int32)
    for row, prompt in zip(past, prompts, strict=True):
        row[: len(prompt)] = prompt
    states = [sampler.init(prompts, vocabulary, seed=5) for _ in loops]
    for number in range(9):
        x = tf.constant(rows(3, vocabulary) * (1 + number % 3))
        ids = sampler(
            x,
            seed=row_integers(5, 3),
            step=[4 + number, 1 + number, 2 + number],
            history=past,
            prompt_length=4,
        )
        wanted = sampler.log_prob(x, ids, history=past, prompt_length=4)
        for place, step in enumerate(loops):
            drawn, states[place], log_prob = step(x, states[place], return_log_prob=True)
            np.testing.assert_array_equal(drawn, ids)
            np.testing.assert_allclose(log_prob, wanted, rtol=1e-5, atol=1e-6)
        past = np.concatenate([past, ids.numpy()[:, None]], axis=1)


@pytest.mark.parametrize("transform", CHAINS + PER_ROW, ids=repr)
def test_a_loop_equals_calls_with_the_whole_history(transform):
    sampler = ls.Sampler(transform)
    check_loop(sampler, 20, sampler.step)


@pytest.mark.parametrize("sampler", TOGETHER, ids=["of all", "of bans", "per row"])
@pytest.mark.parametrize("jit_compile", [False, True])
def test_a_compiled_loop_equals_calls_with_the_whole_history(sampler, jit_compile):
    check_loop(sampler, 20, tf.function(sampler.step, jit_compile=jit_compile))


@pytest.mark.parametrize("transform", CHAINS + PER_ROW, ids=repr)
def test_a_state_stays_valid_and_a_finished_row_keeps_its_own(transform):
    state = transform.init(np.pad(HISTORY, ((0, 0), (0, 1)), constant_values=-1), VOCABULARY)
    copies = [array.copy() for array in state]
    after = transform.update(state, np.array([1, -1, 2]))
    other = transform.update(state, np.array([2, 2, 2]))
    for array, copy, new in zip(state, copies, after, strict=True):
        np.testing.assert_array_equal(array, copy)
        np.testing.assert_array_equal(new[1], copy[1])
        assert new.dtype == array.dtype == np.int32
    if state:
        again = transform.update(state, np.array([1, -1, 2]))
        x, row = rows(), np.concatenate([HISTORY, [[1], [-1], [2]]], axis=1).tolist()
        np.testing.assert_array_equal(transform.apply(x, again), transform.apply(x, after))
        wanted = expected(transform, x, row, 11)
        np.testing.assert_allclose(transform.apply(x, after), wanted, rtol=1e-6)
        row = np.concatenate([HISTORY, [[2], [2], [2]]], axis=1).tolist()
        np.testing.assert_allclose(
            transform.apply(x, other), expected(transform, x, row, 11), rtol=1e-6
        )


LIMITED = [
    ls.NoRepeatNGram(2),
    ls.DRY(0.8, allowed_length=1, breakers=[3]),
    ls.DRY(0.8, window=50),
    ls.RepetitionPenalty(1.3),
    ls.FrequencyPenalty(0.5, window=50, prompt=True),
]


@pytest.mark.parametrize(
    ("transform", "jit_compile"),
    [*((t, False) for t in LIMITED), *((t, True) for t in LIMITED[1::2])],
    ids=repr,
)
def test_a_full_state_in_a_graph_ends_the_row_and_grows_outside(transform, jit_compile):
    update = tf.function(transform.update, jit_compile=jit_compile)
    state = grown = transform.init(np.array([[0, 1, -1], [2, -1, -1]], np.int32), 99)
    x = rows(2, 99)
    apply = tf.function(transform.apply, jit_compile=jit_compile)
    for number in range(1, 20):
        ids = np.array([number, -1 if number > 2 else number])
        state, grown = update(state, tf.constant(ids)), transform.update(grown, ids)
        new = apply(tf.constant(x), state).numpy()
        history = [[0, 1, *range(1, number + 1)], [2, *range(1, min(number, 2) + 1)]]
        history[1] += [-1] * (len(history[0]) - len(history[1]))
        wanted = expected(transform, x, history, 3)
        np.testing.assert_allclose(transform.apply(x, grown), wanted, rtol=1e-6)
        # The table of a penalty has a place again for a token that it holds.
        room = 2 if isinstance(transform, ls.RepetitionPenalty) else 1
        if number > room:
            assert np.isnan(new[0]).all()
            with pytest.raises(ValueError, match=r"row 0 had more .*max_new_tokens"):
                transform.apply(x, tuple(a.numpy() for a in state))
        else:
            np.testing.assert_allclose(new[0], wanted[0], rtol=1e-6)
        np.testing.assert_allclose(new[1], wanted[1], rtol=1e-6)


def test_a_full_state_draws_no_token():
    sampler = ls.Sampler(ls.NoRepeatNGram(2), ls.TopK(3))
    state = sampler.init([[1, 2]], 9, seed=1, max_new_tokens=2)
    step = tf.function(sampler.step)
    drawn = []
    for _ in range(5):
        ids, state = step(tf.constant(rows(1, 9)), state)
        drawn.append(int(ids[0]))
    assert drawn[3:] == [-1, -1] and min(drawn[:3]) >= 0


def test_a_prompt_of_a_graph_has_room_for_1024_tokens():
    sampler = ls.Sampler(ls.FrequencyPenalty(0.5), ls.DRY(1.0))
    for init in (sampler.init, tf.function(sampler.init)):
        state = init(tf.constant([[1, 2, 3]]), 9)
        assert [a.shape[1] for a in state.transforms[1][:2]] == [1027, 1027]


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float64"])
def test_dtypes(dtype):
    x = tf.cast(rows(), dtype)
    wide = x.numpy().astype(np.float64)
    tolerance = 1e-12 if dtype == "float64" else 1e-6
    for name in ("eager", "graph of some") if dtype == "float64" else ("eager",):
        transforms, run = ENGINES[name]
        made = run(x, tf.constant(HISTORY), 7)
        for transform, new in zip(transforms, made, strict=True):
            assert new.dtype == (tf.float64 if dtype == "float64" else tf.float32)
            wanted = expected(transform, wide, HISTORY, 7)
            np.testing.assert_allclose(new, wanted, rtol=tolerance, err_msg=repr(transform))


@pytest.mark.parametrize("transform", CHAINS + PER_ROW, ids=repr)
def test_configuration_goes_through_json(transform):
    again = ls.Sampler.from_config(json.loads(json.dumps(ls.Sampler(transform).get_config())))
    assert again == ls.Sampler(transform) and hash(again) == hash(ls.Sampler(transform))


@pytest.mark.parametrize(
    ("first", "name"),
    [(ls.TopK(3), "eager"), (ls.TopK(3), "graph"), (ls.Temperature(0.5), "eager")],
    ids=repr,
)
def test_what_a_cut_or_a_temperature_left_is_what_changes(first, name):
    x = rows()
    before = np.asarray(first(x), np.float64)

    def both(v):
        return [
            ls.Sampler(first, t).log_prob(v, ids, history=HISTORY, prompt_length=9)
            for t, ids in zip(chosen, likeliest, strict=True)
        ]

    cuts = {t: expected(t, before, HISTORY, 9) for t in CHAINS}
    chosen = [t for t, cut in cuts.items() if (cut.max(axis=1) > -np.inf).all()]
    assert len(chosen) > 15
    chosen = chosen if name == "eager" else chosen[::2]  # tracing is what takes time
    likeliest = [cuts[t].argmax(axis=1) for t in chosen]
    made = both(x) if name == "eager" else tf.function(both)(tf.constant(x))
    for t, ids, log_prob in zip(chosen, likeliest, made, strict=True):
        cut = cuts[t]
        wanted = np.take_along_axis(cut, ids[:, None], axis=1)[:, 0]
        wanted = wanted - np.log(np.exp(cut).sum(axis=1))
        np.testing.assert_allclose(log_prob, wanted, rtol=1e-5, atol=1e-6, err_msg=repr(t))


@pytest.mark.parametrize(
    "transform",
    [ls.FrequencyPenalty(1e-3, prompt=True), ls.DRY(1.0, allowed_length=1), ls.NoRepeatNGram(3)],
    ids=repr,
)
def test_a_long_history_is_built_at_once(transform, monkeypatch):
    history = np.random.default_rng(0).integers(0, 20, (2, 16384))
    x, state = rows(2, 20), transform.init(history[:, :16000], 20)
    for column in history.T[16000:]:
        state = transform.update(state, column)
    stepwise = transform.apply(x, state)
    monkeypatch.setattr(type(transform), "update", None)
    np.testing.assert_array_equal(transform(x, history=history), stepwise)
    assert (stepwise != x).any()


@pytest.mark.parametrize("jit_compile", [False, True])
def test_an_n_gram_longer_than_the_history_is_found_once_it_grew(jit_compile):
    """Counting goes on from what repeated before there were n tokens."""
    transform, past = ls.NoRepeatNGram([40, 2**31 - 1]), np.tile(np.arange(7), (2, 5))
    state = transform.init(np.pad(past, ((0, 0), (0, 40)), constant_values=-1), 9)
    update = tf.function(transform.update, jit_compile=jit_compile)
    x = rows(2, 9)
    for length in range(35, 60):
        wanted = expected(transform, x, np.tile(np.arange(7), (2, 9))[:, :length].tolist(), 35)
        np.testing.assert_array_equal(transform.apply(x, state), wanted)
        state = update(state, tf.fill([2], length % 7))
    assert np.isinf(wanted[0]).sum() == 1 and not np.isinf(wanted[1]).any()
