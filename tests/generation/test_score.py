"""How likely texts are."""

from typing import Any

import numpy as np
import pytest

import logit_sampling as ls
from logit_sampling.decoding.window import window_start
from tests.generation.models import Bytes, Windowed, counter
from tests.generation.test_generate import plain_log_probs

TEXTS = [[3, 1, 4, 1, 5, 9, 2, 6], [7], [20, 21, 20], [49, 0] * 20]


def test_log_probs_are_those_of_a_forward_pass(tiny_llama: Any) -> None:
    result = ls.score(tiny_llama, TEXTS)
    assert result.token_ids == TEXTS
    assert result.counts == [7, 0, 2, 39]
    for ids, log_probs, total in zip(TEXTS, result.log_probs, result.totals, strict=True):
        expected = plain_log_probs(tiny_llama, ids)[np.arange(len(ids) - 1), ids[1:]]
        assert log_probs[0] is None
        np.testing.assert_allclose(np.array(log_probs[1:], float), expected, atol=2e-5)
        assert total == pytest.approx(expected.sum(), abs=1e-4)
    by_token = np.exp(-sum(result.totals) / 48)
    by_text = np.mean([np.exp(-result.totals[i] / result.counts[i]) for i in (0, 2, 3)])
    assert result.perplexity == pytest.approx(by_token, rel=1e-12)
    assert abs(result.perplexity - by_text) > 0.01 * by_text


def test_strings_are_scored_behind_the_start_token(tiny_gpt2: Any) -> None:
    tokenizer = tiny_gpt2.preprocessor.tokenizer
    ids = [260, *(int(i) for i in tokenizer.tokenize("the cat"))]
    text, alone = ls.score(tiny_gpt2, ["the cat", ids[:1] + ids[1:]]), ls.score(tiny_gpt2, [ids])
    assert text.token_ids == [ids, ids]
    assert text.log_probs[0] == text.log_probs[1] == alone.log_probs[0]
    assert len(text.log_probs[0]) == len(ids)
    assert ls.score(tiny_gpt2, "the cat").log_probs == alone.log_probs


@pytest.mark.parametrize("length", [2, 8, 9, 10, 13, 40, 300])
@pytest.mark.parametrize("context", [8, 9, 260])
def test_a_long_text_slides_as_generation_does(length: int, context: int) -> None:
    ids = np.random.default_rng(length).integers(0, 30, length).tolist()
    model = Windowed(context)
    result = ls.score(model, [ids], overflow="slide")
    assert max(map(max, model.prefills)) <= context
    assert max((columns for _, columns in model.steps), default=0) <= 128
    expected = []
    starts = {window_start(known, context) for known in range(1, length)}
    assert len(model.prefills) == len(starts)  # once for each window
    for known in range(1, length):
        row = model.row(ids[window_start(known, context) : known]).astype(np.float64)
        expected.append(row[ids[known]] - np.log(np.exp(row).sum()))
    np.testing.assert_allclose(np.array(result.log_probs[0][1:], float), expected, atol=1e-5)


def test_a_function_is_scored_too() -> None:
    likeliest = 9 - np.log(np.exp(9.0) + 9)
    result = ls.score(counter, [[1, 2, 3], [1, 3]])
    np.testing.assert_allclose(
        np.array(result.log_probs[0][1:] + result.log_probs[1][1:], float),
        [likeliest, likeliest, likeliest - 9],
        atol=1e-5,
    )


def test_the_prompt_is_scored_by_echo(tiny_gpt2: Any) -> None:
    options: dict[str, Any] = {"max_new_tokens": 5, "seed": 0, "n": 2}
    result = ls.generate(tiny_gpt2, ["the cat", [5, 6]], echo=True, **options)
    plain = ls.generate(tiny_gpt2, ["the cat", [5, 6]], **options)
    scored = ls.score(tiny_gpt2, ["the cat", [5, 6]])
    assert result.prompt_ids == [scored.token_ids[i] for i in (0, 0, 1, 1)]
    assert result.prompt_log_probs == [scored.log_probs[i] for i in (0, 0, 1, 1)]
    assert result.token_ids == plain.token_ids
    decoded = tiny_gpt2.preprocessor.tokenizer.detokenize([5, 6])
    before = ["the cat", "the cat", decoded, decoded]
    assert result.texts == [b + t for b, t in zip(before, plain.texts, strict=True)]


