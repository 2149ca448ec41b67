"""The process of a command: interrupted while it starts, and with streams that are closed."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import logit_sampling as ls
from logit_sampling.cli import main, process

# Looked for before every other module: the process interrupts itself as it imports one of them.
INTERRUPT = """
import os, signal, sys

class Interrupt:
    def find_spec(self, name, path=None, target=None):
        if name == os.environ["INTERRUPT_AT"]:
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Interrupt())
"""
NOT_INSTALLED = """
import os, sys

class NotInstalled:
    def find_spec(self, name, path=None, target=None):
        if name == os.environ["KERAS_BACKEND"]:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, NotInstalled())
"""


def command(*arguments: str, **options: Any) -> "subprocess.CompletedProcess[str]":
    environment = os.environ | {"PYTHONPATH": str(Path(ls.__file__).parents[1])}
    environment |= options.pop("environment", {})
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.run(
        [sys.executable, "-m", "logit_sampling", *arguments],
        env=environment,
        text=True,
        **pipes | options,
    )


@pytest.mark.parametrize(
    "module",
    [
        "logit_sampling.cli.app",
        "typer",
        "numpy",
        "tensorflow",
        "keras",
    ],
)
def test_ctrl_c_during_the_imports_is_quiet(tmp_path: Path, module: str) -> None:
    (tmp_path / "sitecustomize.py").write_text(INTERRUPT)
    path = os.pathsep.join([str(tmp_path), str(Path(ls.__file__).parents[1])])
    result = command(
        *("train", "--text", __file__, "--batch-size", "8", "--out", str(tmp_path / "out")),
        environment={"PYTHONPATH": path, "INTERRUPT_AT": module},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # a shell may ignore it
    )
    assert (result.returncode, result.stdout, result.stderr) == (130, "", "")
    assert not (tmp_path / "out.training").exists()


@pytest.mark.parametrize("name", ["stdin", "stdout", "stderr"])
def test_a_closed_stream_leads_nowhere(name: str) -> None:
    closed = {"preexec_fn": lambda: os.close(["stdin", "stdout", "stderr"].index(name))}
    result = command("samplers", "TopK", **closed)
    assert result.returncode == 0
    assert result.stderr == ""
    assert ("Keep the" in result.stdout) == (name != "stdout")
    result = command("samplers", "TopQ", **closed)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith("" if name == "stderr" else "logit-sampling: ")


def test_tensorflow_is_imported_without_a_stderr(tmp_path: Path) -> None:
    (tmp_path / "short").write_text("To be")
    arguments = ("train", "--text", str(tmp_path / "short"), "--out", str(tmp_path / "out"))
    result = command(*arguments, preexec_fn=lambda: os.close(2))
    assert (result.returncode, result.stdout, result.stderr) == (2, "", "")


@pytest.mark.parametrize("arguments", [("samplers",), ("samplers", "TopK", "--json"), ("--help",)])
def test_a_reader_that_leaves_is_no_error(arguments: tuple[str, ...]) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    result = command(*arguments, stdout=writer)
    os.close(writer)
    assert (result.returncode, result.stderr) == (1, "")


def test_nobody_reads_the_error() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    result = command("samplers", "TopQ", stderr=writer)
    os.close(writer)
    assert (result.returncode, result.stdout) == (2, "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has it")
def test_a_full_disk_is_told() -> None:
    with Path("/dev/full").open("w") as full:
        result = command("samplers", "TopK", "--json", stdout=full)
    assert result.returncode == 2
    assert result.stderr == "logit-sampling: [Errno 28] No space left on device\n"


def test_an_ignored_interruption_stays_ignored(tmp_path: Path) -> None:
    """As of a command in the background of a script."""
    (tmp_path / "sitecustomize.py").write_text(INTERRUPT)
    path = os.pathsep.join([str(tmp_path), str(Path(ls.__file__).parents[1])])
    result = command(
        *("samplers", "TopK"),
        environment={"PYTHONPATH": path, "INTERRUPT_AT": "typer"},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
    )
    assert (result.returncode, result.stderr) == (0, "")


def test_an_interruption_that_a_library_made_another_error_of(monkeypatch, capsys):
    from logit_sampling.cli import process

    def interrupted_and_wrapped(arguments):
        try:
            process._interrupt()
        except KeyboardInterrupt:
            raise RuntimeError("a callback failed") from None

    monkeypatch.setattr("logit_sampling.cli.app.run", interrupted_and_wrapped)
    monkeypatch.setattr(process, "_seen", type(process._seen)())
    with pytest.raises(SystemExit) as stop:
        main([])
    assert stop.value.code == 130


def test_what_jax_compiles_is_kept_for_the_next_command(tmp_path: Path) -> None:
    home = {"KERAS_BACKEND": "jax", "XDG_CACHE_HOME": str(tmp_path), "JAX_PLATFORMS": "cpu"}
    arguments = ("generate", "ROMEO:", "--max-new-tokens", "2", "--seed", "1")
    folder = tmp_path / "logit_sampling" / "jax"
    first = command(*arguments, environment=home)
    steps = sorted(folder.glob("jit_traced*-cache"))
    assert steps and (first.returncode, first.stderr) == (0, "")
    second = command(*arguments, environment=home)
    assert (second.stdout, second.stderr) == (first.stdout, "")
    assert sorted(folder.glob("jit_traced*-cache")) == steps


@pytest.mark.parametrize(
    "told", [{"KERAS_BACKEND": "torch"}, {"JAX_COMPILATION_CACHE_DIR": "elsewhere"}]
)
def test_a_cache_is_made_for_jax_alone_and_where_none_is_named(
    told: dict[str, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name, value in ({"KERAS_BACKEND": "jax", "XDG_CACHE_HOME": str(tmp_path)} | told).items():
        monkeypatch.setenv(name, value)
    before = dict(os.environ)
    process.keep_compilations()
    assert dict(os.environ) == before
    assert not list(tmp_path.iterdir())


def test_a_folder_that_cannot_be_made_is_done_without(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("KERAS_BACKEND", "jax")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR", raising=False)
    process.keep_compilations()
    assert "JAX_COMPILATION_CACHE_DIR" not in os.environ


@pytest.mark.parametrize("package", ["tensorflow", "keras", "keras_hub"])
def test_a_package_that_models_need_and_is_not_there(tmp_path: Path, package: str) -> None:
    """As on a Python for which TensorFlow is not released. What needs no model runs."""
    (tmp_path / "sitecustomize.py").write_text(f"import sys\nsys.modules[{package!r}] = None\n")
    path = os.pathsep.join([str(tmp_path), str(Path(ls.__file__).parents[1])])
    result = command("generate", "ROMEO:", environment={"PYTHONPATH": path})
    assert (result.returncode, result.stdout) == (2, "")
    (line,) = result.stderr.splitlines()
    assert f"and {package} is not installed" in line and "on Python 3.11 to 3.13" in line
    assert command("samplers", "TopK", environment={"PYTHONPATH": path}).returncode == 0


@pytest.mark.parametrize("backend", ["torch", "jax"])
def test_a_backend_that_is_not_there(tmp_path: Path, backend: str) -> None:
    (tmp_path / "sitecustomize.py").write_text(NOT_INSTALLED)
    path = os.pathsep.join([str(tmp_path), str(Path(ls.__file__).parents[1])])
    result = command("generate", "a", environment={"PYTHONPATH": path, "KERAS_BACKEND": backend})
    told = f"logit-sampling: KERAS_BACKEND={backend} needs {backend}: pip install {backend}\n"
    assert (result.returncode, result.stdout, result.stderr) == (2, "", told)


def test_another_module_that_is_not_there_is_a_mistake_of_ours(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(sys.modules, "logit_sampling.cli.samplers", None)
    with pytest.raises(ModuleNotFoundError, match="samplers"):
        main(["samplers"])
