"""The command `logit-sampling`.

What takes long to import is imported in `main`, where an interruption is met.
"""

import io
import os
import platform
import re
import sys

from logit_sampling.cli import process

OF_MODELS = ("keras", "keras_hub", "tensorflow")  # left out where none is released


def main(arguments: list[str] | None = None) -> None:
    """Run the command line; bad input ends with one line on stderr and exit status 2."""
    if arguments is None:  # else it is a call among others in somebody's process
        process.settle()
        process.keep_compilations()
    try:
        from logit_sampling.cli.app import run

        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):  # an ASCII terminal shows ? for what it lacks
                stream.reconfigure(errors="replace")
        try:
            status = run(sys.argv[1:] if arguments is None else arguments)
        finally:
            sys.stdout.flush()  # now, while an error of it can be told
        raise SystemExit(status)
    except BrokenPipeError:  # as of `logit-sampling ... | head -1`
        process.drop(sys.stdout)
        process.drop(sys.stderr)
        raise SystemExit(1) from None
    except (Exception, KeyboardInterrupt, SystemExit) as error:
        if process.interrupted(error):
            raise SystemExit(130) from None
        if not isinstance(error, ValueError | OSError) and not _lacking(error):
            raise
        process.say(f"logit-sampling: {_message(error)}")
        raise SystemExit(2) from None


def _lacking(error: BaseException) -> str:
    """The package without which no model runs here, or nothing if the error is another."""
    package = ((isinstance(error, ModuleNotFoundError) and error.name) or "").partition(".")[0]
    return package if package in (*OF_MODELS, os.environ.get("KERAS_BACKEND")) else ""


def _message(error: BaseException) -> str:
    """One line for an error: of the system's, which file it is about and what happened.

    What Python passes by name, the command line does by an option.
    """
    package = _lacking(error)
    if package in OF_MODELS:
        return (
            f"a model runs on Keras, KerasHub and TensorFlow, and {package} is not installed: they "
            "come with the package on Python 3.11 to 3.13, and this is Python "
            f"{platform.python_version()}"
        )
    if package:
        return f"KERAS_BACKEND={package} needs {package}: pip install {package}"
    if isinstance(error, OSError) and error.filename is not None and error.strerror:
        names = [str(name) for name in (error.filename, error.filename2) if name is not None]
        return f"{' to '.join(names)}: {error.strerror}"
    text = " ".join(str(error).split()).replace('overflow="slide"', "--overflow slide")
    return re.sub(
        r"\b(max_new_tokens|stop_at_end|overflow) is",
        lambda found: f"--{found[1].replace('_', '-')} is",
        text,
    )
