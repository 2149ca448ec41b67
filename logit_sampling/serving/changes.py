"""Which change of one setting draws another token."""

import functools
import math
from collections.abc import Callable
from typing import Any

from logit_sampling.serving.cards import cards
from logit_sampling.settings.written import settings_of, written

_TRIES = 40  # steps away from a value, each longer than the one before
_FIRST, _GROWTH = 1e-3, 1.35  # of them, in parts of the value
_CLOSE = 1e-3  # between the last value that changes nothing and the first that does, in parts


def nearest(line: str, draw: Callable[[str], int | None]) -> list[dict[str, Any]]:
    """Return for each number in a chain the nearest value found that draws another token.

    Each was drawn again, and so was one beside it, nearer by a thousandth or by 1, that changes
    nothing. A value that is nearer still may be passed over where the draw goes back and forth.

    Args:
        line: the chain, as `Sampler.parse` reads it.
        draw: what a chain draws; None if it cannot be.

    Returns:
        `setting`, `from`, `to`, `id` and the whole `line`, the smallest change first.

    >>> nearest("top_k=4", lambda line: 7 if int(line[6:]) >= 3 else 5)
    [{'setting': 'top_k', 'from': 4, 'to': 2, 'id': 5, 'line': 'top_k=2'}]
    """
    before, settings = settings_of(line)
    now = draw(line)
    found = []
    for name, value in settings.items():
        if isinstance(value, bool) or not isinstance(value, int | float):
            continue

        def other(changed: Any, name: str = name) -> str:
            return before + written(settings | {name: changed}, check=False)

        start = value if name.replace("-", "_") in _integers() else float(value)  # temperature=1
        own = [_towards(start, sign, lambda v: draw(other(v)), now) for sign in (-1, 1)]
        near = min((v for v in own if v is not None), key=lambda v: abs(v - value), default=None)
        if near is not None:
            changed = other(near)
            told = {"setting": name, "from": value, "to": near}
            found.append((_size(value, near), {**told, "id": draw(changed), "line": changed}))
    return [own for _, own in sorted(found, key=lambda each: each[0])]


@functools.cache
def _integers() -> frozenset[str]:
    """Return the names of the settings that are whole numbers."""
    settings = [setting for card in cards(2, 0) for setting in card["settings"]]
    whole = [setting for setting in settings if setting["kind"] == "integer"]
    return frozenset(name for own in whole for name in (own["name"], *own["aliases"]))


def _towards(
    value: float, sign: int, draw: Callable[[float], int | None], now: int | None
) -> float | None:
    """Return the nearest value in one direction that draws another token, or None."""
    whole = isinstance(value, int)
    length, same = (1.0 if whole else _FIRST * max(abs(value), 0.1)), value
    for _ in range(_TRIES):
        tried = value + sign * (math.floor(length) if whole else length)
        drawn = draw(tried)
        if drawn is None:  # out of range
            return None
        if drawn != now:
            return _between(same, tried, draw, now)
        same, length = tried, length * _GROWTH + (1 if whole else 0)
    return None


def _between(
    same: float, other: float, draw: Callable[[float], int | None], now: int | None
) -> float:
    """Return the value next to the boundary between one that changes nothing and one that does."""
    whole = isinstance(other, int)
    while abs(other - same) > (1 if whole else _CLOSE * max(abs(other), 0.1)):
        middle = (same + other) // 2 if whole else (same + other) / 2
        if draw(middle) == now:
            same = middle
        else:
            other = middle
    for digits in range(1, 6):  # as short as it can be written
        short = round(other, digits)
        beyond = min(same, other) <= short <= max(same, other) and short != same
        if not whole and beyond and draw(short) not in (now, None):
            return short
    return other


def _size(before: float, after: float) -> float:
    """Return how large a change is, in parts of the value."""
    return abs(after - before) / max(abs(before), abs(after), 1e-9)
