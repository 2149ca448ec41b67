"""What a token is in bytes: the text of one alone may be part of a character."""

from collections.abc import Callable, Sequence

from logit_sampling.generation.arguments import vocabulary_of
from logit_sampling.models.model import Tokenizer


class Spelling:
    """The bytes of the tokens of a tokenizer.

    Args:
        tokenizer: of a model.
        ends: the ids that end a text of it.
    """

    def __init__(self, tokenizer: Tokenizer, ends: Sequence[int]) -> None:
        self._decode: Callable[[list[int]], str] = tokenizer.decode
        try:
            self._tokens: Sequence[bytes] = vocabulary_of(tokenizer, tuple(ends)).tokens
        except ValueError:  # one that encodes and decodes, and tells no more
            self._tokens = ()

    def text(self, token: int) -> str:
        """Return a token as text, with \\ufffd for what is part of a character."""
        told = self.bytes(token)
        return self._decode([token]) if told is None else told.decode(errors="replace")

    def bytes(self, token: int) -> bytes | None:
        """Return the bytes of a token; None if the tokenizer does not tell."""
        if token < len(self._tokens):
            return self._tokens[token]
        text = self._decode([token])
        return None if "\ufffd" in text else text.encode()
