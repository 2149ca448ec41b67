"""Who is let in, what is too much, what is counted, and how a server ends."""

import asyncio
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from typing import Any

import numpy as np
import pytest

import logit_sampling as ls
from logit_sampling.serving.asked import Limits

httpx = pytest.importorskip("httpx")
pytest.importorskip("starlette")


class Slow:
    """A model that writes token after token, a little slower than it could."""

    encode = staticmethod(lambda text: [ord(c) % 50 for c in text])
    decode = staticmethod(lambda ids: "".join(chr(50 + i) for i in ids))

    def __call__(self, ids: Any) -> Any:
        time.sleep(0.01)
        return 20.0 * np.eye(50)[(np.asarray(ids)[:, -1] + 1) % 50]


JSON = {"content-type": "application/json"}


@pytest.fixture(scope="module")
def slow() -> Any:
    own = Slow()
    return ls.as_model(own, name="slow", tokenizer=own)


def metrics(address: str) -> dict[str, float]:
    text = httpx.get(f"{address}/metrics").text
    lines = (line.rpartition(" ") for line in text.splitlines() if not line.startswith("#"))
    return {name.removeprefix("logit_sampling_"): float(value) for name, _, value in lines}


def until(holds: Any) -> None:
    """Wait for something that happens soon."""
    for _ in range(2000):
        if holds():
            return
        time.sleep(0.005)
    pytest.fail("it has not happened within 10 seconds")


def test_a_key(served):
    address = served(api_key="secret")
    assert httpx.get(f"{address}/health").status_code == 200
    for headers in ({}, {"authorization": "Bearer wrong"}, {"authorization": "Bearer sécret"}):
        encoded = {name: value.encode() for name, value in headers.items()}
        refused = httpx.get(f"{address}/v1/models", headers=encoded)
        assert refused.status_code == 401
        assert refused.json()["error"]["type"] == "authentication_error"
    for scheme in ("Bearer", "bearer"):
        right = httpx.get(f"{address}/v1/models", headers={"authorization": f"{scheme} secret"})
        assert right.status_code == 200
    foreign = served(api_key="sécret")
    encoded = {"authorization": "Bearer sécret".encode()}
    assert httpx.get(f"{foreign}/v1/models", headers=encoded).status_code == 200


def test_what_is_too_much(served):
    limits = Limits(choices=4, tokens=20, prompt=10, top=2)
    url = served(limits=limits, max_body=1000) + "/v1/completions"
    for body, status, param in (
        ({"prompt": "A", "n": 5}, 400, "n"),
        ({"prompt": ["A"] * 3, "n": 2}, 400, "n"),
        ({"prompt": "A", "max_tokens": 21}, 400, "max_tokens"),
        ({"prompt": [1] * 11}, 400, "prompt"),
        ({"prompt": "A", "logprobs": 3}, 400, "logprobs"),
        ({"prompt": "A" * 1000}, 413, None),
    ):
        refused = httpx.post(url, json=body)
        assert refused.status_code == status and refused.json()["error"]["param"] == param
    assert httpx.post(url, json={"prompt": "A", "n": 4, "max_tokens": 1}).status_code == 200


def test_a_body_that_does_not_come(served, monkeypatch):
    from logit_sampling.serving import http

    monkeypatch.setattr(http, "_PATIENCE", 0.1)
    url = served()
    host, port = url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        head = "POST /v1/completions HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
        connection.sendall(f"{head}content-length: 100\r\n\r\n{{".encode())
        answer = b""
        while part := connection.recv(4096):  # it closes the connection behind it
            answer += part
    assert b" 408 " in answer and b"send it at once" in answer
    assert httpx.post(f"{url}/v1/completions", json={"prompt": "A"}).status_code == 200


def test_more_than_may_wait_is_told_to_come_again(served, slow):
    address = served(slow, max_rows=1, max_waiting=1)
    url, statuses = f"{address}/v1/completions", []

    def ask() -> None:
        body = {"prompt": "A", "max_tokens": 50, "seed": 1}
        statuses.append(httpx.post(url, json=body, timeout=60).status_code)

    threads = [threading.Thread(target=ask) for _ in range(2)]
    for thread in threads:
        thread.start()
    until(lambda: metrics(address)["waiting_rows"] + metrics(address)["running_rows"] == 2)
    refused = httpx.post(url, json={"prompt": "A"})
    assert refused.status_code == 429 and refused.headers["retry-after"] == "1"
    assert refused.json()["error"]["type"] == "rate_limit_error"
    for thread in threads:
        thread.join()
    assert statuses == [200, 200]
    assert httpx.post(url, json={"prompt": "A"}).status_code == 200  # there is room again


