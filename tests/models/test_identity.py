"""What tells models apart: weights, layers, dtypes, tokenizers; or else names."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import logit_sampling as ls
from logit_sampling.models.identity import identity
from tests.evaluation.conftest import CHARACTERS, Characters

OPTIONS: Any = ([[0]], ["greedy"], (0,), 4)


def made(activation: str = "relu", dtype: str = "float32") -> Any:
    """A model whose weights are always the same."""
    ids = keras.Input((None,), dtype="int32")
    hidden = keras.layers.Embedding(5, 5, embeddings_initializer="ones", dtype=dtype)(ids)
    hidden = keras.layers.Dense(5, activation, kernel_initializer="ones", dtype=dtype)(hidden)
    return keras.Model(ids, hidden, name="own")


class Tokenizer(Characters):
    """The same characters, by other ids or behind a start token."""

    def __init__(self, turned: bool = False, start: bool = False) -> None:
        self.characters = CHARACTERS[::-1] if turned else CHARACTERS
        self.start = [0] if start else []

    def encode(self, text: str) -> list[int]:
        return self.start + [self.characters.index(c) for c in text]

    def decode(self, ids: list[int]) -> str:
        return "".join(self.characters[i] for i in ids)


class Configured:
    """What has a config and nothing else of a Keras model."""

    name, context_length, vocab_size, end_ids, tokenizer = "own", None, 5, (), None

    def __init__(self, dtype: str = "float32", tokens: Sequence[str] = ()) -> None:
        self.dtype, self.tokens = dtype, tokens

    def prefill(self, prompts: Any) -> Any:
        raise NotImplementedError

    def get_config(self) -> dict[str, Any]:
        dtype = {"class_name": "DTypePolicy", "config": {"name": self.dtype}}
        tokens = {"config": {"unsplittable_tokens": self.tokens}}
        return {"name": "layer_3", "trainable": True, "dtype": dtype, "preprocessor": tokens}


def test_a_model_that_is_made_again_is_the_same() -> None:
    """Though Keras counts up the names of its layers."""
    first, second = made(), made()
    assert [own.name for own in first.layers] != [own.name for own in second.layers]
    assert identity(first) == identity(second)
    assert None not in identity(first, Tokenizer()).values()


def test_the_name_of_a_dtype_is_no_name_of_a_layer() -> None:
    assert identity(Configured("float32")) != identity(Configured("mixed_bfloat16"))


def test_a_process_that_has_sets_in_another_order_finds_the_same() -> None:
    """As KerasHub's tokenizers have the tokens that they do not split."""
    assert identity(Configured(tokens=["<a>", "<b>"])) == identity(
        Configured(tokens=["<b>", "<a>"])
    )


def test_a_tokenizer_is_told_by_the_ids_and_by_the_texts_of_them() -> None:
    """Where it refuses the one or cannot be asked for the other, by what is left."""

    class OneWay(Tokenizer):
        def encode(self, text: str) -> list[int]:
            raise KeyError(text)

    plain, turned = (identity(Configured(), OneWay(turned=own)) for own in (False, True))
    assert plain["tokenizer"] != turned["tokenizer"]


@pytest.mark.parametrize(
    ("other", "differ"),
    [
        (lambda own: made("gelu"), {"config"}),
        (lambda own: made(dtype="mixed_bfloat16"), {"config"}),
        (lambda own: ls.as_model(own, end_ids=3), {"config"}),
        (lambda own: ls.as_model(own, context_length=9), {"config"}),
        (lambda own: ls.as_model(own, tokenizer=Tokenizer(turned=True)), {"tokenizer"}),
        (lambda own: ls.as_model(own, tokenizer=Tokenizer(start=True)), {"tokenizer"}),
        (lambda own: own.set_weights([2 * w for w in own.get_weights()]) or own, {"weights"}),
    ],
)
def test_what_differs_is_told(other: Any, differ: set[str], tmp_path: Path) -> None:
    options: dict[str, Any] = {"out": tmp_path}
    first = ls.as_model(made(), tokenizer=Tokenizer())
    second = other(made())
    if ls.as_model(second).tokenizer is None:
        second = ls.as_model(second, tokenizer=Tokenizer())
    before, now = identity(first), identity(second)
    assert {name for name in now if now[name] != before[name]} == differ
    ls.compare(first, *OPTIONS, **options)
    ls.compare(first, *OPTIONS, **options)
    (name,) = differ
    with pytest.raises(ValueError, match=rf"another model 'own' \({name} '\w+' there, '\w+' here"):
        ls.compare(second, *OPTIONS, **options)


def test_the_tokenizer_of_a_call_counts(tmp_path: Path) -> None:
    ls.compare(made(), *OPTIONS, tokenizer=Tokenizer(), out=tmp_path)
    with pytest.raises(ValueError, match="another model 'own'"):
        ls.compare(made(), *OPTIONS, tokenizer=Tokenizer(turned=True), out=tmp_path)


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
