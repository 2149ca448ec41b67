"""A parameter of a transform that is a tensor of a graph: one trace for all its values."""

import dataclasses
import functools
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

import logit_sampling as ls
from logit_sampling import strategies
from logit_sampling.distribution.checks import is_number
from tests.parameters import (
    CASES,
    CHAINS,
    HISTORY,
    batch,
    chain,
    check_equal,
    check_lost,
    everything,
    per_row,
)
from tests.parameters import tensor as tensor_of
from tests.processes import on


@functools.cache
def graph(name):
    """Return a plain graph of one strategy, traced once for a scalar and once for rows."""
    return tf.function(lambda x, p: everything(name, x, p))


def run(name, p):
    return [y.numpy() for y in graph(name)(tf.constant(batch()), tf.constant(p))]


def test_every_parameter_is_tried():
    numeric = {
        f"{name}.{field.name}"
        for name in strategies.__all__
        if isinstance(getattr(strategies, name), type)
        for field in dataclasses.fields(getattr(strategies, name))
        if is_number(field) and not field.metadata["static"]
    }
    assert numeric - {"Guidance.scale"} == CASES.keys()  # which calls a function: see `guide`


@pytest.mark.parametrize("name", CASES)
def test_a_tensor_is_what_its_numbers_are(name):
    case = CASES[name]
    for p in (*(tensor_of(case, value) for value in case.good), per_row(case)):
        check_equal(name, run(name, p), p, rtol=2e-6)
    assert graph(name).experimental_get_tracing_count() == 2


@pytest.mark.parametrize("name", CASES)
def test_a_row_whose_value_is_out_of_range_has_no_distribution(name):
    case = CASES[name]
    for value in case.bad:
        check_lost(run(name, tensor_of(case, value)), True)
        p = per_row(case, case.good[0], value)
        found = run(name, p)
        check_lost(found, np.arange(4) == 1)
        sound = np.delete(np.arange(4), 1)
        p[1] = case.good[0]
        for own, wanted in zip(found, everything(name, batch(), p), strict=True):
            np.testing.assert_allclose(own[sound], wanted[sound], rtol=2e-6, atol=1e-6)
    assert graph(name).experimental_get_tracing_count() == 2


@pytest.mark.parametrize("names", CHAINS[::3], ids=", ".join)  # in JAX all of them
def test_xla(names):
    compiled = tf.function(lambda x, p: chain(x, p), jit_compile=True)
    x = batch()
    for turn in range(3):
        parameters = {name: np.roll(per_row(CASES[name]), turn) for name in names}
        ids, probabilities = compiled(tf.constant(x), parameters_of(parameters))
        expected = chain(x, parameters)
        np.testing.assert_array_equal(ids, expected[0])
        np.testing.assert_allclose(probabilities, expected[1], rtol=1e-5, atol=1e-6)
    for row, name in enumerate(names):
        parameters[name][row] = CASES[name].bad[0]
    found = compiled(tf.constant(x), parameters_of(parameters))
    check_lost(found, np.arange(4) < len(names))
    assert compiled.experimental_get_tracing_count() == 1


def parameters_of(numbers):
    return {name: tf.constant(p) for name, p in numbers.items()}


@pytest.mark.parametrize("name", ["TopK.k", "TopP.p", "Typical.p", "TopH.h"])
def test_long_rows(name):
    """Those that the graph searches rather than puts in order."""
    x = batch(1500) * np.array([[1], [0.3], [0.03], [0.003]], np.float32)
    case = CASES[name]
    compiled = tf.function(lambda p: case.make(p)(x))
    for value in (*case.good, 1000 if name == "TopK.k" else 0.96875):
        kept = np.isfinite(compiled(tf.constant(tensor_of(case, value))))
        np.testing.assert_array_equal(kept, np.isfinite(case.make(value)(x)))
    assert compiled.experimental_get_tracing_count() == 1


