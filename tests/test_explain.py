"""The trace of a chain: numbers by hand, tables as they are printed, pictures by what they show."""

import dataclasses
import json
import math

import numpy as np
import pytest
import tensorflow as tf

import logit_sampling as ls
from logit_sampling.distribution.random import row_integers
from logit_sampling.explain import Explanation, Token

P = (0.5, 0.3, 0.15, 0.05)
X = np.log(P)


def entropy(*p: float) -> float:
    p = np.asarray(p) / sum(p)
    return float(-(p * np.log(p)).sum())


def log_probs(explanation: Explanation, token: int) -> list[float]:
    (found,) = (t for t in explanation.tokens if t.id == token)
    return [round(math.exp(p), 6) for p in found.log_probs]


def test_each_stage_by_hand():
    explanation = ls.Sampler(ls.Temperature(0.5), ls.TopK(3), ls.TopP(0.75)).explain(X)
    squares = (0.25, 0.09, 0.0225, 0.0025)
    wanted = [
        ("Temperature(temperature=0.5)", 4, 4, 0, 0.0, entropy(*P), entropy(*squares)),
        ("TopK(k=3)", 4, 3, 1, 0.0025 / 0.365, entropy(*squares), entropy(*squares[:3])),
        ("TopP(p=0.75)", 3, 2, 1, 0.0225 / 0.3625, entropy(*squares[:3]), entropy(*squares[:2])),
    ]
    assert len(explanation.stages) == 3
    for stage, (name, *numbers) in zip(explanation.stages, wanted, strict=True):
        assert stage.name == name
        assert list(dataclasses.astuple(stage)[1:]) == pytest.approx(numbers, abs=1e-12)
    assert [t.id for t in explanation.tokens] == [0, 1, 2, 3]
    assert [t.removed_by for t in explanation.tokens] == [None, None, 2, 1]
    assert explanation.removed_by.tolist() == [-1, -1, 2, 1]
    assert log_probs(explanation, 0) == [0.5, 0.684932, 0.689655, 0.735294]
    assert log_probs(explanation, 2) == [0.15, 0.061644, 0.062069, 0.0]
    third = explanation.tokens[2]
    assert (third.raw_log_prob, third.final_log_prob) == (pytest.approx(X[2]), -math.inf)
    np.testing.assert_allclose(np.exp(explanation.raw_log_probs), P, rtol=1e-12)
    np.testing.assert_allclose(
        np.exp(explanation.final_log_probs), [0.25 / 0.34, 0.09 / 0.34, 0, 0], rtol=1e-12
    )
    assert explanation.drawn is None


CHAINS = [
    ls.Sampler(),
    ls.Greedy(ls.TopK(5)),
    ls.Sampler(ls.Temperature(0)),
    ls.Sampler(ls.DynamicTemperature(1.0, 0.4), ls.Typical(0.7)),
    ls.Sampler(ls.Eta(0.01), ls.XTC(0.5, 0.02), ls.XTC(0.5, 0.01)),
    ls.Sampler(ls.TopK(40), ls.Mirostat(3.0, 0.2, version=1)),
    ls.Sampler(ls.AdaptiveP(0.2)),
    ls.Sampler(ls.Temperature([0.5, 2.0]), ls.TopK([3, 60])),
]


@pytest.mark.parametrize("sampler", CHAINS, ids=repr)
def test_agrees_with_the_sampler(sampler):
    x = np.random.default_rng(0).normal(0, 3, (2, 80)).astype(np.float32)
    told = {"seed": [3, 9], "step": [0, 5], "history": [[1, 2], [3, -1]], "prompt_length": 2}
    rows = sampler.explain(x, **told, top=80)
    final = sampler.probabilities(x, **told)
    assert [row.drawn for row in rows] == sampler(x, **told).tolist()
    for row, probabilities in zip(rows, final, strict=True):
        np.testing.assert_allclose(
            np.exp(row.final_log_probs), probabilities, rtol=1e-6, atol=1e-12
        )
        assert len(row.tokens) == 80
        assert row.raw_log_probs.tolist() == [
            t.raw_log_prob for t in sorted(row.tokens, key=lambda t: t.id)
        ]
        left = 80
        for stage in row.stages:
            assert (stage.tokens_before, stage.tokens_after) == (left, left - stage.removed)
            left = stage.tokens_after
        assert left == (probabilities > 0).sum() == (row.removed_by == -1).sum()
        selector = ["Greedy()"] if isinstance(sampler, ls.Greedy) else []
        index = 0 if row is rows[0] else 1
        names = [repr(t.of_row(index)) for t in sampler.transforms]
        assert [stage.name for stage in row.stages] == names + selector


