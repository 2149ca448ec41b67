"""What users call does not change without a line in the CHANGELOG."""

import inspect
from pathlib import Path
from typing import Any

import pytest

import logit_sampling as ls
from tests import api


def test_the_public_names_are_those_that_were_told() -> None:
    changed = "\n".join(api.changes())
    assert not changed, (
        f"The public names changed:\n{changed}\nAdd a line to CHANGELOG.md that tells users, then "
        "record it: python -m tests.api --write"
    )
    assert api.recorded()[0] == api.notes(), (
        "The newest section of CHANGELOG.md changed, and no public name: record that, so that the "
        "next change needs a note of its own: python -m tests.api --write"
    )


def test_the_record_has_every_parameter() -> None:
    """Read from the source it is the signature that Python has, options and defaults included."""
    lines = {line.partition("(")[0]: line for line in api.lines()}
    assert len(lines) > 400 and set(ls.__all__) <= set(lines)
    besides = ["testing.check_history", "training.Recipe", "ray.write", "types.ArrayLike"]
    assert {*besides, "interop.keras_hub.KerasHubSampler.sampler"} <= set(lines)
    for name in ("generate", "compare", "load_model", "Engine.submit", "Sampler.__call__"):
        called: Any = ls
        for part in name.split("."):
            called = getattr(called, part)
        parameters = inspect.signature(called).parameters.keys() - {"self"}
        assert all(parameter in lines[name] for parameter in parameters)
    assert "*, on_text=None, sampler=None, max_new_tokens=100," in lines["generate"]
    assert lines["TopK"] == "TopK(k=number(ge=1, integer=True))"


def test_a_change_is_recorded_only_with_a_note(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Planted: a parameter less than was recorded."""
    monkeypatch.setattr("sys.argv", ["api", "--write"])
    record, log = tmp_path / "api.txt", tmp_path / "CHANGELOG.md"
    log.write_text("# Changelog\n\n## Unreleased\n\n- First.\n\n## 0.1.0\n\n- Old.\n")
    monkeypatch.setattr(api, "RECORD", record)
    monkeypatch.setattr(api, "CHANGELOG", log)
    monkeypatch.setattr(api, "lines", lambda: ["f(a, b)"])
    assert api.main() is None and record.read_text().endswith("\nf(a, b)\n")

    monkeypatch.setattr(api, "lines", lambda: ["f(a)"])
    assert api.changes() == ["- f(a, b)", "+ f(a)"]
    log.write_text(log.read_text().replace("Old", "Older"))  # not of the newest section
    assert "add a line" in (api.main() or "") and "- f(a, b)" in capsys.readouterr().out
    assert record.read_text().endswith("\nf(a, b)\n")
    log.write_text(log.read_text().replace("First.", "First.\n- `f` has no `b`."))
    assert api.main() is None and record.read_text().endswith("\nf(a)\n")
    assert not api.changes()

    # A note about something else, once recorded, is none about the next change.
    log.write_text(log.read_text().replace("First.", "First, and quicker."))
    assert api.recorded()[0] != api.notes()  # which a test refuses
    assert api.main() is None and api.recorded()[0] == api.notes()
    monkeypatch.setattr(api, "lines", list)
    assert "add a line" in (api.main() or "") and record.read_text().endswith("\nf(a)\n")
