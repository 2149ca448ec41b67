"""Where generation began, row by row: a call with the whole history equals a loop from the prompts.

Continuous batching and packed rows need it (huggingface/transformers pull request 39457,
huggingface/text-generation-inference pull request 1765).
"""

import dataclasses
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

import logit_sampling as ls
from logit_sampling import strategies
from logit_sampling.strategies.table import TABLE
from tests.processes import on

PROMPTS = [[1, 2, 0], [2], [0, 1, 2, 1]]
WRITTEN = [[2, 0], [1, 3, 1], []]
PACKED = np.array([[1, 2, 0, 2, 0], [2, 1, 3, 1, -1], [0, 1, 2, 1, -1]])
LENGTHS = [3, 1, 4]
X = np.array([[5, -7.5, 1.25, -1.5], [-1.25, -0.5, -6, 0.25], [-3, 2.5, 0.5, 1]], np.float32)


@dataclasses.dataclass(frozen=True)
class Adds(ls.Transform):
    """A user's: adds the sum of the prompt, and ten for each token accepted since."""

    def init(self, history, vocab_size):
        from keras import ops

        return ops.sum(ops.where(history >= 0, history, 0), axis=1)

    def apply(self, logits, state):
        from keras import ops

        return logits + ops.cast(ops.convert_to_tensor(state), "float32")[:, None]

    def update(self, state, ids):
        from keras import ops

        return ops.convert_to_tensor(state) + ops.where(ids >= 0, 10, 0)


@dataclasses.dataclass(frozen=True)
class Prompted(Adds):
    """A user's that looks at the prompt alone."""

    update = ls.Transform.update


def likes(ids):
    """Return logits that tell how many tokens there are."""
    lengths = (ids >= 0).sum(axis=1)
    return np.arange(4, dtype=np.float32) * lengths[:, None].astype(np.float32)


COUNTING = [
    ls.RepetitionPenalty(1.3, prompt=False),
    ls.PresencePenalty(0.6),
    ls.PresencePenalty([0.6, 1.0, 2.0], window=[1, 2, 3]),
    ls.FrequencyPenalty(0.3, window=2),
    ls.SuppressTokens([0, 2], steps=2),
    ls.BadWords([[1, 0], [2, 0, 1]], prompt=False),
    ls.MinNewTokens(3, end_ids=[1, 2]),
    ls.MinNewTokens([2, 4, 1], end_ids=[1, 2]),
    ls.ForcedTokens({0: 3, 2: 1, 3: 2}),
    ls.LengthDecay(start=1, factor=1.5, end_id=2),
    ls.Guidance(2.0, likes),
    Adds(),
    Prompted(),
]
WHOLE = [
    ls.RepetitionPenalty(1.3),
    ls.PresencePenalty(0.6, window=3, prompt=True),
    ls.FrequencyPenalty(0.3, prompt=True),
    ls.NoRepeatNGram(2),
    ls.DRY(0.8, allowed_length=1),
    ls.SequenceBias({(1, 2): 1.0, (2,): 0.5, (3, 1, 0): 2.0}),
    ls.SpanBudget(1, 1, 3, (2, 0), prompt=False),
    ls.BadWords([[1, 2], [2, 3]]),
    ls.MinNewTokens(5, end_ids=[1, 2], prompt=True),
    ls.Watermark(0.5, context=2),
]
ALL = COUNTING + WHOLE
IN_GRAPHS = [t for t in ALL if not isinstance(t, ls.Guidance)]


def after_steps(transform, x=X):
    """Return what is made of logits by a loop from the prompts."""
    state = transform.init(np.array([[1, 2, 0, -1], [2, -1, -1, -1], [0, 1, 2, 1]], np.int32), 4)
    for place in range(max(map(len, WRITTEN))):
        ids = [own[place] if place < len(own) else -1 for own in WRITTEN]
        state = transform.update(state, np.array(ids, np.int32))
    return np.asarray(transform.apply(x, state))


