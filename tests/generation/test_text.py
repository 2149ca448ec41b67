from hypothesis import given
from hypothesis import strategies as st

from logit_sampling.generation.text import TextStream, continuation


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
def test_continuation_is_the_text_after_a_whole_prompt(prompt: str, text: str) -> None:
    assert continuation(decode, list(prompt.encode()), list(text.encode())) == text
