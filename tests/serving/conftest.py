"""A server of the shipped model, as a process of its own would run it."""

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import logit_sampling as ls

TEMPLATE = "{% for m in messages %}{{ m.role | upper }}:\n{{ m.content }}\n{% endfor %}"


@pytest.fixture(scope="session")
def model() -> Any:
    return ls.load_model("shakespeare")


@contextlib.contextmanager
def serving(engine: ls.Engine, **settings: Any) -> Iterator[str]:
    """Serve an engine in a thread; yield the address."""
    import uvicorn

    from logit_sampling.serving.app import Settings, application

    app = application(engine, Settings(**({"template": TEMPLATE} | settings)))
    server = uvicorn.Server(uvicorn.Config(app, log_level="critical"))
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as listening:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        while not server.started:
            time.sleep(0.005)
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join()


@pytest.fixture(scope="module")
def address(model: Any) -> Iterator[str]:
    pytest.importorskip("uvicorn")
    with serving(ls.Engine(model)) as address:
        yield address


@pytest.fixture
def served(model: Any) -> Iterator[Callable[..., str]]:
    """What serves with settings of one test."""
    pytest.importorskip("uvicorn")
    with contextlib.ExitStack() as stack:

        def begin(of: Any = None, max_rows: int = 32, **settings: Any) -> str:
            engine = ls.Engine(model if of is None else of, max_rows=max_rows)
            return stack.enter_context(serving(engine, **settings))

        yield begin