def test_a_batch_is_a_row_each_and_a_row_is_one():
    sampler = ls.Sampler(ls.TopK([1, 2]))
    rows = sampler.explain([X, X[::-1]], seed=5)
    assert isinstance(rows, tuple)
    assert [row.stages[0].name for row in rows] == ["TopK(k=1)", "TopK(k=2)"]
    assert rows[1] == ls.Sampler(ls.TopK(2)).explain(X[::-1], seed=row_integers(5, 2)[1])
    assert ls.Sampler().explain(np.zeros((0, 4))) == ()
    tensor = ls.Sampler(ls.TopK(2)).explain(tf.constant(X[::-1]), seed=row_integers(5, 2)[1])
    assert tensor == rows[1]


def test_the_final_stage_of_greedy():
    explanation = ls.Greedy(ls.TopK(3)).explain(X, seed=0)
    last = explanation.stages[-1]
    assert (last.name, last.removed, last.tokens_after, last.entropy_after) == ("Greedy()", 2, 1, 0)
    assert last.removed_mass == pytest.approx(0.45 / 0.95)
    assert explanation.drawn == 0
    assert ls.Sampler(ls.TopK(3)).explain(X).stages == explanation.stages[:1]


@dataclasses.dataclass(frozen=True)
class Flip(ls.Transform):
    """Bring back what was removed, and remove what was not, one token more each step."""

    def init(self, history, vocab_size):
        return np.zeros(len(history), np.int64)

    def update(self, state, ids):
        return state + (ids >= 0)

    def apply(self, logits, state):
        flipped = np.where(logits == -np.inf, 0.0, -np.inf)
        return np.where(np.arange(logits.shape[-1]) < state[:, None], 1.0, flipped)


def test_a_users_own_with_a_state_may_bring_tokens_back():
    explanation = ls.Sampler(ls.TopK(2), Flip()).explain(X, history=[7, 7, 1], prompt_length=2)
    cut, flip = explanation.stages
    assert (cut.removed, flip.tokens_before, flip.tokens_after, flip.removed) == (2, 2, 3, 1)
    assert flip.removed_mass == pytest.approx(0.3 / 0.8)
    assert explanation.removed_by.tolist() == [-1, 1, -1, -1]
    e = math.e
    assert log_probs(explanation, 2) == [0.15, 0.0, round(1 / (e + 2), 6)]
    assert "1 Flip" not in str(explanation) and "2 Flip removed it" in str(explanation)


def test_xtc_follows_the_coin_of_the_draw():
    sampler = ls.Sampler(ls.XTC(0.5, 0.2))
    removed = {s: sampler.explain(X, seed=s).stages[0].removed for s in range(20)}
    for seed, count in removed.items():
        assert count == (sampler.probabilities(X, seed=seed)[0] == 0)
    assert set(removed.values()) == {0, 1}


@dataclasses.dataclass(frozen=True)
class Ban(ls.Transform):
    token: int

    def apply(self, logits, state):
        return np.where(np.arange(logits.shape[-1]) == self.token, -np.inf, logits)


