"""The command `logit-sampling serve`."""

import contextlib
import errno
import signal
import socket
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from logit_sampling.cli.options import (
    DtypeOption,
    ModelOption,
    NameOption,
    RowsOption,
    TemplateOption,
    template_in,
)
from logit_sampling.cli.process import say

LOOPBACK = ("127.0.0.1", "localhost", "::1")


def serve(
    model: ModelOption = "shakespeare",
    dtype: DtypeOption = None,
    host: Annotated[
        str,
        typer.Option(help="The address to listen at; 0.0.0.0 lets other machines in."),
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 for any that is free.")] = 8000,
    api_key: Annotated[
        str | None,
        typer.Option(
            envvar="LOGIT_SAMPLING_API_KEY", help="What clients have to show; none by default."
        ),
    ] = None,
    name: NameOption = None,
    chat_template: TemplateOption = None,
    max_rows: RowsOption = 32,
    max_waiting: Annotated[
        int, typer.Option(min=0, help="Texts that may wait; more are refused with status 429.")
    ] = 256,
    max_tokens: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="New tokens that one text may ask for; by default what the context has room for.",
        ),
    ] = None,
    max_prompt: Annotated[
        int | None,
        typer.Option(
            min=1, help="Tokens that a prompt may have; by default what the context has room for."
        ),
    ] = None,
    max_body: Annotated[int, typer.Option(min=1, help="Bytes that a request may have.")] = 4 << 20,
    allow_origin: Annotated[
        list[str] | None,
        typer.Option(help="A page of the web that may ask (CORS); may be given several times."),
    ] = None,
    allow_host: Annotated[
        list[str] | None,
        typer.Option(
            help="A name that the server is called by; at the loopback only its own names are "
            "taken, which keeps pages of the web out."
        ),
    ] = None,
    grace: Annotated[
        int | None,
        typer.Option(min=0, help="Seconds for what runs to end after SIGTERM; any by default."),
    ] = None,
    log: Annotated[bool, typer.Option("--log", help="Print a line for each request.")] = False,
) -> None:
    """Serve a model as the OpenAI API does, to any of its clients.

    Needs `pip install "logit-sampling\\[serve]"`.
    Ctrl-C or SIGTERM ends it once what runs has ended.
    """
    template = template_in(chat_template)
    api_key = api_key or None  # an empty one is none

    def begun(address: str) -> None:
        if host not in LOOPBACK and api_key is None:
            say(
                "logit-sampling: anyone who reaches this address may use it: "
                "--api-key asks for a key"
            )

    run(
        model,
        dtype,
        listen(host, port),
        "v1",
        begun,
        max_rows=max_rows,
        grace=grace,
        log=log,
        limits={"choices": max_rows, "tokens": max_tokens, "prompt": max_prompt},
        name=name,
        api_key=api_key,
        template=template,
        max_waiting=max_waiting,
        max_body=max_body,
        origins=allow_origin or (),
        hosts=hosts(host, allow_host),
    )


def run(
    model: str,
    dtype: str | None,
    listening: socket.socket,
    page: str,
    begun: Callable[[str], None],
    max_rows: int = 32,
    grace: int | None = None,
    log: bool = False,
    limits: Mapping[str, int | None] | None = None,
    **settings: Any,
) -> None:
    """Serve a model until a signal comes.

    Args:
        model: which.
        dtype: of its weights.
        listening: where.
        page: what to call, behind the address.
        begun: called with the address once it is served.
        max_rows: how many texts are written at once.
        grace: seconds that what runs has after the signal.
        log: whether to print a line for each request.
        limits: what one request may ask for.
        **settings: of the application.
    """
    try:
        import uvicorn

        from logit_sampling.serving.app import Settings, application
    except ImportError as error:
        raise ValueError(f'this needs {error.name}: pip install "logit-sampling[serve]"') from None
    from logit_sampling.generation.engine import Engine
    from logit_sampling.models.loading import load_model
    from logit_sampling.serving.asked import Limits

    with contextlib.redirect_stdout(sys.stderr):
        engine = Engine(load_model(model, dtype=dtype), max_rows=max_rows)
    app = application(engine, Settings(limits=Limits(**(limits or {})), **settings))
    # The first text takes a while longer: a program is made for the model.
    engine.submit("a", max_new_tokens=2, seed=0).result()
    config: dict[str, Any] = {"log_level": "info" if log else "warning"}
    server = uvicorn.Server(uvicorn.Config(app, timeout_graceful_shutdown=grace, **config))
    # The server takes signals while it runs, and raises them again when it has ended.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: setattr(server, "should_exit", True))
    host, bound = listening.getsockname()[:2]
    address = f"http://[{host}]:{bound}" if ":" in host else f"http://{host}:{bound}"
    called = settings.get("name") or Path(engine.model.name).name
    say(f"logit-sampling: {called!r} is served at {address}/{page}")
    begun(address)
    with listening:
        server.run(sockets=[listening])


def hosts(host: str, allowed: list[str] | None = None) -> list[str] | None:
    """Return the names that a server is called by; None for any."""
    if host not in LOOPBACK and not allowed:
        return None
    # As requests spell them: an address of IPv6 in brackets, names in any case.
    own = [f"[{name}]" if ":" in name else name for name in LOOPBACK]
    return own + [name.lower() for name in allowed or ()]


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens; raise ValueError if there can be none."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=2048)
    except OSError as error:
        told, hint = str(error.strerror or error).partition(" (while")[0], ""
        if error.errno == errno.EADDRINUSE:
            hint = "; another --port may be free"
        raise ValueError(f"--host {host} --port {port}: {told}{hint}") from None
