"""A lock that keeps other processes out of a folder while one works there."""

import os
import socket
import sys
from pathlib import Path
from typing import IO, Any

if sys.platform == "win32":
    import msvcrt

    def _take(file: int) -> None:
        os.lseek(file, 1 << 30, os.SEEK_SET)  # what is locked there can be read by nobody else
        msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
else:
    import fcntl

    def _take(file: int) -> None:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def lock(file: IO[Any]) -> bool:
    """Lock a file for as long as it is open; return whether nobody else has it."""
    try:
        _take(file.fileno())
    except (BlockingIOError, PermissionError):
        return False
    return True


def locked(folder: Path, work: str, way_out: str) -> IO[str]:
    """Lock the file `lock` of a folder: the system unlocks it when the process ends, however.

    Args:
        folder: one that is there.
        work: what is done there, as a message has it.
        way_out: what to do, beside waiting.

    Returns:
        the file, which keeps the lock until it is closed.

    Raises:
        ValueError: another process has it.
    """
    path = folder / "lock"
    file = path.open("a+", encoding="utf-8")
    # Between opening and locking, the process that had it may have ended and removed it.
    if lock(file) and path.exists() and os.path.samestat(path.stat(), os.fstat(file.fileno())):
        file.truncate(0)
        print(f"process {os.getpid()} on {socket.gethostname()}", file=file, flush=True)
        return file
    file.seek(0)
    holder = file.read().strip()
    file.close()
    who = f" ({holder})" if holder else ""
    raise ValueError(f"another {work}{who} works in {folder}: wait for its end, or {way_out}")
