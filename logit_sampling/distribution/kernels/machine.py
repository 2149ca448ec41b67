"""Numbers that are known up to an error, as intervals, and a machine with a stack of them.

What is monotone in each operand has its extremes where the operands have theirs. So what a
strategy computes of an estimate comes with a bound of its own.
"""

import math
from typing import Any

import numpy as np

from logit_sampling.distribution.kernels.arithmetic import compiled
from logit_sampling.distribution.recorded import (
    ABSOLUTE,
    ADD,
    DIVIDE,
    EQUAL,
    EXP,
    LESS,
    LOG,
    MAXIMUM,
    MINIMUM,
    MULTIPLY,
    NUMBER,
    POWER,
    SLOT,
    SUBTRACT,
    WHERE,
)

LOW, HIGH = 0, 1
LANES = 128  # tokens that are told of at once


@compiled
def _of_two(code: int, x: float, y: float) -> float:
    if code == ADD:
        return x + y
    if code == SUBTRACT:
        return x - y
    if code == MULTIPLY:
        return x * y
    if code == DIVIDE:
        return x / y
    if code == MINIMUM:
        return min(x, y)
    if code == MAXIMUM:
        return max(x, y)
    if code == LESS:
        return 1.0 if x < y else 0.0
    if code == EQUAL:
        return 1.0 if x == y else 0.0
    return x**y


@compiled
def _of_one(code: int, x: float) -> float:
    if code == LOG:
        return math.log(x) if x > 0 else (-math.inf if x == 0 else math.nan)
    if code == EXP:
        return math.exp(x)
    return abs(x)


@compiled
def _monotone(code: int, a: float, b: float, c: float, d: float) -> bool:
    """Tell whether an operation is monotone in [a, b] and in [c, d]."""
    if code == DIVIDE:
        return c > 0 or d < 0
    if code == POWER:
        return a >= 0
    if code == EQUAL:
        return b < c or d < a
    return True


@compiled
def _pair(code: int, x: Any, y: Any, lanes: int) -> None:
    """Combine intervals, float64 [2, lanes]; the first ones get what comes of it."""
    for i in range(lanes):
        a, b, c, d = x[LOW, i], x[HIGH, i], y[LOW, i], y[HIGH, i]
        one = four = _of_two(code, a, c)
        if a != b or c != d:
            two, three = _of_two(code, a, d), _of_two(code, b, c)
            four = _of_two(code, b, d)
            known = (
                _monotone(code, a, b, c, d)
                and not math.isnan(one + two)
                and not math.isnan(three + four)
            )
            low, high = min(min(one, two), min(three, four)), max(max(one, two), max(three, four))
            one, four = (low, high) if known else (np.nan, np.nan)
        x[LOW, i], x[HIGH, i] = one, four


@compiled
def push(
    code: int, argument: float, stack: Any, depth: int, slots: Any, lanes: int, sharp: bool
) -> int:
    """Follow an instruction that is no measure and no operation.

    Args:
        code, argument: of it.
        stack: float64 [most, 2, LANES], what was pushed: from `LOW` to `HIGH`, NaN for what is
            unknown.
        depth: how much that is.
        slots: float64 [slots, 2, LANES].
        lanes: for how many tokens.
        sharp: whether `HIGH` is `LOW` in all intervals, and need not be written.

    Returns:
        how much is there then.
    """
    if code == NUMBER:
        for i in range(lanes):
            stack[depth, LOW, i] = stack[depth, HIGH, i] = argument
        return depth + 1
    if code == SLOT:
        for i in range(lanes):
            stack[depth, LOW, i] = slots[int(argument), LOW, i]
            stack[depth, HIGH, i] = slots[int(argument), HIGH, i]
        return depth + 1
    if code == WHERE:
        chosen, x, y = stack[depth - 3], stack[depth - 2], stack[depth - 1]
        for i in range(lanes):
            if sharp or chosen[LOW, i] == chosen[HIGH, i]:
                holds = chosen[LOW, i] != 0
                chosen[LOW, i] = x[LOW, i] if holds else y[LOW, i]
                chosen[HIGH, i] = x[HIGH, i] if holds else y[HIGH, i]
            else:
                chosen[LOW, i] = min(x[LOW, i], y[LOW, i])
                chosen[HIGH, i] = max(x[HIGH, i], y[HIGH, i])
        return depth - 2
    if LOG <= code <= ABSOLUTE:
        x = stack[depth - 1]
        for i in range(lanes):
            one, other = _of_one(code, x[LOW, i]), 0.0
            if not sharp:
                other = _of_one(code, x[HIGH, i])
                low, high = min(one, other), max(one, other)
                if code == ABSOLUTE and x[LOW, i] < 0 < x[HIGH, i]:
                    low = 0.0
                one, other = low, high
            x[LOW, i], x[HIGH, i] = one, other
        return depth
    x, y = stack[depth - 2], stack[depth - 1]
    if sharp:
        for i in range(lanes):
            x[LOW, i] = _of_two(code, x[LOW, i], y[LOW, i])
    else:
        _pair(code, x, y, lanes)
    return depth - 1


@compiled
def run(codes: Any, arguments: Any, stack: Any, slots: Any, lanes: int, sharp: bool) -> None:
    """Push what instructions make of what stands in the slots; see `push`."""
    depth = np.int64(0)
    for i in range(codes.size):
        depth = push(codes[i], arguments[i], stack, depth, slots, lanes, sharp)
    if sharp:
        for i in range(lanes):
            stack[0, HIGH, i] = stack[0, LOW, i]
