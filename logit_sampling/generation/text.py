"""Text out of token ids, whole or piece by piece."""

from collections.abc import Callable

Decode = Callable[[list[int]], str]

_INCOMPLETE = "\N{REPLACEMENT CHARACTER}"
_CONTEXT = 4  # tokens; a character of UTF-8 has at most so many bytes


def continuation(decode: Decode, prompt: list[int], ids: list[int]) -> str:
    """Return what `ids` add to the text of `prompt`.

    They are decoded behind the end of the prompt, since some tokenizers drop the space before the
    first word of a text.

    Args:
        decode: token ids -> text, U+FFFD where bytes are no UTF-8.
        prompt: the token ids before.
        ids: the token ids to show.
    """
    context = prompt[-_CONTEXT:]
    return decode(context + ids)[len(decode(context).rstrip(_INCOMPLETE)) :]


class TextStream:
    """The text of a growing list of token ids, in pieces of whole characters.

    A character may span tokens: its first bytes alone decode to U+FFFD, so a piece never ends in
    one before the text does. The pieces joined, with that of :meth:`finish`, are the text that
    :func:`continuation` gives.

    >>> def decode(ids):
    ...     return bytes(ids).decode("utf-8", errors="replace")
    >>> stream = TextStream(decode)
    >>> [stream.push(byte) for byte in "Oé".encode()] + [stream.finish()]
    ['O', '', 'é', '']

    Args:
        decode: token ids -> text; more ids only add to the text, but for U+FFFD at its end.
        prompt: the token ids before.
    """

    def __init__(self, decode: Decode, prompt: list[int] | None = None) -> None:
        self._decode = decode
        self._prompt = prompt or []
        self._ids: list[int] = []
        self._sent = 0

    def push(self, token_id: int) -> str:
        """Add a token and return the characters that are now complete."""
        self._ids.append(token_id)
        return self._piece(self._text().rstrip(_INCOMPLETE))

    def finish(self) -> str:
        """Return what :meth:`push` held back."""
        return self._piece(self._text())

    def _text(self) -> str:
        return continuation(self._decode, self._prompt, self._ids)

    def _piece(self, text: str) -> str:
        piece = text[self._sent :]
        self._sent = max(self._sent, len(text))
        return piece
