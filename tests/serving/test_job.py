"""Jobs over files: in order, whole, and the same bytes after an interruption."""

import hashlib
import json
import signal
import subprocess
import sys
import threading
import time
from typing import Any

import numpy as np
import pytest

import logit_sampling as ls
from logit_sampling.cli import main
from logit_sampling.serving import job as jobs
from logit_sampling.serving.job import Job
from logit_sampling.serving.lines import Writer


class Letters:
    """A tokenizer of letters."""

    encode = staticmethod(lambda text: [ord(c) - 97 for c in text])
    decode = staticmethod(lambda ids: "".join(chr(97 + i) for i in ids))


def flat(ids: Any) -> Any:
    """A model to which all letters are alike, so that a text is its seed's."""
    return np.zeros((*np.asarray(ids).shape, 26), np.float32)


@pytest.fixture
def writer() -> Writer:
    return Writer(ls.as_model(flat, name="letters", tokenizer=Letters()))


def written(path, lines: list[Any]) -> Any:
    text = "".join((own if isinstance(own, str) else json.dumps(own)) + "\n" for own in lines)
    path.write_text(text, encoding="utf-8")
    return path


def read(path) -> list[Any]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def run(given, out, writer: Writer, resume: bool = False, **about: Any) -> Job:
    job = Job(given, out, resume)
    job.run(writer, about)
    return job


def test_results_are_in_order_and_what_generate_writes(tmp_path, writer):
    requests = [
        {"id": f"r{i}", "prompt": "ab", "max_tokens": 60 - i, "top_k": 3 + i % 20}
        for i in range(60)
    ]
    job = run(written(tmp_path / "in", requests), tmp_path / "out", writer)
    results = read(tmp_path / "out")
    assert [result["id"] for result in results] == [f"r{i}" for i in range(60)]
    assert (job.done, job.errors) == (60, 0)
    assert len({result["settings"]["seed"] for result in results}) == 60
    for request, result in zip(requests, results, strict=True):
        expected = ls.generate(writer.model, "ab", **result["settings"])
        assert result["texts"] == expected.texts
        assert result["usage"]["completion_tokens"] == request["max_tokens"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "out", "out.job.json"]


def test_a_bad_line_is_a_result(tmp_path, writer):
    lines = [
        {"prompt": "ab", "max_tokens": 2},
        "{not json",
        "",
        "5",
        {"id": "no", "prompt": "ab", "temprature": 3},
        {"custom_id": "x", "method": "POST", "url": "/v1/nowhere", "body": {}},
        {"custom_id": "y", "url": "/v1/completions", "body": {"prompt": "ab", "max_tokens": 3}},
        {"id": "m", "prompt": "ab", "model": "gpt-5"},
        {"id": "s", "prompt": "ab", "stream": True},
        {"id": "v", "prompt": "ab", "suppress_tokens": [30]},  # found out while it is written
        {"id": "n", "prompt": "ab", "allowed_token_ids": [1], "suppress_tokens": [1]},
        {"id": "many", "prompt": "ab", "n": 100},
        "[" * 100_000,
        {"custom_id": "u", "url": []},
        '{"id": 1e999, "prompt": "ab"}',
        '{"id": "d", "prompt": "ab", "examples": ' + "[" * 600 + "]" * 600 + "}",
        {"id": "c", "prompt": "ab", "sampler": "top_k=" + "[" * 5000},
        {"id": "g", "prompt": "ab", "n": 10**10},
    ]
    job = run(written(tmp_path / "in", lines), tmp_path / "out", writer)
    first, broken, number, unknown, nowhere, api, model, *others = read(tmp_path / "out")
    assert first["id"] == 0 and len(first["texts"][0]) == 2
    assert broken["id"] == 1
    assert broken["error"]["message"].endswith("in double quotes at character 2")
    assert number["id"] == 2 and "JSON object" in number["error"]["message"]
    assert unknown["error"]["param"] == "temprature"
    assert nowhere["custom_id"] == "x" and nowhere["response"]["status_code"] == 404
    assert api["response"]["status_code"] == 200
    body = api["response"]["body"]
    assert body["object"] == "text_completion" and len(body["choices"][0]["text"]) == 3
    assert model["error"]["code"] == 404
    named = ["s", "v", "n", "many", 11, "u", 13, 14, "c", "g"]
    assert [own["id"] for own in others] == named
    assert others.pop(5)["response"]["status_code"] == 404
    assert all("error" in own for own in others)
    assert (job.done, job.errors) == (17, 15)


