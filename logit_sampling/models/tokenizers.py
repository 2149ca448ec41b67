"""Tokenizers of any kind, as generation needs them."""

from collections.abc import Mapping
from inspect import getattr_static
from types import FunctionType, MethodDescriptorType
from typing import Any

import numpy as np

from logit_sampling.distribution.arrays import library_of, to_numpy
from logit_sampling.models.model import Tokenizer

_METHODS = (("encode", "decode"), ("tokenize", "detokenize"))
_UNBOUND = (FunctionType, MethodDescriptorType)  # what a class has in place of a method


def as_text(x: Any) -> str | None:
    """Return text of any kind as a string: bytes are UTF-8; None for what is no single text.

    Raises:
        ValueError: bytes that are no UTF-8.
    """
    if isinstance(x, str):
        return str(x)
    if library_of(x) == "tensorflow" and getattr(x, "dtype", None) == "string":
        x = x.numpy() if hasattr(x, "numpy") else x
    if isinstance(x, np.ndarray) and x.ndim == 0:
        x = x.item()
    if isinstance(x, bytes | bytearray):
        try:
            return x.decode()
        except UnicodeDecodeError as error:
            raise ValueError(f"text must be UTF-8, got {bytes(x[:60])!r}: {error}") from None
    return str(x) if isinstance(x, str) else None


class AnyTokenizer:
    """Another library's tokenizer.

    Args:
        tokenizer: has the two methods.
        encode: the name of the one from text to token ids: a list, an array or tensor, an
            `Encoding`, or a mapping with `input_ids`.
        decode: the name of the one back.

    Attributes:
        tokenizer: the same.
    """

    def __init__(self, tokenizer: Any, encode: str, decode: str) -> None:
        self.tokenizer = tokenizer
        self._encode, self._decode = getattr(tokenizer, encode), getattr(tokenizer, decode)

    def __repr__(self) -> str:
        return f"<AnyTokenizer {type(self.tokenizer).__name__}>"

    def encode(self, text: str) -> list[int]:
        """Return the token ids of a text; raise ValueError if they are none."""
        given = self._encode(text)
        ids = getattr(given, "ids", given)
        ids = to_numpy(ids["input_ids"] if hasattr(ids, "keys") else ids)
        if ids.ndim != 1 or (ids.size and ids.dtype.kind not in "iu"):
            raise ValueError(
                f"the tokenizer must give a list of token ids for a text; for {text[:60]!r} it "
                f"gave {ids.dtype.name} of shape {ids.shape}"
            )
        return [int(i) for i in ids]

    def decode(self, ids: list[int]) -> str:
        """Return the text of ids; raise ValueError if it is none."""
        given = self._decode(ids) if ids else ""
        text = given if type(given) is str else as_text(given)
        if text is None:
            raise ValueError(f"the tokenizer must decode to a string, got {given!r}")
        return text


def as_tokenizer(tokenizer: Any) -> Tokenizer | None:
    """Return a tokenizer of any kind as generation needs it; None for None.

    Args:
        tokenizer: has `encode(text)` and `decode(ids)`, as those of transformers and
            tokenizers have, or `tokenize(text)` and `detokenize(ids)`, as KerasHub's.

    Raises:
        ValueError: it has neither, or is a class whose methods need an object of it.
    """
    if tokenizer is None or isinstance(tokenizer, AnyTokenizer):
        return tokenizer
    for names in _METHODS:
        if isinstance(tokenizer, type) and isinstance(
            getattr_static(tokenizer, names[0], 0), _UNBOUND
        ):
            name = tokenizer.__name__
            raise ValueError(f"{name} is a class: pass a tokenizer that it makes, {name}(...)")
        if all(callable(getattr(tokenizer, name, None)) for name in names):
            return AnyTokenizer(tokenizer, *names)
    raise ValueError(
        "a tokenizer needs encode(text) and decode(ids), or tokenize(text) and detokenize(ids), as "
        f"those of tokenizers, transformers and KerasHub have; got {tokenizer!r}"
    )


def vocabulary(tokenizer: Any) -> Mapping[str, int] | None:
    """Return the id of each token, None if a tokenizer does not tell them."""
    own = tokenizer.tokenizer if isinstance(tokenizer, AnyTokenizer) else tokenizer
    if hasattr(own, "get_vocab"):  # Hugging Face's, and ours
        return own.get_vocab()
    return getattr(own, "vocabulary", None) or None  # KerasHub's byte pairs


def token_count(tokenizer: Any) -> int | None:
    """Return the number behind the last id that a token has, None if a tokenizer does not tell."""
    own = tokenizer.tokenizer if isinstance(tokenizer, AnyTokenizer) else tokenizer
    known = vocabulary(tokenizer)
    if known is not None:  # ids may be left out
        return max(known.values(), default=-1) + 1
    # KerasHub's others; one that was given no vocabulary has None, and cannot tell.
    told = getattr(own, "vocabulary", {}) is not None and hasattr(own, "vocabulary_size")
    return own.vocabulary_size() if told else None
