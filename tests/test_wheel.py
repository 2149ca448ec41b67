"""The wheel holds the shipped model and works in an empty folder, without the repository."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-q"]
    subprocess.run([*build, "-w", str(folder), str(REPOSITORY)], check=True)
    (wheel,) = folder.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def run(site: Path, folder: Path, *arguments: str) -> str:
    environment = os.environ | {"PYTHONPATH": str(site), "COLUMNS": "100"}
    command = [sys.executable, "-P", "-m", "logit_sampling", *arguments]
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_wheel_holds_the_package_alone(unpacked: Path):
    names = {path.relative_to(unpacked).as_posix() for path in unpacked.rglob("*")}
    assert {"logit_sampling/py.typed", "logit_sampling/models/shakespeare/config.json"} <= names
    for page in ("evaluation/report", "serving/page"):
        found = (REPOSITORY / "logit_sampling" / page).glob("*.[hcj]*")
        parts = {path.relative_to(REPOSITORY).as_posix() for path in found}
        assert len(parts) > 5 and parts <= names
    tops = {name.split("/")[0] for name in names}
    assert tops == {"logit_sampling", "logit_sampling-0.1.0.dist-info"}


def test_generate_and_compare_from_an_empty_folder(unpacked: Path, tmp_path: Path):
    options = ["--max-new-tokens", "8", "--json"]
    made = json.loads(run(unpacked, tmp_path, "generate", "ROMEO:", "--seed", "7", *options))
    assert made["model"] == "shakespeare" and len(made["token_ids"][0]) == 8
    shown = run(unpacked, tmp_path, "compare", "ROMEO:", "--seeds", "1", *options[:2])
    for name in ("greedy", "top-k 50", "top-p 0.9", "pure sampling", "seq-rep-4"):
        assert name in shown
    assert not list(tmp_path.iterdir())
