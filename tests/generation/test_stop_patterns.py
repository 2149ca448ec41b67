"""Regular expressions and loops that end a text."""

import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import logit_sampling as ls
from logit_sampling.generation.stop_patterns import StopPattern, Stops
from logit_sampling.generation.stopping import Loops, StopStrings
from tests.generation.models import Bytes, writer

PATTERNS = [r"b", r"ab+", r"a(?=b)", r"(?<=a)b", r"[ab]c", r"abc|b", r"a.c", r"(?i)BA", r"b{2}"]
PIECES = st.lists(st.tuples(st.text("abc", max_size=4), st.booleans()), max_size=8)


def ends(text: str, pattern: str, over: int) -> tuple[int, int] | None:
    """Where the first match begins that is complete at the end of a text, by trying all of them."""
    for start in range(len(text)):
        match = re.compile(pattern).match(text, start)
        if match and match.end() > over:
            return match.span()
    return None


@settings(max_examples=300, deadline=None)
@given(PIECES, st.sampled_from(PATTERNS))
def test_a_text_ends_before_the_match_that_is_complete_first(
    pieces: list[tuple[str, bool]], pattern: str
) -> None:
    stops = StopPattern(re.compile(pattern)).another()
    told = "".join(stops.push(piece, look) for piece, look in pieces)
    assert stops.length == len(told)
    text, over, expected = "", 0, None
    for piece, look in pieces:
        for character in piece:
            text += character
            over = over if look else len(text)
            expected = expected or ends(text, pattern, over)
        if expected:
            break
    if expected is None:
        assert stops.found is None
        assert told + stops.end() == "".join(piece for piece, _ in pieces)
    elif all(look for _, look in pieces):  # else a part of it may have been told
        assert stops.found is not None
        assert told == text[: expected[0]]


@settings(max_examples=300, deadline=None)
@given(PIECES, st.sets(st.text("abc", min_size=1, max_size=3), max_size=3))
def test_strings_as_patterns_end_a_text_where_the_strings_do(
    pieces: list[tuple[str, bool]], strings: set[str]
) -> None:
    texts = []
    for stops in (
        StopStrings(tuple(strings)),
        Stops([StopPattern(re.compile(re.escape(s))) for s in strings] or [StopStrings(())]),
        Stops([StopStrings((s,)) for s in strings] or [StopStrings(())]).another(),
    ):
        told = "".join(stops.push(piece, look) for piece, look in pieces)
        texts.append((told + stops.end(), stops.found))
    assert texts[0] == texts[1] == texts[2]


def test_what_may_become_a_match_waits_and_nothing_else_does() -> None:
    stops = StopPattern(re.compile(r"<(\w+)>"))
    pieces = ["a < b", " <", "x", "y z", "<w", ">", "more"]
    assert [stops.push(piece) for piece in pieces] == ["a < b", " ", "", "<xy z", "", "", ""]
    assert (stops.found, stops.end()) == ("<w>", "")


def test_a_long_text_is_not_looked_through_again() -> None:
    stops = StopPattern(re.compile(r"(?<=xyz)b"))
    told = "".join(stops.push("a" * 500) for _ in range(60))
    assert told == "a" * 30000
    assert len(stops._text) <= 2 * 4096 + 500
    assert (stops.push("xyzb"), stops.found) == ("xyz", "b")


@pytest.mark.parametrize(
    ("stop", "text", "found"),
    [
        (re.compile(r"\n[Tt]wo"), "one", "\ntwo"),
        (re.compile("END|o t", re.IGNORECASE), "one\ntwo ", "END"),
        ([re.compile("[A-Z]+"), "two"], "one\n", "two"),
        (["zz", re.compile("w.")], "one\nt", "wo"),
        (re.compile("x"), "one\ntwo ENDé!one\n", None),
    ],
)
def test_in_generate_and_stream(stop: Any, text: str, found: str | None) -> None:
    options: dict[str, Any] = {"tokenizer": Bytes(), "stop": stop, "sampler": ls.Greedy()}
    result = ls.generate(writer("one\ntwo ENDé!"), "?", max_new_tokens=18, **options)
    assert (result.texts, result.stop_strings) == ([text], [found])
    assert result.finish_reasons == ["length" if found is None else "stop_string"]
    stream = ls.stream(writer("one\ntwo ENDé!"), "?", max_new_tokens=18, **options)
    assert "".join(map(str, stream)) == text


@pytest.mark.parametrize("stop", [re.compile("x*"), re.compile(b"x"), [re.compile("")]])
def test_patterns_that_are_refused(stop: Any) -> None:
    with pytest.raises(ValueError, match=r"matches no empty string; got re\.com"):
        ls.generate(writer("abc"), "?", tokenizer=Bytes(), stop=stop)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.integers(0, 2), max_size=30), st.integers(1, 5), st.integers(2, 4))
def test_loops_are_found_when_they_are_there(tokens: list[int], period: int, times: int) -> None:
    loops = Loops((period, times)).another()
    for end, token in enumerate(tokens, 1):
        expected = any(
            end >= length * times
            and tokens[end - length * times : end] == tokens[end - length : end] * times
            for length in range(1, period + 1)
        )
        assert loops.push(token) == expected


def test_a_text_that_loops_ends_where_it_does_so() -> None:
    def function(ids: np.ndarray) -> np.ndarray:
        """Counts to nine, and then to two again and again."""
        following = np.where(ids >= 9, 7, np.where(ids < 6, ids + 1, ids + 1))
        return 50.0 * np.eye(12)[following]

    options: dict[str, Any] = {"sampler": ls.Greedy(), "max_new_tokens": 40}
    result = ls.generate(function, [[0], [7]], stop_loops=(4, 3), **options)
    assert result.finish_reasons == ["loop", "loop"]
    assert result.token_ids == [[1, 2, 3, 4, 5, 6, *[7, 8, 9] * 3], [8, 9, *[7, 8, 9] * 2, 7]]
    assert ls.generate(function, [[0]], stop_loops=(2, 3), **options).finish_reasons == ["length"]
    with pytest.raises(ValueError, match="BeamSearch does not go together with stop_loops="):
        ls.generate(function, [[0]], search=ls.BeamSearch(), stop_loops=(2, 3))
    for wrong in ((0, 3), (3, 1), (3,), 5, (2.5, 3)):
        with pytest.raises(ValueError, match="stop_loops must be the tokens of the longest period"):
            ls.generate(function, [[0]], stop_loops=wrong, **options)
