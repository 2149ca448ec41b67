import dataclasses
import json
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

import logit_sampling as ls
from logit_sampling import strategies
from logit_sampling.distribution.random import row_integers

X = (np.random.default_rng(0).normal(size=(3, 20)) * 2).astype(np.float32)


@dataclasses.dataclass(frozen=True)
class CountPenalty(ls.Transform):
    """A stateful transform as a user would write one: subtract the count of each token."""

    by: float

    def init(self, history, vocab_size):
        counts = np.zeros((len(history), vocab_size), np.float32)
        for row, ids in enumerate(history):
            np.add.at(counts[row], ids[ids >= 0], 1)
        return counts

    def apply(self, logits, state):
        return logits - np.float32(self.by) * state

    def update(self, state, ids):
        state = state.copy()
        held = ids >= 0
        state[np.flatnonzero(held), ids[held]] += 1
        return state


@dataclasses.dataclass(frozen=True)
class Shift(ls.Transform):
    """Written with Keras operations, as the docs advise, to serve eager code and graphs."""

    by: tuple | float

    def apply(self, logits, state):
        from keras import ops

        return ops.add(logits, ops.convert_to_tensor(self.by, "float32"))


def test_a_transform_written_with_keras_operations():
    for array in (X, tf.constant(X)):
        result = Shift(2.0)(array)
        assert type(result) is type(array)
        np.testing.assert_allclose(np.asarray(result), X + 2, rtol=1e-6)
        chain = ls.Sampler(ls.TopK(5), Shift(2.0), ls.TopP(0.9))
        expected = ls.Sampler(ls.TopK(5), ls.TopP(0.9)).probabilities(X)
        np.testing.assert_allclose(chain.probabilities(array), expected, rtol=1e-6)
    compiled = tf.function(Shift(2.0), jit_compile=True)
    np.testing.assert_allclose(compiled(tf.constant(X)), X + 2, rtol=1e-6)


@pytest.mark.parametrize("by", [2.0, np.float32(2), (1.0, 2.0), ((1.0,), (2.0,))])
def test_the_configuration_of_a_users_transform(by):
    again = ls.Sampler.from_config(json.loads(json.dumps(ls.Sampler(Shift(by)).get_config())))
    assert again == ls.Sampler(Shift(by)) and hash(again) == hash(ls.Sampler(Shift(by)))


def test_a_users_class_does_not_hide_one_of_ours():
    @dataclasses.dataclass(frozen=True)
    class TopK(ls.Transform):
        k: int

    ours, theirs = ls.TopK(3), TopK(3)
    assert ls.Transform.from_config(ours.get_config()) == ours
    assert ls.Transform.from_config(theirs.get_config()) == theirs != ours


def test_the_result_of_a_transform_keeps_the_precision():
    @dataclasses.dataclass(frozen=True)
    class Doubled(ls.Transform):
        def apply(self, logits, state):
            return logits * np.float64(2)

    assert Doubled()(X).dtype == np.float32 and Doubled()(X.astype(np.float64)).dtype == np.float64


def test_from_params_has_a_documented_order():
    sampler = ls.Sampler.from_params(min_p=0.05, top_p=0.95, top_k=50, temperature=0.8)
    chain = (ls.Temperature(0.8), ls.TopK(50), ls.TopP(0.95), ls.MinP(0.05))
    assert sampler == ls.Sampler(*chain) and sampler.transforms == chain
    assert ls.Sampler.from_params() == ls.Sampler()
    assert ls.Sampler.from_params(temperature=1, top_k=0, top_p=1.0, min_p=0) == ls.Sampler()
    assert ls.Sampler.from_params(temperature=0) == ls.Sampler(ls.Temperature(0))
    assert ls.Sampler.from_params(top_k=[1, 2]) == ls.Sampler(ls.TopK([1, 2]))
    mixed = ls.Sampler.from_params(temperature=[1, 0, 2], top_k=[0, 5, 2], top_p=[1, 0.9, 0.5])
    assert (mixed.probabilities(X) > 0).sum(axis=1).tolist()[:2] == [20, 1]
    with pytest.raises(ValueError, match="got False"):
        ls.Sampler.from_params(top_k=False)


def test_repr_shows_the_chain_in_order():
    assert repr(ls.Sampler(ls.TopP(0.9), ls.Temperature([0.5, 1]))) == (
        "Sampler(TopP(p=0.9), Temperature(temperature=(0.5, 1.0)))"
    )
    assert repr(ls.Greedy(ls.TopK(3))) == "Greedy(TopK(k=3))"


def test_a_transform_is_a_value():
    assert ls.TopK(5) == ls.TopK(np.int32(5)) != ls.TopK(6)
    assert ls.TopP([0.5, 1]) == ls.TopP(np.array([0.5, 1.0]))
    with pytest.raises(dataclasses.FrozenInstanceError):
        ls.TopK(5).k = 6


def test_array_type_in_is_array_type_out():
    for logits, kind in ((X, np.ndarray), (tf.constant(X), tf.Tensor), (X.tolist(), np.ndarray)):
        ids = ls.Sampler(ls.TopK(3))(logits, seed=0)
        assert isinstance(ids, kind) and ids.shape == (3,) and ids.dtype == np.int32
        assert isinstance(ls.Greedy().probabilities(logits), kind)
        assert isinstance(ls.TopK(3)(logits), kind)
    one = ls.Greedy()(tf.constant(X[0]))
    assert isinstance(one, tf.Tensor) and one.shape == () and one == X[0].argmax()
    assert ls.Greedy()(np.empty((0, 5), np.float32)).shape == (0,)


