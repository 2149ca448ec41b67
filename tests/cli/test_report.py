"""The page that compare writes with --report."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from logit_sampling import evaluation
from logit_sampling.cli import main

NAMES = ["greedy", "top-k 7", "top-p 0.9", "pure sampling"]


def run(capsys: pytest.CaptureFixture, *arguments: str) -> str:
    """Run the command; return what it says on stderr."""
    with pytest.raises(SystemExit) as stop:
        main(["compare", *arguments])
    said = capsys.readouterr().err
    assert not stop.value.code, said
    return said


@pytest.fixture
def options(tiny_preset: Path) -> list[str]:
    return ["--model", str(tiny_preset), "--max-new-tokens", "6", "--top-k", "7", "-n", "1"]


def data_of(page: Path) -> Any:
    found = re.search(r'id="data">(.*?)</script>', page.read_text("utf-8"))
    assert found
    return json.loads(found[1])


def test_the_page_shows_texts_and_the_first_next_tokens(
    capsys: pytest.CaptureFixture, options: list[str], tmp_path: Path
) -> None:
    page, folder = tmp_path / "page.html", tmp_path / "out"
    prompts = ["the", "a\nb", "you", "other"]
    said = run(capsys, *prompts, *options, "--report", str(page), "--out", str(folder))
    assert f"the report is {page}" in said
    data = data_of(page)
    assert data["prompts"] == prompts
    assert [own["name"] for own in data["results"]] == NAMES
    assert [own["prompt"] for own in data["nextTokens"]] == ["the", "a⏎b", "you"]
    for own in data["nextTokens"]:
        assert list(own["samplers"]) == NAMES and own["kept"]["top-k 7"][0] == 7
        assert own["samplers"]["greedy"][0] == 1
        assert sum(own["model"]) + own["others"]["model"] == pytest.approx(1, abs=1e-4)
    again = tmp_path / "again.html"
    run(capsys, "--load", str(folder), "--report", str(again))
    assert data_of(again) == data | {"nextTokens": []}


def test_a_sampler_without_a_distribution_does_not_cost_the_page(
    capsys: pytest.CaptureFixture, options: list[str], tmp_path: Path, monkeypatch: Any
) -> None:
    def fail(*given: Any) -> Any:
        raise ValueError("row 0 has no distribution")

    monkeypatch.setattr(evaluation, "next_tokens", fail)
    page = tmp_path / "page.html"
    said = run(capsys, "the", *options, "--report", str(page))
    assert "no distribution of the next token: row 0 has no distribution" in said
    assert data_of(page)["nextTokens"] == [] and len(data_of(page)["results"]) == 4
