"""Strings, callbacks and deadlines that end a text."""

import sys
import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import logit_sampling as ls
from logit_sampling.generation import stopping
from logit_sampling.generation.stopping import StopStrings
from tests.generation.models import Bytes, counter, writer


def cut(text: str, strings: tuple[str, ...]) -> tuple[str, str | None]:
    """What a text shows that comes a character at a time, and what ends it."""
    for end in range(1, len(text) + 1):
        done = [s for s in strings if text[:end].endswith(s)]
        if done:
            longest = max(done, key=len)
            return text[: end - len(longest)], longest
    return text, None


def by_definition(pieces: list[tuple[str, bool]], strings: set[str]) -> list[str]:
    """What each piece tells, and last the stop string that ended the text, or nothing."""
    text, shown, told = "", 0, []
    for piece, look in pieces:
        for character in piece:
            text += character
            done = [s for s in strings if look and text.endswith(s)]
            if done:
                found = max(done, key=len)
                return [*told, text[shown : len(text) - len(found)], found]
        ends = (text[start:] for start in range(len(text) + 1))
        held = next(end for end in ends if not end or any(s[:-1].startswith(end) for s in strings))
        told.append(text[shown : len(text) - len(held)])
        shown = len(text) - len(held)
    return [*told, ""]


PIECES = st.lists(st.tuples(st.text("ab", max_size=4), st.booleans()), max_size=8)
STRINGS = st.sets(st.text("ab", min_size=1, max_size=6), max_size=6)


@settings(max_examples=500, deadline=None)
@given(PIECES, STRINGS)
def test_what_is_told_is_what_the_definition_says(
    pieces: list[tuple[str, bool]], strings: set[str]
) -> None:
    known = StopStrings(tuple(strings))
    for stops in (known, known.another()):  # of one text and the next
        told = []
        for piece, look in pieces:
            told.append(stops.push(piece, look))
            assert stops.length == len("".join(told))
            if stops.found is not None:
                break
        assert [*told, stops.found or ""] == by_definition(pieces, strings)
        rest = stops.end()
        text = "".join(piece for piece, _ in pieces)
        assert ("".join(told) + rest == text) if stops.found is None else rest == ""
        assert stops.found is None or stops.push("ab") == ""  # there is nothing behind it


class Counted(str):
    """A string that counts the characters that are taken out of it."""

    taken = 0

    def __getitem__(self, key: Any) -> str:
        part = super().__getitem__(key)
        Counted.taken += len(part)
        return part


def operations(strings: list[str], pieces: list[str]) -> float:
    """How many lines of code and characters of strings a character of the text takes."""
    stops = StopStrings([Counted(string) for string in strings])
    lines = Counted.taken = 0

    def trace(frame: Any, event: str, _: Any) -> Any:
        nonlocal lines
        lines += event == "line"
        return trace if frame.f_code.co_filename == stopping.__file__ else None

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        for piece in pieces:
            stops.push(piece)
    finally:
        sys.settrace(before)
    return (lines + Counted.taken) / sum(map(len, pieces))


@pytest.mark.parametrize(
    ("strings", "pieces"),
    [
        (["x" * 10000], ["the ", "king", "\n"] * 300),
        (["a" * 9999 + "b"], ["a"] * 12000),
        (["a" * 5000 + "b" * 5000], (["a"] * 5000 + ["c"]) * 3),
        ([f"{i:010}" for i in range(10000)], [*"the king 01 00000000100000"] * 40),
        ([f"{i:05}" * 200 for i in range(10000)], [*"the king 0000100001"] * 40),
        (["a" * 9990 + f"{i:010}" for i in range(1000)], ["a"] * 3000),
        (["a" * i + "b" for i in range(1000)], ["a"] * 3000),
    ],
)
def test_a_character_costs_the_same_whatever_the_strings(
    strings: list[str], pieces: list[str]
) -> None:
    assert operations(strings, pieces) < 100


def test_what_is_not_looked_at_ends_nothing() -> None:
    stops = StopStrings(("aa", "b"))
    assert [stops.push(p, look) for p, look in (("baa", False), ("a", True))] == ["ba", ""]
    assert stops.found == "aa"
    stops = StopStrings(("abcx", "b"))  # one that is held back within another is past
    assert [stops.push("abc", False), stops.push("z"), stops.push("b")] == ["", "abcz", ""]
    assert stops.found == "b"


@pytest.mark.parametrize(
    ("stop", "text", "ids", "reason", "found"),
    [
        ("END", "one\ntwo ", "one\ntwo END", "stop_string", "END"),
        (["zzz", "o E"], "one\ntw", "one\ntwo E", "stop_string", "o E"),
        (("\n", "ne\n"), "o", "one\n", "stop_string", "ne\n"),
        ("é", "one\ntwo END", "one\ntwo ENDé", "stop_string", "é"),
        ("ENDEN", "one\ntwo ENDé!one", "one\ntwo ENDé!one", "length", None),
        ("e\nx", "one\ntwo ENDé!one", "one\ntwo ENDé!one", "length", None),
    ],
)
def test_stop_strings(stop: Any, text: str, ids: str, reason: str, found: str | None) -> None:
    model, tokens = writer("one\ntwo ENDé!"), len(b"one\ntwo END") + 2 + 4
    options: dict[str, Any] = {"tokenizer": Bytes(), "stop": stop, "sampler": ls.Greedy()}
    result = ls.generate(model, "?", max_new_tokens=tokens, **options)
    assert result.texts == [text]
    assert result.token_ids == [list(ids.encode())]
    assert (result.finish_reasons, result.stop_strings) == ([reason], [found])
    assert len(result.log_probs[0]) == len(result.token_ids[0])
    stream = ls.stream(model, "?", max_new_tokens=tokens, **options)
    pieces = [str(event) for event in stream]
    assert "".join(pieces) == text
    assert len(pieces) == len(result.token_ids[0])
    assert stream.result.texts == [text]


