"""The folder of a comparison: written as texts are, gone on with, loaded, and refused."""

import json
import math
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import logit_sampling as ls
from logit_sampling.evaluation import Comparison, Prompt, Text
from logit_sampling.evaluation.record import Record

from .conftest import PROBABILITIES

PROMPTS = [Prompt("x", "a", "b ab"), Prompt("y", "b$", "a b ")]


def counting() -> tuple[Any, list[int]]:
    """A model that counts its calls."""
    calls = [0]

    def model(ids: np.ndarray) -> np.ndarray:
        calls[0] += 1
        return np.log(PROBABILITIES, dtype=np.float32)[ids[:, -1]]

    return ls.as_model(model, name="toy"), calls


def compared(model: Any, toy: Any, out: Path, **change: Any) -> Comparison:
    options: dict[str, Any] = {
        "prompts": PROMPTS,
        "samplers": ["greedy", "top_k=3"],
        "seeds": (0, 1),
        "max_new_tokens": 6,
        "tokenizer": toy.tokenizer,
    }
    return ls.compare(model, out=out, **(options | change))


def lines(folder: Path) -> Sequence[str]:
    return (folder / "texts.jsonl").read_text("utf-8").splitlines()


def test_a_second_call_writes_what_is_missing_and_nothing_else(toy: Any, tmp_path: Path) -> None:
    out = tmp_path / "made" / "here"
    model, calls = counting()
    first = compared(model, toy, out)
    assert len(lines(out)) == 2 + 2 + 2 * 2  # humans, greedy, and two seeds
    written, before = calls[0], lines(out)
    again = compared(model, toy, out)
    assert calls[0] == written
    assert lines(out) == before
    assert str(again) == str(first)
    assert again.results[1].texts == first.results[1].texts
    more = compared(
        model, toy, out, samplers=["greedy", "top_k=3", "sample"], seeds=(0, 1, 2), batch_size=1
    )
    assert len(lines(out)) == 8 + 2 + 2 * 3
    assert more.results[1].texts[:4] == first.results[1].texts
    assert len(again.calls) == 2
    alone = compared(model, toy, tmp_path / "other", samplers=["sample"], seeds=(2,))
    assert [t.token_ids for t in alone.results[0].texts] == [
        t.token_ids for t in more.results[2].texts[4:]
    ]


def test_what_an_interruption_cut_off_is_written_again(toy: Any, tmp_path: Path) -> None:
    model, _ = counting()
    first = compared(model, toy, tmp_path)
    path = tmp_path / "texts.jsonl"
    path.write_bytes(path.read_bytes()[:-40])
    assert len(Comparison.load(tmp_path).texts) == len(first.texts) - 1
    assert [own.name for own in Comparison.load(tmp_path).results] == ["greedy", "top_k=3"]
    assert Comparison.load(tmp_path).prompt_ids == ("x",)
    again = compared(model, toy, tmp_path)
    key = [own.key for own in first.texts]
    assert sorted(map(str, key)) == sorted(str(own.key) for own in again.texts)
    for line in lines(tmp_path):
        json.loads(line)


def test_ctrl_c_keeps_what_is_there_and_the_next_call_goes_on(tmp_path: Path) -> None:
    """The process is interrupted in its third batch; the second call makes the others."""
    script = f"""
import os, signal, numpy as np, logit_sampling as ls
calls = [0]
def model(ids):
    calls[0] += 1
    if calls[0] == int(os.environ["STOP"]):
        os.kill(os.getpid(), signal.SIGINT)
    return np.zeros((len(ids), 9), np.float32)
model = ls.as_model(model, name="flat")
try:
    ls.compare(model, [[0], [1], [2]], ["sample"], [0], 5, batch_size=1, out={str(tmp_path)!r})
except ls.Interrupted as error:
    print(len(error.result.prompts), calls[0])
    raise SystemExit(130)
print(calls[0])
"""
    environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"}

    def run(stop: int) -> subprocess.CompletedProcess:
        return subprocess.run(
            [sys.executable, "-c", script],
            capture_output=True,
            text=True,
            env=environment | {"STOP": str(stop)},
            check=False,
        )

    first = run(5 + 10 + 3)  # the warm-up, two texts, and some of the third
    assert (first.returncode, first.stdout) == (130, "2 18\n"), first.stderr
    assert len(lines(tmp_path)) == 2
    second = run(-1)
    assert (second.returncode, second.stdout) == (0, "10\n"), second.stderr  # warm-up and the third
    assert len(lines(tmp_path)) == 3


