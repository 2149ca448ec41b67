"""How tokenizers decode, a few lines each: tokens, and what makes a text of them."""

import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Decoder:
    """A tokenizer of its ids alone: it has `encode(text)`, always the first token, and `decode`."""

    tokens: tuple[str, ...]
    join: Callable[[list[str]], str]

    def encode(self, text: str) -> list[int]:
        return [0]

    def decode(self, ids: list[int]) -> str:
        return self.join([self.tokens[i] for i in ids])


def clean(text: str) -> str:
    """As `clean_up_tokenization` of transformers 5."""
    for old in (" .", " ?", " !", " ,", " ' ", " n't", " 'm", " 's", " 've", " 're"):
        text = text.replace(old, old.strip())
    return text


def word_piece(tokens: list[str]) -> str:
    rest = (token[2:] if token[:2] == "##" else f" {token}" for token in tokens[1:])
    return tokens[0] + "".join(rest)


def fallen_back(tokens: list[str]) -> str:
    """As SentencePiece with byte fallback: bytes that are no UTF-8 become U+FFFD."""
    data = b"".join(
        bytes.fromhex(token[3:5]) if re.fullmatch("<0x..>", token) else token.encode()
        for token in tokens
    )
    return data.decode(errors="replace").replace("▁", " ").removeprefix(" ")


def all_or_none(tokens: list[str]) -> str:
    """As `ByteFallback` of tokenizers: one wrong byte spoils all bytes beside it."""
    text = ""
    for run in re.findall("(?:<0x..>)+|[^<]+", "".join(tokens)):
        if run[0] == "<":
            data = bytes.fromhex(run.replace("<0x", "").replace(">", ""))
            try:
                text += data.decode()
            except UnicodeDecodeError:
                text += "\ufffd" * len(data)
        else:
            text += run
    return text


def split(text: str) -> tuple[str, ...]:
    return tuple(text.split(" "))


BYTES = tuple(f"<0x{byte:02X}>" for byte in "é€🙂".encode())
ENGLISH = split("know i do n ' t , . s ##s ##ing 've v e 're ! ' ' n't")

EXACT = {
    "byte-level": Decoder((*"a \n'n,", *BYTES, "<0xFF>"), fallen_back),
    "word pieces": Decoder(ENGLISH, word_piece),
    "word pieces, cleaned": Decoder(ENGLISH, lambda tokens: clean(word_piece(tokens))),
    "SentencePiece": Decoder(
        (*split("▁the ▁cat s ▁ ▁n 't , ▁' ."), "\n", *BYTES, "<0x20>"), fallen_back
    ),
    "stripped": Decoder(("a", " ", " b", "\n", "\t", "c "), lambda tokens: "".join(tokens).strip()),
    "special tokens dropped": Decoder(
        (*split("▁the ▁cat s <end> <pad> <s>"), "▁"),
        lambda tokens: fallen_back([token for token in tokens if token[0] != "<"]),
    ),
}
"""Those whose last characters alone change, of which it is known."""

OTHERS = {
    "cleaned": Decoder(
        ("a", " ", " n", "'t", "n't", " ,", ",", " n't", "b", "'"),
        lambda tokens: "".join(tokens).replace(" n't", "n't").replace(" ,", ","),
    ),
    "composed": Decoder(
        (*"eau", "\u0301", "\u0308", " ", "\u1100", "\u1161", "\u11a8"),
        lambda tokens: unicodedata.normalize("NFC", "".join(tokens)),
    ),
    "merged": Decoder((*".-a ", ".."), lambda t: "".join(t).replace("...", "…").replace("--", "—")),
    "squeezed": Decoder((*"a b", "\n", "  "), lambda tokens: re.sub(r"\s+", " ", "".join(tokens))),
    "all or none": Decoder(("a", "b", *BYTES, "<0xFF>"), all_or_none),
    "capitals": Decoder(tuple("ab. "), lambda tokens: "".join(tokens).title()),
    "sorted": Decoder(tuple("cabd"), lambda tokens: "".join(sorted(tokens))),
    "counted": Decoder(tuple("ab"), lambda tokens: f"{len(tokens)} tokens"),
    "nothing": Decoder(tuple("ab"), lambda tokens: ""),
}
"""Those that change what cannot be foreseen."""
