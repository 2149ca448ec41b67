"""A call whose prompts an engine writes: each is a request of its own."""

import contextlib
from collections.abc import Iterator
from queue import SimpleQueue

from logit_sampling.generation.call import Call
from logit_sampling.generation.engine import Engine, Request
from logit_sampling.generation.result import GenerationResult, Interrupted, RowError
from logit_sampling.generation.writing import TextEvent, progress


class Requests(Iterator[TextEvent]):
    """The events of a call that an engine writes, as they come; see `Stream`.

    Args:
        engine: what writes.
        call: what to write, with its model.
        with_text: whether events need text.
    """

    def __init__(self, engine: Engine, call: Call, with_text: bool) -> None:
        self._call = call
        self._events: SimpleQueue[TextEvent | None] = SimpleQueue()
        self._requests: list[Request] = []
        engine.check_waits()
        self._run = self._told()
        try:
            for part in call.parts():
                self._requests.append(engine.start(part, with_text, self._events.put))
        except BaseException:
            self._cancel()
            raise

    def __next__(self) -> TextEvent:
        return next(self._run)

    def __repr__(self) -> str:
        rows = [row for request in self._requests for row in request.rows]
        return f"<Requests to model {self._call.plan.model.name!r}: {progress(rows)}>"

    @property
    def _left(self) -> bool:
        """Whether there are events to come. (An interruption may swallow one: none is counted.)"""
        return not (all(request.done for request in self._requests) and self._events.empty())

    def _told(self) -> Iterator[TextEvent]:
        raised: BaseException | None = None
        while self._left:
            try:
                event = self._events.get()
            except KeyboardInterrupt as error:
                raised = error
                self._cancel()
                continue
            if event is not None:
                yield event
            elif raised is None and (raised := self._error()) is not None:
                self._cancel()
        raised = raised or self._error()
        if isinstance(raised, KeyboardInterrupt):
            raise Interrupted(self.result) from raised
        if raised is not None:
            self.tell(raised)
            raise raised
        if self._call.on_error == "raise" and self.result.errors:
            raise RowError(self.result)

    def _error(self) -> BaseException | None:
        """Return what a request raised, if any has."""
        return next((r.error for r in self._requests if r.error is not None), None)

    def _cancel(self) -> None:
        for request in self._requests:
            request.cancel("interrupted")

    @property
    def result(self) -> GenerationResult:
        """All that was generated.

        Raises:
            ValueError: not all texts have ended.
        """
        if not all(request.done for request in self._requests):
            raise ValueError("the stream has not ended: read it to its end, or close it")
        return self._call.result([row for request in self._requests for row in request.rows])

    def close(self) -> list[TextEvent]:
        """End the rows that still grow as interrupted, and return the events that tell so."""
        self._cancel()
        last = []
        while self._left:
            event = self._events.get()
            if event is not None:
                last.append(event)
        return last

    def tell(self, error: BaseException) -> None:
        """Let an exception that ends the rows have what was written, as its attribute `result`."""
        with contextlib.suppress(AttributeError):  # of a class with slots
            error.result = self.result  # type: ignore[attr-defined]
