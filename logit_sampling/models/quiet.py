"""Importing Keras and TensorFlow without their messages."""

import os
import sys


def import_tensorflow() -> None:
    """Import TensorFlow, unless it is; its messages appear if TF_CPP_MIN_LOG_LEVEL is below 3.

    Keras goes first, and its backend with it: TensorFlow imports it too, and a Triton that torch
    then brings behind TensorFlow's libraries ends the process (triton 3.8, tensorflow 2.21).

    The messages tell of the machine. What goes wrong is raised. The variable alone, which is set to
    3 where it is not set, does not silence them: the C++ library writes some to file descriptor 2
    before it reads its log level.
    """
    if "tensorflow" in sys.modules:
        return
    if os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3") < "3":
        _import()
        return
    stderr, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        _import()
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
        os.close(nowhere)


def _import() -> None:
    import keras  # noqa: F401
    import tensorflow  # noqa: F401