def test_an_id_that_is_null_is_none(tmp_path, writer):
    lines = [{"id": None, "prompt": "ab", "max_tokens": 9}] * 2
    run(written(tmp_path / "in", lines), tmp_path / "out", writer)
    first, second = read(tmp_path / "out")
    assert (first["id"], second["id"]) == (0, 1) and first["texts"] != second["texts"]


def test_what_nobody_thought_of_ends_a_request_alone(writer, monkeypatch):
    good = {"id": "a", "prompt": "ab", "max_tokens": 2}
    monkeypatch.setattr(writer, "read", lambda *given: 1 / 0)
    (result,) = writer([good])
    assert result["error"]["code"] == 500 and "ZeroDivisionError" in result["error"]["message"]


def test_conversations(tmp_path):
    template = "{% for m in messages %}{{ m.content }}{% endfor %}"
    own = Writer(ls.as_model(flat, name="letters", tokenizer=Letters()), template=template)
    messages = [{"role": "user", "content": "ab"}]
    plain, api = own(
        [
            {"id": 1, "messages": messages, "max_tokens": 4},
            {
                "custom_id": "c",
                "url": "/v1/chat/completions",
                "body": {"messages": messages, "max_tokens": 4, "seed": plain_seed(own, 1)},
            },
        ]
    )
    (choice,) = api["response"]["body"]["choices"]
    assert [choice["message"]["content"]] == plain["texts"] and len(plain["texts"][0]) == 4


def plain_seed(writer: Writer, id: int) -> int:
    (result,) = writer([{"id": id, "prompt": "a", "max_tokens": 1}])
    return result["settings"]["seed"]


def test_a_result_depends_on_its_request_alone(writer):
    requests = [{"id": i, "prompt": "ab", "max_tokens": 5} for i in range(10)]
    together = writer(requests)
    assert [writer([own])[0] for own in requests] == together
    assert writer(requests[::-1])[::-1] == together
    other = Writer(writer.model, seed=1)(requests)
    assert all(a["texts"] != b["texts"] for a, b in zip(together, other, strict=True))


def leave(given, part, results: bytes) -> None:
    """Leave what a job with the seed 0 has written when it is killed."""
    part.write_bytes(results)
    requests = hashlib.sha256(given.read_bytes()).hexdigest()
    note = {"SHA-256 of the requests": requests, "seed": 0}
    part.with_suffix(".job.json").write_text(json.dumps(note))


@pytest.mark.parametrize("cut", [0, 1, 700, 5000, -1])
def test_an_interrupted_job_goes_on_to_the_same_bytes(tmp_path, writer, monkeypatch, cut):
    monkeypatch.setattr(jobs, "CHUNK", 8)
    lines = [{"id": i, "prompt": "ab", "max_tokens": 1 + i % 9} for i in range(50)]
    lines[20] = "{"
    given = written(tmp_path / "in", lines)
    run(given, tmp_path / "whole", writer)
    whole = (tmp_path / "whole").read_bytes()
    job = Job(given, tmp_path / "out")
    # As a kill leaves it: anywhere in a line, with all of what was said of the job.
    leave(given, job.part, whole[:cut])
    with pytest.raises(ValueError, match="--resume goes on"):
        Job(given, tmp_path / "out")
    again = run(given, tmp_path / "out", writer, resume=True, seed=0)
    assert (tmp_path / "out").read_bytes() == whole
    assert (again.done, again.errors) == (50, 1)
    assert not again.part.exists()


