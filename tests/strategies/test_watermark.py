"""The green tokens, the mark they leave in a text, and the detector that finds it."""

import dataclasses
import json
import math

import numpy as np
import pytest
import tensorflow as tf
from scipy import stats

import logit_sampling as ls
from logit_sampling.strategies._green import is_green, words_of

KEY = (123, 0)
SIZES = [1, 2, 3, 4, 5, 7, 8, 15, 16, 17, 31, 50, 100, 257, 1000, 1023, 1024, 1025]


def green_sets(vocabulary: int, count: int, contexts: np.ndarray, key=KEY) -> np.ndarray:
    """Return which ids are green behind each context, bool [contexts, vocabulary]."""
    words = words_of(key, [np.asarray(contexts, np.uint32)[:, None]])
    return is_green(np, vocabulary, np.arange(vocabulary, dtype=np.uint32), count, *words)


def green_of(watermark: ls.Watermark, vocabulary: int, context: list[int]) -> list[int]:
    """Return the green ids behind one context, from what the transform does."""
    return np.flatnonzero(watermark(np.zeros(vocabulary), history=context)).tolist()


@pytest.mark.parametrize("vocabulary", SIZES)
def test_a_permutation_decides(vocabulary):
    contexts = np.arange(5)
    before = np.zeros((5, vocabulary), bool)
    for count in [*range(0, vocabulary, 1 + vocabulary // 200), vocabulary]:
        green = green_sets(vocabulary, count, contexts)
        assert (green.sum(axis=1) == count).all() and (green | before == green).all()
        before = green


@pytest.mark.parametrize("vocabulary", [5, 100, 1001, 32_000, 50_257, 128_256, 151_936])
@pytest.mark.parametrize("gamma", [0.01, 0.25, 0.5, 1 / 3, 0.99])
def test_exactly_the_share_is_green(vocabulary, gamma):
    x = np.random.default_rng(0).normal(size=(2, vocabulary)).astype(np.float32)
    new = ls.Watermark(gamma, 2.0)(x, history=[[4], [3]])
    assert ((new != x).sum(axis=1) == math.floor(gamma * vocabulary)).all()
    np.testing.assert_array_equal(new[new != x], x[new != x] + np.float32(2))


def test_a_share_that_is_a_whole_number_on_paper():
    assert 0.29 * 100 < 29
    assert len(green_of(ls.Watermark(0.29), 100, [1])) == 29


def test_the_hash_stays_as_it_is():
    # Of texts already marked, a changed hash would lose the mark.
    watermark = ls.Watermark(gamma=0.25, key=15485863)
    assert green_of(watermark, 32, [7]) == [5, 14, 16, 17, 18, 20, 26, 27]
    watermark = ls.Watermark(gamma=0.25, key=2**40 + 5, context=2)
    assert green_of(watermark, 37, [7, 30]) == [4, 8, 11, 17, 20, 21, 25, 27, 28]


@pytest.mark.parametrize("vocabulary", [7, 64, 257, 1000])
def test_every_id_is_green_equally_often(vocabulary):
    contexts, count = 10_000, vocabulary // 4
    green = green_sets(vocabulary, count, np.arange(contexts))
    share = count / vocabulary
    # Of each row exactly `count` are green, so that one degree of freedom is lost.
    z = (green.sum(axis=0) - share * contexts) / math.sqrt(contexts * share * (1 - share))
    chi_square = (z**2).sum() * (vocabulary - 1) / vocabulary
    assert 1e-4 < stats.chi2.sf(chi_square, vocabulary - 1) < 1 - 1e-4


@pytest.mark.parametrize("change", ["context", "key", "high word of the key"])
def test_the_sets_of_two_contexts_or_keys_are_independent(change):
    contexts, vocabulary, count = np.arange(4000), 1000, 250
    first = green_sets(vocabulary, count, contexts)
    key = {"context": KEY, "key": (124, 0), "high word of the key": (123, 1)}[change]
    second = green_sets(vocabulary, count, contexts + (change == "context"), key)
    overlap = (first & second).sum(axis=1)
    law = stats.hypergeom(vocabulary, count, count)
    assert abs(overlap.mean() - law.mean()) < 4 * law.std() / math.sqrt(len(contexts))
    assert 0.9 < overlap.var() / law.var() < 1.1


@pytest.mark.parametrize("ids", [range(50), range(0, 1000, 20), range(500, 532)], ids=str)
def test_a_group_of_ids_is_as_green_as_drawn_at_random(ids):
    vocabulary, count = 1000, 250
    green = green_sets(vocabulary, count, np.arange(8000))[:, list(ids)].sum(axis=1)
    law = stats.hypergeom(vocabulary, count, len(ids))
    assert abs(green.mean() - law.mean()) < 4 * law.std() / math.sqrt(8000)
    assert 0.85 < green.var() / law.var() < 1.25


def test_the_hash_depends_on_each_token_of_the_context_and_their_order():
    watermark = ls.Watermark(0.5, context=3)
    contexts = [[1, 2, 3], [3, 2, 1], [1, 2, 4], [1, 5, 3], [6, 2, 3], [2, 1, 3]]
    sets = [tuple(green_of(watermark, 100, context)) for context in contexts]
    assert len(set(sets)) == len(sets)
    assert green_of(watermark, 100, [9, 9, 1, 2, 3]) == list(sets[0])


CASES = [
    ls.Watermark(),
    ls.Watermark(gamma=0.6, delta=0.7, key=2**64 - 1, context=3),
    ls.Watermark(gamma=[0.1, 0.5, 0.9], delta=[1, 0, 3], context=2),
]
HISTORY = [[1, 2, 3, 4, 5], [7, -1, 7, 999, -1], [3, -1, -1, -1, -1]]  # 999 is no token


@pytest.mark.parametrize(
    ("watermark", "vocabulary"), [*zip(CASES, [300, 3, 1500], strict=True)], ids=repr
)
def test_engines_agree_bit_for_bit(watermark, vocabulary):
    x = np.random.default_rng(1).normal(size=(3, vocabulary)).astype(np.float32)
    history = [[min(id, vocabulary - 1) if id < 900 else 9999 for id in row] for row in HISTORY]

    def run(x, history):
        return watermark(x, history=history)

    expected = run(x, history)
    assert vocabulary < 9 or (expected != x).any()
    for jit in (False, True):
        new = tf.function(run, jit_compile=jit)(tf.constant(x), tf.constant(history))
        np.testing.assert_array_equal(new, expected)
    for row in range(3):
        alone = watermark.of_row(row)(x[row], history=history[row])
        np.testing.assert_array_equal(alone, expected[row])


def test_survivors_get_what_the_whole_row_gets():
    x = np.random.default_rng(2).normal(size=1000).astype(np.float32)
    watermark, cut = ls.Watermark(), ls.TopK(40)
    chain = ls.Sampler(cut, watermark).probabilities(x, history=[5])
    expected = ls.Sampler().probabilities(watermark(cut(x), history=[5]))
    np.testing.assert_allclose(chain, expected, rtol=1e-6)
    graph = tf.function(lambda x: ls.Sampler(cut, watermark).probabilities(x, history=[5]))
    np.testing.assert_allclose(graph(tf.constant(x)), expected, rtol=1e-5)


def test_hand_worked():
    watermark = ls.Watermark(gamma=0.5, delta=math.log(3), key=42)
    assert green_of(watermark, 8, [3]) == [0, 1, 2, 5]
    shares = ls.Sampler(watermark).probabilities(np.zeros(8, np.float32), history=[3])
    # Four times 3 and four times 1.
    np.testing.assert_allclose(shares * 16, [3, 3, 3, 1, 1, 3, 1, 1], rtol=1e-6)
    row = np.array([1, -np.inf, np.inf, 4, 5, 6, -np.inf, 8])
    plain = ls.Watermark(gamma=0.5, delta=2, key=42)(row, history=[3])
    np.testing.assert_array_equal(plain, [3, -np.inf, np.inf, 4, 5, 8, -np.inf, 8])


def test_no_change_without_delta_or_with_too_short_a_history():
    x = np.random.default_rng(3).normal(size=(2, 50)).astype(np.float32)
    np.testing.assert_array_equal(ls.Watermark(delta=0)(x, history=[[1], [2]]), x)
    np.testing.assert_array_equal(ls.Watermark()(x), x)
    new = ls.Watermark(context=2)(x, history=[[1, 2], [2, -1]])
    assert (new[0] != x[0]).any()
    np.testing.assert_array_equal(new[1], x[1])


def test_the_state_is_the_latest_tokens():
    watermark = ls.Watermark(context=3)
    state = watermark.init(np.array([[1, 2, 3, 4], [5, -1, -1, -1]]), 50)
    np.testing.assert_array_equal(state[0], [[2, 3, 4], [-1, -1, 5]])
    assert state[0].dtype == np.int32
    later = watermark.update(state, np.array([7, -1]))
    np.testing.assert_array_equal(later[0], [[3, 4, 7], [-1, -1, 5]])
    np.testing.assert_array_equal(state[0], [[2, 3, 4], [-1, -1, 5]])


@pytest.mark.parametrize("compiled", [False, True])
def test_steps_equal_calls(compiled):
    sampler = ls.Sampler(ls.Watermark(context=2, delta=1.0))
    x = np.random.default_rng(4).normal(size=(2, 300)).astype(np.float32)
    step = tf.function(sampler.step) if compiled else sampler.step
    texts = [[3], [4, 5]]
    state = sampler.init(texts, 300, seed=[1, 2])
    for _ in range(4):
        expected = [sampler(x[i], seed=i + 1, step=len(t), history=t) for i, t in enumerate(texts)]
        ids, state = step(tf.constant(x), state)
        assert np.asarray(ids).tolist() == expected
        texts = [[*t, int(id)] for t, id in zip(texts, expected, strict=True)]


def test_configuration_goes_through_json():
    for watermark in CASES:
        chain = ls.Sampler(watermark)
        assert ls.Sampler.from_config(json.loads(json.dumps(chain.get_config()))) == chain


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"gamma": 0}, r"`gamma` to be a finite number in \(0, 1\); got 0.0"),
        ({"gamma": 1.0}, "got 1.0"),
        ({"delta": -1}, "`delta`.*got -1.0"),
        ({"key": -1}, "`key`.*got -1"),
        ({"key": 2**64}, r"below 2\*\*64; got 18446744073709551616"),
        ({"context": 0}, "`context`.*got 0"),
    ],
    ids=str,
)
def test_bad_parameters(given, message):
    with pytest.raises(ValueError, match=message):
        ls.Watermark(**given)


