"""What a prompt of Python and a notebook show of results, streams, engines and models."""

import re
from typing import Any

import keras
import numpy as np

import logit_sampling as ls
from tests.generation.models import Bytes, Letters, counter, writer

NASTY = "<b>\x1b[2J\n\tü"


def test_a_result_prints_its_texts_and_shows_a_line_for_each() -> None:
    result = ls.generate(writer(NASTY), ["a", "b"], tokenizer=Bytes, max_new_tokens=11, seed=3)
    assert result.texts == [NASTY] * 2
    shown = "<b>\\x1b[2J\n\tü"
    assert str(result) == (
        f"--- row 0, seed 3, length ---\na{shown}\n"
        f"--- row 1, seed {result.seeds[1]}, length ---\nb{shown}"
    )
    assert repr(result) == (
        f"<GenerationResult: 2 texts, 22 tokens, {result.seconds:.2f} seconds\n"
        "  'a' -> '<b>\\x1b[2J⏎⇥ü' (11 tokens, length)\n"
        "  'b' -> '<b>\\x1b[2J⏎⇥ü' (11 tokens, length)>"
    )
    page = result._repr_html_()
    assert "&lt;b&gt;\\x1b[2J\n\tü" in page and "<b>" not in page and "\x1b" not in page
    assert page.count("<tr>") == 3 and str(result.seeds[1]) in page


def test_one_text_is_printed_alone_and_once() -> None:
    for echo in (False, True):
        result = ls.generate(
            writer("xy"), "a", tokenizer=Bytes, max_new_tokens=3, seed=3, echo=echo
        )
        assert str(result) == "axyx"


def test_ids_are_no_wall_of_numbers() -> None:
    result = ls.generate(counter, [[0]] * 300, max_new_tokens=300, seed=0)
    assert repr(result).splitlines()[1] == f"  [0] -> {str(result.token_ids[0])[:47]}… " + (
        "(300 tokens, length)"
    )
    assert repr(result).endswith("\n  … and 292 more>")
    assert len(repr(result)) < 1000 and len(str(result.texts)) < 1000
    assert len(max(str(result).splitlines(), key=len)) == 200
    page = result._repr_html_()
    assert page.count("<tr>") == 102 and "… and 200 more" in page
    assert len(page) < 60_000


def test_rows_that_failed_tell_why() -> None:
    def broken(ids: np.ndarray) -> np.ndarray:
        return np.full((len(ids), 4), np.nan)

    result = ls.generate(broken, [[0]], on_error="return")
    assert "(0 tokens, error)" in repr(result)
    assert result.errors is not None and str(result.errors[0])[:40] in result._repr_html_()


def test_a_score_shows_its_texts() -> None:
    result = ls.score(lambda ids: np.zeros((*ids.shape, 256)), ["<b>\x07", "abc"], tokenizer=Bytes)
    assert result.texts == ["<b>\x07", "abc"]
    assert repr(result) == (
        "<ScoreResult: 2 texts, 5 tokens, perplexity 256.00\n"
        "  '<b>\\x07': -16.64 nats in 3 tokens\n"
        "  'abc': -11.09 nats in 2 tokens>"
    )
    page = result._repr_html_()
    assert "&lt;b&gt;\\x07" in page and "-5.545" in page and "<b>" not in page
    assert ls.score(lambda ids: np.zeros((*ids.shape, 2)), [[0, 1]]).texts == [[0, 1]]


def test_streams_and_engines_tell_how_far_they_are() -> None:
    stream = ls.stream(writer("xy"), ["a", "b"], tokenizer=Bytes, max_new_tokens=2, seed=0)
    assert repr(stream) == "<Stream of model 'callable': 0 of 2 texts ended, 0 tokens so far>"
    list(stream)
    assert repr(stream) == "<Stream of model 'callable': 2 of 2 texts ended, 4 tokens so far>"
    with ls.Engine(writer("xy"), tokenizer=Bytes) as engine:
        request = engine.submit("a\n", max_new_tokens=2)
        request.result()
        assert repr(request) == "<Request 'a⏎': 1 of 1 text ended, 2 tokens so far>"
        events = ls.stream(engine, ["a", "b"], max_new_tokens=2)
        list(events)
        assert repr(events) == (
            "<Requests to model 'callable': 2 of 2 texts ended, 4 tokens so far>"
        )
        assert repr(engine) == "<Engine of model 'callable': 0 requests to end>"
    assert repr(engine) == "<Engine of model 'callable': closed, 0 requests to end>"


def test_models_tell_what_they_are(tiny_gpt2: Any, tiny_llama: Any) -> None:
    size = f"{tiny_gpt2.count_params():,}"
    assert repr(ls.as_model(tiny_gpt2)) == (
        f"<LanguageModel GPT2CausalLM '{tiny_gpt2.name}': {size} parameters, vocabulary 261, "
        "context 48, ends at 260>"
    )
    assert "no tokenizer" in repr(ls.as_model(tiny_llama))
    assert repr(ls.as_model(counter)) == "<CallableModel 'callable': no tokenizer>"
    named = ls.as_model(counter, name="counter", context_length=8, end_ids=[4, 5])
    assert repr(named) == (
        "<Described CallableModel 'counter': context 8, ends at 4, 5, no tokenizer>"
    )
    own = keras.Sequential([keras.layers.Embedding(20, 8), keras.layers.Dense(20)], name="own")
    assert repr(ls.as_model(own)) == "<KerasModel Sequential 'own': no tokenizer>"  # no weights yet
    own.build((None, 4))
    assert repr(ls.as_model(own)) == (
        "<KerasModel Sequential 'own': 340 parameters, context 4, no tokenizer>"
    )
    shown = [ls.as_model(counter, tokenizer=Letters()).tokenizer, ls.as_model(tiny_gpt2).tokenizer]
    assert not re.search("0x[0-9a-f]+", repr(shown))
    assert list(map(repr, shown)) == ["<AnyTokenizer Letters>", "<KerasHubTokenizer GPT2Tokenizer>"]