@pytest.mark.parametrize("transform", ALL, ids=lambda own: type(own).__name__)
def test_a_call_equals_a_loop_from_the_prompts(transform):
    called = transform(X, history=PACKED, prompt_length=LENGTHS)
    np.testing.assert_array_equal(called, after_steps(transform))
    if transform in COUNTING:  # so that one length for all would be seen
        assert all((called != transform(X, history=PACKED, prompt_length=n)).any() for n in LENGTHS)
    for row, (prompt, written) in enumerate(zip(PROMPTS, WRITTEN, strict=True)):
        alone = transform.of_row(row)
        own = alone(X[row], history=prompt + written, prompt_length=len(prompt))
        np.testing.assert_allclose(called[row], own, rtol=1e-6)
        # Prompts that are padded at the left to one width have one length.
        left = [-1] * (4 - len(prompt)) + prompt + written
        np.testing.assert_allclose(alone(X[row], history=left, prompt_length=4), own, rtol=1e-6)


@pytest.mark.parametrize("transform", ALL, ids=lambda own: type(own).__name__)
def test_a_sampler_in_steps_equals_its_call(transform):
    sampler = ls.Sampler(transform)
    state = sampler.init(PROMPTS, 4, seed=[5, 6, 7])
    past, lengths = PACKED[:, :4].copy(), np.array(LENGTHS)
    for row, length in enumerate(lengths):
        past[row, length:] = -1
    past = np.pad(past, ((0, 0), (0, 3)), constant_values=-1)
    for number in range(3):
        x = np.abs(X) + 1 + number
        if isinstance(transform, ls.ForcedTokens | ls.BadWords | ls.SpanBudget):
            x[:, 0] += 5
        given = {"history": past, "prompt_length": lengths, "seed": [5, 6, 7]}
        wanted = sampler(x, step=lengths + number, **given)
        ids, state, log_prob = sampler.step(x, state, return_log_prob=True)
        np.testing.assert_array_equal(ids, wanted)
        np.testing.assert_allclose(log_prob, sampler.log_prob(x, ids, **given), rtol=1e-6)
        past[np.arange(3), lengths + number] = ids


def test_every_strategy_of_the_catalogue_is_here():
    classes = [getattr(strategies, row.name) for row in TABLE]
    own = {c for c in classes if c.is_stateful()}
    feedback = {ls.Mirostat, ls.AdaptiveP}
    assert own - {type(t) for t in ALL} == feedback | {ls.Grammar}


def test_grammar():
    pytest.importorskip("llguidance")
    grammar = ls.Grammar(**TABLE[-1].arguments())  # a text begins with b or d, then come as
    history = [[2, 2, 1, 0], [3, -1, -1, -1], [0, 0, 0, 0]]
    new = grammar(np.zeros((3, 5), np.float32), history=history, prompt_length=[2, 0, 4])
    assert [np.flatnonzero(row > -np.inf).tolist() for row in new] == [[0, 4], [0, 4], [1, 3]]


@pytest.mark.parametrize("transform", [ls.Mirostat(1.0), ls.AdaptiveP(0.3)], ids=repr)
def test_feedback_takes_prompts_of_different_lengths_and_no_generated_token(transform):
    history = [[1, 2, 0], [2, -1, -1], [-1, -1, 2]]
    called = transform(X, history=history, prompt_length=[3, 1, 3])
    np.testing.assert_array_equal(called, transform(X))
    with pytest.raises(ValueError, match="needs the probability of each token"):
        transform(X, history=history, prompt_length=[3, 0, 3])


KINDS = {
    "list": LENGTHS,
    "tuple": tuple(LENGTHS),
    "array": np.array(LENGTHS),
    "big-endian": np.array(LENGTHS, ">i2"),
    "tensor": tf.constant(LENGTHS, tf.int64),
    "unsigned": np.array(LENGTHS, np.uint8),
}


