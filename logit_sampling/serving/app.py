"""The server as an ASGI application: the OpenAI API over an engine."""

import contextlib
import hmac
import logging
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio.to_thread
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

import logit_sampling
from logit_sampling.generation.call import Call
from logit_sampling.generation.chat import ChatTemplate
from logit_sampling.generation.engine import Engine, EngineClosedError
from logit_sampling.generation.writing import TextEvent
from logit_sampling.serving.answers import Answer, error_of, usage
from logit_sampling.serving.asked import ORDINARY, Asked, Limits, asked
from logit_sampling.serving.http import as_event, as_json, json_body, refusal, while_connected
from logit_sampling.serving.meters import TYPE, Meters, Texts
from logit_sampling.serving.page import page_routes
from logit_sampling.serving.play import Playground
from logit_sampling.serving.refused import RefusedError
from logit_sampling.serving.running import Running
from logit_sampling.serving.spelling import Spelling

_LOG = logging.getLogger("logit_sampling")


@dataclass(frozen=True)
class Settings:
    """What an application is told.

    Attributes:
        name: of the model, for clients; None for its own.
        api_key: that each request of the API has to bring; None for none.
        template: of conversations; see `ls.chat`.
        max_waiting: how many texts may wait beside those that are written.
        max_body: bytes of a request.
        limits: what one request may ask for.
        origins: pages of the web that may ask; none by default.
        hosts: names that the server is called by; None for any.
        play: whether there is the page of the playground, at `/play`.
    """

    name: str | None = None
    api_key: str | None = None
    template: Any = None
    max_waiting: int = 256
    max_body: int = 4 << 20
    limits: Limits = Limits()
    origins: Sequence[str] = ()
    hosts: Sequence[str] | None = None
    play: bool = False


def application(engine: Engine, settings: Settings = Settings()) -> Starlette:
    """Return the application that serves an engine, which it closes when it ends.

    Args:
        engine: what writes; its model needs a tokenizer.
        settings: what else it is told.

    Raises:
        ValueError: a model without a tokenizer.
    """
    api = Api(engine, settings)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        await anyio.to_thread.run_sync(engine.close)

    middleware = []
    if settings.hosts is not None:
        middleware.append(Middleware(TrustedHostMiddleware, allowed_hosts=list(settings.hosts)))
    if settings.origins:
        cors: Any = {"allow_methods": ["*"], "allow_headers": ["*"]}
        middleware.append(Middleware(CORSMiddleware, allow_origins=list(settings.origins), **cors))
    return Starlette(
        routes=[
            Route("/health", api.health),
            Route("/metrics", api.metrics),
            Route("/v1/models", api.told(api.models)),
            Route("/v1/models/{name:path}", api.told(api.model)),
            Route("/v1/completions", api.told(api.completions), methods=["POST"]),
            Route("/v1/chat/completions", api.told(api.chat), methods=["POST"]),
            *(page_routes(Playground(engine.model), api.told) if settings.play else ()),
        ],
        middleware=middleware,
        exception_handlers={HTTPException: _http_error, Exception: _failure},
        lifespan=lifespan,
    )