def test_of_a_scalar_seed_each_row_has_its_own():
    sampler = ls.Sampler()
    rows = np.zeros((4, 1000), np.float32)
    np.testing.assert_array_equal(sampler(rows, seed=7), sampler(rows, seed=row_integers(7, 4)))
    assert len(set(sampler(rows, seed=7).tolist())) > 1
    assert (sampler(rows, seed=7, step=0) != sampler(rows, seed=7, step=1)).any()


def test_log_prob_is_the_logarithm_of_the_probability():
    sampler = ls.Sampler(ls.Temperature(0.7), ls.TopK(5))
    probabilities = sampler.probabilities(X)
    for token in range(20):
        log_prob = sampler.log_prob(X, [token] * 3)
        with np.errstate(divide="ignore"):
            expected = np.log(probabilities[:, token])
        np.testing.assert_allclose(log_prob, expected, rtol=1e-5, atol=1e-6)
        assert log_prob.dtype == np.float32
    # Finite where the probability underflows in float32, -inf only for what was removed.
    far = np.array([0.0, -500.0], np.float32)
    assert (
        ls.Sampler().log_prob(far, 1) == -500 and ls.Sampler(ls.TopK(1)).log_prob(far, 1) == -np.inf
    )


def test_a_stateful_transform_anywhere_in_a_chain():
    prompts = [[1, 2, 2], [3, -1, -1], [-1, -1, -1]]
    for chain in (
        [CountPenalty(1.5), ls.TopK(6)],
        [ls.TopK(6), CountPenalty(1.5), ls.TopP(0.9)],
        [ls.Temperature(0.5), ls.TopP(0.9), CountPenalty(1.5)],
    ):
        sampler = ls.Sampler(*chain)
        state, history = sampler.init(prompts, 20, seed=5), np.array(prompts)
        for step in range(6):
            lengths = (history >= 0).sum(axis=1)
            whole = sampler(X, seed=5, step=lengths, history=history, prompt_length=3)
            ids, state = sampler.step(X, state)
            np.testing.assert_array_equal(ids, whole, err_msg=f"{chain} step {step}")
            history = np.concatenate([history, ids[:, None]], axis=1)


def test_a_stateful_transform_alone():
    history = [[1, 2, 2], [3], []]
    result = CountPenalty(2.0)(X, history=history)
    expected = X.copy()
    expected[0, 1] -= 2
    expected[0, 2] -= 4
    expected[1, 3] -= 2
    np.testing.assert_array_equal(result, expected)
    one = CountPenalty(2.0)(X[0], history=[1, 2, 2])
    np.testing.assert_array_equal(one, expected[0])


def test_going_on_from_a_longer_prompt_continues_the_same_text():
    sampler, rows = ls.Sampler(), np.zeros((1, 500), np.float32)
    state, text = sampler.init([[7]], 500, seed=3), [7]
    for _ in range(8):
        ids, state = sampler.step(rows, state)
        text.append(int(ids[0]))
    state, again = sampler.init([text[:5]], 500, seed=3), text[:5]
    for _ in range(4):
        ids, state = sampler.step(rows, state)
        again.append(int(ids[0]))
    assert again == text


def in_a_fresh_process(code: str) -> str:
    """Run code with `ls` imported and `ours()`, our modules by now; return what it prints."""
    start = (
        "import sys, logit_sampling as ls\n"
        "def ours(part): return [m for m in sorted(sys.modules) if m.startswith(part)]\n"
    )
    command = [sys.executable, "-c", start + code]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_the_import_brings_neither_tensorflow_nor_keras():
    printed = in_a_fresh_process(
        "import numpy as np\n"
        "ls.Sampler(ls.TopK(2), ls.TopP(0.9))(np.zeros((2, 9), np.float32), seed=1)\n"
        "heavy = {'tensorflow', 'keras', 'keras_hub', 'typer', 'rich', 'matplotlib'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    assert printed == "[]\n"


def test_the_import_brings_a_part_when_it_is_used():
    printed = in_a_fresh_process(
        "parts = ('settings', 'explain', 'distribution', 'diagnostics')\n"
        "print([m for part in parts for m in ours('logit_sampling.' + part)])\n"
        "ls.TopK(2)\n"
        "print(ours('logit_sampling.strategies.'))\n"
        "print('TopK' in vars(ls))"
    )
    assert printed.splitlines() == [
        "[]",
        "['logit_sampling.strategies._formula', 'logit_sampling.strategies._history', "
        "'logit_sampling.strategies._settings', "
        "'logit_sampling.strategies.table', 'logit_sampling.strategies.top_k', "
        "'logit_sampling.strategies.transform']",
        "True",
    ]


def test_a_configuration_finds_a_transform_that_was_not_used_before():
    printed = in_a_fresh_process(
        "print(ls.Transform.from_config({'name': 'Watermark', 'key': 3}))\n"
    )
    assert printed == f"{ls.Watermark(key=3)}\n"
    printed = in_a_fresh_process(
        "try: ls.Transform.from_config({'name': 'TopQ'})\nexcept ValueError as e: print(e)"
    )
    ours = [n for n in strategies.__all__ if isinstance(getattr(strategies, n), type)]
    assert {*ours} - {"Transform"} <= {*printed.strip().partition("known: ")[2].split(", ")}


def test_public_names_are_there():
    assert {"Comparison", "Prompt", "read_prompts"} <= {*ls.__all__}  # docs/compare.md has them
    for name in ls.__all__:
        assert getattr(ls, name) is not None
    for name in strategies.__all__:
        assert getattr(strategies, name).__name__ == name
    for module in (ls, strategies):
        assert set(module.__all__) <= set(dir(module))
        assert ("__version__" in dir(module)) == (module is ls)
        with pytest.raises(AttributeError, match="no attribute 'TopQ'"):
            _ = module.TopQ
