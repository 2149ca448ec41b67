"""Text of a model made visible: what it writes is data, and may hold any character."""

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