def test_a_chain_that_leaves_nothing_is_explained():
    sampler = ls.Sampler(ls.TopK(1), Ban(0), ls.TopP(0.5))
    dead, alive = sampler.explain([X, X[::-1]], seed=3)
    assert (dead.drawn, alive.drawn) == (None, 3)
    assert [s.tokens_after for s in dead.stages] == [1, 0, 0]
    assert dead.stages[1].removed_mass == 1 and dead.stages[2].entropy_after == 0
    assert str(dead).splitlines()[-1] == (
        "2 Ban leaves nothing to draw from: a draw raises ValueError"
    )
    assert str(dead).count("leaves nothing") == 1
    assert "leaves nothing" not in str(alive)


def test_top_shows_the_likeliest_before_and_after_and_the_drawn():
    x = np.log([0.4, 0.2, 0.15, 0.1, 0.1, 0.05])
    sampler = ls.Sampler(ls.XTC(1, 0.12))  # leaves 2, 3, 4 and 5
    seed = next(s for s in range(99) if sampler(x, seed=s) == 5)
    explanation = sampler.explain(x, seed=seed, top=2)
    assert [t.id for t in explanation.tokens] == [0, 1, 2, 3, 5]
    assert explanation.drawn == 5


def test_data_goes_through_json():
    explanation = ls.Sampler(ls.TopK(1)).explain(X, top=2, seed=1, decode=["a", "b", "c", "d"])
    data = json.loads(json.dumps(explanation.to_dict(), allow_nan=False))
    assert data == {
        "vocab_size": 4,
        "entropy": pytest.approx(entropy(*P)),
        "stages": [
            {
                "name": "TopK(k=1)",
                "tokens_before": 4,
                "tokens_after": 1,
                "removed": 3,
                "removed_mass": pytest.approx(0.5),
                "entropy_before": pytest.approx(entropy(*P)),
                "entropy_after": 0.0,
            }
        ],
        "tokens": [
            {
                "id": 0,
                "text": "a",
                "raw_log_prob": pytest.approx(math.log(0.5)),
                "final_log_prob": 0.0,
                "log_probs": [pytest.approx(math.log(0.5)), 0.0],
                "removed_by": None,
            },
            {
                "id": 1,
                "text": "b",
                "raw_log_prob": pytest.approx(math.log(0.3)),
                "final_log_prob": None,
                "log_probs": [pytest.approx(math.log(0.3)), None],
                "removed_by": 0,
            },
        ],
        "drawn": 0,
    }


TABLE = """\
stage                           tokens  removed  mass removed  entropy, nats
  the logits                         4                                 1.142
1 Temperature(temperature=0.5)       4        0             0          0.810
2 TopK(k=2)                          2        2          6.8%          0.578

token     id  raw ln p      p  final ln p      p
a          0    -0.693  50.0%      -0.307  73.5%  drawn
␣b⏎        1    -1.204  30.0%      -1.329  26.5%  stays
c          2    -1.897  15.0%        -inf      0  2 TopK removed it
1 others                 5.0%                  0"""