@pytest.mark.parametrize("kind", KINDS)
def test_kinds_of_lengths(kind):
    chain, given = ls.Sampler(ls.PresencePenalty(1.0), ls.MinNewTokens(3, 1)), KINDS[kind]
    lowered = X.copy()
    lowered[0, [2, 0]] -= 1
    lowered[1, [1, 3]] -= 1
    new = ls.PresencePenalty(1.0)(X, history=PACKED, prompt_length=given)
    np.testing.assert_array_equal(new, lowered)
    lowered[[0, 2], 1] = -np.inf
    shares = chain.probabilities(X, history=PACKED, prompt_length=given)
    np.testing.assert_allclose(shares, ls.Sampler().probabilities(lowered), rtol=1e-6)
    explained = chain.explain(X, history=PACKED, prompt_length=given)
    assert [row.stages[1].removed for row in explained] == [1, 0, 1]


@pytest.mark.parametrize(
    "number", [3, np.int64(3), np.array(3), np.array(3, ">i8"), tf.constant(3)]
)
def test_one_length_for_all_rows(number):
    x, penalty = X[:2], ls.PresencePenalty(1.0)
    new = penalty(x, history=PACKED[:2], prompt_length=number)
    np.testing.assert_array_equal(new, penalty(x, history=PACKED[:2], prompt_length=[3, 3]))
    np.testing.assert_array_equal(new, x - [[1, 0, 1, 0], [0, 1, 0, 0]])


WRONG = [
    (-1, "prompt_length must be an integer of at least 0, got -1"),
    ([3, -1, 4], r"of at least 0, got \[3, -1, 4\]; or one for each of 3 rows"),
    ([3, 1], r"got \[3, 1\]; or one for each of 3 rows"),
    ([[3], [1], [4]], r"got \[\[3\], \[1\], \[4\]\]; or one for each of 3 rows"),
    (6, "prompt_length is 6, but the history has 5 columns"),
    ([3, 6, 4], "prompt_length is 6, but the history has 5 columns"),
    (2**40, "prompt_length is 1099511627776, but"),
    (1.5, "of at least 0, got 1.5"),
    (True, "of at least 0, got True"),
    (None, "cannot read numbers from a NoneType"),
    (np.ma.array([3, 1, 4], mask=[0, 1, 0]), "of at least 0, got masked_array"),
]


@pytest.mark.parametrize(("given", "message"), WRONG, ids=[repr(given) for given, _ in WRONG])
def test_what_is_no_length(given, message):
    calls = [ls.PresencePenalty(1.0), ls.TopK(2), ls.Greedy(), ls.Sampler(ls.TopK(2)).probabilities]
    for call in calls:
        with pytest.raises(ValueError, match=message):
            call(X, history=PACKED, prompt_length=given)
        with pytest.raises(ValueError, match=message):
            tf.function(lambda call=call: call(X, history=PACKED, prompt_length=given))()


def test_a_length_without_a_history():
    for call in (ls.Greedy(), ls.TopK(2)):
        with pytest.raises(ValueError, match="prompt_length is 1, but the history has 0 columns"):
            call(X, prompt_length=1)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_lengths_of_a_graph(jit_compile):
    def check(function, chosen, lengths, *given):
        new = function(tf.constant(X), tf.constant(PACKED), *given)
        for transform, own in zip(chosen, new, strict=True):
            expected = transform(X, history=PACKED, prompt_length=lengths)
            np.testing.assert_allclose(own, expected, rtol=1e-6, err_msg=repr(transform))

    def all_of(chosen):
        return lambda x, h, lengths: [t(x, history=h, prompt_length=lengths) for t in chosen]

    run = tf.function(all_of(IN_GRAPHS), jit_compile=jit_compile)
    for lengths in (LENGTHS, [0, 5, 2]):
        check(run, IN_GRAPHS, lengths, tf.constant(lengths, tf.int64))
    assert run.experimental_get_tracing_count() == 1
    if not jit_compile:  # tracing is what takes time: of lengths of other kinds each half has one
        numbers, one = IN_GRAPHS[::2], IN_GRAPHS[1::2]
        check(tf.function(lambda x, h: all_of(numbers)(x, h, LENGTHS)), numbers, LENGTHS)
        check(tf.function(all_of(one)), one, 3, tf.constant(3))