def test_what_is_not_the_same_job_is_refused(tmp_path, writer, monkeypatch):
    monkeypatch.setattr(jobs, "CHUNK", 2)
    lines = [{"id": i, "prompt": "ab", "max_tokens": 2} for i in range(6)]
    given = written(tmp_path / "in", lines)
    run(given, tmp_path / "whole", writer)
    part = tmp_path / "out.part"

    def left() -> None:
        leave(given, part, b"".join((tmp_path / "whole").read_bytes().splitlines(True)[:4]))

    left()
    with pytest.raises(ValueError, match="written with seed 0, and now it is 1"):
        run(given, tmp_path / "out", writer, resume=True, seed=1)
    lines[1]["prompt"] = "cd"  # of the same id
    with pytest.raises(ValueError, match="written with SHA-256 of the requests"):
        run(written(tmp_path / "in2", lines), tmp_path / "out", writer, resume=True, seed=0)
    with pytest.raises(ValueError, match="is there: choose another name"):
        Job(given, tmp_path / "whole")
    with pytest.raises(ValueError, match="is no file"):
        Job(tmp_path / "nowhere", tmp_path / "out")
    with part.open("ab") as held:
        from logit_sampling.locking import lock

        assert lock(held)
        with pytest.raises(ValueError, match="another process writes"):
            run(given, tmp_path / "out", writer, resume=True, seed=0)
    assert part.exists()  # nothing of it was lost
    waited = Job(given, tmp_path / "out", resume=True)
    (tmp_path / "out").write_text("of another process, which has ended since")
    with pytest.raises(ValueError, match="is there: choose another name"):
        waited.run(writer, {"seed": 0})
    (tmp_path / "out").unlink()
    run(given, tmp_path / "out", writer, resume=True, seed=0)
    assert (tmp_path / "out").read_bytes() == (tmp_path / "whole").read_bytes()


def test_a_complete_job_is_left_as_it_is(capsys, tmp_path):
    given, out = written(tmp_path / "in", [{"prompt": "A", "max_tokens": 2}]), tmp_path / "out"
    again = ["batch", str(given), str(out), "--resume"]
    for told in ("0 errors\n", "0 errors; it was complete before\n"):
        with pytest.raises(SystemExit, match="0"):
            main(again)
        assert capsys.readouterr().err.endswith(f"1 result in {out}, {told}")
    for other in ([*again, "--seed", "1"], again[:-1]):
        with pytest.raises(SystemExit, match="2"):
            main(other)
    told = capsys.readouterr().err
    assert f"{out} was written with seed 0, and now it is 1" in told
    assert "is there: choose another name" in told
    (tmp_path / "out.job.json").unlink()
    with pytest.raises(SystemExit, match="2"):
        main(again)


def test_what_is_kept_in_memory_is_a_chunk(tmp_path, writer, monkeypatch):
    monkeypatch.setattr(jobs, "CHUNK", 4)
    seen: list[int] = []

    def counting(requests, first, tell):
        seen.append(len(requests))
        return writer(requests, first, tell)

    lines = [{"prompt": "ab", "max_tokens": 1} for _ in range(22)]
    told: list[tuple[int, int]] = []
    job = Job(written(tmp_path / "in", lines), tmp_path / "out")
    job.run(counting, {}, lambda place, size: told.append((place, size)))  # type: ignore[arg-type]
    assert seen == [4, 4, 4, 4, 4, 2]
    size = (tmp_path / "in").stat().st_size
    assert len(told) == 22 and told[-1] == (size, size) and told == sorted(told)


def test_a_line_that_is_too_long_is_an_error(tmp_path, writer, monkeypatch):
    monkeypatch.setattr(jobs, "_LONGEST", 100)
    lines = [{"prompt": "a" * 500}, {"id": "b", "prompt": "ab", "max_tokens": 1}]
    run(written(tmp_path / "in", lines), tmp_path / "out", writer)
    long, short = read(tmp_path / "out")
    assert long["error"]["code"] == 413 and short["texts"]


def command(*arguments: Any) -> list[str]:
    return [sys.executable, "-m", "logit_sampling", "batch", *map(str, arguments)]