def test_stop_string_of_the_prompt_does_not_count() -> None:
    result = ls.generate(
        writer("b.ab."), "a", tokenizer=Bytes(), stop="ab", max_new_tokens=9, seed=0
    )
    assert result.texts == ["b."]
    assert result.token_ids == [list(b"b.ab")]


def test_a_stop_string_may_be_part_of_a_token() -> None:
    class Words:
        encode = staticmethod(lambda text: [0])
        decode = staticmethod(lambda ids: "".join(["<", "one. T", "wo. ", "3"][i] for i in ids))

    def function(ids: np.ndarray) -> np.ndarray:
        return 99.0 * np.eye(4)[(ids[:, -1] + 1) % 4]

    pieces: list[str] = []
    result = ls.generate(
        function,
        "x",
        tokenizer=Words(),
        stop=". ",
        max_new_tokens=3,
        on_text=lambda row, piece: pieces.append(piece),
    )
    assert (result.texts, result.token_ids, pieces) == (["one"], [[1]], ["one"])


@pytest.mark.parametrize("least", [0, 3, 4, 9])
def test_min_new_tokens_holds_back_end_tokens_and_stop_strings(least: int) -> None:
    options: dict[str, Any] = {"max_new_tokens": 12, "min_new_tokens": least, "seed": 6}
    result = ls.generate(counter, [[0], [5]], stop_at_end=[4, 9], **options)
    by_transform = ls.generate(
        counter,
        [[0], [5]],
        stop_at_end=[4, 9],
        sampler=ls.Sampler(ls.MinNewTokens(least, [4, 9])),
        **(options | {"min_new_tokens": 0}),
    )
    assert result.token_ids == by_transform.token_ids
    assert min(map(len, result.token_ids)) == (4 if least < 4 else least + 1)
    strings = ls.generate(
        writer("abc"), "?", tokenizer=Bytes(), stop=["ca", "abc"], sampler=ls.Greedy(), **options
    )
    # Of the ends at token 3 (abc), 4 (ca), 6, 7, 9 and 10 the first behind the least.
    ends = {0: ("", 3), 3: ("ab", 4), 4: ("abc", 6), 9: ("abcabcab", 10)}
    assert (strings.texts[0], len(strings.token_ids[0])) == ends[least]


def test_a_callback_ends_its_row() -> None:
    seen: list[tuple[int, list[int]]] = []

    def should_stop(row: int, ids: list[int]) -> bool:
        seen.append((row, ids.copy()))
        ids.clear()  # a copy
        return row == 1 and len(seen) > 3

    result = ls.generate(
        counter,
        [[0], [3], [5]],
        sampler=ls.Greedy(),
        max_new_tokens=3,
        stop_at_end=[6],
        should_stop=should_stop,
    )
    assert result.token_ids == [[1, 2, 3], [4, 5], [6]]
    assert result.finish_reasons == ["length", "callback", "end_token"]
    assert seen == [(0, [1]), (1, [4]), (0, [1, 2]), (1, [4, 5])]


def test_a_deadline_ends_what_still_grows() -> None:
    def slow(ids: np.ndarray) -> np.ndarray:
        time.sleep(0.02)
        return counter(ids)

    result = ls.generate(
        slow,
        [[0], [3]],
        max_new_tokens=10**6,
        deadline=0.3,
        should_stop=lambda row, ids: row == 1,
    )
    assert result.finish_reasons == ["deadline", "callback"]
    assert 1 <= len(result.token_ids[0]) <= 15
    assert len(result.log_probs[0]) == len(result.token_ids[0])
    late = ls.generate(slow, [[0]], deadline=1e-9, sampler=ls.Greedy())
    assert (late.token_ids, late.finish_reasons) == ([[1]], ["deadline"])


def test_a_deadline_gives_the_text_that_was_held_back() -> None:
    stream = ls.stream(writer("end"), "?", tokenizer=Bytes(), stop="ending", deadline=1e-9, seed=0)
    first, last = stream
    assert (first.text, first.token_id, first.finish_reason) == ("", ord("e"), None)
    assert (last.text, last.token_id, last.log_prob) == ("e", None, None)
    assert last.finish_reason == "deadline"
    assert stream.result.texts == ["e"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"stop": ""}, r"stop must be a string, a regular expression .* none empty; got ''"),
        ({"stop": ["a", ""]}, "none empty; got"),
        ({"stop": 5}, "got 5"),
        ({"stop": [b"a"]}, "got"),
        ({"min_new_tokens": -1}, "min_new_tokens must be an integer of at least 0, got -1"),
        ({"min_new_tokens": 9}, "min_new_tokens is 9, more than max_new_tokens, 5"),
        ({"deadline": 0}, "deadline must be seconds above 0, or None; got 0"),
        ({"deadline": float("nan")}, "got nan"),
        ({"deadline": "1"}, "got '1'"),
        ({"should_stop": True}, "should_stop must be a function of row and ids, got True"),
        ({"top_log_probs": -1}, "top_log_probs must be an integer of at least 0, got -1"),
        ({"overflow": "cut"}, 'overflow must be "error" or "slide", got \'cut\''),
        ({"stop": "a", "tokenizer": None}, "has no tokenizer"),
        ({"sampler": [ls.Greedy()] * 2}, "sampler lists 2 for 1 prompts: give one for each"),
        ({"sampler": [ls.TopK(2)]}, r"got TopK\(k=2\)"),
    ],
)
def test_wrong_arguments(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ls.generate(counter, [[1]], **({"max_new_tokens": 5, "tokenizer": Bytes()} | options))
