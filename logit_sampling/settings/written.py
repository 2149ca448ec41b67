"""A chain, or a search, written as one line of text: for command lines and files."""

import dataclasses
import json
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from logit_sampling.settings.chain import chain_of
from logit_sampling.settings.elsewhere import closest

if TYPE_CHECKING:
    from logit_sampling.decoding.beam import BeamSearch
    from logit_sampling.decoding.contrastive import ContrastiveSearch
    from logit_sampling.sampler import Sampler

_NAMED = re.compile(r"\s*([^:=\[\]{}\"]*[^:=\[\]{}\"\s])\s*:\s*(.*)", re.DOTALL)
_WORD = re.compile(r"[^\s,=]+")
_BARE = re.compile(r"[^\s,]*")
_IS = re.compile(r"\s*=\s*")
_BETWEEN = re.compile(r"[\s,]*")
_KINDS = ("greedy", "sample", "beam", "contrastive")  # words without a value; one there may be
_CONSTANTS = {"true": True, "false": False, "none": None, "null": None}
_HOW = 'write settings as name=value, such as "temperature=0.8 top_k=50", or "greedy"'


class Written(NamedTuple):
    """What one line says.

    Attributes:
        name: what to call it: what stands before a colon, or the line itself.
        sampler: the chain.
        search: what looks for texts instead of drawing them, if the line asks for that.
    """

    name: str
    sampler: "Sampler"
    search: "BeamSearch | ContrastiveSearch | None" = None


def read(text: str) -> Written:
    """Return what a line of text says; see `Sampler.parse` for how a chain is written.

    `beam` and `contrastive`, with the fields of `BeamSearch` and `ContrastiveSearch`, are searches.

    Raises:
        ValueError: it cannot be read, or has no such meaning.

    Example:
        >>> read("mine: order=llama.cpp temp=0.7 top_k=40")
        Written(name='mine', sampler=Sampler(TopK(k=40), Temperature(temperature=0.7)), search=None)
        >>> read("beam num_beams=3").search.num_beams
        3
    """
    if not isinstance(text, str):
        raise ValueError(f"a sampler is written as a text, got {text!r}; {_HOW}")
    name, line = " ".join(text.split()), text
    if named := _NAMED.fullmatch(text):
        name, line = named.groups()
    try:
        sampler, search = _meaning(line)
    except ValueError as error:
        raise ValueError(f"sampler {text!r}: {error}") from None
    return Written(name, sampler, search)


def _meaning(line: str) -> tuple[Any, Any]:
    from logit_sampling.sampler import Greedy, Sampler
    from logit_sampling.strategies import Temperature

    words, settings = list(_words(line)), dict[str, Any]()
    kinds = [word for word, value in words if value is _NOTHING]
    for word in kinds:
        if word not in _KINDS or len(kinds) > 1:
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
        return Sampler(), _search(kind, settings)
    order, defaults = settings.pop("order", "default"), settings.pop("defaults", False)
    if not isinstance(defaults, bool):
        raise ValueError(f"`defaults` is true or false, got {defaults!r}")
    if kind == "sample":
        return Sampler(*chain_of(settings, order, defaults)), None
    if "temperature" in settings or "temp" in settings:
        raise ValueError("greedy takes the likeliest token, whatever the temperature: leave it out")
    chain = chain_of(settings | {"temperature": 0}, order, defaults)
    return Greedy(*(t for t in chain if t != Temperature(0))), None


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


def _search(kind: str, settings: dict[str, Any]) -> Any:
    from logit_sampling.decoding.beam import BeamSearch
    from logit_sampling.decoding.contrastive import ContrastiveSearch

    chosen: Any = {"beam": BeamSearch, "contrastive": ContrastiveSearch}[kind]
    known = [field.name for field in dataclasses.fields(chosen)]
    for name in settings:
        if name not in known:
            guess = closest(name, known, cutoff=0.6)
            hint = f"; did you mean `{guess}`?" if guess else ""
            raise ValueError(f"`{kind}` has {', '.join(known)}, and no `{name}`{hint}")
    return chosen(**settings)


def _no_setting(word: str, kinds: list[str]) -> str:
    if len(kinds) > 1:
        return f"{kinds[0]!r} and {kinds[1]!r} are words without a value; one there may be; {_HOW}"
    guess = closest(word, _KINDS, cutoff=0.7)
    return f"{word!r} has no value; " + (f"did you mean {guess!r}?" if guess else _HOW)