def loop(sampler, prompt, x, steps=5):
    """Return what is drawn step by step, int [steps, batch], in a graph."""
    state = sampler.init(prompt, x.shape[-1], seed=7, max_new_tokens=steps)
    drawn = tf.TensorArray(tf.int32, steps)
    for number in tf.range(steps):
        ids, state = sampler.step(x * tf.cast(number + 1, x.dtype), state)
        drawn = drawn.write(number, ids)
    return drawn.stack()


CARRIED = {
    "Mirostat": (lambda p: ls.Mirostat(p, p / 8), (2.0, 4.0)),
    "AdaptiveP": (lambda p: ls.AdaptiveP(p, p), (0.25, 0.75)),
    "RepetitionPenalty": (lambda p: ls.RepetitionPenalty(p, window=3), (1.5, 4.0)),
    "PresencePenalty": (ls.PresencePenalty, (2.0, -2.0)),
    "FrequencyPenalty": (ls.FrequencyPenalty, (2.0, -2.0)),
    "DRY": (lambda p: ls.DRY(p, p), (1.5, 3.0)),
    "Watermark": (lambda p: ls.Watermark(p, 8 * p), (0.25, 0.5)),
    "LengthDecay": (lambda p: ls.LengthDecay(1, p, 3), (1.5, 3.0)),
}


@pytest.mark.parametrize("name", CARRIED)
def test_a_state_with_tensor_parameters_in_a_loop(name):
    make, values = CARRIED[name]
    x, prompt = batch(), HISTORY[:, :6]
    compiled = tf.function(
        lambda prompt, x, p: loop(ls.Sampler(make(p), ls.Temperature(1.5)), prompt, x),
        jit_compile=name in ("Mirostat", "DRY"),
    )
    for given in ([values[0]] * 4, [values[1], values[0]] * 2):
        p = np.asarray(given, np.float32)
        ids = compiled(tf.constant(prompt), tf.constant(x), tf.constant(p))
        sampler = ls.Sampler(make(p), ls.Temperature(1.5))
        state = sampler.init(prompt, 50, seed=7)
        for number, drawn in enumerate(ids.numpy()):
            expected, state = sampler.step(x * np.float32(number + 1), state)
            np.testing.assert_array_equal(drawn, expected)
    p[2] = np.nan
    ids = compiled(tf.constant(prompt), tf.constant(x), tf.constant(p)).numpy()
    assert ((ids == -1) == (np.arange(4) == 2)).all()
    assert compiled.experimental_get_tracing_count() == 1


def traced(function, *values):
    """Return what a function of tensors gives in a graph."""
    return tf.function(function)(*map(tf.constant, values))


@pytest.mark.parametrize(
    ("make", "value", "message"),
    [
        (lambda k: ls.PresencePenalty(1.0, window=k), 2, "PresencePenalty needs `window` in"),
        (lambda k: ls.DRY(1.0, window=k), 2, "DRY needs `window` in numbers"),
        (lambda k: ls.DRY(1.0, breakers=[[k, 3]]), 2, "DRY needs `breakers` in numbers"),
        (lambda k: ls.TopH(0.5, first=k), 2, "TopH needs `first` in numbers when it is built"),
        (lambda k: ls.TopH(0.5, renormalize=k), True, "TopH needs `renormalize` in numbers"),
        (lambda k: ls.Mirostat(m=k), 2, "Mirostat needs `m` in numbers"),
        (lambda k: ls.Mirostat(version=k), 2, "Mirostat needs `version` in numbers"),
        (lambda k: ls.Watermark(key=k), 2, "Watermark needs `key` in numbers"),
        (lambda k: ls.XTC(0.5, 0.1, [k]), 2, "XTC needs `protected` in numbers"),
        (lambda k: ls.AllowTokens(k), [1, 2], "pass Python or NumPy values, of which another one"),
        (lambda k: ls.ForcedTokens({1: k}), 2, "ForcedTokens needs `tokens` in numbers"),
        (lambda k: ls.MinNewTokens(2, k), 2, "MinNewTokens needs `end_ids` in numbers"),
        (lambda k: ls.BadWords([[k, 3]]), 2, "BadWords needs `sequences` in numbers"),
        (lambda b: ls.LogitBias({3: b}), 0.5, "add a bias that is a tensor to the logits"),
        (lambda b: ls.SequenceBias({(3, 4): b}), 0.5, "SequenceBias needs `bias` in numbers"),
        (lambda k: ls.TopK(k), 2.0, "TopK needs `k` to be a finite integer in .* dtype=float32"),
        (lambda t: ls.Temperature(t), True, r"or a tensor of them, \[\] or \[batch\]; .*bool"),
        (lambda t: ls.Temperature(t), [[0.5]], r"\[\] or \[batch\]; got .*shape=\(1, 1\)"),
        (lambda t: ls.Temperature(t), [0.5, 1.0], "2 values of `temperature` for 4 rows"),
        (
            lambda t: ls.guide(batch(), batch(), t),
            [0.5],
            "guide has 1 values of `scale` for 4 rows",
        ),
    ],
)
def test_what_no_tensor_can_stand_for(make, value, message):
    def use(tensor):
        made = make(tensor)
        return made(batch()) if isinstance(made, ls.Transform) else made

    with pytest.raises(ValueError, match=message) as error:
        traced(use, value)
    assert len(str(error.value).strip().split("\n    ValueError: ")[-1].splitlines()) == 1


