from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import logit_sampling as ls
from logit_sampling.generation.text import TextStream, continuation
from tests.generation.decodes import EXACT, OTHERS, Decoder
from tests.generation.models import Script
from tests.generation.test_stopping import cut


def decode(ids: list[int]) -> str:
    return bytes(ids).decode("utf-8", errors="replace")


def pieces(data: bytes) -> list[str]:
    stream = TextStream(decode)
    given = [stream.push(byte) for byte in data]
    return [*given, decode(list(data))[len("".join(given)) :]]


def test_character_comes_with_its_last_byte() -> None:
    assert pieces("aé🙂b".encode()) == ["a", "", "é", "", "", "", "🙂", "b", ""]


def test_unfinished_character_comes_at_the_end() -> None:
    assert pieces("é🙂".encode()[:-1]) == ["", "é", "", "", "", "\ufffd"]


def test_invalid_bytes_are_shown_once() -> None:
    assert pieces(b"a\xff\xffb") == ["a", "", "", "\ufffd\ufffdb", ""]


@given(st.binary(max_size=12) | st.text(max_size=6).map(str.encode))
def test_pieces_join_to_the_decoded_text(data: bytes) -> None:
    assert "".join(pieces(data)) == decode(list(data))


WORDS = ["", "▁the", "▁cat", "s", "▁sat"]


def decode_words(ids: list[int]) -> str:
    """As SentencePiece does: the space before the first word goes."""
    return "".join(WORDS[i] for i in ids).replace("▁", " ").removeprefix(" ")


def test_space_after_the_prompt_stays() -> None:
    assert continuation(decode_words, [0, 1], [2, 3, 4]) == " cats sat"
    assert continuation(decode_words, [1, 1, 1, 1, 1, 2], [3, 4]) == "s sat"
    assert continuation(decode_words, [0], [2, 3]) == "cats"
    stream = TextStream(decode_words, [0, 1])
    assert [stream.push(2), stream.push(3)] == [" cat", "s"]


def test_character_that_begins_in_the_prompt_is_completed() -> None:
    prompt, ids = list("né".encode()[:-1]), list("né".encode()[-1:])
    assert continuation(decode, prompt, ids) == "é"


@given(st.text(max_size=8), st.text(max_size=8))
@example("\ufffd", "")
@example("\ufffd", "a")
@example("a\ufffd", "\ufffdé")
@example("\ufffd" * 8, "\ufffd" * 8 + "x")
@example("\ufffd", "\ufffd" * 50)
def test_continuation_is_the_text_after_a_whole_prompt(prompt: str, text: str) -> None:
    assert continuation(decode, list(prompt.encode()), list(text.encode())) == text


@st.composite
def ids_of(draw: Any, decoder: Decoder, size: int) -> list[int]:
    """Some of its tokens, again and again, so that long runs of a few are among them."""
    few = draw(st.lists(st.integers(0, len(decoder.tokens) - 1), min_size=1, max_size=8))
    return draw(st.lists(st.sampled_from(few), min_size=1, max_size=size))


@pytest.mark.parametrize("name", EXACT)
@settings(deadline=None)
@given(data=st.data())
def test_pieces_are_what_the_decoded_text_adds(name: str, data: Any) -> None:
    decoder = EXACT[name]
    ids = data.draw(ids_of(decoder, 80))
    whole = decoder.decode([0, *ids])[len(decoder.decode([0])) :]
    stream, shown = TextStream(decoder.decode, [0]), ""
    for token in ids:
        shown += stream.push(token)
        assert whole.startswith(shown)
    assert shown + stream.end() == whole == continuation(decoder.decode, [0], ids)


@pytest.mark.parametrize("name", [*EXACT, *OTHERS])
@settings(max_examples=20, deadline=None)
@given(data=st.data())
def test_stream_and_generate_tell_one_text_and_find_one_stop_string(name: str, data: Any) -> None:
    decoder = (EXACT | OTHERS)[name]
    ids = data.draw(ids_of(decoder, 24))
    options: dict[str, Any] = {
        "sampler": ls.Greedy(), "tokenizer": decoder, "max_new_tokens": len(ids)
    }  # fmt: skip
    model = Script(ids, len(decoder.tokens))
    text = ls.generate(model, "x", **options).texts[0]
    assert text == continuation(decoder.decode, [0], ids)
    letters = st.sampled_from(sorted(set(text)) or ["x"])
    stop = data.draw(st.lists(st.text(letters, min_size=1, max_size=3), max_size=3))
    pieces: list[str] = []
    told = ls.generate(
        model, "x", stop=stop, on_text=lambda _, piece: pieces.append(piece), **options
    )
    plain = ls.generate(model, "x", stop=stop, **options)
    stream = ls.stream(model, "x", stop=stop, **options)
    shown = "".join(map(str, stream))
    before, found = cut(text, tuple(stop))
    assert shown == "".join(pieces) == before
    reason = "length" if found is None else "stop_string"
    for result in (told, plain, stream.result):
        assert (result.texts, result.finish_reasons) == ([before], [reason])
        assert (result.stop_strings or [None]) == [found]
        assert result.token_ids == plain.token_ids


