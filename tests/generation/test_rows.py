"""Rows of a batch: their samplers, their numbers, and when they leave."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import logit_sampling as ls
from logit_sampling.decoding.batch import select_rows
from logit_sampling.decoding.log_probs import LogProbs
from logit_sampling.decoding.reader import Reader
from logit_sampling.decoding.row import Row
from logit_sampling.models.keras_hub import LanguageModel
from tests.generation.models import Windowed, counter

PROMPTS = [[7], [3, 1, 4, 1, 5], [20, 21], [7], [2, 2, 2]]
CHAINS = [
    ls.Sampler(
        ls.RepetitionPenalty(1.3),
        ls.FrequencyPenalty(0.2, window=3),
        ls.DRY(0.8, allowed_length=1),
        ls.NoRepeatNGram(3),
        ls.Temperature(0.9),
        ls.TopP(0.9),
    ),
    ls.Sampler(ls.Mirostat(3.0, 0.2)),
    ls.Sampler(ls.XTC(0.5, 0.05), ls.AdaptiveP(0.3), ls.MinNewTokens(3, [1])),
    ls.Greedy(ls.PresencePenalty(2.0)),
    ls.Sampler(ls.Temperature([0.5, 1.0, 0.0, 2.0, 1.5]), ls.TopK([3, 30, 5, 30, 2])),
]


def of_prompt(sampler: ls.Sampler, row: int) -> ls.Sampler:
    return type(sampler)(*(transform.of_row(row) for transform in sampler.transforms))


@pytest.mark.parametrize("sampler", CHAINS, ids=repr)
def test_rows_of_one_sampler_get_what_each_gets_alone(sampler: ls.Sampler) -> None:
    options: dict[str, Any] = {"max_new_tokens": 25, "stop_at_end": [1, 11, 19]}
    batch = ls.generate(Windowed(40), PROMPTS, sampler=sampler, seed=9, **options)
    assert len({len(ids) for ids in batch.token_ids}) > 2  # they end at different steps
    for row, prompt in enumerate(PROMPTS):
        own = of_prompt(sampler, row)
        alone = ls.generate(Windowed(40), [prompt], sampler=own, seed=[batch.seeds[row]], **options)
        assert batch.token_ids[row] == alone.token_ids[0]
        assert batch.log_probs[row] == alone.log_probs[0]
        assert batch.sampler_log_probs[row] == alone.sampler_log_probs[0]
        assert batch.finish_reasons[row] == alone.finish_reasons[0]


def test_each_prompt_may_have_its_own_sampler() -> None:
    shared = ls.Sampler(ls.Temperature([0.2, 1.0, 3.0, 0.5]))
    samplers = [CHAINS[0], shared, CHAINS[0], CHAINS[1], shared]
    seeds = [100, 7, 7, 3, 2, 1, 50, 60, 70, 80]
    batch = ls.generate(Windowed(40), PROMPTS, sampler=samplers, n=2, seed=seeds, max_new_tokens=9)
    assert batch.seeds == seeds
    place = {2: 0, 3: 1, 8: 2, 9: 3}  # rows of `shared`
    for row, seed in enumerate(seeds):
        own = of_prompt(samplers[row // 2], place.get(row, 0))
        alone = ls.generate(
            Windowed(40), [PROMPTS[row // 2]], sampler=own, seed=seed, max_new_tokens=9
        )
        assert batch.token_ids[row] == alone.token_ids[0]
    with pytest.raises(ValueError, match="4 values of `temperature` for 2 rows"):
        ls.generate(counter, [[1], [2]], sampler=shared)


@dataclass(frozen=True)
class Calls(ls.Transform):
    """Counts how many rows it is called for."""

    seen: Any = None

    def init(self, history: Any, vocab_size: int) -> Any:
        return np.zeros(len(history), np.int32), {"of": "all"}

    def apply(self, logits: Any, state: Any) -> Any:
        self.seen.append(logits.shape[0])
        assert state[1] == {"of": "all"}
        return logits

    def update(self, state: Any, ids: Any) -> Any:
        return state[0] + 1, state[1]


def test_one_call_draws_for_all_rows_that_are_left() -> None:
    calls = Calls([])
    ls.generate(
        counter,
        [[0], [1], [2], [3], [4]],
        sampler=ls.Greedy(calls),
        max_new_tokens=9,
        stop_at_end=[5],
    )
    assert calls.seen == [5, 4, 3, 2, 1]


def test_a_row_that_has_no_distribution_is_named_as_the_batch_counts() -> None:
    def broken(ids: np.ndarray) -> np.ndarray:
        logits = counter(ids)
        logits[ids[:, -1] == 6] = -np.inf
        return logits

    for sampler in (ls.Greedy(), [ls.Greedy(), ls.Greedy(), ls.Sampler()]):
        with pytest.raises(ValueError, match=r"row 2, new token 2: .*this row"):
            ls.generate(
                broken,
                [[9], [0], [4]],
                sampler=sampler,
                stop_at_end=[0],
                max_new_tokens=5,
            )


def test_samples_share_the_reading_of_their_prompt() -> None:
    model = Windowed(40)
    ls.generate(model, [[1, 2, 3], [4], [1, 2, 3]], n=3, max_new_tokens=3, seed=0)
    assert model.prefills == [[3, 1]]
    assert model.selected == [[0, 0, 0, 1, 1, 1, 0, 0, 0]]
    assert model.steps == [(9, 1)] * 2


def test_rows_that_ended_leave_the_cache() -> None:
    model = Windowed(40)
    rows = [Row([i], seed=0) for i in range(5)]
    reader = Reader(model)
    plain = [Row([i], seed=0) for i in range(5)]
    for active in ([0, 1, 2, 3, 4], [0, 1, 2, 4], [1, 2, 4], [2, 4], [2, 4], [4]):
        logits = reader.read({i: rows[i].tokens for i in active}).logits[:, -1]
        expected = [model.row(plain[i].prompt + plain[i].ids) for i in active]
        np.testing.assert_array_equal(logits, expected)
        for i in active:
            token = int(logits[active.index(i)].argmax())
            rows[i].ids.append(token)
            plain[i].ids.append(token)
    assert model.prefills == [[1] * 5]
    assert model.steps == [(4, 1), (3, 1), (2, 1), (2, 1), (1, 1)]
    assert model.selected == [[0, 1, 2, 4], [1, 2, 3], [1, 2], [1]]


def test_a_row_that_ended_is_not_read_on() -> None:
    prompts = [list(range(28)), [1], [2]]
    model = Windowed(30)
    result = ls.generate(
        model,
        prompts,
        should_stop=lambda row, ids: row == 0,
        overflow="slide",  # which no row needs
        max_new_tokens=12,
        seed=3,
    )
    assert [len(ids) for ids in result.token_ids] == [1, 12, 12]
    assert model.prefills == [[28, 1, 1]]
    assert model.steps == [(2, 1)] * 11


def test_an_interruption_within_a_token_leaves_what_belongs_together() -> None:
    row = Row([1], seed=0)
    row.take(5, -1.0, -0.5, [(5, -1.0)])
    row.log_probs.append(-2.0)  # of a token that did not come
    row.end("interrupted")
    assert (row.ids, row.log_probs, row.sampler_log_probs) == ([5], [-1.0], [-0.5])
    assert (row.top_log_probs, row.finish_reason) == ([[(5, -1.0)]], "interrupted")


def test_rows_of_a_state_are_selected() -> None:
    rng = np.random.default_rng(1)
    sampler = CHAINS[0]
    state = sampler.init(PROMPTS, 30, seed=3)
    logits = rng.normal(0, 2, (5, 30)).astype(np.float32)
    _, state = sampler.step(logits, state)
    ids, after = sampler.step(logits, state)
    rows = [4, 0, 0, 2]
    own, chosen = select_rows(sampler, state, rows)
    assert own is sampler
    mine, following = own.step(logits[rows], chosen)
    assert mine.tolist() == ids[rows].tolist()
    assert following.step.tolist() == after.step[rows].tolist()
    per_row, _ = select_rows(CHAINS[4], CHAINS[4].init(PROMPTS, 30), rows)
    assert per_row == ls.Sampler(ls.Temperature([1.5, 0.5, 0.5, 0.0]), ls.TopK([2, 3, 3, 5]))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("size", [1, 7, 5000])
def test_log_probs_of_logits(size: int, dtype: Any) -> None:
    rng = np.random.default_rng(size)
    logits = rng.normal(0, 6, (3, size)).astype(dtype)
    logits[1, size // 2 :] = logits[1].max()  # ties
    logits[2, 1:] = -np.inf
    wide = logits.astype(np.float64)
    exact = wide - np.log(np.exp(wide).sum(axis=1, keepdims=True))
    log_probs, ids = LogProbs(logits), np.array([size - 1, size // 2, 0])
    np.testing.assert_allclose(log_probs.of(ids), exact[range(3), ids], atol=2e-6)
    assert log_probs.defined.tolist() == [True] * 3
    for row in range(3):
        order = sorted(range(size), key=lambda i: (-logits[row, i], i))[:4]
        order = [i for i in order if logits[row, i] > -np.inf]
        likeliest = log_probs.likeliest(row, 4)
        assert [i for i, _ in likeliest] == order
        np.testing.assert_allclose([p for _, p in likeliest], exact[row, order], atol=2e-6)


def test_log_probs_of_rows_with_infinities() -> None:
    inf = np.inf
    log_probs = LogProbs(
        np.array([[inf, 1, inf, 9], [0, 0, -inf, -inf], [-inf] * 4, [np.nan, 0, 0, 0]], np.float32)
    )
    assert log_probs.defined.tolist() == [True, True, False, False]
    expected = [-np.log(2), -np.log(2), np.nan, np.nan]
    np.testing.assert_allclose(log_probs.of(np.array([2, 0, 0, 0])), expected)
    assert log_probs.likeliest(0, 3) == [(0, -np.log(2)), (2, -np.log(2))]
    with pytest.raises(ValueError, match=r"logits must be floating point .*, got int64"):
        LogProbs(np.zeros((1, 3), np.int64))


def test_the_likeliest_are_those_of_the_model(tiny_llama: Any) -> None:
    result = ls.generate(
        tiny_llama, PROMPTS, sampler=ls.Sampler(ls.Temperature(0.5)), max_new_tokens=6, seed=1,
        top_log_probs=3,
    )  # fmt: skip
    assert result.top_log_probs is not None
    model = LanguageModel(tiny_llama)
    for prompt, ids, log_probs, tops in zip(
        PROMPTS, result.token_ids, result.log_probs, result.top_log_probs, strict=True
    ):
        logits = model.logits([prompt + ids])[0, len(prompt) - 1 : -1].astype(np.float64)
        raw = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
        for place, top in enumerate(tops):
            order = np.argsort(-raw[place])[:3]
            assert [i for i, _ in top] == order.tolist()
            np.testing.assert_allclose([p for _, p in top], raw[place, order], atol=2e-5)
            assert log_probs[place] in [p for _, p in top] or ids[place] not in order


@pytest.mark.parametrize(
    "options",
    [
        {"sampler": ls.Greedy()},
        {"sampler": ls.Sampler(ls.RepetitionPenalty(1.3), ls.TopP(0.9)), "n": 2},
        {"sampler": ls.Sampler(ls.Temperature([0.5 + i for i in range(7)]))},
        {"sampler": [ls.Sampler(ls.TopK(i + 1)) for i in range(7)], "top_log_probs": 2},
        {"sampler": ls.Sampler(ls.Mirostat(3.0, 0.1)), "draft": "lookup"},
        {"draft": Windowed(60), "num_draft": 2},
        {"search": ls.BeamSearch(2), "stop_at_end": [7]},
    ],
    ids=lambda options: " ".join(f"{name} {type(own).__name__}" for name, own in options.items()),
)
def test_rows_that_wait_are_what_they_are_at_once(options: dict[str, Any]) -> None:
    prompts = [[i] * (1 + 5 * (i % 3)) for i in range(7)]

    def write(most: int) -> tuple[Any, Windowed]:
        model = Windowed(60)
        given = {"max_new_tokens": 9, "seed": 4, "stop_at_end": [3, 7]} | options
        result = ls.generate(model, prompts, max_rows=most, **given)
        return result.to_dict() | {"seconds": 0}, model

    (few, model), (many, _) = write(3), write(20)
    assert few == many
    assert set(few["finish_reasons"]) == {"end_token", "length"}
    rows = [rows for rows, _ in model.steps]
    assert max(rows) <= 3
    if "draft" not in options and "search" not in options:
        assert sum(rows) > 2 * len(rows)  # what ends makes room for the next


def test_a_row_joins_as_soon_as_another_one_ends() -> None:
    model = Windowed(60)
    begun: list[tuple[int, int]] = []

    def note(row: int, ids: list[int]) -> bool:
        begun.append((row, len(ids)))
        return len(ids) == (2 if row == 0 else 4)

    ls.generate(model, [[1], [2], [3]], max_rows=2, should_stop=note, max_new_tokens=9, seed=0)
    assert begun == [
        *((0, 1), (1, 1), (0, 2), (1, 2)),
        *((1, 3), (2, 1), (1, 4), (2, 2)),
        *((2, 3), (2, 4)),
    ]