def test_what_is_asked_for_later_is_found_out_about_the_texts_there(
    toy: Any, tmp_path: Path
) -> None:
    model, calls = counting()
    first = compared(model, toy, tmp_path)
    later = compared(model, toy, tmp_path, judge=toy, steps=True)
    assert all(own.judge is not None for own in later.texts)
    assert later.results[1].kept.mean == 3
    for own, old in zip(later.results[1].texts, first.results[1].texts, strict=True):
        assert replace(own, judge=None, kept=None, entropies=None) == old
    written = calls[0]
    compared(model, toy, tmp_path, judge=toy, steps=True)
    compared(model, toy, tmp_path)
    assert calls[0] == written
    with pytest.raises(
        ValueError, match=r"what another judge found \(name 'toy' there, 'other' here\)"
    ):
        compared(model, toy, tmp_path, judge=ls.as_model(toy, name="other"))


def test_load_is_what_was_saved(toy: Any, tmp_path: Path) -> None:
    measures = ["seq_rep_2", "distinct_1", "log_prob", "kept"]
    model, _ = counting()
    first = compared(model, toy, tmp_path / "a", steps=True, measures=measures, baseline="greedy")
    for folder in (tmp_path / "a", tmp_path / "b"):
        if folder.name == "b":
            first.save(folder)
        loaded = Comparison.load(folder, measures, "greedy")
        assert Comparison.load(folder).measures[-1] == "kept"
        assert str(loaded) == str(first)
        assert loaded.to_json() == first.to_json()
    with pytest.raises(ValueError, match=r"b is there: choose another folder"):
        first.save(tmp_path / "b")
    with pytest.raises(ValueError, match="no result is called 'x'"):
        Comparison.load(tmp_path / "a", baseline="x")
    with pytest.raises(ValueError, match="no measure 'x'"):
        Comparison.load(tmp_path / "a", ["x"])


def test_another_comparison_is_refused(toy: Any, tmp_path: Path) -> None:
    model, calls = counting()
    compared(model, toy, tmp_path)
    before, written = lines(tmp_path), calls[0]
    for change, message in (
        ({"max_new_tokens": 7}, "max_new_tokens is 7, and was 6 for the texts in "),
        ({"stop_at_end": True}, "stop_at_end is True, and was False for"),
        (
            {"samplers": {"top_k=3": ls.Sampler(ls.TopK(2))}},
            r"another sampler 'top_k=3' \(chain 'Sampler\(TopK\(k=3\)\)' there, '.*=2.* here\)",
        ),
        (
            {"prompts": [Prompt("x", "b")]},
            r"prompt 'x' \(text 'a' there, 'b' here; human 'b ab' there, None here\)",
        ),
    ):
        with pytest.raises(ValueError, match=message):
            compared(model, toy, tmp_path, **change)  # type: ignore[arg-type]
    assert (lines(tmp_path), calls[0]) == (before, written)


def test_what_failed_before_a_text_was_written_keeps_nobody_out(toy: Any, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="prompt 1 is empty"):
        compared(counting()[0], toy, tmp_path, prompts=["a", ""])
    assert len(compared(counting()[0], toy, tmp_path, prompts=["a", "b"]).texts) == 6


def test_prompts_draw_their_own_numbers_whatever_call_they_came_with(
    toy: Any, tmp_path: Path
) -> None:
    """One after the other, in another order, or some alone: the texts are those of all at once."""
    given = [Prompt(name, "a") for name in "xyz"]
    own: dict[str, Any] = {"samplers": ["sample"], "seeds": (0,), "max_new_tokens": 12}
    whole = compared(counting()[0], toy, tmp_path / "whole", prompts=given, **own).results[0]
    expected = {text.prompt_id: text.token_ids for text in whole.texts}
    assert len(set(expected.values())) == 3
    for prompts in (given[:1], given[:2], given, given[::-1], given[1:]):
        result = compared(counting()[0], toy, tmp_path / "parts", prompts=prompts, **own)
        for text in result.results[0].texts:
            assert text.token_ids == expected[text.prompt_id]
    assert len(lines(tmp_path / "parts")) == 3