def test_the_table(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    sampler = ls.Sampler(ls.Temperature(0.5), ls.TopK(2))
    texts = ["a", " b\n", "c", "\x1b[31m"]
    explanation = sampler.explain(X, seed=1, top=3, decode=texts)
    assert str(explanation) == repr(explanation) == TABLE
    assert str(sampler.explain(X, seed=1, top=3, decode=lambda ids: texts[ids[0]])) == TABLE
    escaped = str(sampler.explain(X, seed=1, decode=texts))
    assert "\\x1b[31m" in escaped and "\x1b" not in escaped


NARROW = """\
stage            tokens  removed   nats
  the logits          4           1.142
1 Temperature(…       4        0  0.810
2 TopK(k=2)           2     6.8%  0.578

token          id      p      p
a               0  50.0%  73.5%  drawn
␣b⏎             1  30.0%  26.5%  stays
a␣long␣token…   2  15.0%      0  2 TopK
1 others            5.0%      0"""


def test_in_a_narrow_terminal_numbers_stay_whole(monkeypatch):
    sampler = ls.Sampler(ls.Temperature(0.5), ls.TopK(2))
    texts = ["a", " b\n", "a long token of the model", ""]
    explanation = sampler.explain(X, seed=1, top=3, decode=texts)
    monkeypatch.setenv("COLUMNS", "39")
    assert str(explanation) == NARROW
    for columns in (45, 60, 79):
        monkeypatch.setenv("COLUMNS", str(columns))
        cells = [line.split() for line in str(explanation).splitlines()]
        assert all({"2", "15.0%", "0"} & {*row} for row in cells if "TopK" in row[-1:])
        assert not any("…" in cell for row in cells[:4] for cell in row[-3:])
        assert [row[-2:] for row in cells[6:8]] == [["73.5%", "drawn"], ["26.5%", "stays"]]


def test_where_nothing_was_done_there_are_no_columns_for_it(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    explanation = ls.Sampler().explain(X, top=1, decode=list("abcd"))
    assert str(explanation) == (
        "stage         tokens   nats\n"
        "  the logits       4  1.142\n\n"
        "token     id  raw ln p      p\n"
        "a          0    -0.693  50.0%\n"
        "3 others                50.0%"
    )
    words = drawn_figure(monkeypatch, explanation, title="a title").subfigs[0].axes[0]
    assert [text.get_text() for text in words.texts] == ["a title"]
    drawn_figure(monkeypatch, explanation)  # without any words


def test_the_token_that_an_empty_chain_draws_is_marked():
    explanation = ls.Sampler().explain(np.log([0.5, 0.3, 0.1, 0.1]), seed=4, top=1)
    lines = [line.split() for line in str(explanation).splitlines()]
    ends = {line[0]: line[3:] for line in lines[-3:-1]}
    assert ends == {"0": [], str(explanation.drawn): ["drawn"]}


def test_without_texts_there_are_ids_alone(monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    lines = str(ls.Sampler(ls.TopK(2)).explain(X, top=1)).splitlines()
    assert lines[-3:] == [
        "      id  raw ln p      p  final ln p      p",
        "       0    -0.693  50.0%      -0.470  62.5%  stays",
        "3 others            50.0%              37.5%",
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"top": 0}, "top must be an integer of at least 1, got 0"),
        ({"top": True}, "top must be an integer of at least 1, got True"),
        ({"decode": ["a"]}, r"the text of each of the 4 tokens; got \['a'\]"),
        ({"decode": "abcd"}, "got 'abcd'"),
        ({"seed": [1, 2]}, "seed"),
        ({"step": -1}, "step must be an integer of at least 0"),
        ({"history": [[1], [2]]}, "history has 2 rows, logits have 1"),
    ],
)
def test_bad_arguments_raise(arguments, message):
    with pytest.raises(ValueError, match=message):
        ls.Sampler(ls.TopK(2)).explain(X, **arguments)


def test_bad_logits_raise():
    with pytest.raises(ValueError, match="NaN in row 1"):
        ls.Sampler().explain([X, [0, 0, np.nan, 0]])
    with pytest.raises(ValueError, match="every token of row 1 is at -inf"):
        ls.Sampler().explain([X, [-np.inf] * 4])
    with pytest.raises(ValueError, match="2 values of `k` for 1 rows"):
        ls.Sampler(ls.TopK([1, 2])).explain(X)
    with pytest.raises(ValueError, match="say with `prompt_length`"):
        ls.Sampler(ls.Mirostat()).explain(X, history=[1, 2])


@pytest.mark.parametrize("compiled", [False, True])
def test_a_graph_has_no_numbers(compiled):
    @tf.function(jit_compile=compiled)
    def explain(x):
        return ls.Sampler(ls.TopK(2)).explain(x).drawn

    with pytest.raises(ValueError, match="call it in eager code"):
        explain(tf.constant(X))


def drawn_figure(monkeypatch, explanation, **arguments):
    """Return the figure that would be written."""
    figures = []
    monkeypatch.setattr(
        "logit_sampling.explain.picture.write_whole", lambda figure, path: figures.append(figure)
    )
    explanation.plot("some.png", **arguments)
    (figure,) = figures
    return figure


