import shutil
import socket
from pathlib import Path
from typing import Any

import pytest

import logit_sampling as ls
from logit_sampling.generation import loading


@pytest.fixture
def copy(tiny_preset: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_preset, tmp_path / "copy"))


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("the network was used")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def test_folder_gives_the_model_that_was_saved(tiny_preset: Path, tiny_gpt2: Any) -> None:
    model = ls.load_model(tiny_preset)
    assert (model.name, model.context_length, model.vocab_size) == (str(tiny_preset), 48, 261)
    assert model.end_ids == (260,)
    assert model.encode("the") == [260, *tiny_gpt2.preprocessor.tokenizer.tokenize("the")]
    options: dict[str, Any] = {"max_new_tokens": 20, "seed": 2}
    loaded = ls.generate(model, ["the", "a cat"], **options)
    assert loaded.texts == ls.generate(tiny_gpt2, ["the", "a cat"], **options).texts


def test_shipped_model_is_found_in_a_wheel_and_in_a_checkout(
    tiny_preset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, offline: None
) -> None:
    package = tmp_path / "logit_sampling"
    monkeypatch.setattr(loading, "_PACKAGE", package)
    with pytest.raises(ValueError, match=r"give a shipped model \(none\)"):
        ls.load_model("tiny")
    shutil.copytree(tiny_preset, tmp_path / "models" / "tiny")
    with pytest.raises(ValueError, match="unknown model 'tiny'"):  # not a checkout of ours
        ls.load_model("tiny")
    (tmp_path / "pyproject.toml").touch()
    assert ls.load_model("tiny").name == "tiny"
    shutil.move(tmp_path / "models", package / "models")
    assert ls.load_model("tiny").name == "tiny"


def test_unknown_name_lists_what_there_is_and_stays_offline(
    tiny_preset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, offline: None
) -> None:
    monkeypatch.setattr(loading, "_PACKAGE", tmp_path)
    shutil.copytree(tiny_preset, tmp_path / "models" / "bard")
    with pytest.raises(ValueError, match=r"unknown model 'brad': .* \(bard\), the folder .*gpt2_"):
        ls.load_model("brad")


def test_preset_that_cannot_be_fetched(offline: None) -> None:
    with pytest.raises(ValueError, match="cannot load the preset 'hf://nobody/nothing'"):
        ls.load_model("hf://nobody/nothing")


@pytest.mark.parametrize(
    "name",
    [
        "config.json",
        "tokenizer.json",
        "model.weights.h5",
        "assets/tokenizer/vocabulary.json",
        "assets/tokenizer/merges.txt",
    ],
)
@pytest.mark.parametrize("damage", ["missing", "empty", "cut", "noise"])
def test_damaged_file_is_named(copy: Path, name: str, damage: str) -> None:
    path = copy / name
    content = path.read_bytes()
    path.unlink()
    if damage != "missing":
        path.write_bytes(
            {"empty": b"", "cut": content[: len(content) // 2], "noise": b"\xff\x00 noise"}[damage]
        )
    if damage == "cut" and path.suffix == ".txt":
        path.write_bytes(content[:-1] + b" cut short")
    with pytest.raises(ValueError, match=path.name) as raised:
        ls.load_model(copy)
    assert str(copy) in str(raised.value)


def test_weights_of_another_size_are_named(copy: Path) -> None:
    task = copy / "task.json"
    task.write_text(task.read_text().replace('"hidden_dim": 16', '"hidden_dim": 32'))
    with pytest.raises(ValueError, match=r"task.json, model.weights.h5\) does not load: "):
        ls.load_model(copy)


def test_folder_without_a_model(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"has no config.json: it needs the files that KerasHub's"):
        ls.load_model(tmp_path)
