"""The engine: texts join a batch and leave it, and each is what it is alone."""

import asyncio
import contextlib
import gc
import itertools
import random
import signal
import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import logit_sampling as ls
from logit_sampling.generation import scheduler
from tests.generation.models import Letters, Windowed

SAMPLERS = [
    ls.Greedy(),
    ls.Sampler(ls.Temperature(0.8), ls.TopK(8)),
    ls.Sampler(ls.RepetitionPenalty(1.3), ls.TopP(0.9)),
    ls.Sampler(ls.Mirostat(3.0, 0.1)),
]


@pytest.fixture
def model() -> Windowed:
    return Windowed(200)


@pytest.fixture
def engine(model: Windowed) -> Iterator[ls.Engine]:
    with ls.Engine(model, max_rows=4) as engine:
        yield engine


def slowly(model: Windowed, seconds: float = 0.002) -> Windowed:
    """Let a model take its time, so that others come while it writes."""
    row = model.row

    def late(ids: Any) -> np.ndarray:
        time.sleep(seconds)
        return row(ids)

    model.row = late  # type: ignore[method-assign]
    return model


def some_requests(seed: int, count: int) -> list[tuple[list[int], dict[str, Any]]]:
    """Return prompts and options of all kinds."""
    rng, made = random.Random(seed), []
    for _ in range(count):
        options: dict[str, Any] = {
            "sampler": rng.choice(SAMPLERS),
            "max_new_tokens": rng.choice([1, 3, 12]),
            "seed": rng.randrange(1000),
            "n": rng.choice([1, 1, 2]),
            "stop_token_ids": rng.choice([[], [3, 4]]),
            "top_log_probs": rng.choice([0, 2]),
        }
        kind = rng.randrange(8)
        if kind == 0:
            options |= {"search": ls.BeamSearch(3), "sampler": None}
        elif kind == 1:
            options |= {"draft": Windowed(200), "num_draft": 2}
        elif kind == 2:
            options["overflow"] = "slide"
        made.append(([rng.randrange(30) for _ in range(rng.choice([1, 5, 40]))], options))
    return made


