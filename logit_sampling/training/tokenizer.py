"""A byte-level BPE tokenizer, learned from a text."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import keras_hub

END = "<|endoftext|>"
# Merges are learned within these pieces: a word with the character before it, up to three digits,
# a run of punctuation with the line ends after it, or white space.
PIECES = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)


def learn_tokenizer(text: str, vocabulary_size: int) -> keras_hub.models.GPT2Tokenizer:
    """Learn a byte-level BPE vocabulary of at most `vocabulary_size` tokens from `text`.

    The ids are those of the 256 bytes, then of the merges, and last of `<|endoftext|>`: not first,
    because KerasHub pads with id 0 and would take the padding after a prompt for the end. A short
    text gives fewer merges than asked for. Raises `ValueError` if it gives none.
    """
    import keras_hub
    from tokenizers import Regex, Tokenizer, models, trainers
    from tokenizers.pre_tokenizers import ByteLevel, Sequence, Split

    bpe = Tokenizer(models.BPE())
    pieces = Split(Regex(PIECES), behavior="isolated")
    bpe.pre_tokenizer = Sequence([pieces, ByteLevel(add_prefix_space=False, use_regex=False)])
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
    return keras_hub.models.GPT2Tokenizer(vocabulary=vocabulary, merges=merges)
