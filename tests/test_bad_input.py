"""What is refused, and that the message says what was wrong and what to do."""

import dataclasses
import inspect
import warnings
from collections.abc import Callable

import numpy as np
import pytest
import tensorflow as tf

import logit_sampling as ls

GOOD = np.array([[0.0, 1.0, 2.0], [2.0, 1.0, 0.0]], np.float32)
SAMPLER = ls.Sampler(ls.TopK(2))


@dataclasses.dataclass(frozen=True)
class Returns(ls.Transform):
    function: Callable

    def apply(self, logits, state):
        return self.function(logits)


def spoiled(value):
    x = GOOD.copy()
    x[1] = value
    return x


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: ls.TopK(0),
            r"TopK needs `k` to be a finite integer in \[1, inf\); got 0; off is to leave it out, "
            r"or Sampler.from_params\(top_k=0\)$",
        ),
        (lambda: ls.TopK([0, 2]), r"got 0 in row 0; .*or Sampler.from_params\(top_k=0\)$"),
        (lambda: ls.TopK([[1], [2, 3]]), r"got \[\[1\], \[2, 3\]\]$"),
        (lambda: ls.TopK(-5), "got -5$"),
        (lambda: ls.TopK(2.5), r"integer in \[1, inf\), or an array of them, .* got 2.5"),
        (lambda: ls.TopK(True), "got True"),
        (lambda: ls.TopK("5"), "got '5'"),
        (lambda: ls.TopK([3, 0]), "got 0 in row 1"),
        (lambda: ls.TopK([]), r"got \[\]"),
        (lambda: ls.TopP(1.2), r"TopP needs `p` to be a finite number in \(0, 1\]; got 1.2"),
        (lambda: ls.TopP(0), r"in \(0, 1\]; got 0"),
        (lambda: ls.TopP(np.nan), "got nan"),
        (lambda: ls.TopP([[0.5]]), r"got \[\[0.5\]\]"),
        (lambda: ls.MinP(-0.1), r"in \[0, 1\]; got -0.1"),
        (lambda: ls.MinP(1.5), r"in \[0, 1\]; got 1.5"),
        (lambda: ls.Temperature(-1), r"finite number in \[0, inf\); got -1"),
        (lambda: ls.Temperature(np.inf), "got inf"),
        (lambda: ls.Temperature(None), "got None"),
        (lambda: ls.Sampler(ls.TopK), "put the class's parameters in parentheses"),
        (lambda: ls.Sampler(50), "got 50"),
        (lambda: ls.Sampler.from_params(top_p=2), r"\(0, 1\]; got 2"),
        (lambda: ls.Sampler.from_config({"name": "Sample"}), "no configuration of a Sampler"),
        (
            lambda: ls.Transform.from_config({"name": "TopQ"}),
            "no transform is called 'TopQ'; known: .*TopK",
        ),
        (lambda: ls.Transform.from_config({"name": "TopK", "p": 1}), "TopK does not fit"),
    ],
)
def test_parameters(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize(
    ("logits", "message"),
    [
        (spoiled([0, np.nan, 1]), "NaN in row 1"),
        (spoiled(-np.inf), "every token of row 1 is at -inf"),
        (np.array([1, 2, 3]), "floating point .* got int64"),
        (np.array([True, False]), "got bool"),
        (np.array([1j]), "got complex128"),
        (np.float32(1), r"shape \[vocab\] or \[batch, vocab\], got shape \(\)"),
        (np.zeros((1, 2, 3), np.float32), r"got shape \(1, 2, 3\); take the last position"),
        (np.zeros((2, 0), np.float32), "vocabulary of shape .* is empty"),
    ],
    ids=["nan", "all -inf", "integer", "bool", "complex", "rank 0", "rank 3", "no vocabulary"],
)
@pytest.mark.parametrize("kind", [np.asarray, tf.constant])
def test_logits(logits, message, kind):
    calls = [
        lambda x: SAMPLER(x, seed=0),
        SAMPLER.probabilities,
        lambda x: SAMPLER.log_prob(x, np.zeros(x.shape[:-1], np.int32)),
        lambda x: SAMPLER.step(x, SAMPLER.init(np.zeros((2, 1), np.int32), 3)),
        ls.Greedy(),
    ]
    if "-inf" not in message:
        calls.append(ls.TopK(2))  # a transform alone passes a row of -inf on
    for call in calls:
        with pytest.raises(ValueError, match=message.replace("int64", "int(32|64)")):
            call(kind(logits))


@dataclasses.dataclass(frozen=True)
class Arrays(ls.Transform):
    def apply(self, logits, state=()):
        logits + 1


@dataclasses.dataclass(frozen=True)
class Distributions(ls.Strategy):
    def apply(self, distribution, state=()):
        distribution.at_least(-1)


@pytest.mark.parametrize("made", [Arrays(), Distributions(), ls.stateless(lambda x: None)], ids=str)
def test_a_strategy_that_forgets_to_return(made):
    for call in (made, ls.Sampler(made), tf.function(ls.Sampler(made))):
        with pytest.raises(ValueError, match=r".* returned None: is a `return` missing") as raised:
            call(tf.constant(GOOD))
        assert type(made).__name__.lower() in str(raised.value).lower()


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (ls.Greedy(), r"got Greedy\(\); that is a sampler itself: .*Greedy\(TopK\(5\)\)"),
        ("top_k=50", r"is read by Sampler.parse\('top_k=50'\)"),
        (ls.TopK, "put the class's parameters in parentheses"),
    ],
)
def test_what_is_no_transform(given, message):
    with pytest.raises(ValueError, match=message):
        ls.Sampler(given)


