"""What is accepted: ranges of parameters, and what counts as logits.

A transform declares its parameters with `number`; the check runs once, at construction, and
its message is built from the same bounds that it tests.
"""

import dataclasses
import inspect
import math
import warnings
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, TypeVar

import numpy as np

from logit_sampling.distribution.arrays import holds_symbolic, to_list, to_numpy
from logit_sampling.distribution.symbol import Symbol
from logit_sampling.types import ArrayLike

_Given = TypeVar("_Given")
_Held = TypeVar("_Held")


class Kept(Generic[_Given, _Held]):
    """The type of a parameter that is given in one form and kept in another."""

    if TYPE_CHECKING:

        def __get__(self, owner: object, kind: object = None) -> _Held: ...

        def __set__(self, owner: object, value: _Given) -> None: ...


Numbers = Kept[float | Sequence[float] | ArrayLike | Symbol, Any]
"""One number for all rows, one for each row (kept as a tuple), or a tensor of a graph."""

Whole = Kept[int | Sequence[int] | ArrayLike | Symbol | None, Any]
"""An integer in the same ways; None where that is the default."""

Ids = Kept[int | Sequence[int] | ArrayLike, tuple[int, ...]]
"""A token id, or several."""

FLOATS = ("float16", "bfloat16", "float32", "float64")


class ProbabilitiesWarning(UserWarning):
    """Logits that look like probabilities: every value in [0, 1] and a sum of 1."""


class InvalidRowError(ValueError):
    """The trouble of one row.

    Args:
        row: which one, in the batch that it was found in.
        message: what is wrong, with `{row}` where the row is named, and the names of facts.
    """

    def __init__(self, row: int, message: str, **facts: Any) -> None:
        self.row: int = row
        self._message, self._facts = message, facts
        super().__init__(self.told(f"row {row}"))

    def told(self, row: str) -> str:
        """Return the message with another name for the row."""
        return self._message.format(row=row, **self._facts)

    def __reduce__(self) -> Any:
        """Let it go from process to process."""
        return partial(InvalidRowError, self.row, self._message, **self._facts), ()


def told(error: ValueError, row: str) -> str:
    """Return the message of an error; the row that is the trouble is called as `row` says."""
    return error.told(row) if isinstance(error, InvalidRowError) else str(error)


def number(
    *,
    ge: float = -math.inf,
    gt: float = -math.inf,
    le: float = math.inf,
    lt: float = math.inf,
    integer: bool = False,
    static: bool = False,
    **default: Any,
) -> Any:
    """Declare a numeric field of a transform: a scalar, or an array with one value per row.

    It may be a tensor of a graph, unless it is `static`: the graph itself depends on it. There
    nothing can raise, and a row whose value is out of range has no distribution.
    """
    metadata = {"ge": ge, "gt": gt, "le": le, "lt": lt, "integer": integer, "static": static}
    return dataclasses.field(metadata=metadata, **default)


def is_number(field: dataclasses.Field[Any]) -> bool:
    """Tell whether a field was declared with `number`."""
    return "ge" in field.metadata


def interval(ge: float, gt: float, le: float, lt: float) -> str:
    """Return the interval of numbers as mathematics writes it.

    >>> interval(ge=0, gt=-math.inf, le=math.inf, lt=1)
    '[0, 1)'
    """
    low = f"[{ge:g}" if ge > gt else f"({gt:g}"
    high = f"{le:g}]" if le < lt else f"{lt:g})"
    return f"{low}, {high}"


def check_number(owner: str, field: dataclasses.Field[Any], value: Any) -> Any:
    """Return `value` as a number or a tuple of numbers; raise ValueError if out of range.

    None is accepted where it is the default, and a tensor of a graph where the field may be one.
    """
    if value is None and field.default is None:
        return None
    bounds = {name: field.metadata[name] for name in ("ge", "gt", "le", "lt")}
    kind = "integer" if field.metadata["integer"] else "number"
    wanted = f"{owner} needs `{field.name}` to be a finite {kind} in {interval(**bounds)}"
    wanted += ", or None" if field.default is None else ""
    if holds_symbolic(value):
        if field.metadata["static"]:
            raise ValueError(_not_concrete(owner, field.name))
        return _symbol(value, wanted, field.metadata["integer"])
    try:
        array = to_numpy(value)
        array = array.astype(np.float32) if array.dtype.name == "bfloat16" else array
        allowed = "iu" if field.metadata["integer"] else "iuf"
        if array.dtype.kind not in allowed or array.ndim > 1 or array.size == 0:
            raise TypeError
    except (TypeError, ValueError):
        raise ValueError(f"{wanted}, or an array of them, one per row; got {value!r}") from None
    cast = int if field.metadata["integer"] else float
    values = [cast(v) for v in array.reshape(-1)]
    for row, v in enumerate(values):
        inside = bounds["ge"] <= v <= bounds["le"] and bounds["gt"] < v < bounds["lt"]
        if not (math.isfinite(v) and inside):
            raise ValueError(f"{wanted}; got {v!r}" + (f" in row {row}" if array.ndim else ""))
    return tuple(values) if array.ndim else values[0]


def _symbol(value: Any, wanted: str, integer: bool) -> Symbol:
    """Return a parameter for a tensor, of whose values nothing is known but kind and rank."""
    from logit_sampling.distribution import tensors

    symbol = value if isinstance(value, Symbol) else tensors.symbol(value)
    kind = tensors.kind_of(symbol.tensor)
    known = "int" in kind or ("float" in kind and not integer)
    if not known or symbol.tensor.ndim not in (0, 1):
        raise ValueError(f"{wanted}, or a tensor of them, [] or [batch]; got {value!r}")
    return symbol


