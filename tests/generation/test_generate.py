from itertools import combinations
from typing import Any

import numpy as np
import pytest

import logit_sampling as ls
from logit_sampling.distribution.arrays import to_numpy
from logit_sampling.distribution.random import row_integers
from logit_sampling.models.keras_hub import LanguageModel
from tests.backends import BACKEND

PROMPTS = [[7], [3, 1, 4, 1, 5, 9, 2, 6], [20, 21], [30, 31, 32]]


def counter(ids: np.ndarray) -> np.ndarray:
    """Logits whose greatest is that of the last token plus one, vocabulary 10."""
    return 9.0 * np.eye(10)[(ids[:, -1] + 1) % 10]


def plain_log_probs(causal_lm: Any, ids: list[int]) -> np.ndarray:
    """Log-softmax after each token, float64 [length, vocab], by a forward pass without cache."""
    row = np.asarray([ids])
    logits = to_numpy(causal_lm({"token_ids": row, "padding_mask": np.ones_like(row)}))[0]
    shifted = logits.astype(np.float64) - logits.max(-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(-1, keepdims=True))


def test_greedy_writes_what_keras_hub_writes(tiny_gpt2: Any) -> None:
    tiny_gpt2.compile(sampler="greedy")
    theirs = tiny_gpt2.generate("the cat", max_length=30, strip_prompt=True)
    length = len(tiny_gpt2.preprocessor.tokenizer.tokenize("the cat")) + 1
    ours = ls.generate(tiny_gpt2, "the cat", sampler=ls.Greedy(), max_new_tokens=30 - length)
    assert len(set(ours.token_ids[0])) > 3
    assert ours.texts == [theirs]


def test_greedy_writes_the_ids_of_keras_hub_from_prompts_of_different_lengths(
    tiny_llama: Any,
) -> None:
    tiny_llama.compile(sampler="greedy")
    ids, mask = np.zeros((2, len(PROMPTS), 20), np.int32)
    for i, prompt in enumerate(PROMPTS):
        ids[i, : len(prompt)], mask[i, : len(prompt)] = prompt, 1
    theirs = tiny_llama.generate({"token_ids": ids, "padding_mask": mask}, stop_token_ids=None)
    ours = ls.generate(tiny_llama, PROMPTS, sampler=ls.Greedy(), max_new_tokens=12)
    for prompt, row, mine in zip(PROMPTS, theirs["token_ids"], ours.token_ids, strict=True):
        assert mine == row[len(prompt) :][:12].tolist()


@pytest.mark.parametrize("name", ["tiny_gpt2", "tiny_llama"])
def test_log_probs_are_those_of_a_forward_pass_without_cache(
    name: str, request: pytest.FixtureRequest
) -> None:
    causal_lm = request.getfixturevalue(name)
    sampler = ls.Sampler(ls.Temperature(0.7), ls.TopK(5))
    result = ls.generate(causal_lm, PROMPTS, sampler=sampler, max_new_tokens=20, seed=1)
    for row, prompt in enumerate(PROMPTS):
        ids = result.token_ids[row]
        raw = plain_log_probs(causal_lm, prompt + ids)[len(prompt) - 1 : -1]
        expected = raw[np.arange(20), ids]
        np.testing.assert_allclose(result.log_probs[row], expected, atol=2e-5)
        kept = np.sort(raw, axis=-1)[:, -5:] / 0.7
        expected = expected / 0.7 - np.log(np.exp(kept).sum(-1))
        np.testing.assert_allclose(result.sampler_log_probs[row], expected, atol=5e-5)


