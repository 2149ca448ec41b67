import itertools
import json
import math
import re
import subprocess
import sys

import numpy as np
import pytest

import logit_sampling as ls
from logit_sampling.catalogue import ROW, entries, find, worked
from logit_sampling.cli import main
from logit_sampling.strategies.table import TABLE

ENTRIES = {entry.name: entry for entry in entries()}
NAMES = [row.name for row in TABLE]


def run(capsys: pytest.CaptureFixture, *arguments: str) -> tuple[str, str, int]:
    """Run the command; return stdout, stderr and the exit status."""
    with pytest.raises(SystemExit) as stop:
        main(["samplers", *arguments])
    out, err = capsys.readouterr()
    return out, err, int(stop.value.code or 0)


def test_every_public_strategy_is_listed() -> None:
    assert sorted(ENTRIES) == sorted([*NAMES, "Greedy"])


@pytest.mark.parametrize("name", NAMES)
def test_a_strategy_tells_source_ranges_and_an_example(name: str) -> None:
    entry = ENTRIES[name]
    assert entry.summary.endswith(".") and "``" not in entry.group
    assert entry.source, f"{name} has no Source"
    for parameter in entry.parameters:
        assert parameter.text, f"{parameter.name} is not among the Args of {name}"
        assert parameter.range or parameter.text
    try:
        made, history, explanation = worked(name)
    except ValueError as error:
        assert "pip install" in str(error)  # an optional package
        return
    assert made.startswith(f"{name}(")
    before, after = np.exp(explanation.raw_log_probs), np.exp(explanation.final_log_probs)
    np.testing.assert_allclose(before, ROW, rtol=1e-12)
    assert not np.allclose(after, before, atol=1e-3), "the example shows nothing"
    if history:
        (row,) = (row for row in TABLE if row.name == name)
        sampler = ls.Sampler(getattr(ls, name)(**row.arguments()))
        without = sampler.probabilities(np.log(ROW))
        assert not np.allclose(without, after, atol=1e-3), "the history shows nothing"


def test_an_entry_is_what_the_class_says() -> None:
    entry = find("TopP")
    assert (entry.name, entry.group) == ("TopP", "truncation")
    assert entry.summary == (
        "Keep the fewest likeliest tokens whose probabilities sum to at least `p` (nucleus)."
    )
    assert entry.source == (
        "Holtzman et al., The Curious Case of Neural Text Degeneration, 2019, arXiv 1904.09751."
    )
    (p,) = entry.parameters
    assert (p.name, p.range, p.default) == ("p", "number in (0, 1]", None)
    assert p.text == "a number in (0, 1], or one for each row; 1 keeps all."
    assert entry.known_as == p.known_as == ("top_p",)
    assert entry.systems == ("hf", "vllm", "llama.cpp", "keras_hub")

    mirostat = {p.name: (p.range, p.default, p.known_as) for p in find("mirostat").parameters}
    assert (
        mirostat
        | {
            "tau": ("number in (0, inf)", "5.0", ("mirostat_tau", "mirostat_ent")),
            "eta": ("number in [0, inf)", "0.1", ("mirostat_eta", "mirostat_lr")),
            "version": ("", "2", ("mirostat",)),
            "m": ("", "100", ()),
        }
        == mirostat
    )
    ranges = {p.name: p.range for p in find("DRY").parameters}
    assert ranges["window"] == "integer in [1, inf) or None"
    assert {p.name: p.range for p in find("FrequencyPenalty").parameters}["penalty"] == "number"
    assert find("PLess").known_as == ("p_less",)


@pytest.mark.parametrize("name", ["TopP", "topp", "top_p", "top-p", "TOP P"])
def test_names_in_any_spelling(name: str) -> None:
    assert find(name).name == "TopP"


WORKED = {
    "Greedy": (1, 0, 0, 0),
    "Temperature": (0.25 / 0.365, 0.09 / 0.365, 0.0225 / 0.365, 0.0025 / 0.365),
    "TopP": (0.625, 0.375, 0, 0),
    "Typical": (0, 1, 0, 0),
    "XTC": (0, 0.6, 0.3, 0.1),
    "FrequencyPenalty": np.array(ROW) * np.exp([-1.0, -1.0, -0.5, 0]),
    "RepetitionPenalty": (0.5**1.5, 0.3**1.5, 0.15**1.5, 0.05),
    "NoRepeatNGram": (0.5, 0.3, 0, 0.05),
    "DRY": (0.5, 0.3, 0.15 / math.e, 0.05),
    "Guidance": (0.25, 0.09, 0.0225, 0.0025),
    "SequenceBias": (0.5, 0.3, 0.15 / math.e, 0.05 * math.e**2),
}