def written(sampler: ls.Sampler, texts: int, length: int, vocabulary: int = 1000) -> np.ndarray:
    """Return texts of a model that knows the last token: flat, so that a mark has room."""
    table = np.random.default_rng(5).normal(size=(vocabulary, vocabulary)).astype(np.float32)
    ids = np.arange(texts, dtype=np.int32)
    state, text = sampler.init(ids[:, None], vocabulary, seed=9), [ids]
    for _ in range(length - 1):
        ids, state = sampler.step(table[text[-1]], state)
        text.append(ids)
    return np.stack(text, axis=1)


@pytest.fixture(scope="module")
def plain() -> np.ndarray:
    return written(ls.Sampler(), texts=300, length=60)


@pytest.mark.parametrize("gamma", [0.25, 0.5])
def test_z_of_texts_without_the_mark_is_standard_normal(plain, gamma):
    z = ls.WatermarkDetector(ls.Watermark(gamma, key=7), 1000)(plain).z
    assert abs(z.mean()) < 4 / math.sqrt(300)
    assert 0.7 < z.var() < 1.3  # four deviations
    # What a mark too weak to flag does to the mean shows that the test has power.
    marked = written(ls.Sampler(ls.Watermark(gamma, 0.3, key=7)), texts=100, length=60)
    assert ls.WatermarkDetector(ls.Watermark(gamma, key=7), 1000)(marked).z.mean() > 8 / 10


