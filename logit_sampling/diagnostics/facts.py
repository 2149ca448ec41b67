"""What the operations of a model prove about a tensor, whatever the model is called on."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from logit_sampling.diagnostics.graphs.operation import Operation

INF = np.inf
Leaves = frozenset[int]  # weights and inputs, by the identity of their operations


@dataclass(frozen=True)
class Facts:
    """What holds for a tensor.

    Attributes:
        low, high: no value is below or above.
        up, down: weights by which a value can be made as great, or as small, as one likes while
            all else stays: what depends on them is a raw score.
        depends: the weights and inputs that it depends on.
        sums: for an axis, counted from the end, what the values along it sum to.
        log_sums: for an axis what their exponentials sum to.
        squashed: "softmax" or "sigmoid" if it is the result of one, scaled at most.
        twice: that one was given the result of another.
        mixed: raw scores and probabilities are joined in it.
        relative: the greatest along an axis was taken off, or divided by.
        made_by: the operation whose result it is, seen through what only moves values.
    """

    low: float = -INF
    high: float = INF
    up: Leaves = frozenset()
    down: Leaves = frozenset()
    depends: Leaves = frozenset()
    sums: dict[int, float] = field(default_factory=dict)
    log_sums: dict[int, float] = field(default_factory=dict)
    squashed: str = ""
    twice: str = ""
    mixed: bool = False
    relative: bool = False
    made_by: Operation | None = None

    @property
    def probable(self) -> bool:
        """Whether each value is in [0, 1]."""
        return self.low >= 0 and self.high <= 1

    @property
    def free(self) -> bool:
        """Whether weights alone can take values out of [0, 1]."""
        return bool(self.up or self.down)


def facts_of(operation: Operation) -> Facts:
    """Return what is proven of the result of an operation; remembered in it."""
    pending = [operation]  # without recursion: models are deep
    while pending:
        one = pending[-1]
        waiting = [x for x in one.inputs if x.facts is None]
        if one.facts is None and waiting:
            pending += waiting
            continue
        pending.pop()
        if one.facts is None:
            with np.errstate(all="ignore"):
                one.facts = _facts(one)
    return operation.facts


def _facts(operation: Operation) -> Facts:
    own: Leaves = frozenset({id(operation)})
    given = [x.facts for x in operation.inputs]
    depends: Leaves = frozenset().union(*(facts.depends for facts in given))
    kind = operation.kind
    if kind in ("input", "fixed"):
        return Facts(depends=own)
    if kind == "weight":
        return Facts(up=own, down=own, depends=own)
    if kind == "constant":
        return _constant(operation)
    if kind == "same":
        return given[0]
    if kind == "moved":
        return _moved(operation, given[0])
    rule = RULES.get(kind)
    facts = rule(operation, *given) if rule else Facts()
    return replace(facts, depends=depends, made_by=facts.made_by or operation)


def _constant(operation: Operation) -> Facts:
    value = operation.value
    if value is None or value.size == 0 or value.dtype.kind not in "fiub":
        return Facts()
    value = value.astype(np.float64)
    return Facts(float(value.min()), float(value.max())) if not np.isnan(value).any() else Facts()


def _moved(operation: Operation, facts: Facts) -> Facts:
    before, after = len(operation.inputs[0].shape), len(operation.shape)
    places = {
        axis - before: place - after
        for place, axis in enumerate(operation.source)
        if axis is not None
    }
    return replace(facts, sums=_at(facts.sums, places), log_sums=_at(facts.log_sums, places))


def _at(sums: dict[int, float], places: dict[int, int]) -> dict[int, float]:
    return {places[axis]: total for axis, total in sums.items() if axis in places}


def _kept(operation: Operation, which: int, sums: dict[int, float]) -> dict[int, float]:
    """The sums along axes that an argument does not spread over."""
    own, shape = operation.inputs[which].shape, operation.shape
    return {
        axis: total
        for axis, total in sums.items()
        if -axis <= min(len(own), len(shape)) and own[axis] == shape[axis]
    }


def _monotone(function: Callable, up: bool, down: bool) -> Callable:
    """A function that never falls; `up` and `down` tell whether it has no limit there."""

    def rule(operation: Operation, x: Facts, *others: Facts) -> Facts:
        low, high = float(function(x.low)), float(function(x.high))
        return Facts(
            -INF if np.isnan(low) else low,
            INF if np.isnan(high) else high,
            up=x.up if up else frozenset(),
            down=x.down if down else frozenset(),
            mixed=x.mixed,
        )

    return rule


def _sigmoid(operation: Operation, x: Facts) -> Facts:
    facts = _monotone(lambda v: 1 / (1 + np.exp(-v)), False, False)(operation, x)
    return replace(facts, squashed="sigmoid", twice=x.squashed)


def _softmax(operation: Operation, x: Facts) -> Facts:
    return _normalised(operation, operation.axes, x)


def _normalised(operation: Operation, axes: tuple[int, ...], x: Facts) -> Facts:
    sums = {axes[0]: 1.0} if len(axes) == 1 else {}
    return Facts(0.0, 1.0, sums=sums, squashed="softmax", twice=x.squashed, made_by=operation)


def _log_softmax(operation: Operation, x: Facts) -> Facts:
    return _log_normalised(operation, operation.axes, x)


def _log_normalised(operation: Operation, axes: tuple[int, ...], x: Facts) -> Facts:
    sums = {axes[0]: 1.0} if len(axes) == 1 else {}
    return Facts(-INF, 0.0, log_sums=sums, twice=x.squashed, made_by=operation)


def _exp(operation: Operation, x: Facts) -> Facts:
    facts = replace(_monotone(np.exp, True, False)(operation, x), relative=x.relative)
    if x.log_sums:
        facts = replace(facts, high=1.0, sums=x.log_sums, squashed="softmax", twice=x.twice)
    return facts


def _log(operation: Operation, x: Facts) -> Facts:
    facts = _monotone(lambda v: np.log(max(v, 0.0)), True, False)(operation, x)
    return replace(facts, log_sums=x.sums, twice=x.twice)


def _add(operation: Operation, *parts: Facts) -> Facts:
    total = parts[0]
    for number, part in enumerate(parts[1:], start=1):
        total = _sum_of_two(operation, total, part, number)
    return total


def _sum_of_two(operation: Operation, a: Facts, b: Facts, number: int) -> Facts:
    up, down = a.up - b.depends | b.up - a.depends, a.down - b.depends | b.down - a.depends
    one, other = _kept(operation, 0, a.sums), _kept(operation, number, b.sums)
    sums = {axis: one[axis] + other[axis] for axis in one.keys() & other.keys()}
    facts = Facts(a.low + b.low, a.high + b.high, up, down, a.depends | b.depends, sums)
    if _small(b) or _small(a):  # an epsilon
        near = a if _small(b) else b
        facts = replace(
            facts, sums=near.sums, squashed=near.squashed, log_sums=near.log_sums, twice=near.twice
        )
    elif (a.probable and _only_weights(b)) or (b.probable and _only_weights(a)):
        facts = replace(facts, up=frozenset(), down=frozenset())  # a probability, corrected
    return replace(facts, mixed=a.mixed or b.mixed)


def _small(facts: Facts) -> bool:
    return max(abs(facts.low), abs(facts.high)) <= 1e-3


def _negative(operation: Operation, x: Facts) -> Facts:
    return Facts(-x.high, -x.low, up=x.down, down=x.up, mixed=x.mixed)


def _sub(operation: Operation, a: Facts, b: Facts) -> Facts:
    axes = _log_of_sums(operation.inputs[1], operation.inputs[0])
    if axes:
        return _log_normalised(operation, axes, _argument(operation.inputs[0]).facts)
    minus = replace(_negative(operation, b), depends=b.depends)
    plain = replace(_sum_of_two(operation, a, minus, 1), sums={})
    largest = operation.inputs[1].unwrapped("moved", "maximum")
    if largest.kind == "greatest" and _same(largest.inputs[0], operation.inputs[0]):
        plain = replace(
            plain, high=0.0, relative=True
        )  # less its own greatest, as before an exponential
    return plain


def _mul(operation: Operation, a: Facts, b: Facts) -> Facts:
    corners = [_product(x, y) for x in (a.low, a.high) for y in (b.low, b.high)]
    facts = Facts(min(corners), max(corners), mixed=a.mixed or b.mixed)
    reciprocal = operation.inputs[1].unwrapped("moved")
    if reciprocal.kind == "reciprocal" and (own := _quotient(operation, reciprocal.inputs[0])):
        return own
    for which, (x, factor) in enumerate(((a, b), (b, a))):
        if not factor.depends:  # a constant
            sums = _kept(operation, which, x.sums)
            even = factor.low == factor.high
            up, down = (x.up, x.down) if factor.low >= 0 else (x.down, x.up)
            if factor.low < 0 < factor.high:
                up = down = x.up | x.down
            sums = {axis: total * factor.low for axis, total in sums.items()} if even else {}
            return replace(facts, up=up, down=down, sums=sums, squashed=x.squashed, twice=x.twice)
    if (a.probable and _only_weights(b)) or (b.probable and _only_weights(a)):
        squashed = a.squashed or b.squashed  # scaled by a weight: nothing is proven
        return replace(facts, squashed=squashed if a.squashed != b.squashed else "")
    up = (a.up & a.down) - b.depends | (b.up & b.down) - a.depends
    return replace(facts, up=up, down=up)


def _only_weights(facts: Facts) -> bool:
    return bool(facts.depends) and facts.depends <= facts.up | facts.down


def _product(x: float, y: float) -> float:
    return 0.0 if 0.0 in (x, y) else x * y


def _div(operation: Operation, a: Facts, b: Facts) -> Facts:
    own = _quotient(operation, operation.inputs[1])
    if own:
        return own
    if not b.depends and b.low == b.high and b.low != 0:
        return _mul(operation, a, Facts(1 / b.low, 1 / b.low))
    low, high = -INF, INF
    if b.low >= 0 and b.high > 0:
        most, least = (1 / b.low if b.low else INF), 1 / b.high
        corners = [_product(x, y) for x in (a.low, a.high) for y in (least, most)]
        low, high = min(corners), max(corners)
    scaled = a.squashed if _only_weights(b) else ""
    up = frozenset() if a.probable else (a.up & a.down) - b.depends
    return Facts(low, high, up=up, down=up, squashed=scaled, twice=a.twice if scaled else "")


def _quotient(operation: Operation, divisor: Operation) -> Facts | None:
    """A softmax by hand: values that are not negative, divided by their sum."""
    above, total = operation.inputs[0], divisor
    while True:
        total = total.unwrapped("moved")
        if total.kind in ("add", "maximum") and any(_small(x.facts) for x in total.inputs):
            total = next(x for x in total.inputs if not _small(x.facts))  # against 0 / 0
        else:
            break
    if total.kind != "sum" or above.facts.low < 0 or not _same(total.inputs[0], above):
        return None
    facts = _normalised(operation, total.axes, _argument(above).facts)
    exponential = above.unwrapped().kind == "exp"
    return facts if exponential else replace(facts, twice="")


def _argument(operation: Operation) -> Operation:
    """What a softmax is taken of: behind the exponential and the greatest that is taken off."""
    x = operation.unwrapped()
    if x.kind == "exp":
        x = x.inputs[0].unwrapped()
    if x.kind == "sub" and x.inputs[1].unwrapped("moved", "maximum").kind == "greatest":
        x = x.inputs[0]
    return x


def _same(a: Operation, b: Operation) -> bool:
    return a.unwrapped() is b.unwrapped()


def _log_of_sums(operation: Operation, x: Operation) -> tuple[int, ...]:
    """The axes of the logarithm of the sum of the exponentials of `x`; none if it is not that."""
    total = operation.unwrapped("moved")
    if total.kind == "log_sum_exp":
        return total.axes if _same(total.inputs[0], x) else ()
    if total.kind == "add":  # of what is less its greatest, and the greatest
        for one, other in (total.inputs, total.inputs[::-1]):
            if other.unwrapped("moved", "maximum").kind == "greatest":
                total = one.unwrapped("moved")
                break
        behind = _argument(x)
    else:
        behind = x.unwrapped()
    if total.kind != "log":
        return ()
    summed = total.inputs[0].unwrapped("moved")
    if summed.kind != "sum" or summed.inputs[0].unwrapped().kind != "exp":
        return ()
    inner = summed.inputs[0].unwrapped().inputs[0]
    return summed.axes if _same(inner, x) or _argument(inner) is behind else ()


def _maximum(operation: Operation, a: Facts, b: Facts) -> Facts:
    limit = next((x for x in (a, b) if not x.depends), None)
    x = b if limit is a else a
    facts = Facts(max(a.low, b.low), max(a.high, b.high), mixed=a.mixed or b.mixed)
    if limit is None:
        return replace(facts, up=a.up | b.up)
    keeps = limit.high <= max(1e-2, x.low) and x.probable  # a probability cut off near 0
    sums, logs = (x.sums, x.log_sums) if keeps or limit.high == -INF else ({}, {})
    squashed = x.squashed if keeps or limit.high == -INF else ""
    down = x.down if limit.high == -INF else frozenset()
    return replace(
        facts, up=x.up, down=down, sums=sums, log_sums=logs, squashed=squashed, twice=x.twice
    )


def _minimum(operation: Operation, a: Facts, b: Facts) -> Facts:
    limit = next((x for x in (a, b) if not x.depends), None)
    x = b if limit is a else a
    facts = Facts(min(a.low, b.low), min(a.high, b.high), mixed=a.mixed or b.mixed)
    if limit is None:
        return replace(facts, down=a.down | b.down)
    keeps = x.probable and limit.low >= 0.99
    sums, squashed = (x.sums, x.squashed) if keeps else ({}, "")
    return replace(facts, down=x.down, sums=sums, squashed=squashed, twice=x.twice)


def _reduced(operation: Operation, x: Facts) -> Facts:
    """A mean, or the greatest or least along axes."""
    return _over(operation, x, 1.0 if operation.kind == "mean" else None)


def _over(operation: Operation, x: Facts, factor: float | None) -> Facts:
    gone = set(operation.axes)
    rank = len(operation.inputs[0].shape)
    kept = [axis for axis in range(-rank, 0) if axis not in gone]
    if len(operation.shape) == rank:
        places = {axis: axis for axis in kept}
    else:
        places = {axis: place - len(kept) for place, axis in enumerate(kept)}
    sums = {} if factor is None else _at(x.sums, places)
    sums = {axis: total * (factor or 1.0) for axis, total in sums.items()}
    return Facts(x.low, x.high, x.up, x.down, sums=sums, mixed=x.mixed)


def _sum(operation: Operation, x: Facts) -> Facts:
    shape = operation.inputs[0].shape
    count = float(np.prod([shape[axis] for axis in operation.axes]))
    facts = _over(operation, x, count)
    total = x.sums.get(operation.axes[0]) if len(operation.axes) == 1 else None
    low, high = _product(x.low, count), _product(x.high, count)
    return replace(facts, low=total or low, high=total or high)


def _near(operation: Operation, x: Facts, *sizes: Facts) -> Facts:
    """A mean or the greatest of values that lie near."""
    return Facts(x.low, x.high, x.up, x.down, mixed=x.mixed)


def _joined(operation: Operation, *parts: Facts) -> Facts:
    along = set(operation.axes)
    sums = {
        axis: total
        for axis, total in parts[0].sums.items()
        if axis not in along and all(part.sums.get(axis) == total for part in parts)
    }
    mixed = any(part.mixed for part in parts) or (
        any(part.free for part in parts) and any(part.probable and part.depends for part in parts)
    )
    squashed = parts[0].squashed if len({part.squashed for part in parts}) == 1 else ""
    return Facts(
        min(part.low for part in parts),
        max(part.high for part in parts),
        frozenset().union(*(part.up for part in parts)),
        frozenset().union(*(part.down for part in parts)),
        sums=sums,
        mixed=mixed,
        squashed=squashed,
    )


def _select(operation: Operation, condition: Facts, *parts: Facts) -> Facts:
    facts = _joined(operation, *parts)
    chosen = [part for part in parts if part.depends]  # the others are a mask
    squashed = {part.squashed for part in chosen}
    facts = replace(facts, squashed=squashed.pop() if len(squashed) == 1 else "")
    if all(part.free for part in chosen):
        return facts
    return replace(facts, up=frozenset(), down=frozenset())


def _matmul(operation: Operation, *given: Facts) -> Facts:
    a, b = given[-2:]
    if operation.axes and len(operation.inputs) == 2:
        left, right = operation.axes
        if a.low >= 0 and a.sums.get(left) == 1.0:  # a mean of rows
            total = b.sums.get(-1 if right == -2 else -2)
            across = {} if total is None else {-1: total}
            return Facts(b.low, b.high, b.up - a.depends, b.down - a.depends, sums=across)
    if not (a.depends and b.depends):
        x, constant = (a, b) if a.depends else (b, a)
        free = x.up | x.down if max(abs(constant.low), abs(constant.high)) > 0 else frozenset()
        return Facts(up=free, down=free) if not x.probable else Facts()
    free = (a.up & a.down) - b.depends | (b.up & b.down) - a.depends
    return Facts(up=free, down=free)


def _square(operation: Operation, x: Facts) -> Facts:
    return Facts(0.0, INF, up=x.up | x.down, mixed=x.mixed)


def _bounded(low: float, high: float) -> Callable:
    return lambda operation, *given: Facts(low, high)


def _above(low: float) -> Callable:
    return lambda operation, x, *given: Facts(low, INF, up=x.up, mixed=x.mixed)


RULES: dict[str, Callable[..., Any]] = {
    "add": _add, "sub": _sub, "mul": _mul, "div": _div, "neg": _negative,
    "exp": _exp, "log": _log, "log1p": _monotone(np.log1p, True, False),
    "sigmoid": _sigmoid, "softmax": _softmax, "log_softmax": _log_softmax,
    "log_sigmoid": _bounded(-INF, 0.0), "log_sum_exp": lambda operation, x: Facts(),
    "tanh": _monotone(np.tanh, False, False), "erf": _bounded(-1.0, 1.0),
    "sign": _bounded(-1.0, 1.0), "cos": _bounded(-1.0, 1.0), "sin": _bounded(-1.0, 1.0),
    "softsign": _bounded(-1.0, 1.0), "hard_sigmoid": _bounded(0.0, 1.0),
    "hard_tanh": _bounded(-1.0, 1.0), "relu6": _bounded(0.0, 6.0),
    "relu": _monotone(lambda v: max(v, 0.0), True, False),
    "softplus": _monotone(lambda v: np.logaddexp(0.0, v), True, False),
    "sqrt": _above(0.0), "rsqrt": _bounded(0.0, INF), "elu": _above(-1.0), "selu": _above(-1.76),
    "gelu": _above(-0.18), "silu": _above(-0.28), "leaky_relu": _monotone(float, True, True),
    "square": _square, "abs": _square, "reciprocal": lambda operation, x: Facts(
        0.0 if x.low >= 0 else -INF, INF
    ),
    "maximum": _maximum, "minimum": _minimum, "greatest": _reduced, "least": _reduced,
    "mean": _reduced, "sum": _sum, "near_mean": _near, "greatest_near": _near,
    "joined": _joined, "select": _select, "matmul": _matmul, "convolution": _matmul,
    "looked_up": lambda operation, table, *ids: replace(table, sums={}),
}  # fmt: skip
