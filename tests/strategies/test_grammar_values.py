"""Grammars and their states as values: equal, copied, pickled, sent to another process."""

import copy
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import logit_sampling as ls
from tests.strategies.grammars import END, VOCABULARY, Tiny

llguidance = pytest.importorskip("llguidance")


def test_equal_grammars_are_equal(tiny, tiny_tokenizer):
    grammar = ls.Grammar.regex("(ab)+", tiny)
    again = ls.Grammar.regex("(ab)+", llguidance.LLTokenizer(llguidance.TokenizerWrapper(Tiny())))
    given = ls.Grammar.regex("(ab)+", tiny, end_id=END)
    assert grammar == again == given and len({grammar, again, given}) == 1
    assert ls.Sampler(grammar, ls.TopK(2)) == ls.Sampler(again, ls.TopK(2))
    for other in (
        ls.Grammar.regex("(ba)+", tiny),
        ls.Grammar.regex("(ab)+", tiny, end_id=14),
        ls.Grammar.regex("(ab)+", tiny_tokenizer),
    ):
        assert other != grammar
    prompt = np.empty((2, 0), np.int32)
    first, second = (each.init(prompt, VOCABULARY) for each in (grammar, again))
    assert first == second and hash(first) == hash(second)
    assert grammar.update(first, np.array([0, 2])) == again.update(second, np.array([0, 2]))
    assert grammar.update(first, np.array([0, 2])) != again.update(second, np.array([0, 0]))


@pytest.mark.parametrize(
    "copied", [copy.copy, copy.deepcopy, lambda value: pickle.loads(pickle.dumps(value))]
)
def test_grammars_and_states_are_copied_and_pickled(tiny, copied):
    grammar = ls.Grammar.regex("(ab)+", tiny, end_id=14)
    sampler = ls.Sampler(grammar, ls.TopK(3))
    state = sampler.init([[5], [5]], VOCABULARY, seed=3)
    x = np.random.default_rng(0).normal(size=(2, VOCABULARY)).astype(np.float32)
    _, state = sampler.step(x, state)
    for later in range(3):
        other, read = copied(sampler), copied(state)
        assert other == sampler and repr(other) == repr(sampler)
        assert read.transforms == state.transforms
        expected, state = sampler.step(x, state)
        found, read = other.step(x, read)
        np.testing.assert_array_equal(found, expected, err_msg=str(later))
        assert read.transforms == state.transforms


def test_another_process_goes_on_with_a_state(tiny):
    grammar = ls.Grammar.regex("(ab)+", tiny)
    state = grammar.update(grammar.init(np.empty((2, 0), np.int32), VOCABULARY), np.array([0, 2]))
    code = """
import pickle, sys
import numpy as np
grammar, state = pickle.load(sys.stdin.buffer)
allowed = grammar.apply(np.zeros((2, 18), np.float32), state) > -np.inf
print([np.flatnonzero(row).tolist() for row in allowed], state[0].grammar == grammar)
"""
    root = Path(ls.__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-c", code],
        input=pickle.dumps((grammar, state)),
        env=os.environ | {"PYTHONPATH": str(root)},
        capture_output=True,
        timeout=50,
    )
    assert done.stdout.decode() == f"[[1], [0, 2, {END}]] True\n", done.stderr.decode()