@pytest.mark.parametrize("context", [1, 3])
def test_marked_texts_are_flagged_by_their_key_alone(plain, context):
    watermark = ls.Watermark(key=7, context=context)
    text = written(ls.Sampler(watermark), texts=30, length=60)
    found = ls.WatermarkDetector(watermark, 1000)(text)
    assert found.flagged.all() and (found.p_value < 1e-3).all()
    assert (found.scored == 60 - context).all()
    for other in (ls.Watermark(key=8, context=context), ls.Watermark(key=7, context=4 - context)):
        assert ls.WatermarkDetector(other, 1000)(text).flagged.sum() <= 1
    assert ls.WatermarkDetector(watermark, 1000)(plain).flagged.sum() <= 3


def test_the_mark_survives_a_cut_before_it():
    chain = ls.Sampler(ls.TopK(50), ls.Watermark(delta=3.0))
    text = written(chain, texts=20, length=60)
    assert ls.WatermarkDetector(ls.Watermark(delta=3.0), 1000)(text, unique=True).flagged.all()


def test_detector_counts_as_the_transform_marks():
    watermark, vocabulary = ls.Watermark(gamma=0.3, context=2, key=5), 50
    text = np.random.default_rng(6).integers(0, vocabulary, 40).tolist()
    text[20:24] = text[10:14]  # two windows again
    windows = [tuple(text[i : i + 3]) for i in range(38)]
    green = {w: w[2] in green_of(watermark, vocabulary, list(w[:2])) for w in windows}
    detector = ls.WatermarkDetector(watermark, vocabulary)
    for unique, counted in ((False, windows), (True, set(windows))):
        found = detector(text, unique=unique)
        total, hits = len(counted), sum(green[w] for w in counted)
        z = (hits - 0.3 * total) / math.sqrt(total * 0.3 * 0.7)
        assert (found.scored, found.green) == (total, hits)
        assert found.z == pytest.approx(z) and found.p_value == pytest.approx(stats.norm.sf(z))
        assert found.flagged is (z > 3)
    assert detector(text, unique=True).scored == 36


