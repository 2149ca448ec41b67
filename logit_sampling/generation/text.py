"""Text out of token ids, whole or piece by piece."""

import re
from collections.abc import Callable
from difflib import SequenceMatcher

from logit_sampling.generation.stop_patterns import Stops
from logit_sampling.generation.stopping import StopStrings

Decode = Callable[[list[int]], str]

_INCOMPLETE = "\N{REPLACEMENT CHARACTER}"
# What a text may end in that the next tokens change: the first bytes of a character, or what the
# clean-up of spaces in transformers joins: " .", " n't", " ' ", " 've", and the others.
_OPEN = re.compile(rf"(?:{_INCOMPLETE}+| +n? *'?[vr]?)\Z")
_REACH = 8  # characters of a text's end that the next tokens may change, at most
_TAIL = 16  # tokens behind which a stream goes on
_MOST = 8 * _TAIL  # tokens that may be without a text that can be told
_SHOWN = 2  # told characters that the last tokens must show alone, so as to go on with them


def continuation(decode: Decode, prompt: list[int], ids: list[int]) -> str:
    """Return what `ids` add to the text of `prompt`: the pieces of a `TextStream`.

    Args:
        decode: token ids -> text, U+FFFD where bytes are no UTF-8.
        prompt: the token ids before.
        ids: the token ids to show.
    """
    stream = TextStream(decode, prompt)
    return "".join([*map(stream.push, ids), stream.end()])


class TextStream:
    """The text of a growing list of token ids, in pieces that later tokens leave as they are.

    Tokens are decoded behind those before them, since some tokenizers drop the space before the
    first word of a text, or join words and punctuation. The end of a text is held back while the
    next tokens may change it, at most 8 characters: the first bytes of a character, which decode to
    U+FFFD, and what the clean-up of spaces in transformers joins (`do n '` and `t` to
    `don't`) if the decode put the space there. Where a decode changes what was told nonetheless,
    the told pieces stay, and from there on the last 8 characters are always held back. So the
    pieces are the decoded text where a token changes no more than them; where one does, the pieces
    are the text.

    A token costs the decoding of 16 to 32 tokens, up to 144 where the last ones show nothing; what
    tokens further back leave open is settled.

    >>> def decode(ids):
    ...     return bytes(ids).decode("utf-8", errors="replace")
    >>> stream = TextStream(decode)
    >>> [stream.push(byte) for byte in "Oé".encode()]
    ['O', '', 'é']

    Args:
        decode: token ids -> text.
        prompt: the token ids before.
    """

    def __init__(self, decode: Decode, prompt: list[int] | None = None) -> None:
        self._decode = decode
        self._ids = (prompt or [])[-_TAIL:]  # the latest
        self._text = decode(self._ids) if self._ids else ""  # theirs
        self._told = len(self._text.rstrip(_INCOMPLETE))  # so many characters of it
        # What may be the first bytes of a character: the next tokens complete it, or leave it.
        self._prompt = self._text if self._told < len(self._text) else None
        self._rewrites = False  # whether told characters were seen to change

    def push(self, token_id: int) -> str:
        """Add a token, and return the characters that are now settled."""
        told, ids = self._text[: self._told], [*self._ids, token_id]
        self._text, self._ids = self._decode(ids), ids  # as it was, if that is interrupted
        if self._prompt is not None:
            if self._may_complete(self._prompt):
                return ""
            self._leave_the_prompt()
        if not self._text.startswith(told):
            self._told, self._rewrites = _end_of(told, self._text), True
        settled = self._settled()
        piece = self._text[self._told : settled]
        self._told = settled
        if len(self._ids) >= 2 * _TAIL:
            self._forget()
        return piece

    def end(self) -> str:
        """End the text, and return what was held back."""
        self._leave_the_prompt()
        piece, self._told = self._text[self._told :], len(self._text)
        return piece

    def _may_complete(self, prompt: str) -> bool:
        """Tell whether the next tokens may still complete the character that ends the prompt."""
        if not self._text.startswith(prompt):
            return False
        rest = self._text[len(prompt) :]
        short = len(rest) < _REACH and len(self._ids) < 2 * _TAIL
        return short and not rest.strip(_INCOMPLETE)

    def _leave_the_prompt(self) -> None:
        """Take the end of the prompt for its own, and told, unless a token has completed it."""
        if self._prompt is not None and self._text.startswith(self._prompt):
            self._told = len(self._prompt)
        self._prompt = None

    def _settled(self) -> int:
        """Return how many characters of the text the next tokens leave as they are."""
        least = max(len(self._text) - _REACH, self._told)
        if self._rewrites:
            return least
        found = _OPEN.search(self._text, least)
        return len(self._text) if found is None or self._spelled(found[0]) else found.start()

    def _spelled(self, end: str) -> bool:
        """Tell whether the last tokens, each decoded alone, spell the end of the text."""
        last = self._ids[-len(end) :]
        return _INCOMPLETE not in end and "".join(self._decode([i]) for i in last).endswith(end)

    def _forget(self) -> None:
        """Go on with the last tokens alone, if they end in the same text by themselves.

        They may show their beginning otherwise, which was told: a part of a character, or no space.
        """
        held = len(self._text) - self._told
        last = self._ids[-_TAIL:]
        text = self._decode(last)
        if not text.endswith(self._text[-held - _SHOWN :]):
            if len(self._ids) < _MOST:
                return
            last = self._ids[:_TAIL] + last  # behind the text that the first ones show
            text = self._decode(last)
        self._ids, self._text, self._told = last, text, max(len(text) - held, 0)


class GrowingText:
    """The text of a row while it grows, up to a stop string.

    Args:
        decode: token ids -> text.
        prompt: the token ids before.
        stops: what ends the text.
    """

    def __init__(self, decode: Decode, prompt: list[int], stops: Stops | StopStrings) -> None:
        self._stream, self._stops = TextStream(decode, prompt), stops
        self._pieces: list[str] = []  # that of each token
        self._look = True

    @property
    def text(self) -> str:
        """All that was told."""
        return "".join(self._pieces)

    @property
    def found(self) -> str | None:
        """The stop string that ended the text."""
        return self._stops.found

    def push(self, token_id: int, look: bool) -> str:
        """Add a token, and return what is now known to belong to the text.

        With `look` false no stop string ends in what the token settles.
        """
        self._look = look
        self._pieces.append(self._stops.push(self._stream.push(token_id), look))
        return self._pieces[-1]

    def end(self, ids: list[int]) -> str:
        """End the text of these tokens, and return what was not told of it."""
        rest = [self.push(token, self._look) for token in ids[len(self._pieces) :]]  # interrupted
        rest += [self._stops.push(self._stream.end(), self._look), self._stops.end()]
        self._pieces += rest[-2:]
        return "".join(rest)


def _end_of(told: str, text: str) -> int:
    """Return where in `text` ends what became of `told`."""
    end = 0
    for tag, low, high, start, stop in SequenceMatcher(None, told, text, False).get_opcodes():
        if tag != "insert":
            end = min(start + high - low, stop)
    return end
