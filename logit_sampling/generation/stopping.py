"""Strings that end a text."""

from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Sequence
from copy import copy
from typing import Self


class StopStrings:
    """A growing text without the stop string that ends it.

    What could begin a stop string is held back until it is known. The stop string that is complete
    first ends the text, of several at once the longest. A character costs the same however many
    strings there are and however long they are; what they have in common with texts is found out
    once, for all texts.

    >>> stops = StopStrings(("\\n\\n", "END"))
    >>> [stops.push(piece) for piece in ("a\\n", "b", " E", "N", "DEND")], stops.found
    (['a', '\\nb', ' ', '', ''], 'END')

    Args:
        strings: what ends the text.

    Attributes:
        found: the stop string that ended the text.
        length: how many characters the text has so far, without what is held back.
    """

    found: str | None
    length: int

    def __init__(self, strings: Sequence[str]) -> None:
        self._empty = _Beginning(sorted(strings), 0, len(strings))
        self._start()

    def _start(self) -> None:
        self._beginning, self._held = self._empty, deque[str]()
        self.found, self.length = None, 0

    def another(self) -> Self:
        """Return the same for another text; what is known of the strings is shared."""
        other = copy(self)
        other._start()
        return other

    def push(self, piece: str, look: bool = True) -> str:
        """Add to the text, and return what is now known to belong to it.

        With `look` false no stop string ends in this piece. Behind a stop string there is nothing.
        """
        if self.found is not None:
            return ""
        beginning, held = self._beginning, self._held
        for character in piece:
            held.append(character)
            beginning = beginning.then(character)
            if look and beginning.whole is not None:
                self.found = beginning.whole
                shown = self._release(len(held) - len(self.found))
                held.clear()
                return shown
        self._beginning = beginning.open
        return self._release(len(held) - self._beginning.length)

    def end(self) -> str:
        """End the text, and return what was held back."""
        self._beginning = self._empty
        return self._release(len(self._held))

    def _release(self, count: int) -> str:
        self.length += count
        return "".join(self._held.popleft() for _ in range(count))


class _Beginning:
    """What strings may begin with: a node of the automaton of Aho and Corasick, 1975.

    A node is made when a text first comes there, so that of many long strings only what texts have
    in common with them takes time and memory.

    Args:
        strings: sorted.
        low, high: the range of those that begin so.
        shorter: the longest proper end of it that is a beginning too; None for the empty one.
        length: how many characters it has.

    Attributes:
        length: the same.
        whole: the longest string that it ends with, itself or a shorter one; None if there is none.
        open: the longest end of it, perhaps all, that some string goes on from.
    """

    __slots__ = ("_high", "_low", "_shorter", "_strings", "_then", "length", "open", "whole")

    def __init__(
        self,
        strings: Sequence[str],
        low: int,
        high: int,
        shorter: "_Beginning | None" = None,
        length: int = 0,
    ) -> None:
        self._strings, self._low, self._high, self._shorter = strings, low, high, shorter
        self._then: dict[str, _Beginning] = {}
        self.length, self.open = length, self
        self.whole: str | None = None
        if shorter is not None:
            self.whole = strings[low] if len(strings[low]) == length else shorter.whole
            self.open = self if len(strings[high - 1]) > length else shorter.open

    def then(self, character: str) -> "_Beginning":
        """Return the longest beginning that a text ends with which goes on with `character`."""
        unknown, node = [], self
        while character not in node._then:
            unknown.append(node)
            if node._shorter is None:
                following = node  # the empty beginning
                break
            node = node._shorter
        else:
            following = node._then[character]
        for node in reversed(unknown):
            following = node._then[character] = node._longer(character, following)
        return following

    def _longer(self, character: str, shorter: "_Beginning") -> "_Beginning":
        """Return this beginning and a character more; `shorter` if no string begins so."""
        place = self.length
        bounds = self._low, self._high
        low = bisect_left(self._strings, character, *bounds, key=lambda s: s[place : place + 1])
        high = bisect_right(self._strings, character, *bounds, key=lambda s: s[place : place + 1])
        return shorter if low == high else _Beginning(self._strings, low, high, shorter, place + 1)


class Loops:
    """Tokens that repeat themselves.

    >>> loops = Loops((3, 2))
    >>> [loops.push(token) for token in [1, 2, 1, 4, 2, 1, 4]]
    [False, False, False, False, False, False, True]

    Args:
        given: how many tokens a period has at most, and how often it comes in a row.

    Raises:
        ValueError: not two whole numbers, of at least 1 and 2.
    """

    def __init__(self, given: Sequence[int]) -> None:
        whole = isinstance(given, Sequence) and all(type(number) is int for number in given)
        if not whole or len(given) != 2 or given[0] < 1 or given[1] < 2:
            raise ValueError(
                "stop_loops must be the tokens of the longest period, at least 1, and how often it "
                f"comes, at least 2, such as (64, 4); got {given!r}"
            )
        self._period, self._times = given
        self._start()

    def _start(self) -> None:
        self._latest = deque[int]()
        self._runs: list[int] = []  # of each period so far: tokens in a row that are those before

    def another(self) -> Self:
        """Return the same for another text."""
        other = copy(self)
        other._start()
        return other

    def push(self, token: int) -> bool:
        """Add a token, and tell whether what it ends came so often."""
        for before, earlier in enumerate(reversed(self._latest)):
            self._runs[before] = self._runs[before] + 1 if earlier == token else 0
        self._latest.append(token)
        if len(self._latest) > self._period:
            self._latest.popleft()
        else:
            self._runs.append(0)
        more = self._times - 1
        return any(run >= (before + 1) * more for before, run in enumerate(self._runs))