def _not_concrete(owner: str, name: str, instead: str = "") -> str:
    return (
        f"{owner} needs `{name}` in numbers when it is built: they shape the graph that is being "
        "traced, and a tensor of it holds none yet; "
        + (instead or "pass Python or NumPy values, of which another one traces another graph")
    )


def concrete(owner: Any, name: str, instead: str = "") -> Any:
    """Return a field that no tensor of a graph can stand for; raise ValueError if one does."""
    value = getattr(owner, name)
    if holds_symbolic(value):
        raise ValueError(_not_concrete(type(owner).__name__, name, instead))
    return value


def _integer(value: Any) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool)


def check_real(owner: Any, name: str, *, ge: float = -math.inf, le: float = math.inf) -> None:
    """Keep a field as a finite float in [ge, le], or raise ValueError."""
    value = concrete(owner, name)
    known = isinstance(value, int | float | np.integer | np.floating) and value is not True
    if not known or value is False or not (math.isfinite(value) and ge <= value <= le):
        raise ValueError(
            f"{type(owner).__name__} needs `{name}` to be a finite number in "
            f"{interval(ge=ge, gt=-math.inf, le=le, lt=math.inf)}; got {value!r}"
        )
    object.__setattr__(owner, name, float(value))


def check_count(owner: Any, name: str, *, least: int, optional: bool = False) -> None:
    """Keep a field as an int of at least `least` (or None, if optional), or raise ValueError."""
    value = concrete(owner, name)
    if value is None and optional:
        return
    if not _integer(value) or value < least:
        raise ValueError(
            f"{type(owner).__name__} needs `{name}` to be an integer of at least {least}"
            f"{' or None' if optional else ''}; got {value!r}"
        )
    object.__setattr__(owner, name, int(value))


def check_flag(owner: Any, name: str) -> None:
    """Raise ValueError unless a field is True or False."""
    check_choice(owner, name, (True, False))


def check_choice(owner: Any, name: str, choices: tuple[Any, ...]) -> None:
    """Raise ValueError unless a field is one of `choices`."""
    value = concrete(owner, name)
    if not any(value is choice or (value == choice and _integer(choice)) for choice in choices):
        raise ValueError(
            f"{type(owner).__name__} needs `{name}` to be one of {choices}; got {value!r}"
        )


def check_ids(owner: Any, name: str, *, empty: bool = True) -> None:
    """Keep a field as a tuple of token ids, or raise ValueError."""
    value = concrete(owner, name)
    ids = to_list(value)
    ids = [ids] if _integer(ids) else ids
    listed = isinstance(ids, list | tuple | set | frozenset | range)
    if not listed or not all(_integer(i) and 0 <= i < 2**31 for i in ids):
        raise ValueError(
            f"{type(owner).__name__} needs `{name}` to be token ids, integers of at least 0; "
            f"got {value!r}"
        )
    if not ids and not empty:
        raise ValueError(f"{type(owner).__name__} needs at least one token id in `{name}`")
    object.__setattr__(owner, name, tuple(int(i) for i in ids))


def check_dtype(name: str) -> None:
    """Raise ValueError unless logits may have the dtype called `name`."""
    if name not in FLOATS:
        guess = ": these look like token ids or counts" if "int" in name else ""
        raise ValueError(
            f"logits must be floating point ({', '.join(FLOATS)}), got {name}{guess}; pass the raw "
            "scores that the model returns"
        )


def check_shape(shape: tuple[Any, ...]) -> None:
    """Raise ValueError unless `shape` is [vocab] or [batch, vocab] with a vocabulary."""
    if len(shape) not in (1, 2):
        hint = "; take the last position first: logits[:, -1, :]" if len(shape) == 3 else ""
        raise ValueError(
            f"logits must have shape [vocab] or [batch, vocab], got shape {tuple(shape)}{hint}"
        )
    if shape[-1] == 0:
        raise ValueError(f"logits hold no token: the vocabulary of shape {tuple(shape)} is empty")


def check_returned(logits: Any, shape: tuple[Any, ...], source: str) -> None:
    """Raise ValueError unless a transform's result has the `shape` of what it was given."""
    if len(logits.shape) != 2 or any(
        a != b for a, b in zip(logits.shape, shape, strict=True) if None not in (a, b)
    ):
        raise ValueError(
            f"{source} returned shape {tuple(logits.shape)} for logits of shape {shape}; `apply` "
            "takes and returns [batch, vocab]"
        )


def warn_if_probabilities(row: np.ndarray, name: str) -> None:
    """Warn if `row` [vocab], whose greatest is in (0, 1], looks like probabilities."""
    # The first few nearly always tell that it does not.
    if row.size < 2 or row[:16].min() < 0 or row.min() < 0:
        return
    if abs(float(row.sum(dtype=np.float64)) - 1) < 1e-2:  # bfloat16 rounds so much
        warnings.warn(
            f"{name} looks like probabilities (every value in [0, 1], sum 1), but logits "
            "are wanted: take the softmax off the model's last layer, or pass "
            "ls.logits_from(probabilities=...), which is np.log(probabilities): its softmax "
            "gives them back",
            ProbabilitiesWarning,
            stacklevel=level_outside(),
        )


def level_outside() -> int:
    """Return the stack level of the caller's own line, so that each such line is warned about."""
    frame, level = inspect.currentframe(), 0
    ours = ("logit_sampling.", "numpy.")  # NumPy's are those of a decorator
    while frame and frame.f_globals.get("__name__", "").startswith(ours):
        frame, level = frame.f_back, level + 1
    return level
