"""Every strategy of the table, with each of its examples: its formula, and what all must do.

A new row is tested here without a line more; one without a formula is a failure.
"""

import ast
import dataclasses
import inspect
import json
import textwrap

import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

import logit_sampling as ls
from logit_sampling.distribution.checks import is_number
from logit_sampling.strategies import _formula
from logit_sampling.strategies.table import TABLE
from logit_sampling.testing import batch, check_sampler
from tests.parameters import coin

VOCABULARY, PROMPT = 24, 3
OWN_TESTS = {"Guidance", "Grammar", "Watermark"}  # a model, a parser, a hash: no formula of a row
EXAMPLES = [
    pytest.param(row.name, example, id=f"{row.name}-{example}")
    for row in TABLE
    for example in range(len(row.examples))
    if row.name not in OWN_TESTS
]


def made(name, example=0):
    (row,) = (row for row in TABLE if row.name == name)
    return getattr(ls, name)(**row.arguments(example))


def logits() -> np.ndarray:
    """Rows of several kinds: steep, flat, with equals, with removed tokens, with one token left.

    On paper no cut falls on a token: what is equal there may differ by a rounding in a formula.
    """
    rng = np.random.default_rng(5)
    x = rng.normal(size=(12, VOCABULARY)) * np.repeat([0.1, 1.0, 3.0, 10.0], 3)[:, None]
    x[4] = np.round(x[4] * 2) / 2  # equals
    x[4, x[4].argmax()] += 1.3
    x[6, ::2] = -np.inf
    x[7, 1:] = -np.inf
    x[8, :5] = x[8, 5]
    return x.astype(np.float32)


def histories() -> np.ndarray:
    past = np.random.default_rng(6).integers(0, 4, (12, 9))
    past[1, 5:] = past[2, 1:] = -1
    past[3] = [0, 1, 2, 0, 1, 2, 0, 1, 2]
    return past


def given(transform) -> dict:
    """What a call with logits() takes besides."""
    if not transform.reads_history():
        return {}
    return {"history": histories(), "prompt_length": PROMPT}


def formula(transform, row: int, x: list[float]) -> list[float]:
    """The formula of one row; a coin falls on heads if it can."""
    takes = inspect.signature(transform.formula).parameters
    if "heads" in takes:
        return transform.formula(x, transform.probability > 0)
    if "past" not in takes:
        return transform.formula(x)
    past = histories()[row]
    generated = [int(t) for t in past[PROMPT:] if t >= 0]
    return transform.formula(x, [int(t) for t in past if t >= 0], generated)


def expected(transform) -> tuple[np.ndarray, np.ndarray]:
    """The probabilities, and which tokens stay; NaN for a row of which nothing stays."""
    rows = [formula(transform, i, row) for i, row in enumerate(logits().tolist())]
    nothing = [np.nan] * VOCABULARY
    shares = [_formula.softmax(row) if max(row) > -np.inf else nothing for row in rows]
    return np.array(shares), np.array(rows) > -np.inf


def lively(transform):
    """The transform with a coin that always falls on heads, as `formula` has it."""
    if transform.chance() is None:
        return transform
    return dataclasses.replace(transform, probability=1.0)


def test_every_strategy_has_a_formula_and_examples():
    for row in TABLE:
        assert hasattr(getattr(ls, row.name), "formula") != (row.name in OWN_TESTS), row.name
        assert row.examples
        numbers = {f.name for f in dataclasses.fields(getattr(ls, row.name)) if is_number(f)}
        assert len(row.examples) > 1 or not numbers, f"{row.name} needs a second example"


@pytest.mark.parametrize("name", sorted({e.values[0] for e in EXAMPLES}))
def test_a_formula_is_plain_mathematics(name):
    """It knows nothing of the engines: only itself, math, itertools and what formulas share."""
    method = getattr(ls, name).formula
    tree = ast.parse(textwrap.dedent(inspect.getsource(method)))
    names = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name)}
    of_module = names & set(method.__globals__)
    assert of_module <= {"math", "itertools", *vars(_formula)}
    called = {n.attr for n in ast.walk(tree) if isinstance(n, ast.Attribute)}
    assert called.isdisjoint({"apply", "init", "update", "xp"})
    source = ast.parse(inspect.getsource(_formula))
    imported = [n for n in ast.walk(source) if isinstance(n, ast.Import | ast.ImportFrom)]
    assert [alias.name for n in imported for alias in n.names] == ["math", "Any"]


