"""An operation of a traced model, whatever the backend."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np

Source = tuple[int | None, ...]


@dataclass(eq=False)
class Operation:
    """What made a tensor.

    Attributes:
        kind: "input", "weight" (which training can make anything of), "fixed" (another variable),
            "constant", the name of a function such as "exp" or "add", or
            "other" for what says nothing about its result.
        inputs: the operations that made its arguments.
        shape: of the result; -1 for an axis that is open.
        axes: that are reduced, normalised or joined, from the end: -1 is the last.
        source: for each axis of the result the axis of the first input that it is, from the start,
            or None. For what moves values and does not change them.
        value: of a constant.
        name: as the backend calls it.
        layer: that it belongs to; empty if that is not known.
    """

    kind: str
    inputs: tuple["Operation", ...] = ()
    shape: tuple[int, ...] = ()
    axes: tuple[int, ...] = ()
    source: Source = ()
    value: np.ndarray | None = None
    name: str = ""
    layer: str = ""
    facts: Any = field(default=None, repr=False)  # what is known of it, once that is asked

    def unwrapped(self, *also: str) -> "Operation":
        """The operation behind those that hand on what they get."""
        operation = self
        while operation.kind in ("same", *also) and operation.inputs:
            operation = operation.inputs[0]
        return operation


def from_the_end(axes: Any, rank: int) -> tuple[int, ...]:
    """Axes counted from the end."""
    return tuple(sorted(int(axis) % rank - rank for axis in np.ravel(axes)))


def reshaped(before: tuple[int, ...], after: tuple[int, ...]) -> Source:
    """Which axis of a tensor is which axis of it reshaped: one with as much before and in it."""
    places = {}
    for axis, size in enumerate(before):
        if size != 1:
            places[int(np.prod(before[:axis])), size] = axis
    return tuple(
        places.get((int(np.prod(after[:axis])), size)) if size != 1 else None
        for axis, size in enumerate(after)
    )


def moved(operation: Operation, **fields: Any) -> Operation:
    """An operation that changes places and no values: with a `source`."""
    (first, *_), shape = operation.inputs, operation.shape
    source = fields.get("source") or reshaped(first.shape, shape)
    return Operation("moved", (first,), shape, source=source, name=operation.name)


def same_size(before: tuple[int, ...], after: tuple[int, ...]) -> Source:
    """Which axes of a tensor are whole after a cut that leaves the number of axes."""
    if len(before) != len(after):
        return (None,) * len(after)
    return tuple(
        axis if old == new else None
        for axis, (old, new) in enumerate(zip(before, after, strict=True))
    )