def test_the_picture_shows_the_numbers(monkeypatch):
    x = np.log([0.4, 0.2, 0.15, 0.1, 0.1, 0.05])
    sampler = ls.Sampler(ls.Temperature(1.0), ls.TopK(4), ls.TopP(0.7))
    explanation = sampler.explain(x, seed=1, top=6, decode=list("ab cde"))
    figure = drawn_figure(monkeypatch, explanation, title="Next $token$")
    words, ranks, bars = (axes for part in figure.subfigs for axes in part.axes)

    texts = [t.get_text() for t in words.texts]
    assert texts[0] == "Next $token$"
    lines = [texts[i : i + 5] for i in range(6, len(texts), 5)]
    entropies = [f"{s.entropy_before:.2f} → {s.entropy_after:.2f}" for s in explanation.stages]
    assert lines == [
        ["1 Temperature(temperature=1.0)", "6", "0", "0", entropies[0]],
        ["2 TopK(k=4)", "4", "2", "15.0%", entropies[1]],
        ["3 TopP(p=0.7)", "2", "2", "29.4%", entropies[2]],
    ]

    points = [line.get_xydata().tolist() for line in ranks.lines[::2]]
    labels = [line.get_label() for line in ranks.lines[1::2]]
    assert labels == [
        "the model, of what stays",
        "after the chain",
        "removed by 2 TopK",
        "removed by 3 TopP",
    ]
    wanted = [
        [(1, 0.4), (2, 0.2)],
        [(1, 2 / 3), (2, 1 / 3)],
        [(5, 0.1), (6, 0.05)],
        [(3, 0.15), (4, 0.1)],
    ]
    for found, expected in zip(points, wanted, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-6)
    assert [t.get_text() for t in bars.get_yticklabels()] == ["a", "b", "␣", "c", "d", "e"]
    widths = [patch.get_width() for patch in bars.patches]
    np.testing.assert_allclose(widths[:6], np.exp(x), rtol=1e-6)
    np.testing.assert_allclose(widths[6:], [2 / 3, 1 / 3, 0, 0, 0, 0], rtol=1e-6)
    notes = [text.get_text().strip() for text in bars.texts]
    drawn = explanation.drawn
    assert notes[drawn].endswith("drawn") and not notes[1 - drawn].endswith("drawn")
    assert notes[2:5] == [
        "15.0% → 0  3 TopP removed it",
        "10.0% → 0  3 TopP removed it",
        "10.0% → 0  2 TopK removed it",
    ]
    colours = {line.get_label(): line.get_color() for line in ranks.lines[1::2]}
    assert bars.texts[2].get_color() == colours["removed by 3 TopP"]
    assert bars.texts[4].get_color() == colours["removed by 2 TopK"]


@pytest.mark.parametrize("suffix", ["png", "svg"])
def test_a_picture_is_written_whatever_the_row(tmp_path, suffix):
    nothing = ls.Sampler().explain([0.0])
    nothing.plot(tmp_path / f"one.{suffix}")
    hidden = ls.Sampler(ls.TopK(1)).explain([0.0, -np.inf, 3.0], decode=["$", "\x00", "中"])
    hidden.plot(tmp_path / f"two.{suffix}", title="$x_{")
    for name in ("one", "two"):
        assert (tmp_path / f"{name}.{suffix}").stat().st_size > 1000
    with pytest.raises(ValueError, match=r"a plot ends in \.png, \.svg, \.pdf"):
        nothing.plot(tmp_path / "one.gif")


def test_a_token_that_was_never_there():
    explanation = ls.Sampler().explain([0.0, -np.inf], seed=0, top=5)
    assert [t.id for t in explanation.tokens] == [0]
    infinite = ls.Sampler(ls.TopK(1)).explain([np.inf, 3.0, np.inf])
    assert infinite.stages[0].tokens_before == 2 and infinite.stages[0].removed_mass == 0.5
    assert Token(3, None, (-math.inf, 0.0), None).to_dict()["raw_log_prob"] is None
