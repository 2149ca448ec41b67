"""Jobs over Ray: the same texts with one worker, with two, and when one of them dies."""

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest

from logit_sampling.serving.lines import Writer
from tests.serving.test_job import Letters, flat

ray = pytest.importorskip("ray")
pytest.importorskip("ray.data")

import logit_sampling as ls  # noqa: E402
import logit_sampling.ray  # noqa: E402

REQUESTS = [
    {"id": f"r{i}", "prompt": ["ROMEO:", "KING"][i % 2], "max_tokens": 3 + i % 5}
    | ({"temperature": 0.5} if i % 3 else {"top_k": 5, "stop": ["e"]})
    for i in range(96)
]


@pytest.fixture(scope="module", autouse=True)
def cluster():
    os.environ.setdefault("RAY_DATA_DISABLE_PROGRESS_BARS", "1")
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, configure_logging=False)
    yield
    ray.shutdown()


@pytest.fixture(scope="module")
def expected() -> dict[str, Any]:
    results = Writer(ls.load_model("shakespeare"))(REQUESTS)
    return {result["id"]: result for result in results}


def check(rows: list[dict[str, Any]], expected: dict[str, Any]) -> None:
    assert sorted(row["id"] for row in rows) == sorted(expected)
    for row in rows:
        own = expected[row["id"]]
        assert list(row["texts"]) == own["texts"], row["id"]
        assert list(row["finish_reasons"]) == own["finish_reasons"]
        assert json.loads(row["settings"]) == own["settings"]
        assert row["completion_tokens"] == own["usage"]["completion_tokens"]
        assert row["error"] is None


@pytest.mark.parametrize("workers", [1, 2])
def test_texts_do_not_depend_on_the_workers(tmp_path, expected, workers):
    given = tmp_path / "requests.jsonl"
    given.write_text("".join(json.dumps(request) + "\n" for request in REQUESTS))
    requests = ray.data.read_json(str(given)).repartition(8)
    results = logit_sampling.ray.write(requests, "shakespeare", workers=workers, rows=12)
    results.write_parquet(str(tmp_path / "results"))
    check(ray.data.read_parquet(str(tmp_path / "results")).take_all(), expected)


class Mortal:
    """Makes a model that kills its process once: the first that is to read `marker`."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __call__(self) -> Any:
        model, calls = ls.load_model("shakespeare"), [0]
        tokenizer, marker = model.tokenizer, self.marker

        class Tokenizer:
            def encode(self, text: str) -> list[int]:
                calls[0] += 1
                if calls[0] > 20 and not marker.exists():
                    marker.touch()
                    os.kill(os.getpid(), signal.SIGKILL)
                return list(tokenizer.encode(text))

            def decode(self, ids: list[int]) -> str:
                return tokenizer.decode(ids)

        return ls.as_model(model, tokenizer=Tokenizer())


def test_a_worker_that_dies_changes_nothing(tmp_path, expected):
    marker = tmp_path / "died"
    requests = ray.data.from_items(REQUESTS).repartition(8)
    results = logit_sampling.ray.write(requests, Mortal(marker), workers=2, rows=12)
    rows = results.take_all()
    assert marker.exists()
    check(rows, expected)


def make() -> Any:
    return ls.as_model(flat, name="letters", tokenizer=Letters())


def test_rows_in_the_form_of_the_api():
    body = {"prompt": "ab", "max_tokens": 4, "model": "letters"}
    given = [
        {"custom_id": "a", "url": "/v1/completions", "body": body},
        {"custom_id": "b", "url": "/v1/completions", "body": {"prompt": "ab", "temperature": -1.0}},
    ]
    rows = logit_sampling.ray.write(ray.data.from_items(given), make).take_all()
    a, b = sorted(rows, key=lambda row: row["custom_id"])
    assert a["status_code"] == 200 and b["status_code"] == 400
    (own,) = Writer(make())(given[:1])
    assert json.loads(a["response"]) == own["response"]["body"]
    assert "got -1.0" in json.loads(b["response"])["error"]["message"]


def test_rows_with_a_seed_in_place_of_an_id():
    given = [{"id": "a", "seed": None}, {"id": None, "seed": 3}]
    requests = ray.data.from_items([own | {"prompt": "ab", "max_tokens": 2} for own in given])
    rows = logit_sampling.ray.write(requests, make).take_all()
    assert sorted(str(row["id"]) for row in rows) == ["None", "a"]


def test_errors_are_rows_and_a_row_without_an_id_is_refused():
    given = [{"id": 1, "prompt": "ab", "max_tokens": 2}, {"id": 2, "prompt": "ab", "max_tokens": 0}]
    rows = logit_sampling.ray.write(ray.data.from_items(given), make).take_all()
    good, bad = sorted(rows, key=lambda row: row["id"])
    assert len(good["texts"][0]) == 2 and good["error"] is None
    assert bad["texts"] is None and "at least 1" in bad["error"]
    mixed = [{"id": 1, "custom_id": None, "prompt": "ab"}, {"id": None, "custom_id": "c"}]
    with pytest.raises(Exception, match="has no `custom_id`"):
        logit_sampling.ray.write(ray.data.from_items(mixed), make).take_all()
    nameless = ray.data.from_items([{"prompt": "ab"}])
    with pytest.raises(Exception, match="neither an `id` nor a `seed`"):
        logit_sampling.ray.write(nameless, make).take_all()
    with pytest.raises(ValueError, match="top_kk"):
        logit_sampling.ray.write(nameless, make, sampler="top_kk=3")