class Api:
    """The routes of an application, over one engine."""

    def __init__(self, engine: Engine, settings: Settings) -> None:
        model = engine.model
        if model.tokenizer is None:
            raise ValueError(f"model {model.name!r} has no tokenizer: a server needs one")
        self._engine, self._settings, self._started = engine, settings, int(time.time())
        self._name = settings.name or Path(model.name).name
        self._spelling = Spelling(model.tokenizer, tuple(model.end_ids))
        self._meters, self._taken = Meters(), 0  # texts that were accepted and have not ended
        self._template: Any = settings.template
        if isinstance(self._template, str):
            self._template = ChatTemplate(self._template)
        elif self._template is None and Path(model.name).is_dir():
            with contextlib.suppress(ValueError):  # it has none
                self._template = ChatTemplate.from_folder(model.name)

    def told(self, route: Callable[[Request], Awaitable[Response]]) -> Any:
        """Return a route that asks for the key, and says what is wrong in the API's form."""

        async def run(request: Request) -> Response:
            try:
                self._check_key(request)
                response = await route(request)
            except RefusedError as error:
                response = refusal(error)
            except EngineClosedError:
                response = refusal(RefusedError("the server is closing", status=503))
            except ClientDisconnect:
                response = Response(status_code=499)
            except Exception:
                self._meters.answered.labels(500).inc()
                raise
            self._meters.answered.labels(response.status_code).inc()
            return response

        return run

    def _check_key(self, request: Request) -> None:
        key = self._settings.api_key
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        right = key is None or hmac.compare_digest(given.strip().encode("latin-1"), key.encode())
        if not right or (key is not None and scheme.lower() != "bearer"):
            raise RefusedError("the API key is wrong or missing", status=401)

    async def health(self, request: Request) -> Response:
        """Tell whether texts can be written."""
        closed = self._engine.closed
        return as_json({"status": "closed" if closed else "ok"}, 503 if closed else 200)

    async def metrics(self, request: Request) -> Response:
        """Tell the numbers of the meters."""
        return Response(self._meters.text(), media_type=TYPE)

    async def models(self, request: Request) -> Response:
        """List the one model."""
        return as_json({"object": "list", "data": [self._described()]})

    async def model(self, request: Request) -> Response:
        """Describe the model."""
        self._check_name(request.path_params["name"])
        return as_json(self._described())

    def _described(self) -> dict[str, Any]:
        model = self._engine.model
        return {
            "id": self._name,
            "object": "model",
            "created": self._started,
            "owned_by": "logit_sampling",
            "max_model_len": model.context_length,
        }

    def _check_name(self, name: Any) -> None:
        if name not in (None, self._name):
            raise RefusedError(f"no model {name!r}: here is {self._name!r}"[:200], "model", 404)

    async def completions(self, request: Request) -> Response:
        """Continue prompts."""
        return await self._answer(request, chat=False)

    async def chat(self, request: Request) -> Response:
        """Answer in a conversation."""
        if self._template is None:
            raise RefusedError(
                f"model {self._name!r} has no chat template: ask /v1/completions, or let the "
                "server begin with --chat-template FILE",
                "messages",
            )
        return await self._answer(request, chat=True)

    async def _answer(self, request: Request, chat: bool) -> Response:
        body = await json_body(request, self._settings.max_body)
        if isinstance(body, dict):
            self._check_name(body.get("model"))
        wanted, call = await anyio.to_thread.run_sync(self._read, body, chat)
        rows = len(call.seeds)
        most = self._engine.max_rows + self._settings.max_waiting
        if self._taken + rows > most:
            message = f"{self._taken} texts are written or wait, and {most} may: ask again later"
            raise RefusedError(message, status=429)
        head = {
            "id": ("chatcmpl-" if chat else "cmpl-") + uuid.uuid4().hex,
            "created": int(time.time()),
            "model": self._name,
            "system_fingerprint": f"logit_sampling-{logit_sampling.__version__}",
        }
        answer = Answer(wanted, chat, self._spelling, head)
        try:
            running = Running(self._engine, call, call.search is None or call.search.streams)
        except ValueError as error:  # more than the engine ever has room for
            raise RefusedError(str(error)) from error
        texts = Texts(self._meters, rows, sum(map(len, call.prompts)))
        self._taken += rows
        events = while_connected(self._counted(running, texts, rows), request)
        # What goes wrong before the first token has a status of its own; and a generator that has
        # begun is closed whatever becomes of the response.
        first = await anext(events, None)
        if first is None:
            raise ClientDisconnect
        if wanted.stream:
            told = _told([*_chunks(answer, first, running)], events, running, answer, call, wanted)
            return StreamingResponse(told, media_type="text/event-stream")
        async for _ in events:
            pass
        if not all(row.finish_reason for row in running.rows):
            raise ClientDisconnect
        return as_json(answer.whole(call.result(running.rows), call.prompts))

    def _read(self, body: Any, chat: bool) -> tuple[Asked, Call]:
        """Read a request, outside of the event loop: prompts take time to encode."""
        own, model = self._settings, self._engine.model
        ordinary = None if chat else ORDINARY
        wanted = asked(
            body, model, chat=chat, template=self._template, limits=own.limits, ordinary=ordinary
        )
        return wanted, wanted.call(model)

    async def _counted(self, running: Running, texts: Texts, rows: int) -> AsyncIterator[Any]:
        """Yield the events of texts, and end them when nobody asks any more."""
        try:
            with running:
                async for event in running:
                    texts.tell(event.row, event.token_id is not None, event.finish_reason)
                    yield event
        except ValueError as error:  # of a sampler that does not fit the model's tokens
            raise RefusedError(str(error)) from error
        finally:
            self._taken -= rows
            texts.end()


async def _told(
    begun: list[dict[str, Any]],
    events: AsyncIterator[Any],
    running: Running,
    answer: Answer,
    call: Call,
    wanted: Asked,
) -> AsyncIterator[bytes]:
    """Yield what a stream has begun with, and what follows, as server-sent events."""
    try:
        for chunk in begun:
            yield as_event(chunk)
        async for event in events:
            for chunk in _chunks(answer, event, running):
                yield as_event(chunk)
        if wanted.usage:
            yield as_event(answer.total(usage(call.prompts, [row.ids for row in running.rows])))
    except Exception as error:  # the status was sent long ago
        if not isinstance(error, RefusedError):
            _LOG.exception("a stream failed")
        yield as_event(error_of(error))
    finally:
        await events.aclose()  # type: ignore[attr-defined]
    yield b"data: [DONE]\n\n"


def _chunks(answer: Answer, event: TextEvent, running: Running) -> Iterator[dict[str, Any]]:
    stop = running.rows[event.row].stop_string if event.finish_reason else None
    return answer.chunks(event, stop)


async def _http_error(request: Request, error: Any) -> Response:
    told = f"{request.url.path}: {error.detail}"
    if error.status_code == 404:
        told += "; here are /v1/completions, /v1/chat/completions and /v1/models"
    response = refusal(RefusedError(told, None, error.status_code))
    response.headers.update(error.headers or {})
    return response


async def _failure(request: Request, error: Exception) -> Response:
    return as_json(error_of(error), 500)
