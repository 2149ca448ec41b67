"""What a tokenizer's tokens are in bytes, for the grammar engine."""

import re
import sys
from collections.abc import Callable
from dataclasses import dataclass
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
class _Tokens:
    """What llguidance asks of a tokenizer."""

    tokens: list[bytes]
    eos_token_id: int
    special_token_ids: list[int]
    bos_token_id: None = None

    def __call__(self, text: str) -> list[int]:
        """Return nothing: a grammar that forces no token encodes no text."""
        return []


def as_llguidance(tokenizer: Any, end_id: int | None) -> Any:
    """Return llguidance's form of a tokenizer (see ``Grammar``)."""
    package = llguidance()
    known = isinstance(tokenizer, package.LLTokenizer)
    if known or hasattr(tokenizer, "to_str"):
        if not known and end_id is None:
            raise ValueError(
                "a tokenizer of Hugging Face does not tell its end token: pass `end_id`"
            )
        model = tokenizer if known else package.LLTokenizer(tokenizer.to_str())
        ids = range(model.vocab_size)
        tokens = [model.decode_bytes([id]) for id in ids]
        special = {id for id in ids if model.is_special_token(id)}
        ends = model.eos_tokens if end_id is None else [end_id]
    else:
        to_bytes = _keras_hub_bytes(tokenizer)
        tokens = [to_bytes(tokenizer.id_to_token(id)) for id in range(tokenizer.vocabulary_size())]
        special = {int(id) for id in getattr(tokenizer, "special_token_ids", ())}
        ends = [getattr(tokenizer, "end_token_id", None) if end_id is None else end_id]
    for end in ends:
        if not isinstance(end, int | np.integer) or not 0 <= end < len(tokens):
            raise ValueError(f"the end token {end!r} is not in [0, {len(tokens)}): pass `end_id`")
    ends = [int(end) for end in ends]
    wrapped = package.TokenizerWrapper(_Tokens(tokens, ends[0], sorted({*special, *ends})))
    return package.LLTokenizer(wrapped, eos_token=ends)


def _keras_hub_bytes(tokenizer: Any) -> Callable[[str], bytes]:
    """Return what turns a token of a KerasHub tokenizer into its bytes."""
    hub = sys.modules.get("keras_hub")
    if hub is not None and isinstance(tokenizer, hub.tokenizers.BytePairTokenizer):
        return _of_byte_level
    if hub is not None and isinstance(tokenizer, hub.tokenizers.SentencePieceTokenizer):
        return _of_sentence_piece
    raise ValueError(
        "a Grammar takes a KerasHub tokenizer (byte-level BPE or SentencePiece), a tokenizer of "
        f"Hugging Face's tokenizers, or an LLTokenizer of llguidance; got {tokenizer!r}"
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
