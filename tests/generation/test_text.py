from hypothesis import given
from hypothesis import strategies as st

from logit_sampling.generation.text import TextStream


def decode(ids: list[int]) -> str:
    return bytes(ids).decode("utf-8", errors="replace")


def pieces(data: bytes) -> list[str]:
    stream = TextStream(decode)
    return [*(stream.push(byte) for byte in data), stream.finish()]


def test_character_comes_with_its_last_byte() -> None:
    assert pieces("aé🙂b".encode()) == ["a", "", "é", "", "", "", "🙂", "b", ""]


def test_unfinished_character_comes_at_the_end() -> None:
    assert pieces("é🙂".encode()[:-1]) == ["", "é", "", "", "", "\ufffd"]


def test_invalid_bytes_are_shown_once() -> None:
    assert pieces(b"a\xff\xffb") == ["a", "", "", "\ufffd\ufffdb", ""]


@given(st.binary(max_size=12) | st.text(max_size=6).map(str.encode))
def test_pieces_join_to_the_decoded_text(data: bytes) -> None:
    assert "".join(pieces(data)) == decode(list(data))