def test_a_cut_in_the_middle_of_a_character_and_a_line_that_is_none(
    toy: Any, tmp_path: Path
) -> None:
    compared(counting()[0], toy, tmp_path, prompts=[Prompt("é", "a")])
    path = tmp_path / "texts.jsonl"
    whole = path.read_bytes()
    path.write_bytes(whole[: whole.rindex("é".encode()) + 1])
    assert len(Comparison.load(tmp_path).texts) == 2
    compared(counting()[0], toy, tmp_path, prompts=[Prompt("é", "a")])
    assert len(lines(tmp_path)) == 3
    first, *rest = whole.splitlines()
    path.write_bytes(b"\n".join([first, b"nonsense", *rest, b""]))
    with pytest.raises(ValueError, match=r"line 2 of texts.jsonl is no text \(.*delete it, and it"):
        Comparison.load(tmp_path)


def test_what_failed_later_keeps_nobody_out(toy: Any, tmp_path: Path) -> None:
    compared(counting()[0], toy, tmp_path, prompts=["a"])
    with pytest.raises(ValueError, match="substring not found"):
        compared(counting()[0], toy, tmp_path, prompts=["a", "x"])
    assert len(compared(counting()[0], toy, tmp_path, prompts=["a", "b"]).results[0].texts) == 2


def test_what_another_process_wrote_in_the_meantime_counts(toy: Any, tmp_path: Path) -> None:
    one, two = (Record(setting_of(name), tmp_path) for name in ("one", "two"))
    for own, name in ((one, "one"), (two, "two")):
        with own.opened():
            own.add([Text("m", name, "0", "a", None, None, "b", (1,), (-1.0,))])
    about = json.loads((tmp_path / "comparison.json").read_text())
    assert list(about["setting"]["samplers"]) == ["one", "two"]
    assert len(about["calls"]) == 2


def setting_of(sampler: str) -> dict[str, Any]:
    return {
        "prompts": {"0": {"text": "a", "human": None}},
        "samplers": {sampler: {"chain": sampler, "draws": False, "settings": {}}},
        "models": {"m": {"weights": None}},
        "seeds": [0],
        "max_new_tokens": 4,
        "stop_at_end": False,
        "overflow": "error",
        "judge": None,
        "embedder": None,
    }


def test_two_comparisons_do_not_write_one_folder(toy: Any, tmp_path: Path) -> None:
    def second(*run: Any) -> None:
        with pytest.raises(ValueError, match=r"another comparison \(process \d+ .* works in .*"):
            compared(counting()[0], toy, tmp_path)

    compared(counting()[0], toy, tmp_path, on_run=second)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["comparison.json", "texts.jsonl"]
    assert len(lines(tmp_path)) == 8


def test_a_folder_that_is_no_comparison_is_refused(toy: Any, tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(ValueError, match="holds no comparison: choose another"):
        compared(counting()[0], toy, tmp_path)
    with pytest.raises(ValueError, match=r"it has no comparison\.json"):
        Comparison.load(tmp_path)
    (tmp_path / "comparison.json").write_text('{"format": 9}')
    with pytest.raises(ValueError, match="its format is 9"):
        Comparison.load(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["comparison.json", "letter.txt"]


@pytest.mark.parametrize("of", ["judge", "models"])
def test_what_another_version_noted_less_of_is_refused(toy: Any, tmp_path: Path, of: str) -> None:
    compared(counting()[0], toy, tmp_path, judge=toy)
    path = tmp_path / "comparison.json"
    about = json.loads(path.read_text())
    told = about["setting"][of]
    told = told["toy"] if of == "models" else told
    del told["config"], told["tokenizer"]
    path.write_text(json.dumps(about))
    with pytest.raises(ValueError, match=r"earlier version, .* config and tokenizer of a model"):
        compared(counting()[0], toy, tmp_path, judge=toy)
    assert Comparison.load(tmp_path).texts


def test_a_text_as_a_line() -> None:
    text = Text(
        "m", "s", "p", (1, 2), 3, 2**63 + 1, "é\u2028\n</", (4, 5), (-0.1234567, -math.inf),
        (0.0, -1.0), "length", None, 0.25, (3, 1), (1.5, 0.0), -2.5, np.float16([0.5, -0.25]),
    )  # fmt: skip
    line = text.to_json()
    assert "\n" not in line
    again = Text.from_json(line)
    assert again == text
    assert again.embedding is not None and again.embedding.dtype == np.float16
    assert again.embedding.tolist() == [0.5, -0.25]
    assert text.log_probs[0] == -0.123457
    for wrong in ("[]", "{}", '{"model": "m"}', '{"x": 1}', "nonsense"):
        with pytest.raises(ValueError, match=r"no text of a comparison|Expecting value"):
            Text.from_json(wrong)
