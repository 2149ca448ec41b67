"""Requests that are wrong in every way: none may fail the server.

`python -m tests.serving.malformed 10000` sends so many, and tells what they got.
"""

import asyncio
import json
import random
import string
import sys
from collections import Counter
from typing import Any

import logit_sampling as ls
from logit_sampling.serving.app import Settings, application
from logit_sampling.serving.asked import Limits
from logit_sampling.serving.fields import FORMS, OFF, OPTIONS, SAYS_NOTHING, SHOWN
from logit_sampling.settings.elsewhere import CALLED_HERE, ELSEWHERE, NEAREST
from logit_sampling.settings.names import NAMES
from tests.serving.conftest import TEMPLATE

_KNOWN = sorted({*NAMES, *OPTIONS, *FORMS, *SHOWN, *OFF, *SAYS_NOTHING} - {"model"})
_ELSEWHERE = sorted({*CALLED_HERE, *ELSEWHERE, *NEAREST})
_ORDERS = ["default", "hf", "vllm", "llama.cpp", "keras_hub", "openai", "", 5]
_NUMBERS = [0, 1, -1, 2, 3, 0.5, -0.5, 1.5, 1e-9, 1e308, -1e308, 10**30, 2**31, 2**63, 2**64, 100]
_TEXTS = [
    "",
    "a",
    "\n",
    "\x00",
    "é",
    "𝄞",
    "\ud800",
    "top_k=5",
    "beam",
    "beam num_beams=2",
    "greedy",
]
_TEXTS += ["lookup", "slide", "error", "true", "nan", "{", "(", "[a-c]{2}", "a" * 300, "none"]
_SCHEMAS = [True, {}, {"type": "integer"}, {"type": 5}, {"$ref": "#/nowhere"}, {"enum": []}]
_SCHEMAS += [{"type": "json_schema", "json_schema": {"schema": {"enum": ["a"]}}}, {"json": {}}]
_SCHEMAS += [{"type": "json_object"}, {"type": "text"}, {"regex": "a+"}, {"regex": 5}]
_MESSAGES = [{"role": "user", "content": "To be?"}, {"role": "user"}, {"content": "x"}, {}, 5]
_MESSAGES += [
    {"role": "user", "content": [{"type": "text", "text": "a"}]},
    {"role": 5, "content": ""},
]
_MESSAGES += [{"role": "user", "content": [{"type": "image_url"}]}, {"role": "x", "content": None}]


def value(rng: random.Random, depth: int = 0) -> Any:
    """Return anything that JSON can hold, often near to what is right."""
    kind = rng.randrange(9 if depth < 3 else 6)
    if kind == 0:
        return rng.choice([None, True, False])
    if kind in (1, 2):
        return rng.choice(_NUMBERS)
    if kind == 3:
        return rng.uniform(-2, 2)
    if kind == 4:
        return rng.choice(_TEXTS)
    if kind == 5:
        return rng.choice([*_SCHEMAS, _MESSAGES[:1], _MESSAGES])
    if kind == 6:
        return [value(rng, depth + 1) for _ in range(rng.randrange(4))]
    if kind == 7:
        return {str(rng.choice(_NUMBERS)): value(rng, depth + 1) for _ in range(rng.randrange(3))}
    return [rng.randrange(-1, 600) for _ in range(rng.randrange(5))]


def body(rng: random.Random, chat: bool) -> bytes:
    """Return the body of a request."""
    if rng.random() < 0.02:
        return bytes(rng.randrange(256) for _ in range(rng.randrange(20)))
    if rng.random() < 0.02:
        return json.dumps(value(rng)).encode()
    names = rng.choices(_KNOWN, k=rng.choice([1, 1, 1, 1, 2, 3, 5]))
    if rng.random() < 0.1:
        names.append(rng.choice([*_ELSEWHERE, "".join(rng.choices(string.ascii_letters, k=5))]))
    made = {name: value(rng) for name in names}
    if rng.random() < 0.2:
        made["order"] = rng.choice(_ORDERS)
    if chat:
        made["messages"] = rng.choice([_MESSAGES[:1], _MESSAGES[:1], [rng.choice(_MESSAGES)]])
    else:
        made["prompt"] = rng.choice(["ROMEO:", "ROMEO:", [1, 2], ["a", "b"], value(rng)])
    if rng.random() < 0.1:
        made["messages" if chat else "prompt"] = value(rng)
    whole = json.dumps(made).encode()
    return whole[: rng.randrange(len(whole))] if rng.random() < 0.03 else whole


async def send(engine: ls.Engine, requests: int, seed: int = 0) -> tuple[Counter, list[str]]:
    """Send requests; return how often each status came, and what failed the server."""
    import httpx

    limits = Limits(choices=4, tokens=4, top=3)
    app = application(engine, Settings(template=TEMPLATE, limits=limits, max_waiting=10**6))
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    statuses, failed = Counter[int](), list[str]()
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:

        async def one(number: int) -> None:
            rng = random.Random(f"{seed} {number}")
            chat = rng.random() < 0.3
            content = body(rng, chat)
            path = "/v1/chat/completions" if chat else "/v1/completions"
            headers = {"content-type": "application/json"}
            answer = await client.post(path, content=content, headers=headers, timeout=600)
            status = answer.status_code
            streamed = answer.text.splitlines() if "event-stream" in str(answer.headers) else []
            for line in streamed:
                if line.startswith('data: {"error"'):
                    status = json.loads(line.removeprefix("data: "))["error"]["code"]
            if status not in (200, 400):
                failed.append(f"{status} {path} {content[:500]!r}")
            statuses[status] += 1

        for first in range(0, requests, 50):
            await asyncio.gather(*map(one, range(first, min(first + 50, requests))))
    return statuses, failed


if __name__ == "__main__":
    with ls.Engine(ls.load_model("shakespeare")) as own:
        counted, problems = asyncio.run(send(own, int(sys.argv[1])))
    print(dict(counted))
    print(*problems[:20], sep="\n")
