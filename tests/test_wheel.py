"""What is published: an sdist and a wheel that install and work in an empty folder.

The environments see the packages of this one, so that TensorFlow is not installed for each; the
package itself, its command and its data come from what was built and from nowhere else.
"""

import json
import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

import logit_sampling as ls

REPOSITORY = Path(__file__).parents[1]
NAME = f"logit_sampling-{ls.__version__}"


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with both; the wheel is made from what the sdist holds."""
    folder = tmp_path_factory.mktemp("dist")
    build = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(folder)]
    subprocess.run([*build, str(REPOSITORY)], check=True, capture_output=True)
    return folder


@pytest.fixture(scope="module", params=["wheel", "sdist"])
def environment(
    request: pytest.FixtureRequest, built: Path, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A fresh virtual environment in which one of them is installed."""
    folder = tmp_path_factory.mktemp(request.param) / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    (site,) = folder.glob("lib/python3*/site-packages")
    ours = [path for path in sys.path if path.endswith(("site-packages", "dist-packages"))]
    (site / "others.pth").write_text("\n".join(ours))
    (archive,) = built.glob("*.whl" if request.param == "wheel" else "*.tar.gz")
    pip = [sys.executable, "-m", "pip", "--python", str(folder / "bin/python"), "install", "-q"]
    options = ["--no-deps", "--no-index", "--no-build-isolation", "--ignore-installed"]
    subprocess.run([*pip, *options, str(archive)], check=True, env=outside())
    assert (site / "logit_sampling").is_dir() and (folder / "bin/logit-sampling").is_file()
    return folder


def outside() -> dict[str, str]:
    """The variables of a shell that knows nothing of the repository."""
    return {k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | {"COLUMNS": "100"}


def run(environment: Path, folder: Path, command: str, *arguments: str) -> str:
    program = [str(environment / "bin" / command), *arguments]
    done = subprocess.run(program, cwd=folder, env=outside(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_wheel_holds_the_package_alone(built: Path):
    (wheel,) = built.glob("*.whl")
    assert wheel.name == f"{NAME}-py3-none-any.whl"
    names = set(zipfile.ZipFile(wheel).namelist())
    assert {"logit_sampling/py.typed", "logit_sampling/models/shakespeare/config.json"} <= names
    assert f"{NAME}.dist-info/licenses/LICENSE" in names
    for page in ("evaluation/report", "serving/page"):
        found = (REPOSITORY / "logit_sampling" / page).glob("*.[hcj]*")
        parts = {path.relative_to(REPOSITORY).as_posix() for path in found}
        assert len(parts) > 5 and parts <= names
    modules = {
        p.relative_to(REPOSITORY).as_posix() for p in REPOSITORY.glob("logit_sampling/**/*.py")
    }
    assert modules == {name for name in names if name.endswith(".py")}
    assert {name.split("/")[0] for name in names} == {"logit_sampling", f"{NAME}.dist-info"}


def test_the_sdist_holds_what_builds_and_tests_it(built: Path):
    (sdist,) = built.glob("*.tar.gz")
    assert sdist.name == f"{NAME}.tar.gz"
    with tarfile.open(sdist) as archive:
        names = {name.removeprefix(f"{NAME}/") for name in archive.getnames()}
    wanted = {"LICENSE", "README.md", "CHANGELOG.md", "CITATION.cff", "pyproject.toml", "PKG-INFO"}
    assert wanted <= names
    shipped = {"models/shakespeare/config.json", "tests/test_wheel.py", "docs/peers.md"}
    assert shipped | {"logit_sampling/py.typed"} <= names
    tops = {name.split("/")[0] for name in names} - wanted - {NAME}
    folders = {"benchmarks", "docs", "examples", "logit_sampling", "models", "notebooks", "tests"}
    assert tops - folders <= {".ci", ".github", ".gitignore", "CONTRIBUTING.md"}
    assert not [name for name in names if "__pycache__" in name or name.endswith(".pyc")]


def test_the_index_takes_both(built: Path):
    twine = [sys.executable, "-m", "twine", "check", "--strict", *map(str, built.iterdir())]
    done = subprocess.run(twine, capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.count("PASSED") == 2, done.stdout
    # Also a twine that is older than this one.
    with zipfile.ZipFile(*built.glob("*.whl")) as wheel:
        told = [wheel.read(f"{NAME}.dist-info/METADATA").decode()]
    with tarfile.open(*built.glob("*.tar.gz")) as sdist:
        if file := sdist.extractfile(f"{NAME}/PKG-INFO"):
            told += [file.read().decode()]
    assert len(told) == 2
    for text in told:
        assert text.startswith("Metadata-Version: 2.4\n") and "License-Expression: Apache" in text


def test_it_works_from_an_empty_folder(
    environment: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("LOGIT_SAMPLING_ENGINE", "numpy")  # kernels are compiled below, once
    told = run(environment, tmp_path, "logit-sampling", "--version")
    assert told == f"logit-sampling {ls.__version__}\n"
    options = ["--max-new-tokens", "8", "--json"]
    write = ["generate", "ROMEO:", "--seed", "7", *options]
    made = json.loads(run(environment, tmp_path, "logit-sampling", *write))
    assert made["model"] == "shakespeare" and len(made["token_ids"][0]) == 8
    listed = run(environment, tmp_path, "logit-sampling", "samplers")
    assert "TopNSigma" in listed and "RepetitionPenalty" in listed
    code = """
import sys, importlib.metadata, numpy as np, logit_sampling as ls
assert ls.__file__.startswith(sys.prefix), ls.__file__
assert importlib.metadata.version("logit-sampling") == ls.__version__
print(ls.Sampler(ls.Temperature(0.8), ls.TopK(2))(np.log([[0.1, 0.6, 0.3]] * 9), seed=7))
assert "tensorflow" not in sys.modules
"""
    drawn = run(environment, tmp_path, "python", "-c", code)
    assert set(drawn.split()) - {"[1", "[2", "1]", "2]"} <= {"1", "2"}
    assert not list(tmp_path.iterdir())


def test_compare_works_from_an_empty_folder(environment: Path, tmp_path: Path):
    if "wheel" not in environment.parent.name:
        pytest.skip("the wheel is what the sdist builds")
    compare = ["compare", "ROMEO:", "--seeds", "1", "--max-new-tokens", "8"]
    shown = run(environment, tmp_path, "logit-sampling", *compare)
    for name in ("greedy", "top-k 50", "top-p 0.9", "pure sampling", "seq-rep-4"):
        assert name in shown
    assert not list(tmp_path.iterdir())
