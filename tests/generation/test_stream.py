"""Texts while they grow, and what an interruption leaves."""

import dataclasses
import gc
import os
import subprocess
import sys
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import logit_sampling as ls
from logit_sampling.generation.stream import TextEvent
from logit_sampling.generation.text import TextStream, continuation
from tests.generation.models import Bytes, Windowed, counter, writer

EMOJI = "a🙂é\u200d👩‍🚀 日本 naïve\ufffd¶"


@pytest.mark.parametrize("echo", [False, True])
@pytest.mark.parametrize("stop", [(), ("🚀", "\n", "no such")])
def test_streamed_text_is_the_text_without_streaming(
    tiny_gpt2: Any, stop: tuple[str, ...], echo: bool
) -> None:
    prompts = ["the", "a 🙂"]
    options: dict[str, Any] = {"seed": 3, "n": 2, "max_new_tokens": 30, "stop": stop, "echo": echo}
    plain = ls.generate(tiny_gpt2, prompts, **options)
    stream = ls.stream(tiny_gpt2, prompts, **options)
    events = list(stream)
    for row in range(4):
        own = [event for event in events if event.row == row]
        assert "".join(map(str, own)) == plain.texts[row]
        assert plain.texts[row].startswith(prompts[row // 2] if echo else "")
        assert [event.token_id for event in own] == plain.token_ids[row]
        assert [event.log_prob for event in own] == plain.log_probs[row]
        assert [event.sampler_log_prob for event in own] == plain.sampler_log_probs[row]
        reasons = [event.finish_reason for event in own]
        assert reasons == [None] * (len(own) - 1) + [plain.finish_reasons[row]]
    result = stream.result.to_dict()
    assert result.pop("seconds") > 0
    assert result == {k: v for k, v in plain.to_dict().items() if k != "seconds"}


def test_a_character_comes_whole_and_an_unfinished_one_at_the_end() -> None:
    model = writer("é🙂")
    stream = ls.stream(model, "?", tokenizer=Bytes(), max_new_tokens=7, sampler=ls.Greedy())
    assert [event.text for event in stream] == ["", "é", "", "", "", "🙂", "\ufffd"]
    assert stream.result.texts == ["é🙂\ufffd"]


def test_events_tell_their_row() -> None:
    class Digits(Bytes):
        decode = staticmethod(lambda ids: "".join(map(str, ids)))

    stream = ls.stream(
        counter, [[3], [7]], tokenizer=Digits(), max_new_tokens=2, stop_at_end=[8], top_log_probs=2,
        sampler=ls.Greedy(),
    )  # fmt: skip
    likeliest = float(9 - np.log(np.exp(9.0) + 9))
    none = likeliest - 9
    events = list(stream)
    expected = [
        TextEvent(0, "4", 4, likeliest, 0.0, [(4, likeliest), (0, none)], None),
        TextEvent(1, "", 8, likeliest, 0.0, [(8, likeliest), (0, none)], "end_token"),
        TextEvent(0, "5", 5, likeliest, 0.0, [(5, likeliest), (0, none)], "length"),
    ]
    for event, wanted in zip(events, expected, strict=True):
        assert (event.row, event.text, event.token_id) == (wanted.row, wanted.text, wanted.token_id)
        assert event.finish_reason == wanted.finish_reason
        assert event.log_prob == pytest.approx(likeliest, abs=1e-6)
        assert event.sampler_log_prob == 0.0
        assert event.top_log_probs is not None and wanted.top_log_probs is not None
        assert [i for i, _ in event.top_log_probs] == [i for i, _ in wanted.top_log_probs]
        np.testing.assert_allclose(
            [p for _, p in event.top_log_probs], [likeliest, none], atol=2e-6
        )


def test_the_result_is_there_when_the_stream_has_ended() -> None:
    stream = ls.stream(writer("abc"), ["?"] * 2, tokenizer=Bytes(), max_new_tokens=4, seed=0)
    with pytest.raises(ValueError, match="the stream has not ended: read it to its end, or close"):
        stream.result  # noqa: B018
    assert len(list(stream)) == 8
    assert list(stream) == []
    assert stream.result.texts == ["abca"] * 2
    assert stream.close() == []


def test_closing_frees_the_cache_and_marks_the_rows() -> None:
    model = Windowed(50)
    caches = []
    prefill = model.prefill

    def spied(prompts: Any) -> Any:
        output, cache = prefill(prompts)
        caches.append(weakref.ref(cache))
        return output, cache

    model.prefill = spied  # type: ignore[method-assign]
    stream = ls.stream(model, [[1], [2]], tokenizer=Bytes(), seed=0, max_new_tokens=40)
    for _ in range(5):
        next(stream)
    assert caches[0]() is not None
    last = stream.close()
    gc.collect()
    assert caches[0]() is None
    assert [(event.row, event.finish_reason) for event in last] == [
        (0, "interrupted"),
        (1, "interrupted"),
    ]
    assert stream.result.finish_reasons == ["interrupted"] * 2
    assert [len(ids) for ids in stream.result.token_ids] == [3, 2]
    assert list(stream) == []


def interrupting(at: int) -> Any:
    calls = []

    def function(ids: np.ndarray) -> np.ndarray:
        calls.append(ids)
        if len(calls) == at:
            raise KeyboardInterrupt
        return counter(ids)

    return function


def interrupted(*arguments: Any, **options: Any) -> Any:
    """Return what an interrupted call tells of its work."""
    with pytest.raises(KeyboardInterrupt) as raised:
        ls.generate(*arguments, **options)
    assert isinstance(raised.value, ls.Interrupted)
    return raised.value.result


def test_interrupting_the_model_tells_what_there_is() -> None:
    options: dict[str, Any] = {"sampler": ls.Greedy(), "stop_at_end": [3], "max_new_tokens": 9}
    result = ls.generate(interrupting(4), [[0], [1]], **options)
    assert result.token_ids == [[1, 2, 3], [2, 3]]
    assert result.finish_reasons == ["end_token", "end_token"]
    result = interrupted(interrupting(3), [[0], [2]], **options)
    assert (result.token_ids, result.finish_reasons) == (
        [[1, 2], [3]],
        ["interrupted", "end_token"],
    )
    assert [len(numbers) for numbers in result.log_probs] == [2, 1]
    nothing = interrupted(interrupting(1), [[0]], tokenizer=Bytes())
    assert (nothing.texts, nothing.token_ids) == ([""], [[]])
    assert nothing.finish_reasons == ["interrupted"]


def test_an_interruption_ends_a_loop_over_prompts() -> None:
    model, done = interrupting(6), []
    with pytest.raises(KeyboardInterrupt):
        for prompt in range(4):
            done.append(ls.generate(model, [[prompt]], max_new_tokens=4, seed=0).token_ids)
    assert len(done) == 1
    # The model that was interrupted goes on as if nothing had been.
    again = ls.generate(model, [[1]], max_new_tokens=4, seed=0)
    assert again.token_ids == ls.generate(counter, [[1]], max_new_tokens=4, seed=0).token_ids


def test_interrupting_a_callback_tells_what_there_is() -> None:
    pieces: list[tuple[int, str]] = []

    def on_text(row: int, piece: str) -> None:
        pieces.append((row, piece))
        if len(pieces) == 3:
            raise KeyboardInterrupt

    result = interrupted(
        writer("abc"), ["?", "!"], tokenizer=Bytes(), stop="bx", on_text=on_text, seed=0
    )
    assert pieces == [(0, "a"), (1, "a"), (0, "bc"), (1, "b")]
    assert result.texts == ["abc", "ab"]
    assert result.token_ids == [list(b"abc"), list(b"ab")]
    assert result.finish_reasons == ["interrupted"] * 2

    def should_stop(row: int, ids: list[int]) -> bool:
        if len(ids) == 2:
            raise KeyboardInterrupt
        return False

    stream = ls.stream(
        writer("abc"), ["?", "!"], tokenizer=Bytes(), should_stop=should_stop, seed=0
    )
    events = []
    with pytest.raises(ls.Interrupted) as raised:
        for event in stream:
            events.append((event.row, event.text, event.token_id, event.finish_reason))
    assert events == [
        (0, "a", ord("a"), None),
        (1, "a", ord("a"), None),
        (0, "b", ord("b"), "interrupted"),
        (1, "", None, "interrupted"),
    ]
    assert stream.result.texts == raised.value.result.texts == ["ab", "a"]


class Trouble(RuntimeError):
    pass


@pytest.mark.parametrize("place", ["model", "should_stop", "on_text", "transform"])
def test_what_users_raise_comes_out_with_what_was_written(place: str) -> None:
    trouble, calls = Trouble(place), []

    def raising(value: Any) -> Any:
        calls.append(value)
        if len(calls) == 3:
            raise trouble
        return value

    @dataclasses.dataclass(frozen=True)
    class Mine(ls.Transform):
        def apply(self, logits: Any, state: Any) -> Any:
            return raising(logits)

    def write(ids: np.ndarray) -> np.ndarray:
        return 99 * np.eye(256)[list(b"abcdef")[ids.shape[1] - 1]][None]

    options: dict[str, Any] = {"tokenizer": Bytes(), "max_new_tokens": 6, "seed": 0}
    mine: dict[str, Any] = {
        "model": {},
        "should_stop": {"should_stop": lambda row, ids: raising(False)},
        "on_text": {"on_text": lambda row, piece: raising(None)},
        "transform": {"sampler": ls.Sampler(Mine())},
    }[place]
    model = (lambda ids: raising(write(ids))) if place == "model" else write
    with pytest.raises(Trouble) as raised:
        ls.generate(model, ["?"], **options, **mine)
    assert raised.value is trouble
    result = raised.value.result  # type: ignore[attr-defined]
    assert result.texts == ["abc" if place in ("should_stop", "on_text") else "ab"]
    assert result.finish_reasons == ["interrupted"] and result.errors is None
    assert ls.generate(model, ["?"], **options).texts == ["abcdef"]


def test_a_real_signal(tmp_path: Path) -> None:
    code = """
import os, signal, time
import numpy as np
from logit_sampling import Interrupted, generate

signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have it ignored

def model(ids):
    if ids.shape[1] == 5:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(60)
    return np.eye(9)[ids[:, -1]]

try:
    for prompt in range(3):
        generate(model, [[7]], seed=0)
except Interrupted as error:
    print(len(error.result.token_ids[0]), error.result.finish_reasons)
"""
    root = Path(ls.__file__).parents[1]
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        timeout=50,
    )
    assert (done.stdout, done.returncode) == ("4 ['interrupted']\n", 0), done.stderr


@pytest.mark.parametrize("seed", range(20))
def test_long_random_texts_in_pieces_of_a_bpe(tiny_tokenizer: Any, seed: int) -> None:
    rng = np.random.default_rng(seed)
    ids = [*tiny_tokenizer.tokenize(EMOJI * 3), *rng.integers(0, 260, 150)]
    ids = [int(i) for i in rng.permutation(ids)] if seed % 2 else [int(i) for i in ids]
    prompt, ids = ids[: seed % 7], ids[seed % 7 :]
    sizes: list[int] = []

    def decode(given: list[int]) -> str:
        sizes.append(len(given))
        return tiny_tokenizer.detokenize(given) if given else ""

    stream, shown = TextStream(decode, prompt), ""
    for count, token in enumerate(ids, 1):
        shown += stream.push(token)
        whole = continuation(tiny_tokenizer.detokenize, prompt, ids[:count]) if prompt else ""
        assert not prompt or whole.rstrip("\ufffd") == shown.rstrip("\ufffd")
    text = continuation(decode, prompt, ids)
    assert text.startswith(shown) and set(text[len(shown) :]) <= {"\ufffd"}
    assert sorted(sizes)[-3] <= 48  # the cost of a token does not grow with the text
