"""Ids that no token has are never drawn, and end tokens come from several places."""

from typing import Any

import numpy as np
import pytest
from scipy import stats

import logit_sampling as ls
from logit_sampling.models.keras_hub import LanguageModel
from tests.generation.models import Bytes, counter


class Few(Bytes):
    """Knows the bytes below 40 alone."""

    @staticmethod
    def vocabulary_size() -> int:
        return 40


def flat(ids: np.ndarray) -> np.ndarray:
    logits = np.zeros((*ids.shape, 64), np.float32)
    logits[..., 40:] = 3.0  # the padding is likelier than any token
    return logits


LOOPS: list[dict[str, Any]] = [
    {},
    {"search": ls.BeamSearch(3)},
    {"draft": flat},
    {"top_log_probs": 3, "echo": True},
]


@pytest.mark.parametrize("loop", LOOPS)
def test_what_no_token_has_is_not_drawn(loop: dict[str, Any]) -> None:
    result = ls.generate(flat, ["!!"] * 5, tokenizer=Few(), max_new_tokens=30, seed=0, **loop)
    assert max(max(ids) for ids in result.token_ids) < 40
    # The distribution of the model is that over its tokens.
    np.testing.assert_allclose(np.concatenate(result.log_probs), -np.log(40), rtol=1e-6)
    for alternatives in result.top_log_probs or ():
        assert [[i for i, _ in own] for own in alternatives] == [[0, 1, 2]] * 30
    assert ls.score(flat, ["!!!"], tokenizer=Few()).perplexity == pytest.approx(40)
    without = ls.generate(flat, [[33]], max_new_tokens=30, seed=0)
    assert max(without.token_ids[0]) >= 40


def test_a_kerashub_model_that_is_wider_than_its_tokenizer(tiny_gpt2: Any) -> None:
    import keras_hub

    backbone = keras_hub.models.GPT2Backbone(
        vocabulary_size=640, num_layers=1, num_heads=2, hidden_dim=16, intermediate_dim=32,
        max_sequence_length=48,
    )  # fmt: skip
    model = keras_hub.models.GPT2CausalLM(backbone, tiny_gpt2.preprocessor)
    result = ls.generate(model, "the", max_new_tokens=40, n=4, seed=0, stop_at_end=False)
    assert max(max(ids) for ids in result.token_ids) <= 260


def test_a_tokenizer_of_hugging_face_whose_ids_have_gaps() -> None:
    class Gaps(Bytes):
        @staticmethod
        def get_vocab() -> dict[str, int]:
            return {"a": 0, "b": 1, "<special>": 50}

    result = ls.generate(flat, [[1]], tokenizer=Gaps(), max_new_tokens=200, seed=0)
    assert 40 < max(result.token_ids[0]) <= 50


def test_stop_tokens_add_to_those_of_the_model(tiny_gpt2: Any) -> None:
    (end,) = LanguageModel(tiny_gpt2).end_ids
    ending = ls.Sampler(ls.LogitBias({end: 100.0}))
    options: dict[str, Any] = {"max_new_tokens": 5, "seed": 0}
    for stops in ({"stop_token_ids": [7]}, {"stop_at_end": [7]}):
        result = ls.generate(tiny_gpt2, "a", sampler=ending, **options, **stops)
        assert (result.token_ids, result.finish_reasons) == ([[end]], ["end_token"])
        seven = ls.Sampler(ls.LogitBias({7: 100.0}))
        result = ls.generate(tiny_gpt2, "a", sampler=seven, **options, **stops)
        assert (result.token_ids, result.finish_reasons) == ([[7]], ["end_token"])
        assert result.texts == [""]
    result = ls.generate(tiny_gpt2, "a", sampler=ending, stop_at_end=False, **options)
    assert result.token_ids == [[end] * 5]
    result = ls.generate(
        counter, [[1]], sampler=ls.Greedy(), stop_at_end=False, stop_token_ids=[4], max_new_tokens=9
    )
    assert (result.token_ids, result.finish_reasons) == ([[2, 3, 4]], ["end_token"])
    with pytest.raises(
        ValueError, match=r"stop_token_ids must be a list of .* \[0, 261\); got 261"
    ):
        ls.generate(tiny_gpt2, "a", stop_token_ids=261, max_new_tokens=2)  # type: ignore[arg-type]


def test_the_end_tokens_of_a_transform_end_its_rows_alone() -> None:
    class Ending(ls.Transform):
        def apply(self, logits: Any, state: Any) -> Any:
            return logits

        def end_tokens(self) -> tuple[int, ...]:
            return (3,)

    result = ls.generate(
        counter, [[0], [0]], sampler=[ls.Greedy(Ending()), ls.Greedy()], max_new_tokens=6
    )
    assert result.token_ids == [[1, 2, 3], [1, 2, 3, 4, 5, 6]]
    assert result.finish_reasons == ["end_token", "length"]


def test_models_whose_vocabularies_are_padded_differently() -> None:
    p = np.log([0.5, 0.3, 0.2])
    target = lambda ids: np.broadcast_to([*p, -1.0, -2.0], (*ids.shape, 5))  # noqa: E731
    wide = lambda ids: np.broadcast_to([*p[::-1], 9.0, 9.0, 9.0, 9.0], (*ids.shape, 7))  # noqa: E731

    def narrow(ids: np.ndarray) -> np.ndarray:
        assert ids.max() < 3  # it is not shown what it does not know
        return np.broadcast_to(p[::-1], (*ids.shape, 3))

    exact = ls.Sampler(ls.TopK(4)).probabilities(target(np.zeros((1, 1), int))[0])[0]
    exact = exact.astype(np.float64)
    for draft in (narrow, wide):
        result = ls.generate(
            target, [[0]], sampler=ls.Sampler(ls.TopK(4)), draft=draft, n=4000, max_new_tokens=2,
            seed=1,
        )  # fmt: skip
        counts = np.bincount(np.ravel(result.token_ids), minlength=5)
        assert counts[4] == 0
        assert stats.chisquare(counts[:4], 8000 * exact[:4] / exact.sum()).pvalue > 1e-4
