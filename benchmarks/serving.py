"""The server under load, and jobs over files, beside `generate` on the same prompts.

python benchmarks/serving.py [--clients 200] [--tokens 50] [--runs 3] [--smoke]
"""

import argparse
import asyncio
import json
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console
from setting import start

import logit_sampling as ls
from logit_sampling.serving.lines import Writer

PROMPTS = ["ROMEO:", "JULIET:", "First Citizen:", "To be, or not to be", "KING"]


@contextmanager
def serving_process(model: str, command_name: str = "serve") -> Iterator[str]:
    """Serve in a process of its own; yield the address."""
    own = ["--no-browser"] if command_name == "play" else []
    command = [sys.executable, "-m", "logit_sampling", command_name, "--port", "0", *own]
    command += ["--model", model]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    try:
        for line in process.stderr:
            if found := re.search(r"served at (http\S+)/(v1|play)", line):
                yield found[1]
                return
        raise RuntimeError("the server did not begin")
    finally:
        process.terminate()
        process.wait()


async def load(address: str, clients: int, tokens: int) -> dict[str, Any]:
    """Let clients ask at once; return what each got, and when."""

    async def one(client: httpx.AsyncClient, number: int) -> tuple[str, float, float]:
        body = {"prompt": PROMPTS[number % 5], "max_tokens": tokens, "seed": number}
        began, first, text = time.perf_counter(), 0.0, ""
        url = f"{address}/v1/completions"
        async with client.stream("POST", url, json={**body, "stream": True}) as response:
            async for line in response.aiter_lines():
                if line.startswith("data: {"):
                    first = first or time.perf_counter() - began
                    text += json.loads(line.removeprefix("data: "))["choices"][0]["text"]
        return text, first, time.perf_counter() - began

    limits = httpx.Limits(max_connections=clients)
    async with httpx.AsyncClient(limits=limits, timeout=600) as client:
        began = time.perf_counter()
        got = await asyncio.gather(*(one(client, i) for i in range(clients)))
        seconds = time.perf_counter() - began
    texts, firsts, wholes = zip(*got, strict=True)
    return {"texts": texts, "seconds": seconds, "first": sorted(firsts), "whole": sorted(wholes)}


def main() -> None:
    """Measure, and print a line for each way."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", default="shakespeare")
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--tokens", type=int, default=50)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--smoke", action="store_true", help="a tiny run, to see that it works")
    asked = parser.parse_args()
    start(Console())
    if asked.smoke:
        asked.clients, asked.tokens, asked.runs = 8, 3, 1
    model, clients, tokens = ls.load_model(asked.model), asked.clients, asked.tokens
    prompts = [PROMPTS[i % 5] for i in range(clients)]
    options: dict[str, Any] = {"max_new_tokens": tokens, "seed": list(range(clients))}
    ls.generate(model, prompts, **options)  # what is compiled once
    times: dict[str, list[float]] = {"generate": [], "batch": [], "server": []}
    firsts, wholes, other = [], [], 0
    requests = [
        {"id": i, "prompt": prompt, "max_tokens": tokens, "seed": i}
        for i, prompt in enumerate(prompts)
    ]
    with serving_process(asked.model) as address, tempfile.TemporaryDirectory() as folder:
        asyncio.run(load(address, clients, tokens))
        for _ in range(asked.runs):
            began = time.perf_counter()
            expected = ls.generate(model, prompts, **options).texts
            times["generate"].append(time.perf_counter() - began)
            began = time.perf_counter()
            results = Writer(model)(requests)
            Path(folder, "out").write_text("\n".join(map(json.dumps, results)))
            times["batch"].append(time.perf_counter() - began)
            other += sum(r["texts"] != [t] for r, t in zip(results, expected, strict=True))
            got = asyncio.run(load(address, clients, tokens))
            times["server"].append(got["seconds"])
            other += sum(a != b for a, b in zip(got["texts"], expected, strict=True))
            firsts.append(got["first"][clients // 2])
            wholes.append(got["whole"][clients * 95 // 100])
    base = statistics.median(times["generate"])
    print(f"{clients} prompts, {tokens} tokens each, model {asked.model}")
    for name, own in times.items():
        seconds = statistics.median(own)
        rate = clients * tokens / seconds
        print(f"{name:9} {seconds:6.2f} s  {rate:7.0f} tokens/s  {seconds / base:5.2f} of generate")
    print(f"server: first token {statistics.median(firsts):.2f} s (median of clients), ", end="")
    print(f"whole text {statistics.median(wholes):.2f} s (95 of 100)")
    print(f"texts that are not generate's: {other} of {2 * asked.runs * clients}")


if __name__ == "__main__":
    main()
