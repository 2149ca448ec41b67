"""Settings: the parameters of other systems that a strategy answers to."""

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

_SIGNS: dict[str, Callable[[Any, Any], bool]] = {
    "==": operator.eq,
    "<=": operator.le,
    ">=": operator.ge,
    "<": operator.lt,
    ">": operator.gt,
    "outside": lambda value, ends: (value <= ends[0]) | (value >= ends[1]),
    "empty": lambda value, _: len(value) == 0,
    "any": lambda value, _: value is not None,
}


@dataclass(frozen=True)
class Bound:
    """Values on one side of a number: those that mean off, or that a system refuses."""

    sign: str
    number: Any = None

    def holds(self, value: Any) -> bool:
        """Tell whether one value lies there; False for what cannot be compared."""
        if self.number is not None and isinstance(value, bool) != isinstance(self.number, bool):
            return False
        try:
            return bool(self.among(value))
        except (TypeError, ValueError):
            return False

    def among(self, values: Any) -> Any:
        """Tell which values of a tensor lie there."""
        return _SIGNS[self.sign](values, self.number)

    def __str__(self) -> str:
        if self.number is None:
            return self.sign
        return f"{self.number}" if self.sign == "==" else f"{self.sign} {self.number}"


@dataclass(frozen=True)
class Parameter:
    """One setting.

    `off` are the values that leave the transform out, besides None. `neutral` is what stands
    for them in a row while other rows have a value; None if rows cannot differ in whether it is on.
    `joins` is for one that has several names in one system, whose ids are put together. `note`
    says what a user has to know besides.
    """

    name: str
    off: Bound | None = None
    neutral: Any = None
    aliases: tuple[str, ...] = ()
    joins: bool = False
    read: Callable[[Any], Any] = lambda value: value
    note: str = ""

    def __str__(self) -> str:
        """Return its names, what is off, and the note, as a page shows them."""
        names = self.name + (f" ({', '.join(self.aliases)})" if self.aliases else "")
        off = "" if self.off is None or self.off.sign == "empty" else f"{self.off} is off"
        return ", ".join(part for part in (names, off, self.note) if part)


@dataclass(frozen=True)
class Settings:
    """The parameters that make one transform; the first switches it on.

    `takes` maps arguments of the constructor of `transform` to them;
    `needs` are arguments that have to be given with the first, `presets` those for when nothing
    else is said, and `make` turns arguments into those of the constructor, where they are others.
    `keeps_best` says that the likeliest token stays the likeliest, so that it changes nothing
    before a greedy choice.
    """

    takes: Mapping[str, Parameter]
    transform: str = ""
    needs: tuple[str, ...] = ()
    presets: Mapping[str, Any] = field(default_factory=dict)
    make: Callable[[dict[str, Any]], dict[str, Any]] = dict
    keeps_best: bool = False

    @property
    def switch(self) -> Parameter:
        """The parameter that switches it on."""
        return next(iter(self.takes.values()))