def test_a_seed_for_what_draws_nothing():
    with pytest.raises(
        ValueError, match=r"nothing: .* ls.Sampler\(TopK\(...\)\)\(logits, seed=7\)"
    ):
        ls.TopK(2)(GOOD, seed=7)
    assert ls.XTC(0.5, 0.1)(GOOD, seed=7).shape == GOOD.shape


@pytest.mark.parametrize("jit_compile", [False, True])
def test_a_compiled_graph_answers_minus_one(jit_compile):
    x = np.stack([GOOD[0], spoiled([0, np.nan, 1])[1], spoiled(-np.inf)[1], GOOD[1]])
    for sampler in (SAMPLER, ls.Greedy(), ls.Sampler(ls.TopP(0.5)), ls.Sampler(ls.Temperature(0))):

        @tf.function(jit_compile=jit_compile)
        def run(logits, sampler=sampler):
            ids = sampler(logits, seed=0)
            return ids, sampler.probabilities(logits), sampler.log_prob(logits, ids)

        ids, probabilities, log_prob = (y.numpy() for y in run(tf.constant(x)))
        expected = [sampler(row, seed=i) for i, row in ((0, x[0]), (3, x[3]))]
        assert ids.tolist() == [expected[0], -1, -1, expected[1]]
        assert np.isnan(probabilities[1:3]).all() and np.isnan(log_prob[1:3]).all()
        assert np.isfinite(probabilities[[0, 3]]).all() and np.isfinite(log_prob[[0, 3]]).all()


def test_a_traced_graph_checks_what_it_can():
    def trace(spec):
        return tf.function(SAMPLER, input_signature=[spec]).get_concrete_function()

    with pytest.raises(ValueError, match="got shape"):
        trace(tf.TensorSpec([2, 3, 4], tf.float32))
    with pytest.raises(ValueError, match="floating point"):
        trace(tf.TensorSpec([2, 3], tf.int32))
    with pytest.raises(ValueError, match="vocabulary's size is unknown"):
        trace(tf.TensorSpec([2, None], tf.float32))
    with pytest.raises(ValueError, match="2 values of `k` for an open number of rows"):
        tf.function(
            ls.TopK([1, 2]), input_signature=[tf.TensorSpec([None, 3])]
        ).get_concrete_function()
    with pytest.raises(ValueError, match="Returns returned shape"):
        tf.function(lambda x: Returns(lambda y: y[0])(x))(tf.constant(GOOD))
    with pytest.raises(ValueError, match="history must be token ids"):
        tf.function(lambda h: SAMPLER(GOOD, history=h))(tf.constant([[0.5], [1.0]]))
    with pytest.raises(ValueError, match="seed per row needs a batch"):
        tf.function(
            lambda x: SAMPLER(x, seed=[1, 2]), input_signature=[tf.TensorSpec([None, 3])]
        ).get_concrete_function()