def test_one_number_to_json() -> None:
    import json

    result = ls.score(lambda ids: np.zeros((*ids.shape, 4), np.float32), [[0, 1, 2]])
    half = -np.log(4)
    loaded = json.loads(json.dumps(result.to_dict()))
    assert loaded == {
        "texts": [[0, 1, 2]],
        "token_ids": [[0, 1, 2]],
        "log_probs": [[None, pytest.approx(half), pytest.approx(half)]],
        "totals": [pytest.approx(2 * half)],
        "counts": [2],
        "perplexity": pytest.approx(4.0),
    }


@pytest.mark.parametrize(
    ("texts", "options", "message"),
    [
        ([], {}, "texts is empty: give at least one text"),
        (["a", ""], {}, "text 1 is empty"),
        ([1, 2], {}, "wrap a single one"),
        ([[1, 300]], {}, r"text 0 must be a string or a list of integers in \[0, 261\)"),
        ([[1], [2]], {}, "no text has a second token, so there is nothing to score"),
        (["a" * 48], {}, r"text 0 has 49 tokens, but the context .* has 48: .*overflow=\"slide\""),
        ("ab", {"overflow": None}, 'overflow must be "error" or "slide", got None'),
    ],
)
def test_wrong_arguments(tiny_gpt2: Any, texts: Any, options: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ls.score(tiny_gpt2, texts, **options)


def test_logits_without_a_distribution_are_named() -> None:
    def broken(ids: np.ndarray) -> np.ndarray:
        return np.where(ids[..., None] == 7, np.nan, np.zeros(9)).astype(np.float32)

    with pytest.raises(ValueError, match=r"text 1: after its first 3 tokens the logits hold NaN"):
        ls.score(broken, [[1, 2], [1, 2, 7, 3]])
    with pytest.raises(ValueError, match=r"prompt 1: after its first 2 tokens the logits hold"):
        only = ls.Sampler(ls.AllowTokens([1]))
        ls.generate(broken, [[1, 2], [1, 7, 3]], echo=True, sampler=only, tokenizer=Bytes())
    assert ls.score(broken, [[1, 2, 7]]).perplexity == pytest.approx(9)


def test_a_tokenizer_may_be_given() -> None:
    result = ls.score(lambda ids: np.zeros((*ids.shape, 256), np.float32), "aé", tokenizer=Bytes())
    assert result.token_ids == [list("aé".encode())]
    assert result.perplexity == pytest.approx(256)


def test_a_text_that_fails_takes_no_other_with_it() -> None:
    def broken(ids: np.ndarray) -> np.ndarray:
        return np.where(ids[..., None] == 7, np.nan, np.zeros(9)).astype(np.float32)

    texts = [[1, 2], [1, 7, 3], [4, 5, 6]]
    with pytest.raises(ls.RowError, match=r"text 1: after .* NaN.*\(1 of 3 rows failed") as raised:
        ls.score(broken, texts)
    result = ls.score(broken, texts, on_error="return")
    assert raised.value.result.to_dict() == result.to_dict()
    assert result.counts == [1, 0, 2] and result.perplexity == pytest.approx(9)
    assert result.log_probs[1] == [None] * 3 and np.isnan(result.totals[1])
    assert result.errors is not None and [error is None for error in result.errors] == [
        True,
        False,
        True,
    ]
    with pytest.raises(ValueError, match='on_error must be "raise" or "return", got 3'):
        ls.score(broken, texts, on_error=3)  # type: ignore[arg-type]


def test_probabilities_are_warned_about_as_in_generate() -> None:
    def probable(ids: np.ndarray) -> np.ndarray:
        return np.full((*ids.shape, 4), 0.25, np.float32)

    with pytest.warns(ls.ProbabilitiesWarning, match="after the first token of text 1 looks like"):
        ls.score(lambda ids: probable(ids) - (ids[..., None] == 0), [[0, 1], [1, 2]])
    with pytest.warns(ls.ProbabilitiesWarning) as warned:
        ls.generate(probable, [[0, 1]], echo=True, max_new_tokens=1, seed=0, tokenizer=Bytes())
    assert any("first token of prompt 0" in str(warning.message) for warning in warned)
