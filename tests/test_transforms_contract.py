"""What every transform and every chain must do, whatever its formula."""

import dataclasses
import json

import numpy as np
import pytest
import tensorflow as tf

import logit_sampling as ls
from logit_sampling.distribution.random import row_integers

CHAINS = [
    ls.Sampler(),
    ls.Greedy(),
    ls.Sampler(ls.Temperature(0.7)),
    ls.Sampler(ls.Temperature(0)),
    ls.Sampler(ls.TopK(5)),
    ls.Sampler(ls.TopP(0.8)),
    ls.Sampler(ls.MinP(0.1)),
    ls.Greedy(ls.TopK(3)),
    ls.Sampler(ls.TopK(20), ls.TopP(0.8), ls.MinP(0.05), ls.Temperature(1.3)),
    ls.Sampler(ls.Temperature(1.7), ls.MinP(0.02), ls.TopP(0.9), ls.TopK(7)),
    ls.Sampler(ls.DynamicTemperature(1.0, 0.4), ls.Typical(0.7)),
    ls.Sampler(ls.DynamicTemperature(0.5, 0.5, 2.0), ls.Epsilon(0.01)),
    ls.Sampler(ls.Eta(0.01), ls.TopA(0.3)),
    ls.Sampler(ls.TopNSigma(1.5), ls.PLess()),
    ls.Sampler(ls.TopH(0.6)),
    ls.Sampler(ls.TopH(0.6, renormalize=False, first=40)),
    ls.Sampler(ls.XTC(0.5, 0.05), ls.XTC(1.0, 0.02, protected=(3, 7))),
    ls.Sampler(ls.Mirostat(3.0, 0.2)),
    ls.Sampler(ls.TopK(40), ls.Mirostat(3.0, 0.2, version=1)),
    ls.Sampler(ls.AdaptiveP(0.2)),
]
STATELESS = [c for c in CHAINS if not any(t.is_stateful() for t in c.transforms)]
PER_ROW = [
    ls.Sampler(ls.Temperature([0, 0.5, 1, 2]), ls.TopK([1, 3, 30, 999]), ls.TopP([1, 0.1, 0.9, 1])),
    ls.Sampler(ls.MinP([0, 1, 0.2, 0.01]), ls.TopP([0.2, 1, 0.9, 1])),
    ls.Sampler(ls.DynamicTemperature([1, 0.5, 1, 2], [0, 0.5, 1, 1], [1, 2, 0.5, 1])),
    ls.Sampler(ls.Typical([1, 0.2, 0.9, 0.5]), ls.TopNSigma([1, 2, 3, 0.5])),
    ls.Sampler(ls.Epsilon([0, 0.01, 0.1, 0.5]), ls.TopA([0, 1, 0.5, 0.2])),
    ls.Sampler(ls.Eta([0, 0.01, 0.1, 0.5]), ls.TopH([1, 0.5, 0.1, 0.9])),
    ls.Sampler(ls.XTC([0, 1, 1, 0.5], [0.1, 0.1, 0, 0.01])),
    ls.Sampler(ls.Mirostat([1, 2, 3, 5], [0.1, 0.2, 0, 1])),
    ls.Sampler(ls.AdaptiveP([0, 0.3, 0.7, 1], [0, 0.5, 0.9, 0.99])),
]


def batch(vocabulary: int = 300, rows: int = 4, dtype: str = "float32") -> np.ndarray:
    return (np.random.default_rng(1).normal(size=(rows, vocabulary)) * 3).astype(dtype)