def test_an_open_batch_size_is_fine():
    open_batch = tf.function(
        lambda x: SAMPLER(x, seed=-7), input_signature=[tf.TensorSpec([None, 3])]
    )
    np.testing.assert_array_equal(open_batch(tf.constant(GOOD)).numpy(), SAMPLER(GOOD, seed=-7))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: SAMPLER(GOOD, seed=[1, 2, 3]), "seed has 3 values for 2 rows"),
        (lambda: SAMPLER(GOOD, seed=0.5), "seed must be an integer"),
        (lambda: SAMPLER(GOOD, step=-1), "step must be an integer of at least 0"),
        (lambda: SAMPLER(GOOD, step=[1, 2, 3]), "one for each of 2 rows"),
        (lambda: SAMPLER(GOOD, step=1.5), "got 1.5"),
        (lambda: SAMPLER(GOOD, step=2**32), "below 2\\*\\*31"),
        (lambda: tf.function(lambda: SAMPLER(GOOD, step=-1))(), "step must be an integer"),
        (lambda: tf.function(lambda s: SAMPLER(GOOD, seed=s))(tf.constant(0.5)), "got float32"),
        (lambda: SAMPLER(GOOD, history=[[1], 2]), "got both lists and numbers"),
        (lambda: SAMPLER(GOOD, history=[[2**40], [1]]), "below 2\\*\\*31; got 1099511627776"),
        (lambda: SAMPLER(GOOD, prompt_length=-1), "prompt_length must be .* got -1"),
        (lambda: ls.Sampler(Returns(lambda x: x[0]))(GOOD), r"Returns returned shape \(3,\)"),
        (lambda: ls.Sampler(Returns(lambda x: x[:, :2]))(GOOD), r"shape \(2, 2\) for .* \(2, 3\)"),
        (lambda: SAMPLER.log_prob(GOOD, 1), r"ids must be integers of shape \(2,\)"),
        (lambda: SAMPLER.log_prob(GOOD, [0.5, 1]), "got float64"),
        (lambda: SAMPLER.log_prob(GOOD, [0, 3]), r"id 3 in row 1 is not in \[0, 3\)"),
        (lambda: SAMPLER.log_prob(GOOD, [-1, 0]), r"id -1 in row 0"),
        (lambda: ls.TopK([1, 2, 3])(GOOD), "TopK has 3 values of `k` for 2 rows"),
        (lambda: ls.Sampler(ls.TopP([0.5] * 3))(GOOD), "TopP has 3 values of `p` for 2 rows"),
        (lambda: SAMPLER(GOOD, history=[[1], [2], [3]]), "history has 3 rows, logits have 2"),
        (lambda: SAMPLER(GOOD, history=[[0.5], [1.5]]), "history must be token ids"),
        (lambda: SAMPLER.step(GOOD, SAMPLER.init([[1]], 3)), "state holds 1 rows, logits have 2"),
    ],
)
def test_arguments_that_do_not_fit(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_probabilities_given_as_logits_are_recognised(dtype):
    row = np.array([0.5, 0.25, 0.125, 0.125], dtype)
    for call in (SAMPLER, SAMPLER.probabilities, ls.TopK(2)):
        with pytest.warns(ls.ProbabilitiesWarning, match=r"row 1 .* np.log\(probabilities\)"):
            call(np.stack([np.array([3, 2, 1, 0], dtype), row]))


def test_the_warning_points_at_the_line_of_the_caller():
    row = np.array([0.5, 0.25, 0.125, 0.125], np.float32)
    state = SAMPLER.init([[]], 4)
    for call in (SAMPLER, SAMPLER.probabilities, ls.TopK(2), lambda x: SAMPLER.step(x, state)):
        with pytest.warns(ls.ProbabilitiesWarning) as caught:
            call(row)
        assert caught[0].filename == __file__
        line = inspect.getsourcelines(inspect.currentframe().f_code)[0][
            caught[0].lineno - inspect.currentframe().f_code.co_firstlineno
        ]
        assert "call(row)" in line or "lambda" in line


def test_a_softmax_in_half_precision_is_recognised():
    logits = np.random.default_rng(0).normal(size=(50, 1000)).astype(np.float32) * 3
    for dtype in ("float16", "bfloat16"):
        for row in tf.cast(tf.nn.softmax(logits), dtype).numpy():
            with pytest.warns(ls.ProbabilitiesWarning):
                SAMPLER(row, seed=0)


@pytest.mark.parametrize(
    "row",
    [
        np.log([0.5, 0.25, 0.125, 0.125]),  # log-probabilities are logits
        np.array([0.5, 0.25, 0.25, 0.25]),  # does not sum to 1
        np.array([1.5, -0.5, 0.0, 0.0]),  # sums to 1, but not in [0, 1]
        np.array([1.0]),  # a vocabulary of one
        np.zeros(5),
    ],
)
def test_logits_that_are_no_probabilities_pass_in_silence(row):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        SAMPLER(row, seed=0)
