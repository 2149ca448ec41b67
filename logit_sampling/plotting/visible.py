"""Text of a model made visible: what it writes is data, and may hold any character."""

import re
from collections.abc import Callable
from unicodedata import category

_LINES = 8  # of a listing


def visible(text: str, keep: str = "") -> str:
    r"""Show control characters, so that they can be read and cannot steer a terminal.

    Args:
        text: what a model wrote.
        keep: control characters to leave alone, such as line breaks.

    >>> print(visible("O\n\x1b[31m"))
    O⏎\x1b[31m
    """
    return "".join(_shown(c) if category(c) == "Cc" and c not in keep else c for c in text)


def brief(value: object, width: int = 48) -> str:
    """Show text, or another value, on one line of at most so many characters.

    >>> brief("ROMEO:\\nBut soft", 12), brief([1, 2, 3])
    ("'ROMEO:⏎Bu…'", '[1, 2, 3]')
    """
    if isinstance(value, str):
        return f"'{_cut(visible(value[:width]), width - 2, len(value) > width)}'"
    return _cut(" ".join(str(value).split()), width)


def listing(head: str, count: int, line: Callable[[int], str]) -> str:
    """Return a repr of a few lines: a head, and a line for each of the first things.

    >>> print(listing("Squares", 9, lambda i: f"{i}: {i * i}"))  # doctest: +ELLIPSIS
    <Squares
      0: 0
      ...
      7: 49
      … and 1 more>
    """
    lines = [head, *map(line, range(min(count, _LINES)))]
    if count > _LINES:
        lines.append(f"… and {count - _LINES:,} more")
    joined = "\n  ".join(lines)
    return f"<{joined}>"


def counted(count: int, noun: str) -> str:
    """Return a number of things in words.

    >>> counted(1, "text"), counted(3400, "token")
    ('1 text', '3,400 tokens')
    """
    return f"{count:,} {noun}" + "s" * (count != 1)


def _cut(text: str, width: int, more: bool = False) -> str:
    return text[: width - 1] + "…" if more or len(text) > width else text


def _shown(control: str) -> str:
    return {"\n": "⏎", "\t": "⇥"}.get(control) or control.encode("unicode_escape").decode()


def unescaped(text: str) -> str:
    r"""Return a text of a shell or a line of a file with its \n, \t and \\ as what they stand for.

    >>> unescaped(r"one\ntwo")
    'one\ntwo'
    """
    return re.sub(r"\\([nt\\])", lambda found: {"n": "\n", "t": "\t"}.get(found[1], "\\"), text)
