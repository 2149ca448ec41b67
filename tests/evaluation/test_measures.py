"""Measures by name, their values against brute force, and self-BLEU against sacrebleu."""

import math
from typing import Any

import numpy as np
import pytest
from sacrebleu.metrics import BLEU

from logit_sampling.evaluation import distinct_n, seq_rep_n
from logit_sampling.evaluation.measures import GROUP, Measure, measure, self_bleu
from logit_sampling.evaluation.texts import Text

RNG = np.random.default_rng(2)


def text(ids: list[int], prompt: int = 0, run: int = 0, **given: Any) -> Text:
    log_probs = tuple(-0.5 - 0.1 * i for i in ids)
    told = " ".join(f"w{i}" for i in ids)
    return Text("m", "s", str(prompt), "", run, run, told, tuple(ids), log_probs, **given)


def grid_of(prompts: int, seeds: int, length: int = 12) -> list[list[Text | None]]:
    return [
        [text(RNG.integers(0, 9, length).tolist(), i, j) for j in range(seeds)]
        for i in range(prompts)
    ]


def test_means_over_texts() -> None:
    grid = grid_of(5, 2)
    grid[3][1] = None
    values, number = measure("seq-rep-2").values(grid)
    expected = [[math.nan if t is None else seq_rep_n(t.token_ids, 2) for t in row] for row in grid]
    assert values == pytest.approx(np.array(expected), nan_ok=True)
    assert number == pytest.approx(np.mean([np.nanmean(row) for row in expected]))


@pytest.mark.parametrize("name", ["distinct_2", "entropy_1", "zipf", "perplexity"])
def test_values_of_numbers_of_all_texts_are_those_of_the_jackknife(name: str) -> None:
    """Their mean is the number; leaving out a prompt changes it as brute force does."""
    grid, own = grid_of(6, 2), measure(name)
    values, number = own.values(grid)
    assert values.mean() == pytest.approx(number)
    without = np.array([own.values(grid[:i] + grid[i + 1 :])[1] for i in range(6)])
    pseudo = 5 * (without.mean() - without) + number
    assert values.mean(1) == pytest.approx(pseudo)


def test_numbers_of_all_texts_are_means_over_seeds() -> None:
    grid = grid_of(4, 3)
    each = [distinct_n([row[j].token_ids for row in grid if row[j]], 3) for j in range(3)]  # type: ignore[union-attr]
    assert measure("distinct_3").values(grid)[1] == pytest.approx(np.mean(each))
    log_probs = [t.log_prob for row in grid for t in row if t]
    perplexity = measure("perplexity").values(grid)[1]
    assert perplexity == pytest.approx(math.exp(-np.mean(log_probs)))


def test_seeds_of_a_prompt_spread_perplexity_as_they_do_its_logarithm() -> None:
    grid = [[text([1] * 4, 0, 0), text([2] * 4, 0, 1)], [text([1] * 4, 1, 0), text([2] * 4, 1, 1)]]
    values, number = measure("perplexity").values(grid)
    assert values[:, 1] - values[:, 0] == pytest.approx(number * 0.1, rel=1e-4)


def test_failed_texts_count_for_nothing() -> None:
    whole = grid_of(4, 1)
    holed = [*whole, [None]]
    for name in ("seq_rep_1", "distinct_1", "perplexity", "zipf", "longest_repeat"):
        values, number = measure(name).values(holed)
        assert number == pytest.approx(measure(name).values(whole)[1])
        assert math.isnan(values[4, 0])
        assert not np.isnan(values[:4]).any()
    values, number = measure("distinct_1").values([[None], [None]])
    assert math.isnan(number)


def test_leaving_out_a_text_looks_at_its_own_n_grams_alone() -> None:
    """Not at all kinds of all texts: with 10,000 prompts there are 100,000 of them and more."""
    seen = []

    def number(counts: np.ndarray, times: np.ndarray) -> float:
        seen.append(counts.size)
        return float((counts * times).sum())

    grid: list[list[Text | None]] = [[text(list(range(9 * i, 9 * i + 9)), i)] for i in range(60)]
    values, whole = Measure("", "", of_counts=number).values(grid)
    assert whole == 60 * 9
    assert max(seen) <= 9 + 1
    assert values == pytest.approx(np.full((60, 1), 540.0))


