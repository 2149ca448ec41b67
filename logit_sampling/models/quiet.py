"""Importing TensorFlow without its messages."""

import os
import sys


def import_tensorflow() -> None:
    """Import TensorFlow, unless it is; its messages appear if TF_CPP_MIN_LOG_LEVEL is below 3.

    They tell of the machine. What goes wrong is raised. The variable alone, which is set to 3 where
    it is not set, does not silence them: the C++ library writes some to file descriptor 2 before it
    reads its log level.
    """
    if "tensorflow" in sys.modules:
        return
    if os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3") < "3":
        import tensorflow

        return
    stderr, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        import tensorflow  # noqa: F401
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
        os.close(nowhere)