@pytest.mark.parametrize("name", WORKED)
def test_worked_examples_by_hand(name: str) -> None:
    wanted = np.asarray(WORKED[name]) / np.sum(WORKED[name])
    found = np.exp(worked(name)[2].final_log_probs)
    np.testing.assert_allclose(found, wanted, rtol=1e-6, atol=1e-12)


def test_the_list_has_groups_ranges_and_sources(
    capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    out, err, status = run(capsys)
    assert (err, status) == ("", 0)
    lines = [line.rstrip() for line in out.splitlines()]
    place = lines.index("  MinP")
    assert lines[place : place + 4] == [
        "  MinP",
        "      Keep tokens with at least p times the probability of the likeliest.",
        "      p (setting: min_p)  number in [0, 1]",
        "      Nguyen et al., Turning Up the Heat: Min-p Sampling for Creative and Coherent LLM "
        "Outputs, 2024, arXiv 2407.01082.",
    ]
    heads = [line for line in lines if line.isupper() and not line.startswith(" ")]
    assert heads == [
        "CHOICE",
        "SCALING",
        "TRUNCATION",
        "PENALTIES",
        "CONSTRAINTS",
        "ADAPTIVE",
        "GUIDANCE",
        "WATERMARK",
        "GRAMMAR",
    ]
    for name, entry in ENTRIES.items():
        start = lines.index(f"  {name}")
        part = "\n".join(lines[start : start + 12])
        assert entry.source.replace("`", "") in part
        for p in entry.parameters:
            assert p.name in part and p.range in part
        for own in entry.parameters:
            assert not own.known_as or f"(setting: {own.known_as[0]})" in part


def test_the_page_of_one(capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "100")
    out, err, status = run(capsys, "no_repeat_n_gram")
    assert (err, status) == ("", 0)
    assert out.startswith("NoRepeatNGram(n)  penalties\nRemove the tokens that would complete")
    heading = f"NoRepeatNGram(n=2) on p = {ROW} after the tokens 0, 1, 2, 0, 1"
    example = out[out.index("Worked example: ") :]
    assert example.splitlines()[0] == f"Worked example: {heading}"
    rows = [line.split() for line in example.splitlines()[-4:]]
    assert [row[2] for row in rows] == ["50.0%", "30.0%", "15.0%", "5.0%"]
    assert [row[4] for row in rows] == ["58.8%", "35.3%", "0", "5.9%"]
    assert rows[2][5:] == ["1", "NoRepeatNGram", "removed", "it"]


def test_a_page_tells_a_range_once_and_no_states(
    capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    lines = {" ".join(line.split()) for line in run(capsys, "TopP")[0].splitlines()}
    assert "p number in (0, 1]; 1 keeps all; setting: top_p" in lines
    assert "None for always, or one for each row" in run(capsys, "SuppressTokens")[0]
    told = " ".join(run(capsys, name)[0] for name in ("DRY", "Guidance", "Watermark"))
    assert "The state is" not in told and "finds the mark" in told
    pages = " ".join(run(capsys, name)[0] for name in NAMES)  # nothing is left of what was cut
    assert re.findall(r"[,;.] ?;|`", pages) == []


def test_the_list_has_no_lines_for_parameters_that_there_are_not(
    capsys: pytest.CaptureFixture,
) -> None:
    lines = [line.strip() for line in run(capsys)[0].splitlines()]
    behind = [after for line, after in itertools.pairwise(lines) if not line]
    assert len(behind) == 9 and all(after.isupper() for after in behind[:-1])


def test_json(capsys: pytest.CaptureFixture) -> None:
    listed = json.loads(run(capsys, "--json")[0])
    assert [e["name"] for e in listed] == list(ENTRIES)
    assert listed == json.loads(json.dumps([e.to_dict() for e in ENTRIES.values()]))
    one = json.loads(run(capsys, "TopK", "--json")[0])
    example = one.pop("example")
    assert one in listed and one["name"] == "TopK"
    assert example["transform"] == "TopK(k=2)" and example["probabilities"] == list(ROW)
    assert [s["removed"] for s in example["explanation"]["stages"]] == [2]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("TopQ", "no strategy is called 'TopQ'; near it: Top"),
        ("temprature", "near it: Temperature"),
        ("xyzzy", "none is near (`samplers` alone lists all)"),
    ],
)
def test_an_unknown_name_is_one_line_and_status_2(
    capsys: pytest.CaptureFixture, name: str, message: str
) -> None:
    out, err, status = run(capsys, name)
    assert (out, status, err.count("\n")) == ("", 2, 1)
    assert err.startswith("logit-sampling: ") and message in err


def test_no_framework_is_imported() -> None:
    code = (
        "import sys\n"
        "from logit_sampling.cli import main\n"
        "try:\n    main(['samplers', 'DRY'])\n"
        "except SystemExit:\n    pass\n"
        "sys.exit(any(m in sys.modules for m in ('tensorflow', 'keras', 'jax', 'torch')))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0
