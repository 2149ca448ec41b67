"""An engine: one model writes for whoever asks, at any time and from any thread."""

import asyncio
import contextlib
import threading
import weakref
from collections.abc import AsyncIterator, Callable, Generator, Iterator, Sequence
from typing import Any, Literal, Self

from logit_sampling.decoding.plan import MAX_ROWS, Search
from logit_sampling.decoding.row import Row
from logit_sampling.generation.arguments import (
    Options,
    Samplers,
    Schema,
    Stop,
    check_at_least,
    options_in,
    tells_names,
)
from logit_sampling.generation.call import Call
from logit_sampling.generation.prompts import Prompt
from logit_sampling.generation.result import GenerationResult
from logit_sampling.generation.scheduler import Scheduler, Task
from logit_sampling.generation.writing import TextEvent, Writing, progress
from logit_sampling.models.as_model import as_model, model_and_tokenizer
from logit_sampling.models.model import AnyModel, AnyTokenizer, Model
from logit_sampling.plotting.visible import brief, counted
from logit_sampling.types import OnError, Overflow


class EngineClosedError(RuntimeError):
    """An engine that was closed, or whose thread has died, is asked for something."""


class Request:
    """A prompt that an engine continues: what `Engine.submit` returns.

    Its events can be had while they come, by any number of readers, from the first one on:
    `for event in request`, or `async for event in request`. Both raise at the end what `result`
    raises. `await request` waits for the result and blocks nothing else.
    """

    def __init__(
        self,
        writing: Writing,
        engine: "Engine",
        work: "_Work",
        listen: Callable[[TextEvent | None], None] = lambda event: None,
    ) -> None:
        # An engine that nobody holds is closed, but not while this is to be written.
        self._writing, self._engine, self._work, self._listen = writing, engine, work, listen
        self._changed = threading.Condition()
        self._events: list[TextEvent] = []
        self._ended = False
        self._error: BaseException | None = None
        self._wakers: list[Callable[[], None]] = []

    def __repr__(self) -> str:
        prompt = brief(self._writing.call.given[0])
        return f"<Request {prompt}: {progress(self.rows)}>"

    @property
    def done(self) -> bool:
        """Whether its texts have ended."""
        return self._ended

    def result(self, timeout: float | None = None) -> GenerationResult:
        """Wait for its texts.

        Args:
            timeout: in seconds; None for any time. The texts go on being written behind it.

        Returns:
            what `generate` returns for this prompt alone.

        Raises:
            TimeoutError: they have not ended.
            RowError: as `generate`.
            EngineClosedError: the thread of the engine died.
            Exception: what `should_stop` or the model raised; its attribute `result` has what was
                written until then.
        """
        self._work.check_waits()
        with self._changed:
            if not self._changed.wait_for(lambda: self._ended, timeout):
                raise TimeoutError(f"the texts have not ended within {timeout} seconds")
        if self._error is not None:
            raise self._error
        return self._writing.result

    def cancel(self, reason: str = "cancelled") -> None:
        """End its texts, if they have not ended; the result has what there is.

        Args:
            reason: what their finish reasons say.
        """
        self._work.cancel(self, reason)

    @property
    def rows(self) -> list[Row]:
        """Its texts so far."""
        return self._writing.rows

    @property
    def error(self) -> BaseException | None:
        """What `result` raises, if it has ended so."""
        return self._error

    def __iter__(self) -> Iterator[TextEvent]:
        told = 0
        while True:
            self._work.check_waits()
            with self._changed:
                while not self._ended and len(self._events) == told:
                    self._changed.wait()
                new, ended = self._events[told:], self._ended
            yield from new
            told += len(new)
            if ended:
                break
        if self._error is not None:
            raise self._error

    async def __aiter__(self) -> AsyncIterator[TextEvent]:
        loop, changed, told = asyncio.get_running_loop(), asyncio.Event(), 0

        def wake() -> None:
            with contextlib.suppress(RuntimeError):  # a loop that is closed
                loop.call_soon_threadsafe(changed.set)

        with self._changed:
            self._wakers.append(wake)
        try:
            while True:
                changed.clear()
                with self._changed:
                    new, ended = self._events[told:], self._ended
                for event in new:
                    yield event
                told += len(new)
                if ended:
                    break
                await changed.wait()
        finally:
            with self._changed:
                self._wakers.remove(wake)
        if self._error is not None:
            raise self._error

    def __await__(self) -> Generator[Any, None, GenerationResult]:
        return self._awaited().__await__()

    async def _awaited(self) -> GenerationResult:
        async for _ in self:
            pass
        return self._writing.result

    def tell(self, event: TextEvent) -> None:
        """Have another event."""
        self._tell(lambda: self._events.append(event))
        self._listen(event)

    def end(self, error: BaseException | None) -> None:
        """Have ended, perhaps with an error."""

        def end() -> None:
            self._error, self._ended = error, True

        self._tell(end)
        self._listen(None)

    def _tell(self, change: Callable[[], None]) -> None:
        with self._changed:
            change()
            self._changed.notify_all()
            wakers = list(self._wakers)
        for wake in wakers:
            wake()


