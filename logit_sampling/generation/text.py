"""Text out of token ids, piece by piece."""

from collections.abc import Callable

_INCOMPLETE = "\N{REPLACEMENT CHARACTER}"


class TextStream:
    """The text of a growing list of token ids, in pieces of whole characters.

    A character may span tokens: its first bytes alone decode to U+FFFD, so a piece never ends in
    one before the text does. The pieces joined, with that of :meth:`finish`, are the decoded text.

    >>> def decode(ids):
    ...     return bytes(ids).decode("utf-8", errors="replace")
    >>> stream = TextStream(decode)
    >>> [stream.push(byte) for byte in "Oé".encode()] + [stream.finish()]
    ['O', '', 'é', '']

    Args:
        decode: token ids -> text; more ids only add to the text, but for U+FFFD at its end.
    """

    def __init__(self, decode: Callable[[list[int]], str]) -> None:
        self._decode = decode
        self._ids: list[int] = []
        self._sent = 0

    def push(self, token_id: int) -> str:
        """Add a token and return the characters that are now complete."""
        self._ids.append(token_id)
        return self._piece(self._decode(self._ids).rstrip(_INCOMPLETE))

    def finish(self) -> str:
        """Return what :meth:`push` held back."""
        return self._piece(self._decode(self._ids))

    def _piece(self, text: str) -> str:
        piece = text[self._sent :]
        self._sent = max(self._sent, len(text))
        return piece
