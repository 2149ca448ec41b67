from typing import Any

import keras
import keras_hub
import numpy as np
import pytest

import logit_sampling as ls
from logit_sampling.distribution.arrays import to_numpy
from logit_sampling.models.keras_hub import LanguageModel


def test_attributes(tiny_gpt2: Any, tiny_llama: Any) -> None:
    gpt2 = LanguageModel(tiny_gpt2, "tiny")
    assert (gpt2.name, gpt2.context_length, gpt2.vocab_size, gpt2.end_ids) == (
        "tiny",
        48,
        261,
        (260,),
    )
    assert gpt2.causal_lm is tiny_gpt2
    llama = LanguageModel(tiny_llama, context_length=30)
    assert (llama.context_length, llama.vocab_size, llama.end_ids) == (30, 50, ())
    assert LanguageModel(tiny_llama).context_length is None


def test_logits_are_those_of_a_plain_call(tiny_gpt2: Any) -> None:
    ids = np.random.default_rng(0).integers(0, 261, (3, 48))
    expected = to_numpy(tiny_gpt2({"token_ids": ids, "padding_mask": np.ones_like(ids)}))
    logits = LanguageModel(tiny_gpt2).logits(ids)
    assert logits.dtype == np.float32
    np.testing.assert_allclose(logits, expected, atol=2e-5)


@pytest.mark.parametrize("shape", [(49,), (1, 49), (1, 1, 1), (1, 0)])
def test_logits_need_rows_that_fit(tiny_gpt2: Any, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"one token and at most 48, .*; got shape \("):
        LanguageModel(tiny_gpt2).logits(np.zeros(shape, np.int32))


@pytest.mark.parametrize("start", [True, False])
def test_start_token_is_added_if_the_preprocessor_says_so(
    tiny_gpt2: Any, tiny_tokenizer: Any, start: bool
) -> None:
    preprocessor = keras_hub.models.GPT2CausalLMPreprocessor(
        tiny_tokenizer, sequence_length=48, add_start_token=start
    )
    model = LanguageModel(keras_hub.models.GPT2CausalLM(tiny_gpt2.backbone, preprocessor))
    ids = tiny_tokenizer.tokenize("the hat").tolist()
    assert model.encode("the hat") == ([260] if start else []) + ids
    assert model.decode(ids) == "the hat"


@pytest.mark.parametrize("text", ["naïve 🙂", "  two\n\n\nlines \t", "日本", "\x00\x7f", "a\r\nb"])
def test_text_survives_the_tokenizer(tiny_gpt2: Any, text: str) -> None:
    model = LanguageModel(tiny_gpt2)
    ids = model.encode(text)
    assert model.decode(ids[1:]) == text
    assert model.decode([]) == ""


def test_part_of_a_character_decodes_to_a_mark(tiny_gpt2: Any) -> None:
    model = LanguageModel(tiny_gpt2)
    assert model.decode(model.encode("aé")[1:-1]) == "a\ufffd"


def test_a_keras_model_from_ids_to_logits_is_traced_once() -> None:
    embed = keras.layers.Embedding(7, 7, embeddings_initializer="zeros")
    model = keras.Sequential([keras.Input((None,), dtype="int32"), embed])
    embed.embeddings.assign(9 * np.eye(7)[(np.arange(7) + 1) % 7])  # counts
    for prompts, new in (([[0], [3, 4]], 3), ([[2, 3]], 5)):
        result = ls.generate(model, prompts, max_new_tokens=new, sampler=ls.Greedy())
        expected = [[(p[-1] + 1 + i) % 7 for i in range(new)] for p in prompts]
        assert result.token_ids == expected
    assert ls.as_model(model).traces == 1
    embed.embeddings.assign(9 * np.eye(7))  # repeats: new weights are seen
    assert ls.generate(model, [[3]], max_new_tokens=2, sampler=ls.Greedy()).token_ids == [[3, 3]]
