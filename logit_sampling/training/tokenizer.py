"""A byte-level BPE tokenizer, learned from a text."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import keras_hub
    from tokenizers import pre_tokenizers

END = "<|endoftext|>"
# Merges are learned within these pieces: a word with the character before it, up to three digits,
# a run of punctuation with the line ends after it, or white space.
PIECES = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def pieces_of(text: str) -> list[str]:
    """Cut a text into the pieces within which it is merged, in the letters that stand for bytes."""
    return [piece for piece, _ in _pre_tokenizer().pre_tokenize_str(text)]


def _pre_tokenizer() -> pre_tokenizers.PreTokenizer:
    from tokenizers import Regex
    from tokenizers.pre_tokenizers import ByteLevel, Sequence, Split

    pieces = Split(Regex(PIECES), behavior="isolated")
    return Sequence([pieces, ByteLevel(add_prefix_space=False, use_regex=False)])


def learn_tokenizer(text: str, vocabulary_size: int) -> keras_hub.models.QwenTokenizer:
    """Learn a byte-level BPE vocabulary of at most `vocabulary_size` tokens from `text`.

    The ids are those of the 256 bytes, then of the merges, and last of `<|endoftext|>`: not first,
    because KerasHub pads with id 0 and would take the padding after a prompt for the end. A short
    text gives fewer merges than asked for. Raises `ValueError` if it gives none.
    """
    import keras_hub
    from tokenizers import Tokenizer, models, trainers
    from tokenizers.pre_tokenizers import ByteLevel

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = _pre_tokenizer()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary_size - 1,
        initial_alphabet=ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator(text.split(END), trainer)
    model = json.loads(bpe.to_str())["model"]
    vocabulary = model["vocab"] | {END: len(model["vocab"])}
    merges = [" ".join(pair) for pair in model["merges"]]
    if not merges:
        raise ValueError("the text has no two characters to merge: it must have words")
    return keras_hub.models.QwenTokenizer(vocabulary=vocabulary, merges=merges)


def characters_per_token(tokenizer: keras_hub.models.BytePairTokenizer) -> np.ndarray:
    """How many characters each token of a byte-level BPE stands for, float32 `[vocab]`.

    A character of several bytes counts where its first byte is, so that the tokens of a text sum to
    its length.
    """
    visible = [*range(33, 127), *range(161, 173), *range(174, 256)]
    hidden = [byte for byte in range(256) if byte not in visible]
    # The alphabet of GPT-2: visible bytes stand for themselves, the others come after byte 255.
    alphabet = {chr(b): b for b in visible} | {chr(256 + n): b for n, b in enumerate(hidden)}
    begins = {letter: byte & 0xC0 != 0x80 for letter, byte in alphabet.items()}
    tokens = (tokenizer.id_to_token(i) for i in range(tokenizer.vocabulary_size()))
    return np.array([sum(begins[letter] for letter in token) for token in tokens], np.float32)