def test_detector_by_hand():
    # Behind 3 and behind 0 of 8 ids, four are green: a walk over green ids, and one of red ones.
    watermark = ls.Watermark(gamma=0.5, key=42)
    sets = [green_of(watermark, 8, [id]) for id in range(8)]
    walks = {}
    for name, pick in {"green": lambda s: s, "red": lambda s: sorted({*range(8)} - {*s})}.items():
        walk = [3]
        for step in range(16):
            walk.append(pick(sets[walk[-1]])[step % 4])
        walks[name] = walk
    found = ls.WatermarkDetector(watermark, 8)([walks["green"], walks["red"][:10]])
    assert found.scored.tolist() == [16, 9] and found.green.tolist() == [16, 0]
    np.testing.assert_allclose(found.z, [4, -3])  # (16 - 8) / 2 and (0 - 4.5) / 1.5
    np.testing.assert_allclose(found.p_value, [3.167124e-05, 0.9986501], rtol=1e-6)
    assert found.flagged.tolist() == [True, False]


def test_the_share_is_the_exact_one():
    # floor(0.25 * 7) is 1: a seventh, not a quarter.
    watermark = ls.Watermark(gamma=0.25)
    (green,) = green_of(watermark, 7, [2])
    found = ls.WatermarkDetector(watermark, 7)([2, green])
    assert found.z == pytest.approx((1 - 1 / 7) / math.sqrt(1 / 7 * 6 / 7))


@pytest.mark.parametrize(
    ("watermark", "text", "message"),
    [
        (ls.Watermark(context=2), [1, 2], "row 0 has 2 tokens: none has the 2 tokens before it"),
        (ls.Watermark(), [[1, 2], [3, -1]], "row 1 has 1 tokens"),
        (ls.Watermark(), [], "row 0 has 0 tokens"),
        (ls.Watermark(), [1, 50], r"token id 50 is not in \[0, 50\)"),
        (ls.Watermark(), [1.5, 2.5], "must be token ids"),
        (ls.Watermark([0.2, 0.3]), [1, 2], r"one `gamma`; use watermark.of_row\(row\)"),
        (ls.Watermark(0.01), [1, 2], "makes no token green of a vocabulary of 50"),
        (ls.TopK(3), [1, 2], r"needs a Watermark, got TopK\(k=3\)"),
    ],
    ids=str,
)
def test_detector_refuses(watermark, text, message):
    with pytest.raises(ValueError, match=message):
        ls.WatermarkDetector(watermark, 50)(text)


@pytest.mark.parametrize(
    "kind",
    [
        np.array,
        tf.constant,
        lambda ids: np.array(ids, ">i8"),
        lambda ids: np.ma.array(ids, mask=np.less(ids, 0)),
        lambda ids: (
            tf.ragged.constant([[i for i in row if i >= 0] for row in ids])
            if np.ndim(ids) == 2
            else list(ids)
        ),
    ],
)
def test_texts_of_every_kind(kind):
    detector = ls.WatermarkDetector(ls.Watermark(gamma=0.5, key=42), 8)
    one, several = [3, 0, 1, 1, 5], [[3, 0, 1, 1, 5], [2, 7, -1, -1, -1]]
    assert detector(kind(one)) == detector(one) and detector(one).scored == 4
    found, wanted = detector(kind(several)), detector(several)
    np.testing.assert_equal(dataclasses.astuple(found), dataclasses.astuple(wanted))
    assert detector(kind(several)).scored.tolist() == [4, 1]
