"""Strings that end a text."""


class StopStrings:
    """A growing text without the stop string that ends it.

    What could begin a stop string is held back until it is known. The stop string that is complete
    first ends the text, of several at once the longest.

    >>> stops = StopStrings(("\\n\\n", "END"))
    >>> [stops.push(piece) for piece in ("a\\n", "b", " E", "N", "DEND")], stops.found
    (['a', '\\nb', ' ', '', ''], 'END')

    Args:
        strings: what ends the text.

    Attributes:
        found: the stop string that ended the text.
        length: how many characters the text has so far, without what is held back.
    """

    def __init__(self, strings: tuple[str, ...]) -> None:
        self._strings = strings
        self._held = ""
        self.found: str | None = None
        self.length = 0

    def push(self, piece: str, look: bool = True) -> str:
        """Add to the text, and return what is now known to belong to it.

        With `look` false no stop string ends in this piece.
        """
        text = self._held + piece
        matches = []
        for string in self._strings if look else ():
            start = text.find(string, max(0, len(self._held) - len(string) + 1))
            if start >= 0:
                matches.append((start + len(string), start, string))
        if matches:
            _, end, self.found = min(matches)
        else:
            end = len(text) - self._beginning(text)
        self._held = "" if matches else text[end:]
        self.length += end
        return text[:end]

    def _beginning(self, text: str) -> int:
        """Return the length of the longest end of `text` that could begin a stop string."""
        longest = min(max(map(len, self._strings), default=1) - 1, len(text))
        lengths = range(longest, 0, -1)
        return next((k for k in lengths if any(s.startswith(text[-k:]) for s in self._strings)), 0)