# Short rows, which the graph engine puts in order, and long ones, of which flat ones need its
# histograms. Compiling is what takes time, so that XLA takes every fourth chain, at one length;
# strategies alone are in strategies/test_every_strategy.py.
@pytest.mark.parametrize(
    ("sampler", "spreads", "vocabulary", "jit_compile"),
    [
        (sampler, spreads, vocabulary, number % 8 == 4 * long)
        for number, sampler in enumerate(
            s for s in CHAINS + PER_ROW if len(s.transforms) != 1 or isinstance(s, ls.Greedy)
        )
        for long, (vocabulary, spreads) in enumerate(
            [(300, (3, 3, 3, 3)), (1500, (3, 1, 0.1, 0.01))]
        )
    ],
    ids=repr,
)
def test_engines_agree(sampler, spreads, vocabulary, jit_compile):
    def everything(x):
        """Go through the chain once: as much as must be traced."""
        pending = sampler.begin_step(x, sampler.init([[0] * 9] * 4, vocabulary, seed=5))
        ids, (_, *left) = pending.draw(), pending.stages
        shares = pending.stages[-1].probabilities()
        return ids, pending.log_prob(ids), shares, *(stage.dense() for stage in left)

    x = batch(vocabulary) / 3 * np.array(spreads, np.float32)[:, None]
    ids, log_prob, *dense = everything(x)
    compiled = tf.function(everything, jit_compile=jit_compile)
    other_ids, other_log_prob, *other_dense = (y.numpy() for y in compiled(tf.constant(x)))
    np.testing.assert_array_equal(other_ids, ids)
    np.testing.assert_allclose(other_log_prob, log_prob, rtol=1e-5, atol=1e-6)
    for other, expected in zip(other_dense, dense, strict=True):
        np.testing.assert_allclose(other, expected, rtol=1e-6, atol=0)
        assert other.dtype == expected.dtype == np.float32
    assert other_ids.dtype == ids.dtype == np.int32
    given = {"seed": 5, "step": 9}
    for y in (x, tf.constant(x)):
        np.testing.assert_array_equal(sampler(y, **given), ids)
        np.testing.assert_array_equal(sampler.log_prob(y, ids, **given), log_prob)
        np.testing.assert_array_equal(sampler.probabilities(y, **given), dense[0])


@pytest.mark.parametrize("sampler", CHAINS, ids=repr)
def test_a_row_alone_equals_the_row_in_a_batch(sampler):
    x = batch()
    together, ids = sampler.probabilities(x), sampler(x, seed=[3, 1, 4, 1], step=[0, 5, 2, 9])
    for row, (seed, step) in enumerate(zip([3, 1, 4, 1], [0, 5, 2, 9], strict=True)):
        np.testing.assert_array_equal(sampler.probabilities(x[row]), together[row])
        alone = sampler(x[row], seed=seed, step=step)
        assert alone.shape == () and alone.dtype == np.int32 and alone == ids[row]


@pytest.mark.parametrize("sampler", PER_ROW, ids=repr)
def test_per_row_parameters_equal_a_sampler_for_each_row(sampler):
    x = batch()
    for row in range(4):
        chain = [transform.of_row(row) for transform in sampler.transforms]
        for one, many in zip(chain, sampler.transforms, strict=True):
            for name, value in dataclasses.asdict(one).items():
                own = getattr(many, name)
                per_row = isinstance(own, tuple) and name != "protected"
                assert value == (own[row] if per_row else own)
        alone = ls.Sampler(*chain).probabilities(x[row])
        np.testing.assert_array_equal(sampler.probabilities(x)[row], alone)


@pytest.mark.parametrize("sampler", CHAINS + PER_ROW, ids=repr)
def test_configuration_goes_through_json(sampler):
    again = ls.Sampler.from_config(json.loads(json.dumps(sampler.get_config())))
    assert again == sampler and repr(again) == repr(sampler) and hash(again) == hash(sampler)
    assert type(again) is type(sampler)
    np.testing.assert_array_equal(again.probabilities(batch()), sampler.probabilities(batch()))


@pytest.mark.parametrize("sampler", CHAINS, ids=repr)
def test_the_input_is_unchanged(sampler):
    x = batch()
    before = x.copy()
    sampler(x, seed=0)
    sampler.probabilities(x)
    for transform in sampler.transforms:
        transform(x)
    np.testing.assert_array_equal(x, before)


