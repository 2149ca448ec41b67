"""What all routes share: bodies and answers as JSON, streams, and clients that go away."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import anyio
from starlette.requests import Request
from starlette.responses import Response

from logit_sampling.plain import read_json
from logit_sampling.serving.answers import error_of
from logit_sampling.serving.refused import RefusedError

_PATIENCE = 60  # seconds for a body: what has come of it takes memory


async def while_connected(items: AsyncIterator[Any], request: Request) -> AsyncIterator[Any]:
    """Yield items until there are no more, or the client has gone away; then close them."""
    gone = asyncio.ensure_future(_disconnected(request))
    item: asyncio.Future[Any] | None = None
    try:
        while True:
            item = asyncio.ensure_future(anext(items))
            await asyncio.wait((item, gone), return_when=asyncio.FIRST_COMPLETED)
            if not item.done():
                return
            try:
                yield item.result()
            except StopAsyncIteration:
                return
    finally:
        # What waits for the next item has to end before the items can be closed, also where the
        # response is cancelled, which would cancel this waiting too.
        with anyio.CancelScope(shield=True):
            for task in filter(None, (item, gone)):
                task.cancel()
                await asyncio.wait((task,))
            await items.aclose()  # type: ignore[attr-defined]


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def json_body(request: Request, most: int) -> Any:
    """Return the JSON of a request; raise RefusedError for what is none, or too much."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":  # a page of the web can send others without asking first
        raise RefusedError(f"the body is of type {kind!r}: send application/json"[:200], None, 415)
    parts, size = [], 0
    try:
        async with asyncio.timeout(_PATIENCE):
            async for part in request.stream():
                size += len(part)
                if size > most:
                    raise RefusedError(f"the body has more than {most} bytes", None, 413)
                parts.append(part)
    except TimeoutError:
        told = f"the body has not come within {_PATIENCE} seconds: send it at once"
        raise RefusedError(told, None, 408) from None
    try:
        return read_json(b"".join(parts))
    except ValueError as error:
        raise RefusedError(f"the body is no JSON: {error}"[:200]) from None


def refusal(error: RefusedError) -> Response:
    """Return the response that a refused request gets."""
    response = as_json(error_of(error), error.status)
    if error.status == 429:
        response.headers["retry-after"] = "1"
    if error.status == 401:
        response.headers["www-authenticate"] = "Bearer"
    return response


def as_json(value: Any, status: int = 200) -> Response:
    """Return a response that is JSON."""
    # Escaped, since half of a surrogate pair has no bytes.
    return Response(json.dumps(value, allow_nan=False), status, media_type="application/json")


def as_event(value: Any) -> bytes:
    """Return a server-sent event."""
    return f"data: {json.dumps(value, allow_nan=False)}\n\n".encode()
