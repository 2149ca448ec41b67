"""Rows that cannot go on end alone: the others are written as if nothing had been."""

import json
import re
from typing import Any

import numpy as np
import pytest

import logit_sampling as ls
from tests.generation.models import Bytes, counter

VOCABULARY = 12


def smooth(ids: np.ndarray) -> np.ndarray:
    """Return logits that depend on the last token."""
    table = np.random.default_rng(5).normal(size=(VOCABULARY, VOCABULARY))
    return table[ids[..., -1:]].astype(np.float32) + np.zeros((*ids.shape, 1), np.float32)


def with_hidden(model: Any) -> Any:
    return lambda ids: (model(ids), np.eye(VOCABULARY, dtype=np.float32)[ids])


def breaks(ids: np.ndarray) -> np.ndarray:
    """Return the same, but NaN for a text of 5 tokens or more that begins with 1."""
    bad = (ids[:, :1, None] == 1) & (np.arange(ids.shape[1])[None, :, None] >= 4)
    return np.where(bad, np.nan, smooth(ids))


LOOPS: dict[str, dict[str, Any]] = {
    "loop": {},
    "loop, streamed": {"on_text": lambda row, piece: None, "tokenizer": Bytes()},
    "beam": {"search": ls.BeamSearch(3)},
    "contrastive": {"search": ls.ContrastiveSearch(3)},
    "draft": {"draft": smooth},
}


@pytest.mark.parametrize("name", LOOPS)
def test_nan_ends_one_row_in_every_loop(name: str) -> None:
    options: dict[str, Any] = {"max_new_tokens": 9, "seed": [4, 5, 6], **LOOPS[name]}
    model = with_hidden(breaks) if name == "contrastive" else breaks
    whole = with_hidden(smooth) if name == "contrastive" else smooth
    prompts = [[0], [1, 2], [3]]
    result = ls.generate(model, prompts, on_error="return", **options)
    assert result.finish_reasons == ["length", "error", "length"]
    assert result.errors is not None and result.errors[0] is result.errors[2] is None
    assert "logits hold NaN in this" in (result.errors[1] or "")
    expected = ls.generate(whole, prompts, **options)
    assert result.token_ids[::2] == expected.token_ids[::2]
    assert result.log_probs[::2] == expected.log_probs[::2]
    assert result.token_ids[1] == expected.token_ids[1][: len(result.token_ids[1])]
    assert len(result.token_ids[1]) == 3
    with pytest.raises(ls.RowError, match=r"hold NaN.*1 of 3 rows failed") as raised:
        ls.generate(model, prompts, **options)
    assert isinstance(raised.value, ValueError)
    assert raised.value.result.token_ids == result.token_ids
    assert raised.value.result.errors == result.errors


@pytest.mark.parametrize("name", [name for name in LOOPS if name != "beam"])
def test_a_row_with_nothing_left_ends_alone(name: str) -> None:
    model = with_hidden(smooth) if name == "contrastive" else smooth
    once = ls.Sampler(ls.AllowTokens([2, 3, 4]), ls.NoRepeatNGram(1))
    options: dict[str, Any] = {"max_new_tokens": 6, "seed": [4, 5], **LOOPS[name]}
    result = ls.generate(
        model, [[0], [1]], sampler=[ls.Sampler(), once], on_error="return", **options
    )
    assert result.finish_reasons == ["length", "error"]
    assert sorted(result.token_ids[1]) == [2, 3, 4]
    assert "row 1, new token 3: every token" in str(result.errors)
    alone = ls.generate(model, [[0]], **options | {"seed": [4]})
    assert result.token_ids[0] == alone.token_ids[0]


def test_one_of_many_rows_of_one_sampler_fails() -> None:
    sampler = ls.Sampler(ls.RepetitionPenalty(1.2), ls.Temperature([1.0, 0.5, 2.0, 1.0]))
    prompts = [[0], [1, 2], [3], [1]]
    options: dict[str, Any] = {"sampler": sampler, "max_new_tokens": 9, "seed": 3}
    result = ls.generate(breaks, prompts, on_error="return", **options)
    assert result.finish_reasons == ["length", "error", "length", "error"]
    assert [len(ids) for ids in result.token_ids] == [9, 3, 9, 4]
    whole = ls.generate(smooth, prompts, **options)
    for got, want in zip(result.token_ids, whole.token_ids, strict=True):
        assert got == want[: len(got)]


def test_events_tell_the_row_that_failed() -> None:
    stream = ls.stream(
        breaks, [[0], [1, 2]], tokenizer=Bytes(), max_new_tokens=5, seed=1, stop_at_end=False
    )
    events = []
    with pytest.raises(ls.RowError) as raised:
        for event in stream:
            events.append(event)
    (last,) = [event for event in events if event.finish_reason == "error"]
    assert (last.row, last.token_id, last.text) == (1, None, "")
    assert last.error == raised.value.result.errors[1] == stream.result.errors[1]
    assert len([event for event in events if event.row == 0]) == 5


