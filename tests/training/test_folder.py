import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import logit_sampling as ls
from logit_sampling.training.folder import RunFolder

CLAIM = """
import os, sys, time
from logit_sampling.training.folder import RunFolder
with RunFolder(sys.argv[1]).claimed(resume=False):
    print("claimed", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def other(tmp_path):
    """Another process, which works on the same output."""
    process = subprocess.Popen(
        [sys.executable, "-c", CLAIM, str(tmp_path / "out")],
        env=os.environ | {"PYTHONPATH": str(Path(ls.__file__).parents[1])},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "claimed\n"
    yield process
    process.kill()
    process.communicate()


def test_a_second_run_is_told_of_the_first(tmp_path, other):
    for resume in (False, True):
        with (
            pytest.raises(
                ValueError, match=rf"another training \(process {other.pid} on .*\) works in .*out"
            ),
            RunFolder(tmp_path / "out").claimed(resume),
        ):
            pass
    # It is running, and not an interrupted run that one could resume or remove.
    (tmp_path / "out.training" / "checkpoint.npz").touch()
    with (
        pytest.raises(ValueError, match="another training"),
        RunFolder(tmp_path / "out").claimed(resume=False),
    ):
        pass
    assert other.poll() is None
    assert (tmp_path / "out.training" / "checkpoint.npz").exists()
    with RunFolder(tmp_path / "other").claimed(resume=False):
        pass


def test_the_lock_of_a_killed_process_does_not_block(tmp_path, other):
    other.send_signal(signal.SIGKILL)
    other.wait()
    assert (tmp_path / "out.training" / "lock").exists()
    with RunFolder(tmp_path / "out").claimed(resume=False):
        pass
    assert list(tmp_path.iterdir()) == []


def test_two_runs_of_one_process(tmp_path):
    folder = RunFolder(tmp_path / "out")
    with (
        folder.claimed(resume=False),
        pytest.raises(ValueError, match=rf"another training \(process {os.getpid()} on"),
        RunFolder(tmp_path / "out").claimed(resume=False),
    ):
        pass
    with folder.claimed(resume=False):
        pass


def test_a_run_without_a_checkpoint_leaves_nothing_and_one_with_it_no_lock(tmp_path):
    folder = RunFolder(tmp_path / "new" / "deep" / "out")
    with pytest.raises(RuntimeError), folder.claimed(resume=False):
        assert folder.path.is_dir()
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []
    with folder.claimed(resume=False):
        folder.checkpoint.touch()
    assert list(folder.path.iterdir()) == [folder.checkpoint]
    with folder.claimed(resume=True):
        pass


def test_an_output_folder_that_cannot_be_made_is_found_at_the_start(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OSError), RunFolder(tmp_path / "file" / "out").claimed(resume=False):
        pass
    (tmp_path / "a.training").touch()
    with pytest.raises(OSError), RunFolder(tmp_path / "a").claimed(resume=False):
        pass
    with pytest.raises(OSError), RunFolder(tmp_path / ("a" * 250)).claimed(resume=False):
        pass
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")
    with (
        pytest.raises(ValueError, match=r"the output folder .*link exists"),
        RunFolder(tmp_path / "link").claimed(resume=False),
    ):
        pass
    assert {path.name for path in tmp_path.iterdir()} == {"file", "a.training", "link"}


def test_an_output_folder_on_another_disk_is_found_at_the_start(tmp_path, monkeypatch):
    """The end of a run is a rename, which cannot leave a disk."""

    def refuse(path, target):
        raise OSError(18, "Invalid cross-device link", str(path), None, str(target))

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(OSError, match="cross-device"), RunFolder(tmp_path / "out").claimed(False):
        pytest.fail("the run began")


def test_an_output_folder_that_appears_during_the_run_costs_nothing(tmp_path):
    folder = RunFolder(tmp_path / "out")
    with folder.claimed(resume=False):
        folder.checkpoint.touch()
        (folder.path / "preset").mkdir()
        folder.out.mkdir()
        with pytest.raises(
            ValueError, match=r"out appeared during the run, which is kept in .*ing"
        ):
            folder.finish(folder.path / "preset")
    folder.out.rmdir()
    with folder.claimed(resume=True):
        folder.finish(folder.path / "preset")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
