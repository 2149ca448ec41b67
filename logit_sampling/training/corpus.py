"""The text to learn from: a file or a published corpus, split by position."""

from __future__ import annotations

import os
import re
import reprlib
from pathlib import Path

TINYSHAKESPEARE_URL = "https://storage.googleapis.com/download.tensorflow.org/data/shakespeare.txt"
TINYSHAKESPEARE_SHA256 = "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"


def read_text(path: str | Path) -> str:
    """Read a UTF-8 file exactly: line ends stay as they are.

    Raises `OSError` if the file cannot be read and `ValueError`, with the offset of the first bad
    byte, if it is not UTF-8.
    """
    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder: name the file in it that has the text")
    if not path.exists():
        raise FileNotFoundError(f"there is no file {path}, seen from {Path.cwd()}: check its path")
    data = path.read_bytes()
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path} is not UTF-8: byte 0x{data[error.start]:02x} at offset {error.start}; "
            "convert the file to UTF-8 first"
        ) from error


def tinyshakespeare() -> str:
    """The 1,115,394 characters of tinyshakespeare, downloaded once into the Keras cache.

    The file is that of TensorFlow's text generation tutorial; its SHA-256 is checked.
    Raises `OSError` if the download fails.
    """
    import keras

    try:
        path = keras.utils.get_file(
            "shakespeare.txt", TINYSHAKESPEARE_URL, file_hash=TINYSHAKESPEARE_SHA256
        )
    except Exception as error:  # get_file raises a bare Exception
        raise OSError(f"cannot download tinyshakespeare: {error}") from error
    return read_text(path)


CORPORA = {"tinyshakespeare": tinyshakespeare}


def check_text(text: object) -> None:
    """Raise `ValueError` for what is no text: a path, whose file is to be read, or no string."""
    if isinstance(text, Path) or (isinstance(text, str) and _looks_like_a_path(text)):
        raise ValueError(
            f"`text` must be what to learn from, and {str(text)!r} looks like a path: read the "
            f"file first, with logit_sampling.training.read_text({str(text)!r})"
        )
    if not isinstance(text, str):
        raise ValueError(f"`text` must be a string, got {reprlib.repr(text)}")


def _looks_like_a_path(text: str) -> bool:
    """Whether `text` names a file, or is one short line with a slash or an end such as .txt."""
    if len(text) > 260 or "\n" in text:
        return False
    return os.path.lexists(text) or bool(re.fullmatch(r"\S*[/\\]\S*|.*\w\.[A-Za-z]\w{0,4}", text))


def split(text: str) -> tuple[str, str]:
    """The first 90% of the characters, to train on, and the rest, to validate on.

    >>> split("0123456789")
    ('012345678', '9')
    """
    cut = len(text) * 9 // 10
    return text[:cut], text[cut:]