@pytest.mark.parametrize("jit_compile", [False, True])
def test_a_graph_answers_minus_one_to_a_length_that_is_none(jit_compile):
    sampler = ls.Sampler(ls.PresencePenalty(1.0))
    run = tf.function(
        lambda n: (
            sampler(X, seed=[1, 2, 3], history=PACKED, prompt_length=n),
            ls.TopK(2)(X, history=PACKED, prompt_length=n),
        ),
        jit_compile=jit_compile,
    )
    ids, kept = run(tf.constant([3, 6, -1]))
    wanted = sampler(X[:1], seed=[1], history=PACKED[:1], prompt_length=3)
    assert ids.numpy().tolist() == [wanted[0], -1, -1]
    np.testing.assert_array_equal(kept[0], ls.TopK(2)(X[0]))
    assert np.isnan(kept[1:]).any(axis=1).all()
    ids, _ = run(tf.constant(2**40, tf.int64))
    assert ids.numpy().tolist() == [-1, -1, -1]


def test_what_a_graph_cannot_take():
    with pytest.raises(ValueError, match=r"one for each of 3 rows; got shape \(2,\)"):
        tf.function(lambda n: ls.Greedy()(X, history=PACKED, prompt_length=n))(tf.constant([1, 2]))
    with pytest.raises(ValueError, match="prompt_length must hold integers, got float32"):
        tf.function(lambda n: ls.Greedy()(X, history=PACKED, prompt_length=n))(tf.constant(1.0))
    specs = [tf.TensorSpec([None, 4]), tf.TensorSpec([None, 5], tf.int32)]
    with pytest.raises(ValueError, match="one for each of an open number of rows"):
        tf.function(
            lambda x, h: ls.TopK(2)(x, history=h, prompt_length=[1, 2, 3]), input_signature=specs
        ).get_concrete_function()


def test_lengths_of_an_open_batch():
    specs = [tf.TensorSpec([None, 4]), tf.TensorSpec([None, 5], tf.int32)]
    penalty = ls.PresencePenalty(1.0)
    run = tf.function(
        lambda x, h, n: penalty(x, history=h, prompt_length=n),
        input_signature=[*specs, tf.TensorSpec([None], tf.int32)],
    )
    wanted = penalty(X, history=PACKED, prompt_length=LENGTHS)
    np.testing.assert_array_equal(run(X, PACKED.astype(np.int32), LENGTHS), wanted)
    single = penalty(X[:1], history=PACKED[:1], prompt_length=2)
    np.testing.assert_array_equal(run(X[:1], PACKED[:1].astype(np.int32), [2]), single)


IN_JAX = """
import jax, numpy as np, logit_sampling as ls
x = np.arange(12, dtype=np.float32).reshape(3, 4)
history = np.array([[1, 2, 0, 2, 0], [2, 1, 3, 1, -1], [0, 1, 2, 1, -1]], np.int32)
for transform in (ls.PresencePenalty(1.0), ls.MinNewTokens(3, 1), ls.NoRepeatNGram(2)):
    call = lambda n: transform(x, history=history, prompt_length=n)
    for given in (np.array([3, 1, 4]), np.array(2)):
        np.testing.assert_allclose(jax.jit(call)(given), call(given), rtol=1e-6)
    assert np.isnan(jax.jit(call)(np.array([3, 9, -1]))[1:]).any(axis=1).all()
    rows = jax.jit(lambda a, b, c: transform([a, b, c], history=history))
    np.testing.assert_allclose(rows(*x), transform(x, history=history), rtol=1e-6)
print("agreed")
"""


def test_jax_agrees():
    pytest.importorskip("jax")
    run = subprocess.run(
        [sys.executable, "-c", IN_JAX],
        env=on("jax"),
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.stdout == "agreed\n", run.stderr