_OWN = ("max_rows", "tokenizer")
"""Options of `generate` that an engine is made with."""


def check_options(options: Options) -> None:
    """Raise TypeError for what is to be said when an engine is made."""
    for name in _OWN:
        if options.get(name) is not None:
            raise TypeError(f"{name} belongs to the engine: pass it to Engine(...)")


class Engine:
    """Writes texts with one model, for whoever asks, at any time and from any thread.

    The texts of all requests are one batch of the model. They join it at the next step and leave
    it when they end; where there is no room, they wait, first come first served. Long prompts are
    read in parts between the steps, so that the texts of others go on. A text is what `generate`
    writes for its prompt alone, with the same seed: what joins or leaves changes nothing but the
    rounding of the model's matrix products.

    An error of one request (in its `should_stop`, in its logits, a deadline) ends that request
    alone. The weights of the model should not change while it writes.

    Args:
        model: as for `generate`.
        max_rows: how many texts are in the making at once; others wait.
        max_tokens: how many tokens the cache has room for, its rows times the longest text (prompt
            and `max_new_tokens`); others wait. None for any number. It bounds the memory: a token
            takes twice the layers times the width of keys and values.
        keep: how many tokens of texts that were read are kept beside it, the latest ones: what a
            prompt begins with as they did (a common beginning, the conversation so far) is not read
            again. 0 for none.
        tokenizer: as for `generate`.

    Attributes:
        model: what it writes with, a `Model`.
        max_rows: as given.

    `generate`, `stream`, `chat`, `compare` and `score` take an engine in place of a model. The
    first four then ask it for each prompt, and what it writes for others goes on; `score` reads
    with its model in the thread that calls.

    Raises:
        ValueError: no model, or a value out of range.

    Example, with a model that counts:

    >>> import numpy as np
    >>> with Engine(lambda ids: 9.0 * np.eye(5)[(ids[:, -1] + 1) % 5], max_rows=2) as engine:
    ...     requests = [engine.submit([i], max_new_tokens=3, seed=0) for i in range(3)]
    ...     [request.result().token_ids for request in requests]
    [[[1, 2, 3]], [[2, 3, 4]], [[3, 4, 0]]]
    """

    def __init__(
        self,
        model: AnyModel,
        *,
        max_rows: int = MAX_ROWS,
        max_tokens: int | None = None,
        keep: int = 4096,
        tokenizer: AnyTokenizer | None = None,
    ) -> None:
        check_at_least(1, max_rows=max_rows)
        if max_tokens is not None:
            check_at_least(1, max_tokens=max_tokens)
        self.model: Model = as_model(model, tokenizer=tokenizer)
        self.max_rows: int = int(max_rows)
        check_at_least(0, keep=keep)
        runner, _ = model_and_tokenizer(self.model, None)
        self._work = _Work(Scheduler(runner, int(max_rows), max_tokens, int(keep)))
        # The thread holds the work and not the engine: one that is forgotten ends it.
        self._close = weakref.finalize(self, self._work.close)

    @tells_names(dict.fromkeys(_OWN, "it belongs to the engine: pass it to Engine(...)"))
    def submit(
        self,
        prompt: Prompt,
        *,
        sampler: Samplers = None,
        max_new_tokens: int = 100,
        min_new_tokens: int = 0,
        seed: int | Sequence[int] | None = None,
        n: int = 1,
        stop_at_end: bool | Sequence[int] = True,
        stop_token_ids: Sequence[int] = (),
        stop: Stop | Sequence[Stop] = (),
        stop_loops: tuple[int, int] | None = None,
        should_stop: Callable[[int, list[int]], bool] | None = None,
        deadline: float | None = None,
        overflow: Overflow = "error",
        top_log_probs: int = 0,
        echo: bool = False,
        search: Search | None = None,
        draft: AnyModel | Literal["lookup"] | None = None,
        num_draft: int | None = None,
        on_error: OnError = "raise",
        json_schema: Schema | None = None,
        regex: str | None = None,
    ) -> Request:
        """Continue a prompt as soon as there is room.

        Args:
            prompt: a string, or a list of token ids.
            sampler: this and all further options are those of `generate`. A deadline counts from
                here on, the time to wait for room included. `should_stop` is called in the
                thread of the engine, which waits for it.

        Returns:
            a `Request`, at once.

        Raises:
            ValueError: as `generate`; or a request that the engine never has room for.
            EngineClosedError: the engine was closed, or its thread died.
        """
        call = Call.of(self.model, [prompt], **options_in(locals()))
        streams = call.search is None or call.search.streams
        return self.start(call, with_text=call.tokenizer is not None and streams)

    def start(
        self,
        call: Call,
        with_text: bool,
        listen: Callable[[TextEvent | None], None] = lambda event: None,
    ) -> Request:
        """Write the one prompt of a checked call as soon as there is room.

        Args:
            call: what to write, with `model`.
            with_text: whether events need text.
            listen: called in the thread of the engine with each event, and with None at the end.
        """
        writing = Writing(call, with_text)
        request = Request(writing, self, self._work, listen)
        self._work.add(request, Task(writing, request.tell, request.end))
        return request

    def check_waits(self) -> None:
        """Raise RuntimeError in the thread of the engine, which would wait for itself."""
        self._work.check_waits()

    @property
    def closed(self) -> bool:
        """Whether it was closed, or its thread has died: it takes no request any more."""
        return self._work.closed

    def close(self) -> None:
        """End what runs and what waits, as `"interrupted"`, and the thread; twice does no harm."""
        self._close()

    def __enter__(self) -> Self:
        return self

    def __repr__(self) -> str:
        return f"<Engine of model {self.model.name!r}: {self._work}>"

    def __exit__(self, *error: object) -> None:
        self.close()