def test_a_text_is_what_it_is_alone_whoever_joins_and_leaves(model: Windowed) -> None:
    requests = some_requests(0, 48)
    found: dict[int, Any] = {}
    with ls.Engine(slowly(model, 0.0002), max_rows=4) as engine:

        def ask(part: range) -> None:
            rng = random.Random(part.start)
            waiting = []
            for i in part:
                prompt, options = requests[i]
                waiting.append((i, engine.submit(prompt, **options)))
                time.sleep(rng.choice([0, 0.003]))
            found.update({i: request.result() for i, request in waiting})

        threads = [threading.Thread(target=ask, args=(range(i, 48, 4),)) for i in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(found) == 48
    for i, (prompt, options) in enumerate(requests):
        alone = ls.generate(Windowed(200), [prompt], **options)
        own = found[i].to_dict() | {"seconds": 0}
        assert own == alone.to_dict() | {"seconds": 0}, (i, options)
    rows = [rows for rows, _ in model.steps]
    assert 1 < max(rows) <= 4  # how many come together is up to the machine
    assert sum(rows) / len(rows) > 1.2  # they were written together, on a busy machine too


def test_rows_are_few_and_the_first_come_is_served_first(model: Windowed) -> None:
    with ls.Engine(slowly(model), max_rows=2) as engine:
        requests = [engine.submit([i], max_new_tokens=4, seed=0) for i in range(6)]
        ended = []
        while len(ended) < 6:
            ended += [i for i, r in enumerate(requests) if r.done and i not in ended]
    pairs = [i // 2 for i in ended]  # that are written together
    assert pairs == sorted(pairs)
    assert {rows for rows, _ in model.steps} <= {1, 2}


def test_the_cache_has_room_for_so_many_tokens(model: Windowed) -> None:
    with ls.Engine(slowly(model), max_rows=4, max_tokens=60) as engine:
        requests = [engine.submit([1] * 10, max_new_tokens=10, seed=i) for i in range(5)]
        for request in requests:
            request.result()
        with pytest.raises(ValueError, match=r"takes 1 x 61 tokens .* max_tokens=60: shorten it"):
            engine.submit([1] * 51, max_new_tokens=10)
        with pytest.raises(ValueError, match="takes 5 rows, and the engine has max_rows=4"):
            engine.submit([1], n=5)
    assert max(rows for rows, _ in model.steps) == 3


def test_a_long_prompt_is_read_in_parts_between_the_steps_of_others(
    model: Windowed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scheduler, "_PART", 8)
    with ls.Engine(slowly(model), max_rows=2) as engine:
        first = engine.submit([1], max_new_tokens=60, seed=0)
        events = iter(first)
        next(events)
        long = engine.submit([5] * 100, max_new_tokens=2, seed=0)
        result = long.result()
        assert not first.done
        first.result()
    assert (
        result.token_ids
        == ls.generate(Windowed(200), [[5] * 100], max_new_tokens=2, seed=0).token_ids
    )
    parts = [i for i, (_, columns) in enumerate(model.steps) if columns == 8]
    assert len(parts) == 11  # and the first, which is a prefill, and the last 4
    between = [(1, 1) in model.steps[a:b] for a, b in itertools.pairwise(parts)]
    assert all(between)


def test_events_come_while_a_text_grows(engine: ls.Engine) -> None:
    request = engine.submit([1, 2], max_new_tokens=5, seed=3)
    ids = [event.token_id for event in request]
    assert ids == request.result().token_ids[0] == [event.token_id for event in request]
    assert [event.finish_reason for event in request] == [None] * 4 + ["length"]


def test_it_can_be_awaited(engine: ls.Engine) -> None:
    async def ask(first: int) -> tuple[list[Any], Any]:
        request = engine.submit([first], max_new_tokens=5, seed=3)
        ids = [event.token_id async for event in request]
        return ids, await request

    async def several() -> list[Any]:
        return await asyncio.gather(*(ask(i) for i in range(6)))

    for i, (ids, result) in enumerate(asyncio.run(several())):
        assert ids == result.token_ids[0]
        alone = ls.generate(Windowed(200), [[i]], max_new_tokens=5, seed=3)
        assert ids == alone.token_ids[0]


def test_what_is_cancelled_ends_alone(model: Windowed) -> None:
    with ls.Engine(slowly(model), max_rows=2) as engine:
        running, other, waiting = (
            engine.submit([i], max_new_tokens=n, seed=0) for i, n in ((1, 150), (2, 20), (3, 5))
        )
        next(iter(running))
        waiting.cancel()
        running.cancel()
        assert running.result().finish_reasons == ["cancelled"]
        assert 1 <= len(running.result().token_ids[0]) < 150
        assert waiting.result().finish_reasons == ["cancelled"]
        assert other.result().finish_reasons == ["length"]
        running.cancel()  # it has ended: nothing to do
    alone = ls.generate(Windowed(200), [[2]], max_new_tokens=20, seed=0)
    assert other.result().token_ids == alone.token_ids


def test_an_error_of_one_ends_it_alone(engine: ls.Engine) -> None:
    def stop(row: int, ids: list[int]) -> bool:
        if len(ids) == 3:
            raise KeyError("mine")
        return False

    good = engine.submit([1], max_new_tokens=30, seed=0)
    bad = engine.submit([2], max_new_tokens=30, seed=0, should_stop=stop)
    removed = engine.submit([3], sampler=ls.Sampler(ls.NoRepeatNGram(1)), max_new_tokens=40)
    waits = engine.submit([4], should_stop=lambda row, ids: waits.result())
    with pytest.raises(KeyError, match="mine") as caught:
        bad.result()
    assert len(caught.value.result.token_ids[0]) == 3  # type: ignore[attr-defined]
    with pytest.raises(KeyError, match="mine"):
        list(bad)
    with pytest.raises(ls.RowError, match="nothing is left to draw from"):
        removed.result()
    with pytest.raises(RuntimeError, match="should_stop runs in the thread of the engine"):
        waits.result()
    assert (
        good.result().token_ids
        == ls.generate(Windowed(200), [[1]], max_new_tokens=30, seed=0).token_ids
    )


def test_an_error_of_the_model_ends_those_that_it_cannot_read(model: Windowed) -> None:
    row = model.row

    def picky(ids: Any) -> np.ndarray:
        if len(ids) > 1 and ids[0] == 7 and len(ids) > 5:
            raise OSError("no 7 today")
        return row(ids)

    model.row = picky  # type: ignore[method-assign]
    with ls.Engine(model, max_rows=4) as engine:
        requests = [engine.submit([i], max_new_tokens=20, seed=0) for i in (6, 7, 8)]
        long = engine.submit([7] * 6, max_new_tokens=2)
        with pytest.raises(OSError, match="no 7 today") as caught:
            requests[1].result()
        assert len(caught.value.result.token_ids[0]) == 5  # type: ignore[attr-defined]
        with pytest.raises(OSError, match="no 7 today"):
            long.result()
        for i in (0, 2):
            alone = ls.generate(Windowed(200), [[6 + i]], max_new_tokens=20, seed=0)
            assert requests[i].result().token_ids == alone.token_ids


def test_a_deadline_counts_from_the_asking_on(model: Windowed) -> None:
    with ls.Engine(slowly(model, 0.01), max_rows=1) as engine:
        long = engine.submit([1], max_new_tokens=30, seed=0)
        late = engine.submit([2], max_new_tokens=30, seed=0, deadline=0.05)
        assert late.result().finish_reasons == ["deadline"]
        assert late.result().token_ids == [[]]
        assert not long.done
        long.cancel()
        short = engine.submit([2], max_new_tokens=100, seed=0, deadline=0.1)
        assert short.result().finish_reasons == ["deadline"]
        assert 1 <= len(short.result().token_ids[0]) < 30


def test_closing_ends_what_runs_and_what_waits(model: Windowed) -> None:
    engine = ls.Engine(slowly(model), max_rows=1)
    requests = [engine.submit([i], max_new_tokens=100, seed=0) for i in range(3)]
    next(iter(requests[0]))
    engine.close()
    assert [r.result().finish_reasons for r in requests] == [["interrupted"]] * 3
    with pytest.raises(ls.EngineClosedError, match="the engine is closed"):
        engine.submit([1])
    engine.close()
    assert "Engine" not in [thread.name for thread in threading.enumerate()]


def test_a_thread_that_dies_tells_everyone(
    model: Windowed, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: Any, tasks: Any) -> None:
        raise MemoryError("gone")

    monkeypatch.setattr(scheduler.Scheduler, "_read", broken)
    engine = ls.Engine(model, max_rows=1)
    requests = [engine.submit([1])]
    with contextlib.suppress(ls.EngineClosedError):  # if it was that quick
        requests += [engine.submit([2])]
    for request in requests:
        with pytest.raises(ls.EngineClosedError, match="died: MemoryError"):
            request.result(timeout=10)
    with pytest.raises(ls.EngineClosedError, match="died: MemoryError"):
        engine.submit([3])


def test_an_engine_that_nobody_holds_ends_when_its_texts_do(model: Windowed) -> None:
    request = ls.Engine(slowly(model)).submit([1], max_new_tokens=10, seed=0)
    gc.collect()
    assert request.result().finish_reasons == ["length"]
    with pytest.raises(TimeoutError, match="within 0"):
        ls.Engine(slowly(model)).submit([1], max_new_tokens=20).result(timeout=0)
    del request
    for _ in range(40):
        if "Engine" not in [thread.name for thread in threading.enumerate()]:
            return
        time.sleep(0.2)
        gc.collect()
    raise AssertionError("its thread goes on")


def test_what_belongs_to_the_engine_is_told_to_it(engine: ls.Engine) -> None:
    for name in ("max_rows", "tokenizer"):
        with pytest.raises(TypeError, match=f"'{name}': it belongs to the engine"):
            engine.submit([1], **{name: 3})
    with pytest.raises(ValueError, match="max_rows must be an integer of at least 1, got 0"):
        ls.Engine(Windowed(9), max_rows=0)
    with pytest.raises(ValueError, match="max_tokens must be an integer of at least 1, got 0"):
        ls.Engine(Windowed(9), max_tokens=0)
    with pytest.raises(ValueError, match="prompt 0 has 300 tokens"):
        engine.submit([1] * 300)


@pytest.mark.parametrize("name", ["tiny_gpt2", "tiny_llama"])
def test_a_keras_hub_model(name: str, request: pytest.FixtureRequest) -> None:
    """Rows of unlike lengths share slots; what differs is the rounding of products."""
    causal_lm = request.getfixturevalue(name)
    rng = random.Random(1)
    asked = [
        ([rng.randrange(50) for _ in range(rng.choice([1, 3, 9, 17]))], rng.choice([2, 7, 20]))
        for _ in range(24)
    ]
    with ls.Engine(causal_lm, max_rows=4) as engine:
        requests = [
            engine.submit(prompt, max_new_tokens=new, seed=i, sampler=SAMPLERS[i % 4])
            for i, (prompt, new) in enumerate(asked)
        ]
        results = [request.result() for request in requests]
    for i, ((prompt, new), result) in enumerate(zip(asked, results, strict=True)):
        alone = ls.generate(
            causal_lm, [prompt], max_new_tokens=new, seed=i, sampler=SAMPLERS[i % 4]
        )
        assert result.token_ids == alone.token_ids
        np.testing.assert_allclose(result.log_probs[0], alone.log_probs[0], atol=1e-4)
        assert result.texts == alone.texts


def test_what_takes_a_model_takes_an_engine(model: Windowed) -> None:
    prompts: Any = [[1, 2], [3], [4, 5, 6], [7], [8, 9]]
    options: dict[str, Any] = {
        "sampler": ls.Sampler(ls.Temperature([0.3 + i / 10 for i in range(10)])),
        "n": 2,
        "max_new_tokens": 6,
        "seed": 11,
        "top_log_probs": 2,
        "echo": True,
        "tokenizer": None,
    }
    expected = ls.generate(ls.as_model(Windowed(200), tokenizer=Letters()), prompts, **options)
    with ls.Engine(model, max_rows=4, tokenizer=Letters()) as engine:
        other = engine.submit([2], max_new_tokens=150, seed=0)
        found = ls.generate(engine, prompts, **options)
        assert found.to_dict() | {"seconds": 0} == expected.to_dict() | {"seconds": 0}
        events = ls.stream(engine, prompts, **options)
        texts = [""] * 10
        for event in events:
            texts[event.row] += event.text
        assert texts == expected.texts == events.result.texts
        pieces = [""] * 10

        def on_text(row: int, piece: str) -> None:
            pieces[row] += piece

        ls.generate(engine, prompts, **options, on_text=on_text)
        assert pieces == expected.texts
        assert ls.score(engine, prompts[:1]).counts == [1]
        comparison = ls.compare(engine, prompts, max_new_tokens=5, seeds=[3])
        alone = ls.compare(Windowed(200), prompts, max_new_tokens=5, seeds=[3])
        for own, result in zip(comparison.results, alone.results, strict=True):
            assert [text.token_ids for text in own.texts] == [t.token_ids for t in result.texts]
        said = [{"role": "user", "content": "b"}]
        asked = ls.chat(engine, said, template=lambda messages: messages[0]["content"], seed=0)
        assert asked.token_ids == ls.generate(Windowed(200), [[1]], seed=0).token_ids
        assert other.result().finish_reasons == ["length"]
        for name in ("max_rows", "tokenizer"):
            with pytest.raises(TypeError, match=f"{name} belongs to the engine"):
                ls.generate(engine, prompts, **{name: 3})
    assert max(rows for rows, _ in model.steps) == 4


def test_what_ends_a_call_on_an_engine_ends_its_rows_alone(model: Windowed) -> None:
    class Raised(Exception):
        pass

    with ls.Engine(slowly(model), max_rows=3) as engine:
        other = engine.submit([2], max_new_tokens=100, seed=0)

        def should_stop(row: int, ids: list[int]) -> bool:
            if row == 1 and len(ids) == 3:
                raise Raised
            return False

        prompts: Any = [[1], [2], [3]]
        with pytest.raises(Raised) as raised:
            ls.generate(engine, prompts, max_new_tokens=50, seed=0, should_stop=should_stop)
        result = raised.value.result  # type: ignore[attr-defined]
        assert len(result.token_ids[1]) == 3
        assert set(result.finish_reasons) == {"interrupted"}

        class Nothing(ls.Transform):
            def apply(self, logits: Any, state: Any = ()) -> Any:
                return logits * np.nan

        samplers: Any = [ls.Greedy(), ls.Sampler(Nothing()), ls.Greedy()]
        with pytest.raises(ls.RowError, match=r"^row 1, new token 0: ") as failed:
            ls.generate(engine, prompts, sampler=samplers, max_new_tokens=5, seed=0)
        assert failed.value.result.finish_reasons == ["length", "error", "length"]

        with pytest.raises(ValueError, match="takes 4 rows"):
            ls.generate(engine, prompts, max_new_tokens=5, n=4)
        assert other.result().finish_reasons == ["length"]


def test_a_stream_of_an_engine_that_is_closed_or_interrupted(model: Windowed) -> None:
    with ls.Engine(slowly(model), max_rows=2, tokenizer=Letters()) as engine:
        events = ls.stream(engine, [[1], [2], [3]], max_new_tokens=100, seed=0)
        next(events)
        with pytest.raises(ValueError, match="the stream has not ended"):
            _ = events.result
        last = events.close()
        assert [e.row for e in last if e.finish_reason == "interrupted"] == [0, 1, 2]
        assert events.result.finish_reasons == ["interrupted"] * 3
        assert next(events, None) is None

        told: list[str] = []

        def interrupt(row: int, piece: str) -> None:
            told.append(piece)
            if len(told) == 5:
                signal.raise_signal(signal.SIGINT)

        with pytest.raises(ls.Interrupted) as interrupted:
            ls.generate(engine, [[1], [2], [3]], max_new_tokens=100, seed=0, on_text=interrupt)
        assert set(interrupted.value.result.finish_reasons) == {"interrupted"}
        assert sorted("".join(told)) == sorted("".join(interrupted.value.result.texts))
        timer = threading.Timer(0.1, signal.raise_signal, [signal.SIGINT])
        timer.start()
        with pytest.raises(ls.Interrupted) as interrupted:
            ls.generate(engine, [[1], [2], [3]], max_new_tokens=190, seed=0)
        assert "interrupted" in interrupted.value.result.finish_reasons
        again = ls.generate(engine, [[1]], max_new_tokens=5, seed=0)
        assert (
            again.token_ids == ls.generate(Windowed(200), [[1]], max_new_tokens=5, seed=0).token_ids
        )


def test_an_interruption_that_swallows_an_event_leaves_nobody_waiting(model: Windowed) -> None:
    with ls.Engine(model, max_rows=2, tokenizer=Letters()) as engine:
        events: Any = ls.stream(engine, [[1], [2]], max_new_tokens=3, seed=0)
        queue, taken = events._events, []

        class Swallowing:
            empty = staticmethod(queue.empty)

            def get(self) -> Any:
                taken.append(queue.get())
                if taken[-1] is None and taken.count(None) == 1:
                    raise KeyboardInterrupt  # behind the call, before its result is kept
                return taken[-1]

        events._events = Swallowing()
        with pytest.raises(ls.Interrupted):
            for _ in events:
                pass
        assert all(events.result.finish_reasons)


def test_a_call_in_the_thread_of_the_engine_raises_and_does_not_hang(model: Windowed) -> None:
    with ls.Engine(model, max_rows=2) as engine:
        found: list[Exception] = []

        def should_stop(row: int, ids: list[int]) -> bool:
            try:
                ls.generate(engine, [[1]], max_new_tokens=2, seed=0)
            except RuntimeError as error:
                found.append(error)
            return True

        engine.submit([2], max_new_tokens=5, seed=0, should_stop=should_stop).result()
        assert "thread of the engine" in str(found[0])
