"""Text of a model made visible: what it writes is data, and may hold any character."""

import re
from unicodedata import category


def visible(text: str, keep: str = "") -> str:
    r"""Show control characters, so that they can be read and cannot steer a terminal.

    Args:
        text: what a model wrote.
        keep: control characters to leave alone, such as line breaks.

    >>> print(visible("O\n\x1b[31m"))
    O⏎\x1b[31m
    """
    return "".join(_shown(c) if category(c) == "Cc" and c not in keep else c for c in text)


def _shown(control: str) -> str:
    return {"\n": "⏎", "\t": "⇥"}.get(control) or control.encode("unicode_escape").decode()


def unescaped(text: str) -> str:
    r"""Return a text of a shell or a line of a file with its \n, \t and \\ as what they stand for.

    >>> unescaped(r"one\ntwo")
    'one\ntwo'
    """
    return re.sub(r"\\([nt\\])", lambda found: {"n": "\n", "t": "\t"}.get(found[1], "\\"), text)