@pytest.mark.parametrize("sampler", CHAINS, ids=repr)
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_is_computed_in_float32(sampler, dtype):
    x = tf.cast(batch(), dtype)
    widened = tf.cast(x, "float32").numpy()
    expected, ids = sampler.probabilities(widened), sampler(widened, seed=2)
    for name, run in {"numpy": lambda f: f(x.numpy()), "eager": lambda f: f(x).numpy()}.items():
        np.testing.assert_array_equal(run(sampler.probabilities), expected, err_msg=name)
        np.testing.assert_array_equal(run(lambda v: sampler(v, seed=2)), ids, err_msg=name)
    if CHAINS.index(sampler) % 2 == (dtype == "float16"):  # tracing is what takes time
        graph = tf.function(sampler.probabilities)(x).numpy()
        np.testing.assert_allclose(graph, expected, rtol=1e-6, atol=0)


def test_float64_is_kept():
    x = np.array([1.0, 1.0 + 1e-12, 1.0 - 1e-12, -5.0])  # equal in float32 but for the last
    for vocabulary in (4, 2000):  # both sides of the length up to which the graph engine orders
        x = np.concatenate([x, np.full(vocabulary - len(x), -9.0)])
        expected = np.where(np.arange(vocabulary) == 1, x, -np.inf)
        transforms = (ls.TopK(1), ls.TopP(1e-3), ls.MinP(1), ls.Temperature(0))

        def all_of_them(x, transforms=transforms):
            return [transform(x) for transform in transforms]

        graph, xla = (tf.function(all_of_them, jit_compile=jit) for jit in (False, True))
        for run in (all_of_them, graph, xla):
            for kept in run(tf.constant(x)):
                np.testing.assert_array_equal(kept, expected)
                assert kept.dtype == np.float64


def test_parameters_keep_their_precision_in_a_graph():
    # In float32 0.3 is a little more, and one token more would be needed to reach it.
    for vocabulary, kept in ((1000, 300), (2000, 600)):
        row = np.zeros(vocabulary, np.float32)
        for run in (ls.TopP(0.3), lambda x: tf.function(ls.TopP(0.3))(tf.constant(x)).numpy()):
            assert np.isfinite(run(row)).sum() == kept


def test_a_large_k_for_one_row_keeps_all():
    sampler = ls.Sampler(ls.TopK([5, 2**40, 300, 1]))
    x = batch()
    graph = tf.function(sampler.probabilities)(tf.constant(x)).numpy()
    np.testing.assert_allclose(graph, sampler.probabilities(x), rtol=1e-6, atol=0)
    assert (graph > 0).sum(axis=1).tolist() == [5, 300, 300, 1]


def test_a_seed_is_the_same_in_every_type():
    sampler, x = ls.Sampler(), tf.constant(np.zeros((4, 999), np.float32))
    compiled = tf.function(lambda x, seed: sampler(x, seed=seed))
    for seed in (7, -7, 2**31 - 1, -(2**31)):
        expected = sampler(x, seed=seed).numpy()
        tensors = (tf.constant(seed, dtype) for dtype in (tf.int32, tf.int64))
        for given in (seed, np.int64(seed), np.array(seed), *tensors):
            np.testing.assert_array_equal(sampler(x, seed=given), expected)
            np.testing.assert_array_equal(compiled(x, given), expected)
            state = sampler.init([[]] * 4, 999, seed=given)
            np.testing.assert_array_equal(sampler.step(x, state)[0], expected)


def test_seeds_of_64_bits():
    sampler, x = ls.Sampler(), np.zeros((2, 999), np.float32)
    np.testing.assert_array_equal(
        sampler(x, seed=[2**63, -1]), sampler(x, seed=[-(2**63), 2**64 - 1])
    )
    open_batch = tf.function(
        lambda x: sampler(x, seed=2**64 - 1), input_signature=[tf.TensorSpec([None, 999])]
    )
    np.testing.assert_array_equal(open_batch(x), sampler(x, seed=row_integers(-1, 2)))


