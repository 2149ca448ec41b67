"""A chain, or a search, written as one line of text: for command lines and files."""

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from logit_sampling.settings.chain import WRITTEN, chain_of
from logit_sampling.settings.elsewhere import closest, meant
from logit_sampling.settings.names import NAMES, SETTINGS
from logit_sampling.settings.systems import SYSTEMS
from logit_sampling.strategies.temperature import Temperature

_NAMED = re.compile(r"([^:=\[\]{}\"]*[^:=\[\]{}\"\s])\s*:\s*(.*)", re.DOTALL)
_WORD = re.compile(r"[^\s,=]+")
_BARE = re.compile(r"[^\s,]*")
_IS = re.compile(r"\s*=\s*")
_BETWEEN = re.compile(r"[\s,]*")
KINDS = ("greedy", "sample", "beam", "contrastive")  # words without a value; one there may be
_CONSTANTS = {"true": True, "false": False, "none": None, "null": None}
_HOW = 'write settings as name=value, such as "temperature=0.8 top_k=50", or "greedy"'


class Line(NamedTuple):
    """What one line says.

    Attributes:
        name: what to call it: what stands before a colon, or the line itself.
        kind: "sample", "greedy", "beam" or "contrastive".
        chain: the transforms; those before the likeliest token is taken, if it is greedy.
        fields: those of a search.
    """

    name: str
    kind: str
    chain: tuple[Any, ...]
    fields: dict[str, Any]


def parse(text: str) -> Line:
    """Return what a line of text says; see `Sampler.parse` for how a chain is written.

    Raises:
        ValueError: it cannot be read, or a chain has no such setting.

    Example:
        >>> parse("mine: order=llama.cpp temp=0.7 top_k=40")[:3]
        ('mine', 'sample', (TopK(k=40), Temperature(temperature=0.7)))
        >>> parse("beam num_beams=3").fields
        {'num_beams': 3}
    """
    if not isinstance(text, str):
        raise ValueError(f"a sampler is written as a text, got {text!r}; {_HOW}")
    name, line = " ".join(text.split()), text
    if named := _NAMED.fullmatch(text.lstrip()):
        name, line = named.groups()
    try:
        return Line(name, *_meaning(line))
    except ValueError as error:
        hint = ""
        if named and name.replace("-", "_") in NAMES and "=" not in line:  # meant for a setting
            setting = re.sub(r"\s*:\s*", "=", text.strip())
            hint = f"; did you mean {setting!r}?"
        raise ValueError(f"sampler {text!r}: {error}{hint}") from None


def _meaning(line: str) -> tuple[str, tuple[Any, ...], dict[str, Any]]:
    words, settings = list(_words(line)), dict[str, Any]()
    kinds = [word for word, value in words if value is _NOTHING]
    for word in kinds:
        if word not in KINDS or len(kinds) > 1:
            raise ValueError(_no_setting(word, kinds))
    for word, value in words:
        if word in settings:
            raise ValueError(f"`{word}` is there twice")
        if value is not _NOTHING:
            settings[word] = value
    if not words:
        raise ValueError(f'nothing is written; {_HOW}, or "sample" for the model\'s distribution')
    (kind,) = kinds or ["sample"]
    if kind not in ("greedy", "sample"):
        return kind, (), settings
    order, defaults = settings.pop("order", "default"), settings.pop("defaults", False)
    if not isinstance(defaults, bool):
        raise ValueError(f"`defaults` is true or false, got {defaults!r}")
    if kind == "sample":
        return kind, tuple(chain_of(settings, order, defaults)), {}
    if "temperature" in settings or "temp" in settings:
        raise ValueError("greedy takes the likeliest token, whatever the temperature: leave it out")
    chain = chain_of(settings | {"temperature": 0}, order, defaults)
    return kind, tuple(t for t in chain if t != Temperature(0)), {}


_NOTHING: Any = object()  # the value of a word that has none


