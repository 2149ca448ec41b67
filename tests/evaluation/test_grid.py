"""Sweeps and files of samplers."""

from pathlib import Path

import pytest

import logit_sampling as ls
from logit_sampling.evaluation import named, read_samplers, swept


def test_ranges_have_both_ends_and_plain_numbers() -> None:
    assert swept("temperature=0.5:1.5:0.1") == [
        f"temperature={t}" for t in (0.5, 0.6, 0.7, 0.8, 0.9, 1, 1.1, 1.2, 1.3, 1.4, 1.5)
    ]
    assert swept("top_k=10:2:-4") == ["top_k=10", "top_k=6", "top_k=2"]


def test_sweeps_multiply_and_tell_their_settings() -> None:
    lines = swept("temperature=0.5:1:0.5 min_p=0.05", "top-k=[1,20]")
    assert lines == [
        "temperature=0.5 min_p=0.05 top-k=1",
        "temperature=0.5 min_p=0.05 top-k=20",
        "temperature=1 min_p=0.05 top-k=1",
        "temperature=1 min_p=0.05 top-k=20",
    ]
    assert lines.settings[lines[1]] == {"temperature": 0.5, "top_k": 20}
    made = named(lines)[lines[1]].sampler
    assert set(made.transforms) == {ls.Temperature(0.5), ls.TopK(20), ls.MinP(0.05)}


@pytest.mark.parametrize(
    ("sweep", "message"),
    [
        ("temperature=0.5", "has nothing to sweep"),
        ("temperature=0.5:1:x", "is no range: write start:stop:step, three numbers"),
        ("temperature=0.5:1:0", "a number other than 0"),
        ("temperature=0.5:inf:0.1", "a number other than 0"),
        (
            "temperature=1:0.95:0.1",
            "leads from 1 away from 0.95; write temperature=1:0.95:-0.1, or",
        ),
        ("top_k=1:9:-2", "the step, -2, leads from 1 away from 9; write top_k=1:9:2, or top_k=9:1"),
        ("temperature=0.5:1.2:0.2", "last value at 1.1, not at 1.2: write temperature=0.5:1.1:0.2"),
        ("top_k=[1,2] top-k=3:4:1", "twice: write all values as one list"),
        ("temperature=0:1:0.0001", "has 10001 values, more than 1000"),
        ("temperature=0.1:2:0.05 top_k=1:50:1", "has 1950 samplers, more than 1000"),
        ("top_k=[1,", "has nothing to sweep"),
        ("top_k=[a]", "is no list of values"),
        ("top_k=[]", "is empty"),
    ],
)
def test_bad_sweeps(sweep: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        swept(sweep)


def test_a_sweep_may_have_settings_that_stay_on_lines_of_their_own() -> None:
    assert swept("temperature=[0.5,1]", "top_k=5") == [
        "temperature=0.5 top_k=5",
        "temperature=1 top_k=5",
    ]


def test_a_yaml_line_with_a_name_needs_no_quotes(tmp_path: Path) -> None:
    path = tmp_path / "grid.yaml"
    path.write_text("samplers:\n- greedy\n- mine: top_k=50\n")
    assert read_samplers(path) == ["greedy", "mine: top_k=50"]
    path.write_text("samplers: greedy")
    assert read_samplers(path) == ["greedy"]


TOML = """
samplers = ["greedy", "mine: top_k=50"]
sweep = ["temperature=[0.5, 1]", "top_p=0.8:0.9:0.1"]
"""
YAML = """
samplers:
  greedy: greedy
  mine: top_k=50
sweep:
  - temperature=[0.5, 1]
  - top_p=0.8:0.9:0.1
"""


@pytest.mark.parametrize(("suffix", "text"), [(".toml", TOML), (".yaml", YAML), (".yml", YAML)])
def test_files(tmp_path: Path, suffix: str, text: str) -> None:
    path = tmp_path / f"grid{suffix}"
    path.write_text(text)
    lines = read_samplers(path)
    assert list(named(lines))[:3] == ["greedy", "mine", "temperature=0.5 top_p=0.8"]
    assert len(lines) == 6
    assert lines.settings["temperature=1 top_p=0.9"] == {"temperature": 1, "top_p": 0.9}


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.json", "{}", "ends in .toml, .yaml or .yml"),
        ("a.toml", "samplers = [", "cannot be read"),
        ("a.yaml", "samplers: [", "cannot be read"),
        ("a.toml", "", "holds `samplers`, `sweep` or both; got no table"),
        ("a.toml", "chains = []", "got 'chains'"),
        ("a.toml", "samplers = [1]", "`samplers` in .* is a list of lines"),
        ("a.yaml", "samplers:\n- temperature: 0.8", "a list of lines, .* got {'temperature': 0.8}"),
        ("a.yaml", "samplers:\n  greedy:", "a list of lines, .* got {'greedy': None}"),
        ("a.yaml", "sweep:\n- top_k: [1, 2]", r"`sweep` .* a list of lines, .*'top_k': \[1, 2\]"),
        ("a.yaml", "sweep: 3", "`sweep` in .* is a list of lines"),
    ],
)
def test_bad_files(tmp_path: Path, name: str, text: str, message: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=message):
        read_samplers(tmp_path / name)
    with pytest.raises(ValueError, match="cannot be read"):
        read_samplers(tmp_path / "nothing.toml")
