"""Beginnings that prompts have in common are read once."""

import random
from typing import Any

import numpy as np
import pytest

import logit_sampling as ls
from logit_sampling.decoding.beginnings import LEAST, Beginnings, begin_alike, common
from logit_sampling.models.keras_hub import LanguageModel
from tests.generation.models import Windowed

BEGINNING = [i % 30 for i in range(7, 7 + 60)]


def read_by(model: Windowed) -> int:
    """How many tokens of prompts a model has read."""
    return sum(map(sum, model.prefills + model.reads))


def test_prompts_of_a_call_that_begin_alike() -> None:
    prompts = [[*BEGINNING, i, i] for i in range(6)] + [[1, 2]]
    model = Windowed(200)
    options: dict[str, Any] = {"max_new_tokens": 4, "seed": 1, "n": 2}
    result = ls.generate(model, prompts, **options)
    assert read_by(model) == 62 + 5 * 2 + 2
    for row, prompt in enumerate(prompts):
        seeds = result.seeds[2 * row : 2 * row + 2]
        alone = ls.generate(Windowed(200), [prompt], **options | {"seed": seeds})
        assert alone.token_ids == result.token_ids[2 * row : 2 * row + 2]
    few = Windowed(200)  # and when they come one after the other
    ls.generate(few, prompts, **options, max_rows=2)
    assert read_by(few) == 62 + 5 * 2 + 2


def test_requests_and_a_conversation() -> None:
    model = Windowed(200)
    with ls.Engine(model, max_rows=2) as engine:
        first = engine.submit([*BEGINNING, 1], max_new_tokens=5, seed=0).result()
        assert read_by(model) == 61
        second = engine.submit([*BEGINNING, 2, 3], max_new_tokens=5, seed=0).result()
        assert read_by(model) == 61 + 2
        turn = [*BEGINNING, 1, *first.token_ids[0], 8, 9]
        third = engine.submit(turn, max_new_tokens=5, seed=0).result()
        assert read_by(model) == 61 + 2 + 7  # of few tokens more no copy is kept
        long = engine.submit([*turn, *range(30)], max_new_tokens=5, seed=0).result()
        assert read_by(model) == 61 + 2 + 7 + 37
        turn = [*turn, *range(30), *long.token_ids[0], 8, 9]
        engine.submit(turn, max_new_tokens=5, seed=0).result()
        assert read_by(model) == 61 + 2 + 7 + 37 + 7
        turn = [*BEGINNING, 1, *first.token_ids[0], 8, 9]
    for prompt, result in (([*BEGINNING, 2, 3], second), (turn, third)):
        alone = ls.generate(Windowed(200), [prompt], max_new_tokens=5, seed=0)
        assert alone.token_ids == result.token_ids


def test_it_can_be_turned_off_and_is_bounded() -> None:
    for keep, expected in ((0, 4 * 62), (60, 4 * 62), (4096, 62 + 3 * 2)):
        model = Windowed(200)
        with ls.Engine(model, keep=keep) as engine:
            for i in range(4):
                engine.submit([*BEGINNING, i, i], max_new_tokens=1, seed=0).result()
        assert read_by(model) == expected
    kept, rng = Beginnings(100), random.Random(0)
    for _ in range(20):
        text = [rng.randrange(30) for _ in range(rng.choice([20, 40, 60]))]
        kept.keep(text, Windowed(200).prefill([text])[1])
        assert sum(map(len, kept._kept)) == kept._tokens <= 100
        assert all(len(own) >= LEAST for own in kept._kept)
    with pytest.raises(ValueError, match="keep must be an integer of at least 0, got -1"):
        ls.Engine(Windowed(9), keep=-1)


def test_the_longest_is_found_and_what_a_longer_one_tells_is_not_kept_twice() -> None:
    kept = Beginnings(1000)

    def keep(text: list[int]) -> None:
        kept.keep(text, Windowed(200).prefill([text])[1])

    keep(BEGINNING[:40])
    keep([*BEGINNING[:40], *[1] * 40])
    keep([*BEGINNING, *[2] * 20])
    keep(BEGINNING[:35])
    keep([*BEGINNING, *[2] * 20, 3])
    assert sorted(map(len, kept._kept)) == [80, 80]
    for text, known in (
        ([*BEGINNING, 5], 60),
        (BEGINNING, 59),  # what follows the last token is still to be asked
        ([*BEGINNING[:50], 29, 29], 50),
        ([*BEGINNING[:40], 1, 1, 1], 42),
        ([*BEGINNING[:40], *[1] * 50], 80),
    ):
        found, whole = kept.find(text)
        assert found == known == common(whole, tuple(text[:-1]))
        assert kept.copy(whole, [known, 33]).lengths.tolist() == [known, 33]
    assert kept.find(BEGINNING[:20]) == (0, ())
    assert kept.find([*BEGINNING[:20], 0, *BEGINNING[20:]]) == (0, ())


def test_what_two_texts_have_in_common() -> None:
    rng = random.Random(0)
    for _ in range(300):
        one, other = (tuple(rng.randrange(2) for _ in range(rng.randrange(9))) for _ in range(2))
        count = 0
        while count < min(len(one), len(other)) and one[count] == other[count]:
            count += 1
        assert common(one, other) == count
    assert not begin_alike([[1] * 40, [2] * 40, [1] * 40])
    assert begin_alike([[1] * 40, [2] * 40, [1] * 32 + [3]])


def test_what_was_read_with_other_weights_is_forgotten(tiny_llama: Any) -> None:
    model, prompt = LanguageModel(tiny_llama), [*range(40)]
    options: dict[str, Any] = {"max_new_tokens": 8, "sampler": ls.Greedy()}
    weights = tiny_llama.get_weights()
    assert model.state == model.state
    with ls.Engine(model) as engine:
        before = engine.submit(prompt, **options).result()
        first = model.state
        rng = np.random.default_rng(5)
        tiny_llama.set_weights([w + rng.normal(0, 0.2, w.shape) for w in weights])
        try:
            assert model.state != first
            after = engine.submit(prompt, **options).result()
            assert after.token_ids == ls.generate(model, [prompt], **options).token_ids
        finally:
            tiny_llama.set_weights(weights)
        again = engine.submit([*prompt, 3], **options).result()
    assert before.token_ids != after.token_ids
    alone = ls.generate(model, [[*prompt, 3]], **options)
    assert again.token_ids == alone.token_ids
    np.testing.assert_allclose(again.log_probs[0], alone.log_probs[0], atol=1e-4)