def test_a_tokenizer_that_cannot_decode() -> None:
    class Picky(Bytes):
        @staticmethod
        def decode(ids: list[int]) -> str:
            if 9 in ids:
                raise IndexError("no such piece")
            return bytes(ids).decode("latin-1")

    options: dict[str, Any] = {"sampler": ls.Greedy(), "tokenizer": Picky(), "max_new_tokens": 6}
    for more in ({}, {"on_text": lambda row, piece: None}):
        result = ls.generate(counter, [[1], [5]], on_error="return", **options, **more)
        assert result.finish_reasons == ["length", "error"]
        assert result.texts[0] == "\x02\x03\x04\x05\x06\x07"
        assert "row 1" in str(result.errors) and "IndexError: no such piece" in str(result.errors)
        with pytest.raises(ls.RowError, match="cannot decode its tokens: IndexError"):
            ls.generate(counter, [[1], [5]], **options, **more)


def test_a_draft_that_breaks_ends_its_row() -> None:
    result = ls.generate(
        smooth, [[0], [1, 2]], draft=breaks, max_new_tokens=9, seed=2, on_error="return"
    )
    assert result.finish_reasons == ["length", "error"]
    assert "row 1, new token" in str(result.errors) and "draft model: logits" in str(result.errors)


def test_echo_of_a_prompt_without_log_probs() -> None:
    result = ls.generate(
        breaks, [[0, 1], [1, 2, 3, 4, 5, 6]], tokenizer=Bytes(), echo=True, max_new_tokens=2,
        seed=0, on_error="return",
    )  # fmt: skip
    assert result.finish_reasons == ["length", "error"] and result.token_ids[1] == []
    assert result.prompt_log_probs is not None and result.prompt_log_probs[1] == [None] * 6
    assert "prompt 1: after its first 5 tokens" in str(result.errors)


def test_results_are_strict_json() -> None:
    def some(ids: np.ndarray) -> np.ndarray:
        return np.where(np.arange(8) < 3, np.zeros((*ids.shape, 1), np.float32), -np.inf)

    def strict(data: Any) -> Any:
        return json.loads(json.dumps(data, allow_nan=False))

    forced = ls.Sampler(ls.ForcedTokens([3]))
    result = ls.generate(some, [[0]], sampler=forced, max_new_tokens=1, seed=0)
    assert result.log_probs == [[-np.inf]] and strict(result.to_dict())["log_probs"] == [[None]]
    echo = ls.generate(some, [[0, 3]], echo=True, max_new_tokens=1, seed=0, tokenizer=Bytes())
    assert strict(echo.to_dict())["prompt_log_probs"] == [[None, None]]
    assert strict(ls.score(some, [[0, 3, 1]]).to_dict())["totals"] == [None]
    listed = [
        ls.generate(some, [[0]], top_log_probs=5, max_new_tokens=1, seed=0, **loop).top_log_probs
        for loop in ({}, {"draft": some}, {"search": ls.BeamSearch(2)})
    ]
    assert listed[0] == listed[1] == listed[2] and listed[0] is not None
    assert [i for i, _ in listed[0][0][0]] == [0, 1, 2]
    for sampler in (
        ls.Sampler(ls.LogitBias({1: -np.inf, 2: np.inf})),
        ls.Sampler(ls.SequenceBias({(1, 2): -np.inf, (3,): 1.0})),
    ):
        assert ls.Sampler.from_config(strict(sampler.get_config())) == sampler


def test_wrong_words() -> None:
    with pytest.raises(ValueError, match='on_error must be "raise" or "return", got \'skip\''):
        ls.generate(smooth, [[0]], on_error="skip")


@pytest.mark.parametrize(
    ("chain", "told"),
    [
        (
            (ls.TopK(2), ls.AllowTokens([3])),
            "; AllowTokens removed what TopK left: put what forbids before what cuts",
        ),
        (
            (ls.AllowTokens([3]), ls.Temperature(2.0), ls.SuppressTokens([3]), ls.TopK(2)),
            "; SuppressTokens removed what AllowTokens, Temperature left: put ",
        ),
        ((ls.SuppressTokens(list(range(VOCABULARY))), ls.TopK(2)), "; SuppressTokens removed all$"),
        ((), "nothing is left to draw from in this row$"),
    ],
)
@pytest.mark.parametrize("draft", [None, "lookup"])
def test_what_removed_the_last_tokens_is_told(chain: Any, told: str, draft: Any) -> None:
    table = -np.arange(VOCABULARY, dtype=np.float32) if chain else np.full(VOCABULARY, -np.inf)
    model = lambda ids: np.broadcast_to(table, (len(ids), VOCABULARY))  # noqa: E731
    result = ls.generate(
        model, [[0]], sampler=ls.Sampler(*chain), draft=draft, max_new_tokens=2, on_error="return"
    )
    assert result.errors is not None
    assert re.search(f"new token 0: every token is at -inf: .*{told}", result.errors[0] or "")