@pytest.mark.parametrize("stream", [False, True])
def test_a_client_that_goes_away_ends_its_row(served, slow, stream):
    address = served(slow)
    body = {"prompt": "A", "max_tokens": 100_000, "seed": 1, "stream": stream, "n": 2}

    async def ask() -> None:
        async with httpx.AsyncClient() as client:
            task = asyncio.create_task(client.post(f"{address}/v1/completions", json=body))
            while metrics(address)["running_rows"] < 2:
                await asyncio.sleep(0.01)
            task.cancel()

    asyncio.run(ask())
    until(lambda: metrics(address).get('texts_total{reason="cancelled"}') == 2)
    told = metrics(address)
    assert told["waiting_rows"] == told["running_rows"] == 0
    # Nothing is written any more.
    before = metrics(address)['tokens_total{kind="written"}']
    time.sleep(0.1)
    assert metrics(address)['tokens_total{kind="written"}'] == before


def test_pages_of_the_web(served, address):
    origin = {"origin": "https://page.example", "access-control-request-method": "POST"}
    asked = httpx.options(f"{address}/v1/completions", headers=origin)
    assert "access-control-allow-origin" not in asked.headers
    # A page can send these without asking, and is refused.
    plain = httpx.post(f"{address}/v1/completions", content='{"prompt": "A"}')
    assert plain.status_code == 415
    opened = served(origins=["https://page.example"], hosts=["127.0.0.1"])
    asked = httpx.options(f"{opened}/v1/completions", headers=origin)
    assert asked.headers["access-control-allow-origin"] == "https://page.example"
    assert httpx.get(f"{opened}/health", headers={"host": "evil.example"}).status_code == 400
    assert httpx.get(f"{opened}/health").status_code == 200


def test_names_of_the_loopback(served):
    from logit_sampling.cli.serve import hosts

    assert hosts("0.0.0.0", None) is None
    address = served(hosts=hosts("::1", ["Box.example"]))
    for host in ("[::1]:8000", "127.0.0.1:80", "localhost", "LOCALHOST:1", "box.example"):
        assert httpx.get(f"{address}/health", headers={"host": host}).status_code == 200, host
    for host in ("evil.example", "localhost.evil.example", "[::2]", ""):
        assert httpx.get(f"{address}/health", headers={"host": host}).status_code == 400, host


def test_what_is_cancelled_while_it_waits_is_closed():
    """As the server does it to a stream whose client has gone away."""
    from logit_sampling.serving.http import while_connected

    closed = []

    class Silent:
        async def receive(self) -> Any:
            await asyncio.sleep(60)

    async def items() -> Any:
        try:
            yield 1
            await asyncio.sleep(60)
        finally:
            closed.append(True)

    async def run() -> None:
        async def read() -> None:
            async for _ in while_connected(items(), Silent()):  # type: ignore[arg-type]
                pass

        task = asyncio.create_task(read())
        await asyncio.sleep(0.01)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await asyncio.sleep(0.01)
        assert closed and len(asyncio.all_tasks()) == 1

    asyncio.run(run())


def test_what_is_counted(served):
    address = served()
    url = f"{address}/v1/completions"
    assert httpx.post(url, json={"prompt": "A", "max_tokens": 3, "n": 2}).status_code == 200
    assert httpx.post(url, json={"prompt": "A", "temprature": 3}).status_code == 400
    told = metrics(address)
    assert told['texts_total{reason="length"}'] == 2
    assert told['tokens_total{kind="written"}'] == 6
    assert told['tokens_total{kind="prompt"}'] == 1
    assert told['requests_total{status="200"}'] == told['requests_total{status="400"}'] == 1
    assert told["time_to_first_token_seconds_count"] == told["request_seconds_count"] == 1
    assert told["waiting_rows"] == told["running_rows"] == 0 and told["tokens_per_second"] > 0


