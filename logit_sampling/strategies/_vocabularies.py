"""What a tokenizer's tokens are in bytes, for the grammar engine."""

import re
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from types import ModuleType
from typing import Any

import numpy as np


def llguidance() -> ModuleType:
    """Return the package; raise ValueError if it is not installed."""
    try:
        import llguidance as package
    except ImportError:
        raise ValueError(
            "a Grammar needs the package llguidance: pip install 'logit-sampling[grammar]'"
        ) from None
    return package


@dataclass(frozen=True)
class Vocabulary:
    """The tokens of a tokenizer, as a value: equal where the tokens are, and it can be pickled.

    Args:
        tokens: the bytes of each.
        end_ids: those that end a text, the first of them before others.
        special_ids: those that are no text, the end tokens among them.
    """

    tokens: tuple[bytes, ...] = field(repr=False, hash=False)
    end_ids: tuple[int, ...]
    special_ids: tuple[int, ...] = field(repr=False)

    @cached_property
    def engine(self) -> Any:
        """The same in llguidance's form."""
        package = llguidance()
        tokens = _Tokens(list(self.tokens), self.end_ids[0], list(self.special_ids))
        return package.LLTokenizer(package.TokenizerWrapper(tokens), eos_token=list(self.end_ids))

    def __reduce__(self) -> tuple[Any, ...]:
        """Leave the engine out, which is made anew."""
        return Vocabulary, (self.tokens, self.end_ids, self.special_ids)


@dataclass(frozen=True)
class _Tokens:
    """What llguidance asks of a tokenizer."""

    tokens: list[bytes]
    eos_token_id: int
    special_token_ids: list[int]
    bos_token_id: None = None

    def __call__(self, text: str) -> list[int]:
        """Return nothing: a grammar that forces no token encodes no text."""
        return []


def as_vocabulary(tokenizer: Any, end_id: int | None) -> Vocabulary:
    """Return the tokens of a tokenizer of any kind (see `Grammar`)."""
    if isinstance(tokenizer, Vocabulary) and end_id is None:
        return tokenizer
    told: tuple[int, ...] = ()
    inner = tokenizer
    while inner is not None and not isinstance(inner, Vocabulary):  # down to what has no other
        tokenizer, told = inner, told or tuple(getattr(inner, "end_ids", ()))
        inner = getattr(inner, "preprocessor", None) or getattr(inner, "tokenizer", None)
    tokens, special, known = _tokens_of(inner or tokenizer)
    ends = (told or known) if end_id is None else (end_id,)
    if not ends:
        raise ValueError("the tokenizer does not tell its end token: pass `end_id`")
    for end in ends:
        if not isinstance(end, int | np.integer) or not 0 <= end < len(tokens):
            raise ValueError(f"the end token {end!r} is not in [0, {len(tokens)}): pass `end_id`")
    ends = tuple(map(int, ends))
    return Vocabulary(tuple(tokens), ends, tuple(sorted({*special, *ends})))


_Parts = tuple[Sequence[bytes], Iterable[int], tuple[int, ...]]
"""The tokens, the special ones, and those that end a text."""


def _tokens_of(tokenizer: Any) -> _Parts:
    if isinstance(tokenizer, Vocabulary):
        return tokenizer.tokens, tokenizer.special_ids, tokenizer.end_ids
    known = isinstance(tokenizer, llguidance().LLTokenizer)
    backend = getattr(tokenizer, "backend_tokenizer", tokenizer)  # of one of transformers
    if known or hasattr(backend, "to_str"):
        model = tokenizer if known else _read(backend)
        ids = range(model.vocab_size)
        special = [id for id in ids if model.is_special_token(id)]
        ends = model.eos_tokens if known else getattr(tokenizer, "eos_token_id", None)
        ends = () if ends is None else tuple(np.atleast_1d(ends).tolist())
        return [model.decode_bytes([id]) for id in ids], special, ends
    to_bytes = _keras_hub_bytes(tokenizer)
    ids = range(tokenizer.vocabulary_size())
    special = [int(id) for id in getattr(tokenizer, "special_token_ids", ())]
    return [to_bytes(tokenizer.id_to_token(id)) for id in ids], special, keras_hub_ends(tokenizer)


def _read(backend: Any) -> Any:
    """Return llguidance's form of a `Tokenizer` of Hugging Face's `tokenizers`."""
    try:
        return llguidance().LLTokenizer(backend.to_str())
    except ValueError as error:
        raise ValueError(
            f"llguidance cannot tell the bytes of the tokens of this tokenizer: {error}"
        ) from None


def keras_hub_ends(tokenizer: Any) -> tuple[int, ...]:
    """Return the ids with which a text ends for a KerasHub tokenizer: Llama 3 has two."""
    ids = (getattr(tokenizer, f"end_token{i}_id", None) for i in ("", 2))
    return tuple(int(i) for i in ids if i is not None)


def _keras_hub_bytes(tokenizer: Any) -> Callable[[str], bytes]:
    """Return what turns a token of a KerasHub tokenizer into its bytes."""
    hub = sys.modules.get("keras_hub")
    if hub is not None and isinstance(tokenizer, hub.tokenizers.BytePairTokenizer):
        return _of_byte_level
    if hub is not None and isinstance(tokenizer, hub.tokenizers.SentencePieceTokenizer):
        return _of_sentence_piece
    if hub is not None and isinstance(tokenizer, hub.tokenizers.ByteTokenizer):
        return lambda token: token.encode("latin-1")
    raise ValueError(
        "a Grammar takes a KerasHub tokenizer (byte-level BPE, SentencePiece or bytes), one of "
        "Hugging Face's tokenizers or transformers, an LLTokenizer of llguidance, or a model that "
        f"has one of these; encode and decode alone do not tell its tokens; got {tokenizer!r}"
    )


def _of_byte_level(token: str) -> bytes:
    """Return the bytes of a token in which each character stands for one byte, as in GPT-2."""
    if all(character in _BYTES for character in token):
        return bytes(_BYTES[character] for character in token)
    return token.encode()


def _of_sentence_piece(token: str) -> bytes:
    """Return the bytes of a piece, in which a low line stands for a space."""
    one = re.fullmatch("<0x([0-9A-Fa-f]{2})>", token)
    return bytes.fromhex(one[1]) if one else token.replace("\u2581", " ").encode()


_PRINTED = [*range(33, 127), *range(161, 173), *range(174, 256)]
_OTHERS = [byte for byte in range(256) if byte not in _PRINTED]
# A byte without a printed character of its own has one from 256 on.
_BYTES = {chr(byte): byte for byte in _PRINTED} | {chr(256 + i): b for i, b in enumerate(_OTHERS)}
