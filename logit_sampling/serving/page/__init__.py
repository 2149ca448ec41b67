"""The page of the playground, its files beside this one, and the routes that it asks."""

from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import anyio.to_thread
from starlette.requests import Request
from starlette.responses import FileResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route

from logit_sampling.serving.answers import error_of
from logit_sampling.serving.http import as_event, as_json, json_body, while_connected
from logit_sampling.serving.play import Playground
from logit_sampling.serving.refused import RefusedError

_FOLDER = Path(__file__).parent
_KINDS = {
    ".html": "text/html",
    ".css": "text/css",
    ".js": "text/javascript",
    ".svg": "image/svg+xml",
}
_HEADERS = {
    "content-security-policy": "default-src 'self'; img-src 'self' data: blob:; "
    "style-src 'self' 'unsafe-inline'; frame-ancestors 'none'",
    "cache-control": "no-cache",
    "x-content-type-options": "nosniff",
}
_MOST = 1 << 20  # bytes of a question


def page_routes(playground: Playground, told: Callable[[Any], Any]) -> list[Route]:
    """Return the routes of the page.

    Args:
        playground: what answers.
        told: makes of a route one that says what is wrong.
    """

    def answering(answer: Callable[[Mapping[str, Any]], dict[str, Any]]) -> Any:
        async def route(request: Request) -> Response:
            asked = await _question(request)
            return as_json(await anyio.to_thread.run_sync(answer, asked))

        return told(route)

    async def write(request: Request) -> Response:
        tokens = playground.write(await _question(request))
        # What is wrong with the question has a status of its own.
        first = await anyio.to_thread.run_sync(_next, tokens)
        events = while_connected(_events(first, tokens), request)
        return StreamingResponse(events, media_type="text/event-stream")

    async def about(request: Request) -> Response:
        return as_json(playground.about())

    post = {"methods": ["POST"]}
    return [
        Route("/", lambda request: RedirectResponse("play")),
        Route("/play", lambda request: _file("index.html")),
        Route("/play/static/{name}", lambda request: _file(request.path_params["name"])),
        Route("/play/api/about", told(about)),
        Route("/play/api/next", answering(playground.next), **post),
        Route("/play/api/path", answering(playground.path), **post),
        Route("/play/api/why", answering(playground.why), **post),
        Route("/play/api/write", told(write), **post),
    ]


async def _question(request: Request) -> Mapping[str, Any]:
    asked = await json_body(request, _MOST)
    if not isinstance(asked, Mapping):
        raise RefusedError("a question is a JSON object")
    return asked


async def _events(
    first: dict[str, Any] | None, tokens: Iterator[dict[str, Any]]
) -> AsyncIterator[bytes]:
    token = first
    try:
        while token is not None:
            yield as_event(token)
            token = await anyio.to_thread.run_sync(_next, tokens)
    except RefusedError as error:  # the text has filled the context
        yield as_event(error_of(error))
    yield b"data: [DONE]\n\n"


def _next(tokens: Iterator[dict[str, Any]]) -> dict[str, Any] | None:
    return next(tokens, None)


def _file(name: str) -> Response:
    path = _FOLDER / name
    if path.parent != _FOLDER or path.suffix not in _KINDS or not path.is_file():
        return Response(status_code=404)
    return FileResponse(path, media_type=_KINDS[path.suffix], headers=_HEADERS)
