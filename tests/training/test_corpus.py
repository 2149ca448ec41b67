import hashlib
from pathlib import Path

import pytest

from logit_sampling.training import read_text, split
from logit_sampling.training.corpus import TINYSHAKESPEARE_SHA256, check_text, tinyshakespeare


def test_split_is_by_position_at_nine_tenths_of_the_characters():
    text = "".join(chr(0x4E00 + i % 20_000) for i in range(1_115_394))
    training, validation = split(text)
    assert (len(training), len(validation)) == (1_003_854, 111_540)
    assert training + validation == text


def test_read_text_keeps_every_character(tmp_path):
    file = tmp_path / "text"
    file.write_bytes("a\r\nb\n\tÜ 🙂\n\n".encode())
    assert read_text(file) == "a\r\nb\n\tÜ 🙂\n\n"


def test_a_file_that_is_not_utf_8_names_the_byte_and_its_offset(tmp_path):
    file = tmp_path / "latin"
    file.write_bytes("Über".encode() + b"\xe9t\xe9")
    with pytest.raises(ValueError, match="latin is not UTF-8: byte 0xe9 at offset 5"):
        read_text(file)


def test_a_missing_file_and_a_folder_are_named_in_a_sentence(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError) as missing:
        read_text("none")
    assert str(missing.value) == f"there is no file none, seen from {tmp_path}: check its path"
    with pytest.raises(IsADirectoryError) as folder:
        read_text(tmp_path)
    assert str(folder.value) == f"{tmp_path} is a folder: name the file in it that has the text"


@pytest.mark.parametrize(
    "path", ["märchen.txt", "my notes.md", "books/emma", r"C:\books\emma", "a b c", Path("emma")]
)
def test_a_path_is_no_text(tmp_path, monkeypatch, path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a b c").touch()
    with pytest.raises(ValueError) as error:
        check_text(path)
    assert str(error.value) == (
        f"`text` must be what to learn from, and {str(path)!r} looks like a path: read the file "
        f"first, with logit_sampling.training.read_text({str(path)!r})"
    )


@pytest.mark.parametrize(
    "text",
    ["", "To be, or not to be.", "and/or is two words", "see a.txt\n", "a/b" * 100, "a" * 5000],
)
def test_a_text_is_no_path(text):
    check_text(text)


def test_tinyshakespeare_comes_from_the_keras_cache_with_its_hash_checked(monkeypatch, tmp_path):
    import keras

    cached = tmp_path / "shakespeare.txt"
    cached.write_text("First Citizen:\n")
    asked = {}

    def get_file(name, url, file_hash):
        asked.update(name=name, url=url, file_hash=file_hash)
        return str(cached)

    monkeypatch.setattr(keras.utils, "get_file", get_file)
    assert tinyshakespeare() == "First Citizen:\n"
    assert asked == {
        "name": "shakespeare.txt",
        "url": "https://storage.googleapis.com/download.tensorflow.org/data/shakespeare.txt",
        "file_hash": TINYSHAKESPEARE_SHA256,
    }
    assert len(bytes.fromhex(TINYSHAKESPEARE_SHA256)) == hashlib.sha256().digest_size


def test_a_failed_download_is_an_os_error_that_says_why(monkeypatch):
    import keras

    def get_file(*arguments, **options):
        raise Exception("URL fetch failure: no route to host")

    monkeypatch.setattr(keras.utils, "get_file", get_file)
    with pytest.raises(OSError, match="cannot download tinyshakespeare: URL fetch failure: no ro"):
        tinyshakespeare()
