"""Text out of token ids, whole or piece by piece."""

from collections.abc import Callable

Decode = Callable[[list[int]], str]

_INCOMPLETE = "\N{REPLACEMENT CHARACTER}"
_CONTEXT = 4  # tokens; a character of UTF-8 has at most so many bytes
_TAIL = 16  # tokens behind which a stream goes on
_MISREAD = 3  # bytes that a text cut in front of them may show otherwise


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

    A character may span tokens: its first bytes alone decode to U+FFFD, so no piece ends in one.
    The pieces joined are the text that :func:`continuation` gives, without such an end. A piece
    costs the same however long the text is.

    >>> def decode(ids):
    ...     return bytes(ids).decode("utf-8", errors="replace")
    >>> stream = TextStream(decode)
    >>> [stream.push(byte) for byte in "Oé".encode()]
    ['O', '', 'é']

    Args:
        decode: token ids -> text; more ids only add to the text, but for U+FFFD at its end.
        prompt: the token ids before.
    """

    def __init__(self, decode: Decode, prompt: list[int] | None = None) -> None:
        self._decode = decode
        self._ids = (prompt or [])[-_CONTEXT:]  # the latest
        self._sent = len(decode(self._ids).rstrip(_INCOMPLETE))  # characters of their text

    def push(self, token_id: int) -> str:
        """Add a token and return the characters that are now complete."""
        self._ids.append(token_id)
        text = self._decode(self._ids)
        known = text.rstrip(_INCOMPLETE)
        piece = known[self._sent :]
        self._sent = max(self._sent, len(known))
        if len(self._ids) >= 2 * _TAIL and len(text) == self._sent:
            self._forget(text)
        return piece

    def _forget(self, text: str) -> None:
        """Go on with the last tokens alone, if they decode to the end of `text` by themselves.

        They may begin within a character, or lose a space, and then show a little more or less at
        their beginning, which was sent.
        """
        last = self._ids[-_TAIL:]
        alone = self._decode(last)
        if len(alone) > 2 * _MISREAD and text.endswith(alone[_MISREAD:]):
            self._ids, self._sent = last, len(alone)
