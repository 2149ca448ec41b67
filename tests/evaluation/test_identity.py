"""What tells models apart: weights, layers, dtypes, tokenizers; or else names."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import logit_sampling as ls
from logit_sampling.evaluation.identity import identity

from .conftest import CHARACTERS, Characters

OPTIONS: Any = ([[0]], ["greedy"], (0,), 4)


def made(activation: str = "relu", dtype: str = "float32") -> Any:
    """A model whose weights are always the same."""
    ids = keras.Input((None,), dtype="int32")
    hidden = keras.layers.Embedding(5, 5, embeddings_initializer="ones", dtype=dtype)(ids)
    hidden = keras.layers.Dense(5, activation, kernel_initializer="ones", dtype=dtype)(hidden)
    return keras.Model(ids, hidden, name="own")


class Turned(Characters):
    """The same characters in another order."""

    def encode(self, text: str) -> list[int]:
        return [4 - CHARACTERS.index(c) for c in text]

    def decode(self, ids: list[int]) -> str:
        return "".join(CHARACTERS[4 - i] for i in ids)


class Longer(Characters):
    """The same texts of ids, and other ids of a text."""

    def encode(self, text: str) -> list[int]:
        return [0, *super().encode(text)]


def test_a_model_that_is_made_again_is_the_same() -> None:
    """Though Keras counts up the names of its layers."""
    first, second = made(), made()
    assert [own.name for own in first.layers] != [own.name for own in second.layers]
    assert identity(first) == identity(second)
    assert None not in identity(first, Characters()).values()


@pytest.mark.parametrize(
    ("other", "differ"),
    [
        (lambda own: made("gelu"), {"config"}),
        (lambda own: made(dtype="mixed_bfloat16"), {"config"}),
        (lambda own: ls.as_model(own, end_ids=3), {"config"}),
        (lambda own: ls.as_model(own, context_length=9), {"config"}),
        (lambda own: ls.as_model(own, tokenizer=Turned()), {"tokenizer"}),
        (lambda own: ls.as_model(own, tokenizer=Longer()), {"tokenizer"}),
        (lambda own: own.set_weights([2 * w for w in own.get_weights()]) or own, {"weights"}),
    ],
)
def test_what_differs_is_told(other: Any, differ: set[str], tmp_path: Path) -> None:
    options: dict[str, Any] = {"out": tmp_path}
    first = ls.as_model(made(), tokenizer=Characters())
    second = other(made())
    if ls.as_model(second).tokenizer is None:
        second = ls.as_model(second, tokenizer=Characters())
    before, now = identity(first), identity(second)
    assert {name for name in now if now[name] != before[name]} == differ
    ls.compare(first, *OPTIONS, **options)
    ls.compare(first, *OPTIONS, **options)
    with pytest.raises(ValueError, match="holds texts of model 'own'"):
        ls.compare(second, *OPTIONS, **options)


def test_the_tokenizer_of_a_call_counts(tmp_path: Path) -> None:
    ls.compare(made(), *OPTIONS, tokenizer=Characters(), out=tmp_path)
    with pytest.raises(ValueError, match="holds texts of model 'own'"):
        ls.compare(made(), *OPTIONS, tokenizer=Turned(), out=tmp_path)


def test_a_function_needs_a_name_to_keep_its_texts(tmp_path: Path) -> None:
    function = lambda ids: np.zeros((*ids.shape, 5), np.float32)  # noqa: E731
    for model, judge in (
        (function, None),
        (ls.as_model(function), None),
        (ls.as_model(function, vocab_size=5), None),
        (ls.as_model(function, name="mine"), function),
    ):
        with pytest.raises(
            ValueError, match=r"is a function, .* as_model\(function, name=\.\.\.\)"
        ):
            ls.compare(model, *OPTIONS, judge=judge, out=tmp_path / "a")
    assert not (tmp_path / "a").exists()
    ls.compare(ls.as_model(function, name="mine"), *OPTIONS, out=tmp_path / "b")
    ls.compare({"mine": function}, *OPTIONS, out=tmp_path / "b")
    ls.compare(function, *OPTIONS)