@pytest.mark.parametrize(("name", "example"), EXAMPLES)
def test_the_formula(name, example):
    """In eager code and in a graph, the first example under XLA too: what stays, and how likely."""
    transform = lively(made(name, example))
    (wanted, stays), own = expected(transform), given(transform)
    np.testing.assert_array_equal(transform(logits(), **own) > -np.inf, stays)
    able = stays.any(axis=1)  # nothing can be drawn from the other rows
    x, wanted, stays = logits()[able], wanted[able], stays[able]
    if own:
        own["history"] = own["history"][able]
    sampler = ls.Sampler(transform)
    runs = {"eager": lambda x: sampler.probabilities(x, **own)}
    for jit_compile in (False, True)[: 2 - bool(example)]:
        compiled = tf.function(lambda x: sampler.probabilities(x, **own), jit_compile=jit_compile)
        runs[f"jit_compile={jit_compile}"] = lambda x, f=compiled: f(tf.constant(x)).numpy()
    for mode, run in runs.items():
        result = run(x)
        # New logits are float32, which moves a probability of 1e-37 by 5e-6 of it.
        np.testing.assert_allclose(result, wanted, rtol=8e-6, atol=1e-37, err_msg=mode)
        assert not result[~stays].any() and (result[stays & (wanted > 1e-37)] > 0).all(), mode


@pytest.mark.parametrize("name", sorted({e.values[0] for e in EXAMPLES}))
def test_wide_rows(name):
    """Longer than what an engine puts in order; a flat row is more than it looks at first."""
    transform, vocabulary = lively(made(name)), 1500
    rng = np.random.default_rng(9)
    x = (rng.normal(size=(3, vocabulary)) * [[0.01], [1.0], [5.0]]).astype(np.float32)
    own = {k: v[:3] if k == "history" else v for k, v in given(transform).items()}
    rows = [formula(transform, i, row) for i, row in enumerate(x.tolist())]
    wanted, stays = np.array([_formula.softmax(row) for row in rows]), np.array(rows) > -np.inf
    sampler = ls.Sampler(transform)
    graph = tf.function(lambda x: sampler.probabilities(x, **own))
    for result in (sampler.probabilities(x, **own), graph(tf.constant(x)).numpy()):
        np.testing.assert_allclose(result, wanted, rtol=8e-6, atol=1e-37)
        assert not result[~stays].any() and (result[stays & (wanted > 1e-37)] > 0).all()


@pytest.mark.parametrize("name", sorted({e.values[0] for e in EXAMPLES}))
def test_behind_others(name):
    """Behind a temperature and a cut it works on what they leave, as its formula does."""
    transform, before = lively(made(name)), (ls.Temperature(1.6), ls.TopK(9))
    chain, own, rows = ls.Sampler(*before, transform), given(transform), []
    for number, row in enumerate(logits().tolist()):
        for first in before:
            row = first.formula(row)
        rows.append(formula(transform, number, row))
    able = np.array([max(row) > -np.inf for row in rows])
    if own:
        own["history"] = own["history"][able]
    x, stays = logits()[able], (np.array(rows) > -np.inf)[able]
    wanted = np.array([_formula.softmax(row) for row, some in zip(rows, able, strict=True) if some])
    graph = tf.function(lambda x: chain.probabilities(x, **own))
    for result in (chain.probabilities(x, **own), graph(tf.constant(x)).numpy()):
        np.testing.assert_allclose(result, wanted, rtol=8e-6, atol=1e-37)
        assert not result[~stays].any() and (result[stays & (wanted > 1e-37)] > 0).all()


@pytest.mark.parametrize(("name", "example"), EXAMPLES)
def test_draws(name, example):
    """Draws follow the formula; with the likeliest token half as likely they would not."""
    transform, count = lively(made(name, example)), 1_500
    row = np.random.default_rng(8).normal(size=VOCABULARY).astype(np.float32) * 1.5
    x, past = np.tile(row, (count, 1)), given(transform)
    if past:
        past["history"] = np.tile(histories()[:1], (count, 1))
    shares = np.array(_formula.softmax(formula(transform, 0, row.tolist())))
    if shares.max() > 0.99:
        pytest.skip("one token: nothing to count")

    def p_value(ids) -> float:
        counts = np.bincount(ids, minlength=VOCABULARY)
        if counts[shares == 0].any():
            return 0.0
        often = shares > 0
        return stats.chisquare(counts[often], shares[often] / shares.sum() * count).pvalue

    assert p_value(ls.Sampler(transform)(x, seed=3, **past)) > 1e-3
    rarer = ls.Sampler(transform, ls.LogitBias({int(shares.argmax()): np.log(0.5)}))
    assert p_value(rarer(x, seed=3, **past)) < 1e-4


