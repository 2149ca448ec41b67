"""The process of a command: its standard streams, and what Ctrl-C does to it."""

import contextlib
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any, NoReturn, TextIO


def settle() -> None:
    """Let a command that is closed off, or interrupted while it starts, end quietly.

    A stream that was closed (`2>&-`) leads nowhere: else the next file that is opened would take
    its number, and get what libraries print. Ctrl-C ends the process at once, with status 130: an
    exception in the middle of an import may come out as another, or not at all.
    """
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free, which is this
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        with contextlib.suppress(ValueError):  # not in the main thread
            signal.signal(signal.SIGINT, _leave)


def keep_compilations() -> None:
    """Let JAX find again what it compiled for an earlier command, unless it was told otherwise."""
    if os.environ.get("KERAS_BACKEND") != "jax" or "JAX_COMPILATION_CACHE_DIR" in os.environ:
        return
    caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = caches / "logit_sampling" / "jax"
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:  # then each command compiles
        return
    os.environ["JAX_COMPILATION_CACHE_DIR"] = str(folder)
    os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.1")


def catch_interrupts() -> None:
    """From here on Ctrl-C raises KeyboardInterrupt: there is something to lose."""
    if signal.getsignal(signal.SIGINT) is _leave:
        signal.signal(signal.SIGINT, _interrupt)


def interrupted(error: BaseException) -> bool:
    """Whether an error is an interruption, as it was or as what a library made of it."""
    return isinstance(error, KeyboardInterrupt) or _seen.is_set()


_seen = threading.Event()


def _interrupt(*_: Any) -> NoReturn:
    _seen.set()
    raise KeyboardInterrupt


def say(message: str) -> None:
    """Print a line on stderr, if anybody is there to read it."""
    try:
        print(message, file=sys.stderr, flush=True)
    except OSError:
        drop(sys.stderr)


def drop(stream: TextIO) -> None:
    """Let what is still to be written to a standard stream go nowhere."""
    with contextlib.suppress(OSError, ValueError):  # it is no file
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _leave(*_: Any) -> NoReturn:
    os._exit(130)
