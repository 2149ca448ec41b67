"""What a release says of itself: one version, links that lead somewhere, Pythons that CI ran."""

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

import logit_sampling as ls

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
REPOSITORY = PROJECT["urls"]["Repository"]
README = (ROOT / "README.md").read_text(encoding="utf-8")
TARGET = re.compile(r"""(!?)\[[^\]\n]*\]\(([^)\s]+)\)|\b(src|srcset|href)="([^"]+)\"""")


@pytest.fixture(scope="module")
def metadata() -> dict[str, Any]:
    command = [sys.executable, "-m", "hatchling", "metadata"]
    return json.loads(subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout)


def targets(text: str) -> list[tuple[bool, str]]:
    """What a text links to or shows, outside its code; whether it is a picture."""
    prose = re.sub(r"```.*?```|`[^`\n]*`", "", text, flags=re.DOTALL)
    found = TARGET.findall(prose)
    return [(bool(mark or kind[:3] == "src"), plain or html) for mark, plain, kind, html in found]


def test_the_page_on_the_index_has_absolute_links_to_what_is_there(
    metadata: dict[str, Any],
) -> None:
    """A picture needs its bytes, a link the page around the file."""
    text, tag = metadata["readme"]["text"], f"v{ls.__version__}"
    raw = REPOSITORY.replace("//github.com/", "//raw.githubusercontent.com/")
    given = dict.fromkeys(targets(README))
    shown = dict.fromkeys(targets(text))
    relative = [target for _, target in given if not re.match(r"https?:|#", target)]
    assert len(relative) > 5 and len(shown) == len(given)
    ours = 0
    for picture, target in shown:
        assert re.match("https?://|#", target), target
        base = f"{raw}/{tag}/" if picture else f"{REPOSITORY}/blob/{tag}/"
        if target.startswith((REPOSITORY, raw)):
            ours += 1
            assert target.startswith(base), target
            assert (ROOT / target.removeprefix(base).partition("#")[0]).exists(), target
    assert ours >= len(relative)
    # Code is as it was.
    code = re.compile(r"```.*?```", re.DOTALL)
    assert code.findall(text) == code.findall(README)


def test_the_version_stands_in_one_place(metadata: dict[str, Any]) -> None:
    assert metadata["version"] == ls.__version__ and "version" in PROJECT["dynamic"]
    # A citation names none, and the changelog one when it goes out.
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert "version" not in citation and citation["repository-code"] == REPOSITORY
    newest = (ROOT / "CHANGELOG.md").read_text("utf-8").split("\n## [")[1]
    heading = newest.partition("]")[0]
    assert heading in ("Unreleased", ls.__version__)
    assert heading == "Unreleased" or "\nTo be " not in newest


def test_there_is_a_classifier_for_each_python_that_is_tested_and_no_other() -> None:
    """The matrix of the tests, and the lowest that may install the package."""
    workflow = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8"))
    matrix = workflow["jobs"]["tests"]["strategy"]["matrix"]
    ran = {*matrix["python"], *(row["python"] for row in matrix.get("include", ()))}
    known = {c.rpartition(" ")[2] for c in PROJECT["classifiers"] if "Python :: 3." in c}
    assert known == ran
    lowest = min(ran, key=lambda version: int(version.split(".")[1]))
    assert PROJECT["requires-python"] == f">={lowest}"