@pytest.mark.parametrize("name", sorted({e.values[0] for e in EXAMPLES}))
def test_a_value_for_each_row(name):
    """Rows with parameters of their own are as each of them is alone, in a graph too."""
    first, second = made(name), made(name, -1)
    numbers = [f.name for f in dataclasses.fields(first) if is_number(f)]
    pairs = {n: (getattr(first, n), getattr(second, n)) for n in numbers}
    pairs = {n: pair for n, pair in pairs.items() if None not in pair and n != "window"}
    if not pairs:
        pytest.skip("no numbers")
    many = dataclasses.replace(first, **{n: [*pair] * 6 for n, pair in pairs.items()})
    x, own = logits(), given(many)
    result = many(x, **coin(many, 1), **own)
    graph = tf.function(lambda x: many(x, **coin(many, list(range(12))), **own))(
        tf.constant(x)
    ).numpy()
    np.testing.assert_allclose(graph, many(x, **coin(many, list(range(12))), **own), rtol=1e-6)
    seeds = ls.Sampler().init([[]] * 12, VOCABULARY, seed=1).seed
    for row in range(12):
        seed = int(seeds[row, 0]) | int(seeds[row, 1]) << 32
        history = {"history": own["history"][row], "prompt_length": PROMPT} if own else {}
        alone = many.of_row(row)(x[row], **coin(many, seed), **history)
        np.testing.assert_array_equal(result[row], alone)
    with pytest.raises(ValueError, match="12 values of"):
        many(x[:2])


@pytest.mark.parametrize(("name", "example"), EXAMPLES)
def test_configuration_types_and_pages(name, example):
    transform = made(name, example)
    config = json.loads(json.dumps(transform.get_config()))
    again = ls.Transform.from_config(config)
    assert again == transform and repr(again) == repr(transform) and hash(again) == hash(transform)
    with pytest.raises(ValueError, match=name):
        ls.Transform.from_config(config | {"no such parameter": 1})
    x, own = logits(), given(transform)
    before = x.copy()
    result = transform(x, **coin(transform, 2), **own)
    assert isinstance(result, np.ndarray) and result.dtype == np.float32
    np.testing.assert_array_equal(x, before)
    np.testing.assert_array_equal(again(x, **coin(again, 2), **own), result)
    half = x.astype(np.float16)
    widened = transform(half.astype(np.float32), **coin(transform, 2), **own)
    np.testing.assert_array_equal(transform(half, **coin(transform, 2), **own), widened)
    with pytest.raises(ValueError, match="NaN in row 1"):
        transform(np.where(np.arange(12)[:, None] == 1, np.nan, x), **own)


@pytest.mark.parametrize(("name", "example"), EXAMPLES)
def test_explained(name, example):
    """The stages that are shown are those of the draw."""
    transform = lively(made(name, example))
    x, own = logits()[:1], given(transform)
    own = own | {"history": own["history"][:1]} if own else own
    sampler = ls.Sampler(transform)
    (explained,) = sampler.explain(x, **own)
    wanted = expected(transform)[0][0]
    np.testing.assert_allclose(np.exp(explained.final_log_probs), wanted, rtol=3e-6, atol=1e-30)
    assert name in str(explained)


QUICK = {"draws": 100, "batch_size": 50, "vocab_size": 60, "wide_vocab_size": 2000, "dtypes": ()}


@pytest.mark.parametrize(
    "name", sorted({e.values[0] for e in EXAMPLES} - {"ForcedTokens", "SpanBudget"})
)
def test_certified(name, monkeypatch):
    monkeypatch.setattr(batch, "_TRIALS", 4)  # what no trial may show shows in each of them
    transform = made(name)
    sampler = ls.Sampler(transform)
    past = {"history": histories()[3:4]} if transform.reads_history() else {}

    def repeated(rows):
        return {"history": np.repeat(past["history"], rows, axis=0)} if past else {}

    check_sampler(
        lambda x, seed: sampler(x, seed=seed, **repeated(len(x))),
        lambda x: sampler.probabilities(x, **repeated(len(x))),
        row_seeds=True,
        **QUICK,
    ).raise_for_failures()