def test_errors_of_any_kind_are_json(address):
    for path, status in (("/nowhere", 404), ("/v1/completions", 405), ("/v1/models/x", 404)):
        told = httpx.get(address + path)
        assert told.status_code == status and told.json()["error"]["message"]
    for body in (b"", b"{", b"[1", b"\xff", b"[" * 100_000, b'{"prompt": NaN}', b"1" * 5000, b"5"):
        _check_refused(address, body)
    _check_refused(address, json.dumps({"prompt": "A", "json_schema": "[" * 100_000}).encode())
    deep = b"[" * 900 + b"]" * 900
    for value in (b"1e999", b"-1e999", b"1" * 400, deep, b'{"a":' + deep + b"}"):
        for name in (b"deadline", b"seed", b"prompt", b"metadata", b"json_schema"):
            _check_refused(address, b'{"prompt": "A", "%s": %s}' % (name, value))
    odd = b'{"prompt": "A", "\\ud800": "\\udfff"}'  # halves of characters
    told = httpx.post(f"{address}/v1/completions", content=odd, headers=JSON)
    assert told.status_code == 400 and told.json()["error"]["param"] == "\ud800"


def _check_refused(address: str, body: bytes) -> None:
    told = httpx.post(f"{address}/v1/completions", content=body, headers=JSON)
    assert told.status_code == 400 and told.json()["error"]["type"] == "invalid_request_error"


def test_what_the_server_itself_fails_at_is_not_told(served):
    def broken(ids: Any) -> Any:
        raise OSError("secret path")

    own = ls.as_model(broken, name="broken", tokenizer=Slow(), vocab_size=50)
    answer = httpx.post(f"{served(own)}/v1/completions", json={"prompt": "A"})
    assert answer.status_code == 500 and "secret" not in answer.text
    assert answer.json()["error"]["type"] == "server_error"


def test_an_engine_that_is_closed(served, model):
    engine = ls.Engine(model)
    from tests.serving.conftest import serving

    with serving(engine) as address:
        engine.close()
        assert httpx.get(f"{address}/health").status_code == 503
        assert httpx.post(f"{address}/v1/completions", json={"prompt": "A"}).status_code == 503


def test_the_command_ends_with_what_runs(tmp_path):
    command = [sys.executable, "-m", "logit_sampling", "serve", "--port", "0"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env={**os.environ})
    try:
        line = ""
        while "served at" not in line:
            line = process.stderr.readline()
            assert line, "it ended before it served"
        url = re.search(r"http://\S+/v1", line)[0] + "/completions"
        body = {"prompt": "A", "max_tokens": 200, "seed": 1, "stream": True, "stop_at_end": False}
        with httpx.stream("POST", url, json=body, timeout=60) as response:
            lines = response.iter_lines()
            chunks = [next(lines)]
            process.send_signal(signal.SIGTERM)
            chunks += [line for line in lines if line]
        assert chunks[-1] == "data: [DONE]"
        last = json.loads(chunks[-2].removeprefix("data: "))
        assert last["choices"][0]["finish_reason"] == "length"
        assert process.wait(timeout=60) == 0
    finally:
        process.kill()
        process.wait()


def test_the_command_ends_however_early_it_is_told(tmp_path):
    command = [sys.executable, "-m", "logit_sampling", "serve", "--port", "0", "--host", "0.0.0.0"]
    own = {**os.environ, "LOGIT_SAMPLING_API_KEY": ""}  # which is no key
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=own)
    try:
        while "served at" not in (line := process.stderr.readline()):
            assert line, "it ended before it served"
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 0
        assert "anyone who reaches this address" in process.stderr.read()
    finally:
        process.kill()
        process.wait()


def test_an_address_that_is_taken(capsys, address):
    from logit_sampling.cli import main

    with pytest.raises(SystemExit) as stop:
        main(["serve", "--port", address.rpartition(":")[2]])
    assert stop.value.code == 2
    assert capsys.readouterr().err.endswith("Address already in use; another --port may be free\n")


def test_an_address_that_is_not_of_this_machine(capsys):
    from logit_sampling.cli import main

    with pytest.raises(SystemExit) as stop:
        main(["serve", "--host", "192.0.2.1"])
    assert stop.value.code == 2
    assert "--port may be free" not in capsys.readouterr().err


def test_help_names_the_extra(capsys):
    from logit_sampling.cli import main

    with pytest.raises(SystemExit):
        main(["serve", "--help"])
    assert '"logit-sampling[serve]"' in capsys.readouterr().out