class _Work:
    """What the thread of an engine does."""

    def __init__(self, scheduler: Scheduler) -> None:
        self._scheduler = scheduler
        self._changed = threading.Condition()
        self._tasks: dict[Request, Task] = {}  # that have not ended, as far as is known
        self._new: list[Task] = []
        self._cancelled: list[tuple[Task, str]] = []
        self._closed = False
        self._died: BaseException | None = None
        self._thread: threading.Thread | None = None

    @property
    def closed(self) -> bool:
        """Whether nothing is begun any more."""
        return self._closed or self._died is not None

    def __str__(self) -> str:
        state = "closed, " if self._closed else ""
        waiting = sum(not request.done for request in list(self._tasks))
        return f"{state}{counted(waiting, 'request')} to end"

    def add(self, request: Request, task: Task) -> None:
        """Let the thread have a task; it begins with the first one."""
        self._scheduler.check(task)
        with self._changed:
            if self._died is not None:
                raise EngineClosedError(self._how_it_died()) from self._died
            if self._closed:
                raise EngineClosedError("the engine is closed: make another one")
            self._tasks[request] = task
            self._new.append(task)
            self._changed.notify()
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="Engine", daemon=True)
                self._thread.start()

    def cancel(self, request: Request, reason: str) -> None:
        """End a request."""
        with self._changed:
            if task := self._tasks.get(request):
                self._cancelled.append((task, reason))
                self._changed.notify()

    def close(self) -> None:
        """End all requests, and the thread."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join()

    def check_waits(self) -> None:
        """Raise RuntimeError in the thread itself, which would wait for what it should do."""
        if threading.current_thread() is self._thread:
            raise RuntimeError("should_stop runs in the thread of the engine, which cannot wait")

    def _how_it_died(self) -> str:
        return f"the thread of the engine died: {self._died!r}"

    def _run(self) -> None:
        try:
            while self._take():
                self._scheduler.step()
        except BaseException as error:
            with self._changed:
                self._died = error
        finally:
            self._end_all()

    def _take(self) -> bool:
        """Take what is new, waiting for something to do; return False when closed."""
        with self._changed:
            self._tasks = {r: task for r, task in self._tasks.items() if not r.done}
            self._changed.wait_for(
                lambda: self._closed or self._new or self._cancelled or self._scheduler.tasks
            )
            new, cancelled, closed = self._new, self._cancelled, self._closed
            self._new, self._cancelled = [], []
        for task in new:
            self._scheduler.add(task)
        for task, reason in cancelled:
            self._scheduler.remove(task, reason)
        return not closed

    def _end_all(self) -> None:
        """Tell everyone who waits that there is nothing more to wait for."""
        with self._changed:
            self._closed = True
            tasks, self._tasks = self._tasks, {}
        for request, task in tasks.items():
            if request.done:
                continue
            if self._died is None:
                with contextlib.suppress(Exception):
                    task.end("interrupted")
            if not request.done:
                error = EngineClosedError(self._how_it_died())
                error.__cause__ = self._died
                request.end(error)