def test_the_command_survives_a_kill(tmp_path):
    """The real model, a real SIGKILL in the middle, and the bytes of a run without one."""
    lines = [{"id": i, "prompt": "ROMEO:", "max_tokens": 4, "logprobs": 1} for i in range(600)]
    given, out = written(tmp_path / "in.jsonl", lines), tmp_path / "out.jsonl"
    process = subprocess.Popen(command(given, out), stderr=subprocess.DEVNULL)
    part = tmp_path / "out.jsonl.part"
    try:
        while not (part.exists() and part.stat().st_size):  # the first chunk is there
            assert process.poll() is None
            time.sleep(0.005)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    assert part.exists() and not out.exists()
    first = part.read_bytes()
    again = subprocess.run(command(given, out, "--resume"), capture_output=True, text=True)
    assert again.returncode == 0 and "600 results" in again.stderr, again.stderr
    assert out.read_bytes().startswith(first) and not part.exists()
    whole = tmp_path / "whole.jsonl"
    with pytest.raises(SystemExit, match="0"):
        main(["batch", str(given), str(whole)])
    assert out.read_bytes() == whole.read_bytes()


def test_the_command_refuses_to_go_on_with_other_requests(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(jobs, "CHUNK", 1)
    write = Writer.__call__

    def once(self, requests, first, tell):
        if first:
            raise KeyboardInterrupt
        return write(self, requests, first, tell)

    monkeypatch.setattr(Writer, "__call__", once)
    lines = [{"id": i, "prompt": "A", "max_tokens": 2} for i in range(2)]
    given, out = written(tmp_path / "in", lines), tmp_path / "out"
    with pytest.raises(SystemExit) as stop:
        main(["batch", str(given), str(out)])
    assert stop.value.code == 130 and "1 result" in capsys.readouterr().err
    written(given, [lines[0] | {"prompt": "B"}, lines[1]])  # under the same ids
    with pytest.raises(SystemExit) as stop:
        main(["batch", str(given), str(out), "--resume"])
    assert stop.value.code == 2
    assert "written with SHA-256 of the requests" in capsys.readouterr().err


@pytest.mark.parametrize("command", [["serve"], ["batch", "IN", "OUT"]])
def test_a_template_that_is_none_is_named(capsys, tmp_path, command):
    file = tmp_path / "bad.jinja"
    file.write_text("{% for m in messages %}")
    with pytest.raises(SystemExit) as stop:
        main([*command[:1], "--chat-template", str(file), *command[1:]])
    assert stop.value.code == 2
    assert f"--chat-template {file}: no template of Jinja" in capsys.readouterr().err


def test_the_command_counts_errors(capsys, tmp_path):
    lines = [{"prompt": "A", "max_tokens": 2}, "{", {"prompt": "A"}]
    given = written(tmp_path / "in.jsonl", lines)
    chain = ["--sampler", "top_k=3", "--max-new-tokens", "5"]
    with pytest.raises(SystemExit) as stop:
        main(["batch", str(given), str(tmp_path / "out.jsonl"), *chain])
    assert stop.value.code == 1
    assert "3 results in" in capsys.readouterr().err
    short, bad, long = read(tmp_path / "out.jsonl")
    assert short["settings"]["sampler"] == "top_k=3" == long["settings"]["sampler"]
    assert short["usage"]["completion_tokens"] == 2
    assert long["usage"]["completion_tokens"] == 5 and "error" in bad


def test_an_interruption_that_a_library_made_another_error_of_is_no_result(tmp_path, monkeypatch):
    from logit_sampling.cli import process

    seen = threading.Event()
    seen.set()
    monkeypatch.setattr(process, "_seen", seen)
    given, out = written(tmp_path / "in", [{"prompt": "A", "max_tokens": 2}]), tmp_path / "out"
    with pytest.raises(SystemExit) as stop:
        main(["batch", str(given), str(out)])
    assert stop.value.code == 130 and not out.exists()
    assert (tmp_path / "out.part").read_bytes() == b""