def test_a_stop_string_ends_in_what_is_told_at_the_end() -> None:
    cleaned = EXACT["word pieces, cleaned"]
    ids = [cleaned.tokens.index(token) for token in ("do", "n", ".")]
    options: dict[str, Any] = {"sampler": ls.Greedy(), "tokenizer": cleaned, "stop": ["n", " s"]}
    for ends, written in (({"max_new_tokens": 2}, ids[:2]), ({"stop_at_end": ids[2:]}, ids)):
        result = ls.generate(Script(ids, len(cleaned.tokens)), "x", **(options | ends))
        assert (result.texts, result.token_ids) == ([" do "], [written])
        assert (result.finish_reasons, result.stop_strings) == (["stop_string"], ["n"])


def test_an_interrupted_decode_loses_no_text() -> None:
    calls = []

    class Interrupted(Decoder):
        def decode(self, ids: list[int]) -> str:
            calls.append(ids)
            if len(calls) == 4:
                raise KeyboardInterrupt
            return super().decode(ids)

    letters = Interrupted(("a", "b", "c"), "".join)
    stream = ls.stream(Script([0, 1, 2], 3), "x", tokenizer=letters, sampler=ls.Greedy())
    pieces = []
    with pytest.raises(ls.Interrupted):
        pieces.extend(map(str, stream))
    assert pieces == ["a", "b", "c"]
    assert stream.result.texts == ["abc"] and stream.result.finish_reasons == ["interrupted"]


def told(decoder: Decoder, *tokens: str) -> list[str]:
    """What each token, and at last the end, is told of the text behind the first token."""
    stream = TextStream(decoder.decode, [0])
    return [*(stream.push(decoder.tokens.index(token)) for token in tokens), stream.end()]


def test_a_space_that_the_decode_put_there_waits_for_what_takes_it_away() -> None:
    cleaned = EXACT["word pieces, cleaned"]
    assert told(cleaned, "do", "n", "'", "t", ",", "do") == [" do", "", "", "n't", ",", " do", ""]
    assert told(cleaned, "n", "know", "##s", "n") == ["", " n know", "s", "", " n"]
    spelled = told(Decoder(("a", " n", " "), "".join), " n", " ", "a", " ")
    assert spelled == [" n", " ", "a", " ", ""]  # these spaces are of the tokens


def test_a_told_piece_stays_and_from_there_on_more_is_held_back() -> None:
    cleaned, composed = OTHERS["cleaned"], OTHERS["composed"]
    assert told(cleaned, " n", "'t", "b", " n", "'t", " ,", "b", "b") == [
        " n", "", "", "", "", "", "", "'", "tbn't,bb",
    ]  # fmt: skip
    assert told(composed, "a", "\u0301", "u") == ["a", "", "", "u"]


@pytest.mark.parametrize("name", [*EXACT, *OTHERS])
def test_a_token_decodes_a_few_tokens_however_long_the_text(name: str) -> None:
    decoder, sizes = (EXACT | OTHERS)[name], []

    def decode(ids: list[int]) -> str:
        sizes.append(len(ids))
        assert len(ids) <= (40 if name in EXACT else 144)
        return decoder.decode(ids)

    stream = TextStream(decode, [0])
    rng = np.random.default_rng(0)
    for token in rng.integers(0, len(decoder.tokens), 5000).tolist():
        stream.push(token)
    if name in EXACT:
        assert sum(sizes) <= 30 * 5000


@pytest.mark.parametrize("token", ["\n", " "])
def test_what_shows_nothing_for_long_costs_no_more(token: str) -> None:
    stripped = EXACT["stripped"]

    def decode(ids: list[int]) -> str:
        assert len(ids) <= 144
        return stripped.decode(ids)

    stream = TextStream(decode, [0])
    pieces = [stream.push(stripped.tokens.index(token)) for _ in range(5000)]
    assert set(pieces) == {""}
    shown = stream.push(0)
    assert shown == token * len(shown[:-1]) + "a" and len(shown) > 16
