import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import logit_sampling as ls
from logit_sampling.cli import main
from logit_sampling.cli.train import train

from .test_fit import read_log, weights

TINY = [  # the recipe of the fixture
    *("--vocabulary-size", "300", "--context", "32", "--layers", "1", "--heads", "2"),
    *("--width", "32", "--batch-size", "8", "--seed", "3", "--epochs", "3"),
]


@pytest.fixture
def file(text, tmp_path):
    path = tmp_path / "text.txt"
    path.write_text(text)
    return path


def arguments_of(file, out):
    return ["train", "--text", str(file), "--out", str(out), *TINY]


# `logit-sampling`, but it waits for Ctrl-C after its first epoch.
WAITING = """
import sys, time
import logit_sampling as ls
from logit_sampling.cli import main
generate, samples = ls.generate, []
def wait(*arguments, **options):
    samples.append(options)
    if len(samples) == 2:  # after that of the rehearsal
        time.sleep(600)
    return generate(*arguments, **options)
ls.generate = wait
main(sys.argv[1:])
"""


def test_control_c_says_how_to_resume_and_the_run_goes_on_to_the_same_end(
    file, trained, tmp_path, capsys
):
    out, whole = tmp_path / "model", trained[0]
    process = subprocess.Popen(
        [sys.executable, "-c", WAITING, *arguments_of(file, out)],
        env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    while not (tmp_path / "model.training" / "log.csv").exists():
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, error = process.communicate()
    # Both are status 130 to a shell. CPython ends by the signal itself if it came while a string
    # was being evaluated (any library's `eval`), however well the exception was handled.
    assert process.returncode in (130, -signal.SIGINT), error
    assert "Traceback" not in error
    assert f"continue with: logit-sampling train --text {file} --out {out}" in error
    assert error.rstrip().endswith("--epochs 3 --resume")
    assert not out.exists()
    assert len(read_log(tmp_path / "model.training")) == 1

    with pytest.raises(SystemExit) as stop:
        main([*arguments_of(file, out), "--resume"])
    assert not stop.value.code
    shown = capsys.readouterr().out
    assert {path.name for path in tmp_path.iterdir()} == {"text.txt", "model"}
    for row, expected in zip(read_log(out), read_log(whole), strict=True):
        del row["seconds"], expected["seconds"]
        assert row == pytest.approx(expected, rel=1e-5)
    for weight, expected in zip(weights(out), weights(whole), strict=True):
        np.testing.assert_allclose(weight, expected, atol=1e-3)

    # An epoch has its line and a sample; the end says what came out.
    assert "epoch 3: training " in shown
    assert "epoch 1:" not in shown
    assert "nats a character on the last tenth of the text, from the weights of epoch 3" in shown


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give the text to learn from: either --text FILE or --corpus NAME"),
        (["--text", "FILE", "--corpus", "tinyshakespeare"], "either --text FILE or --corpus NAME"),
        (["--corpus", "enwik8"], "unknown corpus 'enwik8': choose from tinyshakespeare"),
        (["--text", "MISSING"], "logit-sampling: there is no file none, seen from "),
        (["--text", "."], "logit-sampling: . is a folder: name the file in it"),
        (["--text", "LATIN"], "is not UTF-8: byte 0xfc at offset 1"),
        (["--text", "SHORT"], "the text is too short to train on: its 5 characters"),
        (["--text", "SHORT"], "a batch of 1 window (--batch-size) of 256 tokens (--context)"),
        (["--text", "SHORT"], "or a smaller --batch-size or --context\n"),
        (["--text", "FILE", "--epochs", "0"], ": --epochs must be an integer from 1 to 100000"),
        (["--text", "FILE", "--dropout", "1.5"], ": --dropout must be a number from 0.0 to 0.9"),
        (["--text", "FILE", "--ema", "1"], ": --ema must be a number from 0.0 to 0.99999, not 1.0"),
        (["--text", "FILE", "--heads", "3"], ": --width must be a multiple of --heads: 256"),
        (
            ["--text", "FILE", "--resume"],
            "no run to resume in model.training: start it without --r",
        ),
        (["--text", "FILE", "--out", "."], "the output folder . exists"),
        (["--text", "FILE", "--out", "latin/out"], "logit-sampling: latin/out.training: Not a dir"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(
    file, tmp_path, capsys, monkeypatch, arguments, message
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "latin").write_bytes(b"x\xfc")
    (tmp_path / "short").write_text("To be")
    names = {"FILE": "text.txt", "MISSING": "none", "LATIN": "latin", "SHORT": "short"}
    out = [] if "--out" in arguments else ["--out", "model"]
    with pytest.raises(SystemExit) as stop:
        main(["train", *out, *(names.get(argument, argument) for argument in arguments)])
    assert stop.value.code == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert {path.name for path in tmp_path.iterdir()} == {"text.txt", "latin", "short"}


# Each command line, and then whether what takes long was imported for it.
EARLY = """
import sys
from logit_sampling.cli import main
for arguments in sys.argv[1:]:
    try:
        main(["train", *arguments.split()])
    except SystemExit as end:
        assert end.code == 2, end.code
slow = {"tensorflow", "keras", "keras_hub"} & set(sys.modules)
assert not slow, slow
"""


def test_what_is_wrong_is_told_before_the_imports(file, tmp_path):
    (tmp_path / "model").mkdir()
    (tmp_path / "interrupted.training").mkdir()
    (tmp_path / "interrupted.training" / "checkpoint.npz").touch()
    commands = {
        "--text none --out new": "there is no file none",
        "--text text.txt --out model": "the output folder model exists",
        "--text text.txt --out new --heads 3": "--width must be a multiple of --heads",
        "--text text.txt --out new --batch-size 999": "the text is too short",
        "--text text.txt --out new --resume": "no run to resume",
        "--text text.txt --out interrupted": "continue it with --resume or remove it",
    }
    program = [sys.executable, "-c", EARLY, *commands]
    path = {"PYTHONPATH": str(Path(ls.__file__).parents[1])}
    run = subprocess.run(
        program, cwd=tmp_path, env=os.environ | path, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    for line, message in zip(run.stderr.splitlines(), commands.values(), strict=True):
        assert message in line


def test_help_shows_the_default_recipe():
    import typer

    app = typer.Typer()
    app.command()(train)
    text = CliRunner().invoke(app, ["--help"], env={"COLUMNS": "120"}).stdout
    for option in (
        "--text",
        "--corpus",
        "--out",
        "--resume",
        "--epochs",
        "--learning-rate",
        "--ema",
    ):
        assert option in text