def test_self_bleu_is_sacrebleu_s_in_groups() -> None:
    grid = [[text(RNG.integers(0, 4, 9).tolist(), i)] for i in range(2 * GROUP)]
    values, number = measure("self_bleu").values(grid)
    texts = [row[0].text or "" for row in grid if row[0]]
    bleu = BLEU(effective_order=True)
    for start, value in zip((0, GROUP), values[:, 0], strict=True):
        group = texts[start : start + GROUP]
        scores = [
            bleu.sentence_score(own, [t for j, t in enumerate(group) if j != i]).score / 100
            for i, own in enumerate(group)
        ]
        assert value == pytest.approx(np.mean(scores))
    assert number == pytest.approx(values.mean())
    assert self_bleu(["one and the same text"] * 3) == pytest.approx(1)
    assert self_bleu(["a b c d", "e f g h"]) < 0.2


def test_self_bleu_leaves_out_groups_that_are_not_whole() -> None:
    """Which have fewer texts to be alike: one left over, and one with a text that failed."""
    grid: list[list[Text | None]]
    grid = [[text(RNG.integers(0, 4, 9).tolist(), i)] for i in range(2 * GROUP + 3)]
    whole = measure("self_bleu").values(grid[:GROUP])[1]
    grid[GROUP + 2] = [None]
    values, number = measure("self_bleu").values(grid)
    assert np.isnan(values[:, 0]).tolist() == [False, True, True]
    assert number == whole
    few, number = measure("self_bleu").values(grid[:5])  # all there are make a group
    assert few.shape == (1, 1) and 0 < number < 1


def test_self_bleu_without_sacrebleu_is_refused_at_once(monkeypatch: Any) -> None:
    monkeypatch.setattr("logit_sampling.evaluation.measures.find_spec", lambda name: None)
    with pytest.raises(
        ValueError, match=r'needs sacrebleu: pip install "logit-sampling\[compare\]"'
    ):
        measure("self-bleu")


def test_numbers_of_one_text() -> None:
    looping = text([1, 2] * 6, kept=(3, 5), entropies=(0.5, 1.5), judge=-2.0)
    open_end = text([1, 2, 3, 4], finish_reason="end_token")
    for name, expected in (
        ("looping", (1, 0)),
        ("ended", (0, 1)),
        ("length", (12, 4)),
        ("longest_repeat", (10, 0)),
        ("rep_16", (10 / 12, 0)),
        ("kept", (4, math.nan)),
        ("step_entropy", (1, math.nan)),
        ("judge_log_prob", (-2, math.nan)),
        ("log_prob", (-0.65, -0.75)),
    ):
        values, _ = measure(name).values([[looping], [open_end]])
        assert values[:, 0] == pytest.approx(np.array(expected, float), nan_ok=True)
    assert measure("judge_perplexity").values([[looping]])[1] == pytest.approx(math.exp(2))


def test_a_text_without_an_n_gram_says_nothing_of_their_repetition() -> None:
    values, number = measure("seq_rep_3").values([[text([1, 2])], [text([1, 1, 1, 1])]])
    assert math.isnan(values[0, 0])
    assert number == 0.5


def test_a_measure_of_one_s_own() -> None:
    own = measure("words", {"words": lambda text, ids: len((text or "").split()) + len(ids)})
    assert own.values([[text([1, 2, 3])]])[1] == 6


@pytest.mark.parametrize(
    "metric", [lambda text, ids: 1 // 0, lambda text, ids: None, lambda text, ids: "many"]
)
def test_a_measure_of_one_s_own_that_fails_is_named(metric: Any) -> None:
    own = measure("words", {"words": metric})
    with pytest.raises(
        ValueError, match=r"metric 'words' gives no number for 'w1 w2' \(prompt '7'"
    ):
        own.values([[text([1, 2], 7)]])


@pytest.mark.parametrize(
    "name", ["perplexity", "seq-rep-4", "distinct_3", "Frontier", "self_bleu", "texts", "model"]
)
def test_a_measure_of_one_s_own_does_not_take_a_name(name: str) -> None:
    with pytest.raises(ValueError, match=rf"metric {name!r} has a name that is taken: .*another"):
        measure(name, {name: lambda text, ids: 1.0})


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("seq_rap_4", "no measure 'seq_rap_4'; did you mean 'seq_rep_4'.* there are seq_rep_N"),
        ("distinct", "no measure 'distinct'"),
        ("distinct_0", "no measure 'distinct_0'"),
        ("zipf_3", "no measure 'zipf_3'"),
    ],
)
def test_unknown_measures(name: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        measure(name)


def test_intervals_stay_where_the_number_can_be() -> None:
    grid = [[text([i, i + 1, i + 2])] for i in range(0, 66, 3)]
    grid[0] = [text([3, 4, 5])]
    own = measure("distinct_1").estimate(*measure("distinct_1").values(grid))
    assert own.high == 1
    assert own.mean == pytest.approx(63 / 66)
