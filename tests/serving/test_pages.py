"""What docs/serve.md and docs/scale.md show."""

import json
import re
import shlex
from pathlib import Path

import pytest

from logit_sampling.serving.asked import asked
from logit_sampling.serving.fields import OPTIONS
from logit_sampling.serving.lines import Writer

DOCS = Path(__file__).parents[2] / "docs"


def blocks(page: str, kind: str) -> list[str]:
    return re.findall(rf"```{kind}\n(.*?)```", (DOCS / page).read_text("utf-8"), re.DOTALL)


def test_the_clients_of_the_page_on_the_server(address, model, capsys):
    httpx = pytest.importorskip("httpx")
    pytest.importorskip("openai")
    names: dict = {}
    for block in blocks("serve.md", "python"):
        exec(block.replace("http://127.0.0.1:8000", address), names)
    text = names["answer"].choices[0].text
    assert capsys.readouterr().out == f"{text} {names['answer'].settings}\n"
    (curl,) = [block for block in blocks("serve.md", "bash") if block.startswith("curl")]
    words = shlex.split(curl.replace("\\\n", " "))
    body = words[words.index("-d") + 1]
    header = dict([words[words.index("-H") + 1].split(": ")])
    url = words[1].replace("http://127.0.0.1:8000", address)
    answer = httpx.post(url, content=body, headers=header).json()
    assert answer["usage"]["completion_tokens"] == 20


def test_the_fields_of_the_page_on_the_server(model):
    page = (DOCS / "serve.md").read_text("utf-8")
    told = set(re.findall(r"`(\w+)`", page))
    assert set(OPTIONS) - {"stop_at_end", "num_draft"} <= told | {"sampler"}
    for said in re.findall(r"`(\{.*?\})`", page, re.DOTALL):
        asked({"prompt": "A", **json.loads(said)}, model)


def test_the_lines_of_the_page_on_scale(model):
    (requests,) = [block for block in blocks("scale.md", "json") if "custom_id" in block]
    a, b, c = Writer(model)([json.loads(line) for line in requests.splitlines()])
    assert len(a["texts"]) == 1 and len(b["texts"]) == 2
    assert a["usage"]["completion_tokens"] <= 100 and b["usage"]["completion_tokens"] <= 40
    assert c["response"]["body"]["usage"]["completion_tokens"] == 8
    page = (DOCS / "scale.md").read_text("utf-8")
    assert '"id": "a", "texts": ["..."]' in page and str(a["settings"]["seed"]) in page
