"""The folder in which a run works, and the lock that keeps other runs out of it."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from logit_sampling.locking import locked


class RunFolder:
    """Where a run works, `OUT.training`, and where its result goes.

    Attributes:
        out: the folder that the run makes at its end.
        path: the folder in which it works.
        checkpoint: the file there with its state.
    """

    def __init__(self, out: str | Path) -> None:
        self.out: Path = Path(out)
        self.path: Path = self.out.parent / f"{self.out.name}.training"
        self.checkpoint: Path = self.path / "checkpoint.npz"

    @contextlib.contextmanager
    def claimed(self, resume: bool) -> Iterator[RunFolder]:
        """Make the folder and keep it to this process until the block, or the process, ends.

        After the block it is removed, unless there is a checkpoint in it.

        Raises:
            ValueError: `out` exists, another run works here, an interrupted run is here and
                `resume` is false, or none is here and `resume` is true.
            OSError: nothing can be written here, or where `out` is to be.
        """
        self._check_out()
        if not self.path.exists():
            self._check_checkpoint(resume)
        made = [folder for folder in self.path.parents if not folder.exists()]
        lock = self._lock()
        try:
            self._check_out()  # again: the run that had the lock may have made it
            self._check_checkpoint(resume)
            self._check_end()
            yield self
        finally:
            if self.checkpoint.exists():
                (self.path / "lock").unlink(missing_ok=True)
            else:
                shutil.rmtree(self.path, ignore_errors=True)
            lock.close()
            with contextlib.suppress(OSError):  # a folder that is not empty stays
                for folder in made:
                    folder.rmdir()

    def finish(self, result: Path) -> None:
        """Make `result`, a folder in this one, the output, and forget the run."""
        if os.path.lexists(self.out):
            raise ValueError(
                f"{self.out} appeared during the run, which is kept in {self.path}: move it away "
                "and resume the run"
            )
        result.rename(self.out)
        self.checkpoint.unlink()

    def _lock(self) -> IO[str]:
        self.path.mkdir(parents=True, exist_ok=True)
        return locked(self.path, "training", "choose another output folder")

    def _check_out(self) -> None:
        if os.path.lexists(self.out):
            raise ValueError(f"the output folder {self.out} exists: choose another or remove it")

    def _check_checkpoint(self, resume: bool) -> None:
        if resume and not self.checkpoint.exists():
            raise ValueError(f"no run to resume in {self.path}: start it without `resume`")
        if not resume and self.checkpoint.exists():
            raise ValueError(
                f"an interrupted run is in {self.path}: continue it with `resume=True` or remove it"
            )

    def _check_end(self) -> None:
        """Move a folder to where `out` will be, as the end of the run does."""
        trial, moved = self.path / "trial", self.out.with_name(self.out.name + ".trial")
        trial.mkdir(exist_ok=True)
        trial.rename(moved)
        moved.rmdir()
