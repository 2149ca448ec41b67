"""The catalogue of strategies, from the table and what their classes say of themselves."""

import dataclasses
import difflib
import inspect
import re
from collections.abc import Iterable
from typing import Any

import numpy as np

from logit_sampling import strategies
from logit_sampling.distribution.checks import interval
from logit_sampling.explain import Explanation, name_of
from logit_sampling.sampler import Greedy, Sampler
from logit_sampling.settings import SETTINGS, SYSTEMS
from logit_sampling.strategies.table import TABLE

_HEADING = re.compile(r"^(Args|Returns|Raises|Source|Example|Attributes):$", re.MULTILINE)
_ORDER = (
    "choice",
    "scaling",
    "truncation",
    "penalties",
    "constraints",
    "adaptive",
    "guidance",
    "watermark",
    "grammar",
)
_GROUPS = {"Greedy": "choice"} | {row.name: row.group for row in TABLE}
_UNBOUNDED = 2**30  # a bound that only keeps a count in its integer type


@dataclasses.dataclass(frozen=True)
class Parameter:
    """A parameter of a strategy.

    Attributes:
        name: as the constructor takes it.
        range: the numbers that it may be; empty where it is something else.
        default: as Python writes it; None if it has to be given.
        text: what the class says of it.
        known_as: its names elsewhere, the one that `Sampler.from_params` takes first.
    """

    name: str
    range: str
    default: str | None
    text: str
    known_as: tuple[str, ...]


@dataclasses.dataclass(frozen=True)
class Entry:
    """A strategy.

    Attributes:
        name: that of its class.
        group: what kind it is: the module that it is in.
        summary: what it does, in a line.
        details: more, in paragraphs; may be empty.
        parameters: in the order of the constructor.
        raises: when it raises ValueError.
        source: the paper or system that it is from.
        known_as: the parameters of `Sampler.from_params` that switch it on, by all their names.
        systems: the other systems that have it, as `order` of `Sampler.from_params` calls them.
    """

    name: str
    group: str
    summary: str
    details: str
    parameters: tuple[Parameter, ...]
    raises: str
    source: str
    known_as: tuple[str, ...]
    systems: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return all of it, ready for `json.dumps`."""
        return dataclasses.asdict(self)


def entries() -> list[Entry]:
    """Return every public strategy, by group."""
    found = [_entry(name) for name in _GROUPS]
    groups = [*_ORDER, *sorted({entry.group for entry in found} - {*_ORDER})]
    return sorted(found, key=lambda entry: (groups.index(entry.group), entry.name))


def find(name: str) -> Entry:
    """Return the strategy called `name`, in any spelling such as `top_p`.

    Raises:
        ValueError: there is none; it says which names are near.

    Example:
        >>> find("top_p").name
        'TopP'
    """
    known = {_folded(own): own for own in _GROUPS}
    if _folded(name) in known:
        return _entry(known[_folded(name)])
    near = difflib.get_close_matches(_folded(name), known, n=3, cutoff=0.5)
    hint = f"near it: {', '.join(known[key] for key in near)}" if near else "none is near"
    raise ValueError(f"no strategy is called {name!r}; {hint} (`samplers` alone lists all)")


def _folded(name: str) -> str:
    return re.sub(r"[\W_]", "", name).lower()


def _entry(name: str) -> Entry:
    cls = Greedy if name == "Greedy" else getattr(strategies, name)
    sections = _sections(inspect.getdoc(cls) or "")
    summary, _, details = sections[""].partition("\n\n")
    texts = _arguments(sections.get("Args", ""))
    fields = dataclasses.fields(cls) if dataclasses.is_dataclass(cls) else ()
    takes = [strategy for strategy in SETTINGS if strategy.transform == name]
    return Entry(
        name=name,
        group=_GROUPS[name],
        summary=_joined(summary),
        details=details,
        parameters=tuple(
            Parameter(
                name=field.name,
                range=_range(field),
                default=_default(field),
                text=texts.get(field.name, ""),
                known_as=_names(s.takes[field.name] for s in takes if field.name in s.takes),
            )
            for field in fields
            if field.init
        ),
        raises=_joined(sections.get("Raises", "")).removeprefix("ValueError: "),
        source=_joined(sections.get("Source", "")),
        known_as=_names(strategy.switch for strategy in takes),
        systems=tuple(
            order
            for order, system in SYSTEMS.items()
            if order != "default" and any(s.switch.name in system.chain for s in takes)
        ),
    )


def _names(parameters: Iterable[Any]) -> tuple[str, ...]:
    return tuple(name for p in parameters for name in (p.name, *p.aliases))


def _sections(doc: str) -> dict[str, str]:
    """Return the sections of a docstring by heading, that without one as "".

    >>> _sections("Do it.\\n\\nSource:\\n    A paper.")
    {'': 'Do it.', 'Source': 'A paper.'}
    """
    first, *rest = _HEADING.split(doc)
    pairs = zip(rest[::2], rest[1::2], strict=True)
    return {"": first.strip()} | {name: inspect.cleandoc(text).strip() for name, text in pairs}


def _arguments(text: str) -> dict[str, str]:
    """Return the text of each argument.

    >>> _arguments("p: a number\\n    in (0, 1].\\nk: another.")
    {'p': 'a number in (0, 1].', 'k': 'another.'}
    """
    parts = re.split(r"^\*{0,2}(\w+): ", text, flags=re.MULTILINE)[1:]
    return {name: _joined(own) for name, own in zip(parts[::2], parts[1::2], strict=True)}


def _joined(text: str) -> str:
    return " ".join(text.split())


def _range(field: dataclasses.Field) -> str:
    if "ge" not in field.metadata:
        return ""
    kind = "integer" if field.metadata["integer"] else "number"
    bounds = {name: field.metadata[name] for name in ("ge", "gt", "le", "lt")}
    bounds |= {name: float("inf") for name in ("le", "lt") if bounds[name] >= _UNBOUNDED}
    words = f"{kind} in {interval(**bounds)}".removesuffix(" in (-inf, inf)")
    return f"{words} or None" if field.default is None else words


def _default(field: dataclasses.Field) -> str | None:
    if field.default is not dataclasses.MISSING:
        return repr(field.default)
    made = field.default_factory
    return None if made is dataclasses.MISSING else repr(made())


ROW = (0.5, 0.3, 0.15, 0.05)
"""The distribution that all worked examples start from."""

_HISTORY = (0, 1, 2, 0, 1)


def worked(name: str) -> tuple[str, tuple[int, ...], Explanation]:
    """Return the strategy with its parameters, the tokens before, and what it makes of `ROW`.

    Raises:
        ValueError: it needs a package that is not installed.
    """
    if name == "Greedy":
        return name_of(Greedy()), (), Greedy().explain(np.log(ROW))
    (row,) = (row for row in TABLE if row.name == name)
    made = getattr(strategies, name)(**row.arguments())
    sampler, without = Sampler(made), Sampler(made).explain(np.log(ROW))
    if not made.reads_history():
        return name_of(made), (), without
    explained = sampler.explain(np.log(ROW), history=list(_HISTORY))
    if np.array_equal(explained.final_log_probs, without.final_log_probs):  # it tells nothing
        return name_of(made), (), without
    return name_of(made), _HISTORY, explained