@pytest.mark.parametrize("jit_compile", [False, True])
def test_a_state_goes_in_and_out_of_compiled_functions(jit_compile):
    sampler, x = ls.Sampler(ls.TopK(20)), batch(50, 2)
    compiled = tf.function(sampler.step, jit_compile=jit_compile)
    state = mixed = sampler.init([[1, 2], [3]], 50, seed=3)
    for step in range(4):
        ids, state = sampler.step(x, state)
        other, mixed = (compiled if step % 2 else sampler.step)(tf.constant(x), mixed)
        np.testing.assert_array_equal(other.numpy(), ids)
    assert compiled.experimental_get_tracing_count() <= 2  # for arrays, then for tensors


def test_concrete_logits_inside_a_graph_are_part_of_it():
    sampler, x = ls.Sampler(), batch(999)
    compiled = tf.function(lambda seed: sampler(x, seed=seed))
    np.testing.assert_array_equal(compiled(tf.constant(5)), sampler(x, seed=5))
    variable = tf.Variable(x)
    np.testing.assert_array_equal(
        tf.function(lambda: sampler(variable, seed=5))(), sampler(x, seed=5)
    )
    unseeded = tf.function(lambda: sampler.step(x, sampler.init([[0]] * 4, 999))[0])
    assert any((unseeded() != unseeded()).numpy().any() for _ in range(3))


@pytest.mark.parametrize("jit_compile", [False, True])
def test_no_retracing_on_a_second_call(jit_compile):
    sampler = ls.Sampler(ls.Temperature(1.7), ls.MinP(0.02), ls.TopP(0.9), ls.TopK(7))
    function = tf.function(
        lambda x, seed, step: sampler(x, seed=seed, step=step), jit_compile=jit_compile
    )
    for number in range(3):
        seed, step = tf.constant([number] * 4, tf.int64), tf.constant(number)
        ids = function(tf.constant(batch() + number), seed, step).numpy()
        np.testing.assert_array_equal(
            ids, sampler(batch() + number, seed=[number] * 4, step=number)
        )
    assert function.experimental_get_tracing_count() == 1


@pytest.mark.parametrize("sampler", STATELESS, ids=repr)
def test_a_loop_with_init_and_step_equals_calls(sampler):
    prompts = [[1, 2, 3], [4], [5, 6], []]
    state = sampler.init(prompts, 300, seed=[10, 20, 30, 40])
    np.testing.assert_array_equal(state.step, [3, 1, 2, 0])
    for number in range(3):
        x = batch() * (number + 1)
        expected = sampler(x, seed=[10, 20, 30, 40], step=np.array([3, 1, 2, 0]) + number)
        before = state
        ids, state, log_prob = sampler.step(x, state, return_log_prob=True)
        np.testing.assert_array_equal(ids, expected)
        given = {"seed": [10, 20, 30, 40], "step": before.step}
        np.testing.assert_array_equal(log_prob, sampler.log_prob(x, ids, **given))
        np.testing.assert_array_equal(before.step, np.array([3, 1, 2, 0]) + number)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_a_loop_inside_a_compiled_function(jit_compile):
    sampler = ls.Sampler(ls.Temperature(0.8), ls.TopK(20), ls.TopP(0.9))
    x = batch(50, 2)

    @tf.function(jit_compile=jit_compile)
    def loop(prompt, seed):
        state = sampler.init(prompt, 50, seed=seed)
        drawn = tf.TensorArray(tf.int32, 5)
        for number in tf.range(5):
            ids, state = sampler.step(tf.constant(x) * tf.cast(number + 1, tf.float32), state)
            drawn = drawn.write(number, ids)
        return drawn.stack()

    compiled = loop(tf.constant([[3, 4], [5, -1]]), tf.constant(7)).numpy()
    state = sampler.init([[3, 4], [5]], 50, seed=7)
    for number in range(5):
        ids, state = sampler.step(x * (number + 1), state)
        np.testing.assert_array_equal(compiled[number], ids)