def test_rows_that_the_graph_leaves_open():
    x = batch()
    compiled = tf.function(
        lambda x, t: ls.Sampler(ls.Temperature(t))(x, seed=3),
        input_signature=[tf.TensorSpec([None, 50]), tf.TensorSpec([None])],
    )
    numbers = [0.5, 1.0, 0.0, 2.0]
    expected = ls.Sampler(ls.Temperature(numbers))(x, seed=3)
    np.testing.assert_array_equal(compiled(x, tf.constant(numbers)), expected)
    assert compiled(x, tf.constant([0.5])).numpy().tolist() == [-1] * 4
    with pytest.raises(ValueError, match="4 values of `temperature` for an open number of rows"):
        tf.function(
            lambda x: ls.Temperature(tf.zeros(4))(x), input_signature=[tf.TensorSpec([None, 50])]
        ).get_concrete_function()


def test_variables_and_lists():
    x, of_tf, of_keras = batch(), tf.Variable(0.5), keras.Variable(0.5)

    @tf.function
    def draw(t):
        samplers = (ls.Sampler(ls.Temperature(v)) for v in (of_tf, of_keras, [0.25, t, 2, t]))
        return [sampler(x, seed=3) for sampler in samplers]

    for value in (0.5, 2.0):
        of_tf.assign(value)
        of_keras.assign(value)
        expected = ls.Sampler(ls.Temperature(value))(x, seed=3)
        rows = ls.Sampler(ls.Temperature([0.25, value, 2, value]))(x, seed=3)
        for ids, wanted in zip(draw(tf.constant(value)), (expected, expected, rows), strict=True):
            np.testing.assert_array_equal(ids, wanted)
    assert draw.experimental_get_tracing_count() == 1
    assert ls.Temperature(of_tf) == ls.Temperature(of_keras) == ls.Temperature(2.0)  # in eager code


def test_guide():
    c, u = batch(), batch()[::-1].copy()
    compiled = tf.function(lambda scale: ls.guide(c, u, scale))
    for scale in ([0.0, 1.0, 1.5, 2.0], [1.0, 0.0, 3.0, 0.5]):
        np.testing.assert_allclose(compiled(tf.constant(scale)), ls.guide(c, u, scale), rtol=1e-5)
    lost = np.isnan(compiled(tf.constant([1.0, -1.0, np.nan, 0.5])).numpy())
    np.testing.assert_array_equal(lost, np.broadcast_to([[0], [1], [1], [0]], lost.shape))
    assert compiled.experimental_get_tracing_count() == 1