def _words(line: str) -> Iterator[tuple[str, Any]]:
    """Yield names and values."""
    place = _after(_BETWEEN, line, 0)
    while place < len(line):
        word = _WORD.match(line, place)
        if word is None:
            raise ValueError(f"a name is missing before {line[place:]!r}; {_HOW}")
        name, place = word.group(), word.end()
        if sign := _IS.match(line, place):
            value, place = _value(line, sign.end(), name)
            yield name.replace("-", "_"), value
        else:
            yield name, _NOTHING
        place = _after(_BETWEEN, line, place)


def _after(pattern: re.Pattern[str], line: str, place: int) -> int:
    found = pattern.match(line, place)
    return found.end() if found else place


def _value(line: str, place: int, name: str) -> tuple[Any, int]:
    """Return the value that begins at a place, and where it ends: JSON, a constant or a word."""
    if line[place : place + 1] in ("[", "{", '"'):
        try:
            return json.JSONDecoder().raw_decode(line, place)
        except ValueError as error:
            raise ValueError(f"`{name}` has a value that is no JSON: {error}") from None
    end = _after(_BARE, line, place)
    word = line[place:end]
    if not word or "=" in word:
        raise ValueError(f"`{name}` has no value")
    if word.lower() in _CONSTANTS:
        return _CONSTANTS[word.lower()], end
    for kind in (int, float):
        try:
            return kind(word), end
        except ValueError:
            continue
    return word, end


def _no_setting(word: str, kinds: list[str]) -> str:
    if len(kinds) > 1:
        return f"{kinds[0]!r} and {kinds[1]!r} are words without a value; one there may be; {_HOW}"
    if guess := closest(word, KINDS, cutoff=0.7):
        return f"{word!r} has no value; did you mean {guess!r}?"
    named = meant(word, NAMES)
    return f"{word!r} has no value; {_HOW}" + (f"; did you mean {named}?" if named else "")


def written(settings: Mapping[str, Any], check: bool = True) -> str:
    """Return the line that says what settings say.

    Args:
        settings: values by name, as JSON has them, `order` and `defaults` among them.
        check: whether to raise ValueError for what no line can say.

    >>> written({"temperature": 0.8, "logit_bias": {"5": -1.0}, "order": "vllm"})
    'temperature=0.8 logit_bias={"5": -1.0} order=vllm'
    """
    line = " ".join(f"{name}={_as_word(value)}" for name, value in settings.items())
    if check:
        parse(line)
    return line


def _as_word(value: Any) -> str:
    """Return a value as `_value` reads it: JSON, or a word that is not taken for another."""
    plain = isinstance(value, str) and re.fullmatch(r"[A-Za-z][\w.-]*", value)
    numbers = (*_CONSTANTS, "nan", "inf", "infinity")
    return value if plain and value.lower() not in numbers else json.dumps(value)


def settings_of(line: str) -> tuple[str, dict[str, Any]]:
    """Return the words without a value that a line has, as a beginning, and its settings.

    >>> settings_of("mine: greedy order=written top_k=5")
    ('greedy ', {'order': 'written', 'top_k': 5})
    """
    named = _NAMED.fullmatch(line)
    words = list(_words(named[2] if named else line))
    before = "".join(f"{name} " for name, value in words if value is _NOTHING)
    return before, {name: value for name, value in words if value is not _NOTHING}


def in_written_order(line: str) -> str | None:
    """Return a line that says the same in the order of its chain, or None where none does.

    >>> in_written_order("order=llama.cpp temp=0.7 top_k=40")
    'order=written top_k=40 temp=0.7'
    >>> in_written_order("mine: greedy")
    'greedy order=written'
    """
    meant, (before, settings) = parse(line), settings_of(line)
    order, defaults = settings.pop("order", "default"), settings.pop("defaults", False)
    given = {NAMES[name].name: (name, value) for name, value in settings.items() if name in NAMES}
    if defaults and order in SYSTEMS:
        given = {n: (n, value) for n, value in SYSTEMS[order].defaults.items()} | given
    placed: dict[str, Any] = {"order": WRITTEN}
    for transform in meant.chain:
        for own in SETTINGS:
            if own.transform == type(transform).__name__ and own.switch.name in given:
                for parameter in own.takes.values():
                    if parameter.name in given:
                        placed |= [given[parameter.name]]
    made = before + written(placed, check=False)
    try:
        return made if parse(made)[1:] == meant[1:] else None
    except ValueError:
        return None
