"""Regular expressions that end a text, alone or beside strings."""

import re
from collections.abc import Sequence
from copy import copy
from typing import Any, Self

from logit_sampling.generation.stopping import StopStrings

_SEEN = 4096  # characters before what may be a match that it may look back at


class StopPattern:
    r"""A growing text without the match of a regular expression that ends it.

    It is looked at after each character, so that it does not matter in which pieces it comes: it
    ends with the first character that completes a match, before that match. What could become one
    is held back.

    >>> stops = StopPattern(re.compile(r"\n\s*\d+\."))
    >>> [stops.push(piece) for piece in ("a\n", " b\n", " 1", "2. x")], stops.found
    (['a', '\n b', '', ''], '\n 12.')

    Args:
        pattern: what ends the text, of `re`; it matches no empty string.

    Attributes:
        found: the match that ended the text.
        length: how many characters the text has so far, without what is held back.
    """

    found: str | None
    length: int

    def __init__(self, pattern: re.Pattern[str]) -> None:
        import regex  # which tells what more text may complete, as `re` does not

        names = ("ASCII", "IGNORECASE", "MULTILINE", "DOTALL", "VERBOSE")
        flags = [getattr(regex, n) for n in names if pattern.flags & getattr(re, n)]
        self._pattern: Any = regex.compile(pattern.pattern, sum(flags))
        self._start()

    def _start(self) -> None:
        self._text = ""  # the end of it
        self._held = self._over = 0  # where what is held back begins, and behind what matches end
        self.found, self.length = None, 0

    def another(self) -> Self:
        """Return the same for another text."""
        other = copy(self)
        other._start()
        return other

    def push(self, piece: str, look: bool = True) -> str:
        """Add to the text, and return what is now known to belong to it.

        With `look` false no match ends in this piece. Behind a match there is nothing.
        """
        if self.found is not None:
            return ""
        first = self._held
        for character in piece:
            self._text += character
            if not look:
                self._over = len(self._text)
            if match := self._search(partial=False):
                self.found, self._held = match.group(), match.start()
                break
            match = self._search(partial=True)
            self._held = match.start() if match else len(self._text)
        return self._release(first)

    def _search(self, partial: bool) -> Any:
        """Return the first match that counts, or with `partial` what may become one."""
        match = self._pattern.search(self._text, self._held, partial=partial)
        while match and not match.partial and match.end() <= self._over:
            match = self._pattern.search(self._text, match.start() + 1, partial=partial)
        return match

    def end(self) -> str:
        """End the text, and return what was held back."""
        if self.found is not None:
            return ""
        first, self._held = self._held, len(self._text)
        return self._release(first)

    def _release(self, first: int) -> str:
        piece = self._text[first : self._held]
        self.length += len(piece)
        if (more := self._held - _SEEN) > _SEEN:
            self._text = self._text[more:]
            self._held, self._over = _SEEN, self._over - more
        return piece


class Stops:
    """A growing text without what ends it, a string or a match: what is complete first, of several
    at once the longest.

    Args:
        parts: `StopStrings` and `StopPattern`s.

    Attributes:
        found: what ended the text.
    """

    def __init__(self, parts: Sequence[StopStrings | StopPattern]) -> None:
        self._parts, self._held, self._length = parts, "", 0
        self.found: str | None = None

    def another(self) -> "Stops":
        """Return the same for another text."""
        return Stops([part.another() for part in self._parts])

    def push(self, piece: str, look: bool = True) -> str:
        """Add to the text, and return what is now known to belong to it.

        With `look` false nothing that ends it is complete in this piece. Behind that there is
        nothing.
        """
        told = ""
        for character in piece:
            if self.found is not None:
                break
            self._held += character
            for part in self._parts:
                part.push(character, look)
            done = [part for part in self._parts if part.found is not None]
            if done:
                self.found = min(done, key=lambda part: part.length).found
            told += self._release(min(part.length for part in done or self._parts))
        return told

    def end(self) -> str:
        """End the text, and return what was held back."""
        return self._release(self._length + len(self._held)) if self.found is None else ""

    def _release(self, length: int) -> str:
        count = length - self._length
        piece, self._held, self._length = self._held[:count], self._held[count:], length
        return piece