def test_what_a_transform_with_a_tensor_says_of_itself():
    seen = []

    @tf.function
    def look(t):
        one, again, other = ls.Temperature(t), ls.Temperature(t), ls.Temperature(t + 1)
        seen.append(repr(ls.Sampler(one, ls.TopK(3))))
        seen.append((one == again, one != again, hash(one) == hash(again), one == other))
        seen.append((one == ls.Temperature(0.5), one.per_row(), one.of_row(0) == one))
        for call, message in (
            (one.get_config, "cannot hold the tensor of a graph that is its `temperature`"),
            (ls.Sampler(one).get_config, "Temperature has no configuration"),
            (lambda: ls.Sampler(one).explain(batch()), "explain needs numbers"),
            (lambda: bool(one.temperature), "holds no number outside of it"),
            (lambda: np.asarray(one.temperature), "holds no number outside of it"),
        ):
            with pytest.raises(ValueError, match=message):
                call()
        return t

    look(tf.constant(0.5))
    assert seen == [
        "Sampler(Temperature(temperature=<tensor>), TopK(k=3))",
        (True, False, True, False),
        (False, {}, True),
    ]


IN_JAX = """
import keras  # which adds settings to JAX 0.12: in a first trace they would make it trace again
import jax, numpy as np, logit_sampling as ls
from tests.parameters import (
    CASES, CHAINS, HISTORY, batch, chain, check_equal, check_lost, everything, per_row,
)

traces = []
def compiled(name, function):
    def run(*p):  # the logits are NumPy's: the parameter alone tells that a graph is traced
        traces.append(name)
        return function(*p)
    return jax.jit(run)

for names in CHAINS:
    # JAX sorts what is in a dictionary, and the order of a chain matters.
    graph = compiled(names, lambda *p: chain(batch(), dict(zip(names, p))))
    for turn in range(3):
        p = {name: np.roll(per_row(CASES[name]), turn) for name in names}
        ids, shares = graph(*p.values())
        expected = chain(batch(), p)
        np.testing.assert_array_equal(ids, expected[0])
        np.testing.assert_allclose(shares, expected[1], rtol=5e-5, atol=1e-6)
    for row, name in enumerate(names):
        p[name][row] = CASES[name].bad[0]
    check_lost(graph(*p.values()), np.arange(4) < len(names))

jax.config.update("jax_enable_x64", True)
for name in NAMES:
    case, graph = CASES[name], compiled(name, lambda p: everything(name, batch(), p))
    p = per_row(case)
    for turn in range(3):
        check_equal(name, graph(np.roll(p, turn)), np.roll(p, turn), 2e-6)
    p[1] = case.bad[0]
    check_lost(graph(p), np.arange(4) == 1)
assert traces == CHAINS + NAMES
jax.config.update("jax_enable_x64", False)

sampler = lambda p: ls.Sampler(ls.AdaptiveP(p, p), ls.Temperature(1.5))
def loop(p):
    def step(number, carried):
        drawn, state = carried
        ids, state = sampler(p).step(batch() * (number + 1), state)
        return drawn.at[number].set(ids), state
    state = sampler(p).init(HISTORY, 50, seed=7)
    return jax.lax.fori_loop(0, 4, step, (jax.numpy.zeros((4, 4), "int32"), state))[0]

p = np.array([0.25, 0.75, 0.5, 0.25], np.float32)
state = sampler(p).init(HISTORY, 50, seed=7)
for number, drawn in enumerate(jax.jit(loop)(p)):
    ids, state = sampler(p).step(batch() * np.float32(number + 1), state)
    np.testing.assert_array_equal(drawn, ids)
try:
    jax.jit(lambda n: ls.DRY(1.0, window=n)(batch(), history=HISTORY))(2)
except ValueError as error:
    assert "DRY needs `window` in numbers" in str(error)
else:
    raise AssertionError("a window shapes the graph")
print("agreed")
"""


def test_jax():
    pytest.importorskip("jax")
    # Without float64 all strategies, with it some of each kind.
    names = ["TopK.k", "Typical.p", "DRY.base", "Mirostat.eta"]
    code = IN_JAX.replace("NAMES", repr(names))
    run = subprocess.run(
        [sys.executable, "-c", code], env=on("jax"), capture_output=True, text=True, check=False
    )
    assert run.stdout == "agreed\n", run.stderr
