"""A call that an engine writes, for who waits in an event loop."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Self

from logit_sampling.decoding.row import Row
from logit_sampling.generation.call import Call
from logit_sampling.generation.engine import Engine, Request
from logit_sampling.generation.writing import TextEvent


class Running:
    """The texts of a call while they are written: each prompt is a request of the engine.

    As a context it cancels at its end what has not ended.

    Args:
        engine: what writes.
        call: what to write, with its model.
        with_text: whether events need text.

    Raises:
        ValueError: a request that the engine never has room for.
        EngineClosedError: the engine was closed.
    """

    def __init__(self, engine: Engine, call: Call, with_text: bool) -> None:
        self._loop = asyncio.get_running_loop()
        self._events: asyncio.Queue[TextEvent | None] = asyncio.Queue()
        self._requests: list[Request] = []
        try:
            for part in call.parts():
                self._requests.append(engine.start(part, with_text, self._listen))
        except BaseException:
            self.cancel()
            raise

    def _listen(self, event: TextEvent | None) -> None:
        with contextlib.suppress(RuntimeError):  # a loop that is closed
            self._loop.call_soon_threadsafe(self._events.put_nowait, event)

    async def __aiter__(self) -> AsyncIterator[TextEvent]:
        left = len(self._requests)
        while left:
            event = await self._events.get()
            if event is not None:
                yield event
                continue
            left -= 1
            error = next((r.error for r in self._requests if r.error is not None), None)
            if error is not None:
                raise error

    @property
    def rows(self) -> list[Row]:
        """Its texts so far."""
        return [row for request in self._requests for row in request.rows]

    def cancel(self) -> None:
        """End the texts that have not ended."""
        for request in self._requests:
            request.cancel()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.cancel()