@pytest.mark.parametrize("name", ["tiny_gpt2", "tiny_llama"])
def test_batch_gives_each_prompt_what_it_gets_alone(
    name: str, request: pytest.FixtureRequest
) -> None:
    causal_lm = request.getfixturevalue(name)
    sampler = ls.Sampler(ls.Temperature(0.9), ls.TopP(0.95))
    options: dict[str, Any] = {"sampler": sampler, "max_new_tokens": 25}
    batch = ls.generate(causal_lm, PROMPTS, n=2, seed=40, **options)
    assert batch.prompts == [prompt for prompt in PROMPTS for _ in range(2)]
    assert batch.seeds == row_integers(40, 8)
    assert len({tuple(ids) for ids in batch.token_ids}) == 8
    for row in range(8):
        alone = ls.generate(causal_lm, [PROMPTS[row // 2]], seed=[batch.seeds[row]], **options)
        assert batch.token_ids[row] == alone.token_ids[0]
        np.testing.assert_allclose(batch.log_probs[row], alone.log_probs[0], atol=2e-5)


def test_continuing_a_text_continues_its_random_numbers(tiny_llama: Any) -> None:
    whole = ls.generate(tiny_llama, [[1, 2]], max_new_tokens=20, seed=3).token_ids[0]
    rest = ls.generate(tiny_llama, [[1, 2, *whole[:8]]], max_new_tokens=12, seed=3).token_ids[0]
    assert rest == whole[8:]


def test_seeds_of_a_result_repeat_it(tiny_llama: Any) -> None:
    first, other = (ls.generate(tiny_llama, PROMPTS, max_new_tokens=12) for _ in range(2))
    again = ls.generate(tiny_llama, PROMPTS, max_new_tokens=12, seed=first.seeds)
    assert first.token_ids == again.token_ids != other.token_ids


def test_a_function_gives_what_the_cache_gives(tiny_llama: Any) -> None:
    seen = []

    def function(ids: np.ndarray) -> Any:
        seen.append(ids.shape)
        return tiny_llama({"token_ids": ids, "padding_mask": np.ones_like(ids)})

    cached = ls.generate(tiny_llama, PROMPTS, max_new_tokens=5, seed=1)
    plain = ls.generate(function, PROMPTS, max_new_tokens=5, seed=1)
    assert plain.token_ids == cached.token_ids
    # Rows of one length together; the last new token is not read.
    lengths = sorted(len(prompt) for prompt in PROMPTS)
    assert seen == [(1, length + new) for new in range(5) for length in lengths]


def test_nothing_is_traced_twice(tiny_llama: Any) -> None:
    model = LanguageModel(tiny_llama)
    for prompts, length in (([[1]], 3), ([[1, 2, 3]], 9), (PROMPTS, 5)):
        ls.generate(model, prompts, max_new_tokens=length, seed=length)
    assert model.traces == 1 or (BACKEND != "tensorflow" and model.traces)
    before = model.traces
    ls.generate(model, [[7, 2, 5]], sampler=ls.Sampler(ls.TopK(3)), max_new_tokens=8, seed=1)
    assert model.traces == before


def test_changed_weights_and_new_variables_are_seen(tiny_llama: Any) -> None:
    model = type(tiny_llama).from_config(tiny_llama.get_config())
    model.set_weights(tiny_llama.get_weights())

    def log_probs() -> list[float]:
        result = ls.generate(model, [[1]], sampler=ls.Greedy(), max_new_tokens=4)
        ids = result.token_ids[0]
        plain = plain_log_probs(model, [1, *ids])[range(4), ids]
        np.testing.assert_allclose(result.log_probs[0], plain, atol=2e-5)
        return result.log_probs[0]

    first = log_probs()
    embedding = model.backbone.token_embedding.embeddings
    embedding.assign(0.9 * to_numpy(embedding))
    second = log_probs()
    model.backbone.enable_lora(2)
    for variable in model.trainable_variables:
        variable.assign(np.full(variable.shape, 0.1))
    assert min(abs(a - b) for a, b in combinations([first[0], second[0], log_probs()[0]], 2)) > 1e-3


def test_a_parameter_may_have_a_value_for_each_row(tiny_llama: Any) -> None:
    sampler = ls.Sampler(ls.Temperature([1.0, 0.0, 0.5, 2.0]), ls.TopK([50, 50, 3, 50]))
    batch = ls.generate(tiny_llama, PROMPTS, sampler=sampler, max_new_tokens=9, seed=2)
    for row, (heat, k) in enumerate([(1.0, 50), (0.0, 50), (0.5, 3), (2.0, 50)]):
        own = ls.Sampler(ls.Temperature(heat), ls.TopK(k))
        seed = [batch.seeds[row]]
        alone = ls.generate(tiny_llama, [PROMPTS[row]], sampler=own, max_new_tokens=9, seed=seed)
        assert batch.token_ids[row] == alone.token_ids[0]
        np.testing.assert_allclose(
            batch.sampler_log_probs[row], alone.sampler_log_probs[0], atol=5e-5
        )
    with pytest.raises(ValueError, match="4 values of `temperature` for 3 rows"):
        ls.generate(tiny_llama, PROMPTS[:3], sampler=sampler, max_new_tokens=9)


def test_rows_stop_at_the_end_token_or_the_length() -> None:
    result = ls.generate(
        counter, [[0], [4], [7]], sampler=ls.Greedy(), max_new_tokens=4, stop_at_end=[6, 8]
    )
    assert result.token_ids == [[1, 2, 3, 4], [5, 6], [8]]
    assert result.finish_reasons == ["length", "end_token", "end_token"]
    assert [len(p) for p in result.log_probs] == [4, 2, 1]
    expected = 9 - np.log(np.exp(9) + 9)
    np.testing.assert_allclose(result.log_probs[0], [expected] * 4, rtol=1e-12)
    assert result.sampler_log_probs == [[0.0] * 4, [0.0] * 2, [0.0]]
    assert result.texts == []


class Digits:
    @staticmethod
    def encode(text: str) -> list[int]:
        return [int(c) for c in text]

    @staticmethod
    def decode(ids: list[int]) -> str:
        return "".join(str(i) for i in ids)


def test_end_token_is_in_the_ids_but_not_in_the_text() -> None:
    pieces: list[tuple[int, str]] = []
    result = ls.generate(
        counter,
        ["12", [3, 4]],
        sampler=ls.Greedy(),
        max_new_tokens=3,
        stop_at_end=[6],
        tokenizer=Digits(),
        on_text=lambda row, piece: pieces.append((row, piece)),
    )
    assert result.texts == ["345", "5"]
    assert result.token_ids == [[3, 4, 5], [5, 6]]
    assert result.prompts == ["12", [3, 4]]
    assert pieces == [(0, "3"), (1, "5"), (0, "4"), (0, "5")]


def test_model_stops_at_its_own_end_token_unless_told_otherwise(tiny_gpt2: Any) -> None:
    end = tiny_gpt2.preprocessor.tokenizer.end_token_id
    sampler = ls.Sampler()
    text = ls.generate(tiny_gpt2, "a", sampler=sampler, max_new_tokens=46, n=20, seed=0)
    assert "end_token" in text.finish_reasons
    for ids, reason in zip(text.token_ids, text.finish_reasons, strict=True):
        assert (ids.index(end) == len(ids) - 1) if reason == "end_token" else end not in ids
    longer = ls.generate(
        tiny_gpt2, "a", sampler=sampler, max_new_tokens=46, n=20, seed=0, stop_at_end=False
    )
    assert set(longer.finish_reasons) == {"length"}
    for short, long in zip(text.token_ids, longer.token_ids, strict=True):
        assert len(long) == 46
        assert long[: len(short)] == short


def test_streamed_pieces_are_the_text(tiny_gpt2: Any) -> None:
    pieces = [""] * 6
    characters = []

    def on_text(row: int, piece: str) -> None:
        pieces[row] += piece
        characters.append(piece)

    result = ls.generate(tiny_gpt2, ["a", "the"], max_new_tokens=40, n=3, seed=5, on_text=on_text)
    assert pieces == result.texts
    assert len(characters) > 100
    assert tiny_gpt2.preprocessor.tokenizer.detokenize(result.token_ids[0]) == result.texts[0]


def test_result_is_ready_for_json() -> None:
    import json

    result = ls.generate(counter, [[0]], sampler=ls.Greedy(), max_new_tokens=2, seed=4)
    loaded = json.loads(json.dumps(result.to_dict()))
    assert loaded.pop("seconds") > 0
    log_prob = result.log_probs[0][0]
    assert loaded == {
        "prompts": [[0]],
        "texts": [],
        "token_ids": [[1, 2]],
        "log_probs": [[log_prob, log_prob]],
        "sampler_log_probs": [[0.0, 0.0]],
        "finish_reasons": ["length"],
        "seeds": [4],
    }


@pytest.mark.parametrize(
    ("prompts", "options", "message"),
    [
        ([], {}, "prompts is empty: give at least one"),
        ([[]], {}, "prompt 0 is empty"),
        (["a", []], {}, "prompt 1 is empty"),
        ([1, 2], {}, r"wrap a single one, \[\[1, 2, 3\]\]"),
        ([[1], [261]], {}, r"prompt 1 must .* integers in \[0, 261\), .* got \[261\]"),
        ([[-1]], {}, r"prompt 0 must be a string or a list of .* got \[-1\]"),
        ([[1.5]], {}, r"prompt 0 must be a string or a list of .* got \[1.5\]"),
        ([None], {}, "prompt 0 must be a string or a list of integers .* got None"),
        (["a", [[1]]], {}, r"prompt 1 must be a string or a list of .* got \[\[1\]\]"),
        ("a" * 47, {}, r"prompt 0 has 48 tokens, but the context of model .* has 48 .* to 47 or"),
        ("a" * 30, {}, "has 31 tokens and max_new_tokens is 20, together .* 48: .* most 17 new"),
        ("a", {"max_new_tokens": 0}, "max_new_tokens must be an integer of at least 1, got 0"),
        ("a", {"max_new_tokens": 2.5}, "max_new_tokens must be an integer .* got 2.5"),
        ("a", {"n": 0}, "n must be an integer of at least 1, got 0"),
        ("a", {"seed": [1, 2]}, "seed has 2 values for 1 rows"),
    ],
)
def test_bad_arguments(tiny_gpt2: Any, prompts: Any, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ls.generate(tiny_gpt2, prompts, **{"max_new_tokens": 20, **options})


def test_prompt_may_fill_the_context(tiny_gpt2: Any) -> None:
    result = ls.generate(tiny_gpt2, "a" * 30, max_new_tokens=17, seed=0, stop_at_end=False)
    assert len(result.token_ids[0]) == 17


def test_logits_without_a_token_name_the_row() -> None:
    def broken(ids: np.ndarray) -> np.ndarray:
        logits = counter(ids)
        logits[ids[:, -1] == 6] = np.nan
        return logits

    with pytest.raises(ValueError, match="row 1, new token 2: logits hold NaN in this row"):
        ls.generate(broken, [[0], [4]], sampler=ls.Greedy(), max_new_tokens=4)


def test_text_prompts_need_a_tokenizer(tiny_llama: Any) -> None:
    for model in (counter, tiny_llama):
        with pytest.raises(ValueError, match="has no tokenizer: give prompts as lists of token"):
            ls.generate(model, ["a"])
        with pytest.raises(ValueError, match="has no tokenizer"):
            ls.generate(model, [[1]], on_text=print)


def test_wrong_models() -> None:
    with pytest.raises(
        ValueError, match=r"a model comes first, .*pass load_model\('shakespeare'\)"
    ):
        ls.generate("shakespeare", ["a"])
    with pytest.raises(ValueError, match="a model comes first, before the prompts, and 'ROMEO:'"):
        ls.generate("ROMEO:", counter)
    with pytest.raises(
        ValueError, match=r"returned shape \(1, 1, 1\) for token ids of shape \(1, 2\)"
    ):
        ls.generate(lambda ids: ids[None, :, :1], [[1, 2]])
