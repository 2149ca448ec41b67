"""What a chain asks of a distribution, as data: a program for a machine with a stack.

An instruction is a code and an argument. It pushes a number, combines what was pushed, or takes
it off as the parameter of an operation on the row. What tells of a token whether it is wanted,
and what orders tokens, are instructions too, behind those that use them.
"""

import itertools
import numbers
from collections.abc import Callable
from typing import Any, ClassVar, NoReturn, Self

import numpy as np

# What pushes.
NUMBER, SLOT = range(2)  # an argument, or what stands in that slot
COUNT, LOG_TOTAL, MEAN_LOG, LOG_COLLISION, STD, PEAK, TEMPERATURE = MEASURES = range(2, 9)
ADD, SUBTRACT, MULTIPLY, DIVIDE, POWER, MINIMUM, MAXIMUM, LESS, EQUAL = PAIRS = range(9, 18)
LOG, EXP, ABSOLUTE = range(18, 21)
WHERE = 22
TOSS = 23  # whether the coin falls whose number is the argument, of its chance

# What takes off.
STORE = 24  # into the slot that is the argument
SCALE = 25  # by a temperature
TOP = 26  # keep the first k
WITHIN = 27  # keep the tokens whose logit is at most so far below the greatest
EXCEPT = 28  # remove those but the last of them, if the second parameter is true
REACH = 29  # keep the shortest prefix that reaches a probability
REACH_BY = 30  # the same in the order of a key, by as many instructions as the argument says
PREFIX = 31  # keep the longest prefix of wanted tokens, by as many instructions; takes nothing off

OWN_SLOTS = 4  # those of a token: its log weight; or the sums before it, and its weight and term
SLOTS = 12

EPSILON = float(np.finfo(np.float32).eps)

Instruction = tuple[int, Any]  # a number is one for all rows, or one for each, float64 [rows]


class _Other(Exception):
    """A chain does something that no kernel does."""


class Expression:
    """A number that is known when a row is: the instructions that push it."""

    __array_ufunc__ = None  # of NumPy's numbers and arrays: they leave it to this

    def __init__(self, *instructions: Instruction) -> None:
        self.instructions: tuple[Instruction, ...] = instructions

    @classmethod
    def of(cls, value: Any) -> "Expression":
        """Return a number, or one for each row, as an expression."""
        if isinstance(value, Expression):
            return value
        if not isinstance(value, numbers.Real | np.bool_ | tuple | np.ndarray):
            raise _Other
        number = np.asarray(value, np.float64)
        if number.ndim > 1:
            raise _Other
        return cls((NUMBER, number))

    def __bool__(self) -> bool:
        raise _Other

    def __hash__(self) -> int:
        return id(self)

    def __eq__(self, other: object) -> Any:
        return _pushed(EQUAL, self, other)

    def __and__(self, other: Any) -> Any:
        return _pushed(MINIMUM, self, other)

    def __neg__(self) -> Any:
        return _pushed(SUBTRACT, 0.0, self)


def _pushed(code: int, *operands: Any) -> Expression:
    given = (Expression.of(operand).instructions for operand in operands)
    return Expression(*itertools.chain.from_iterable(given), (code, 0.0))


def _operator(code: int, reverse: bool = False) -> Callable[[Any, Any], Any]:
    if reverse:
        return lambda self, other: _pushed(code, other, self)
    return lambda self, other: _pushed(code, self, other)


for _name, _code in (
    *(("add", ADD), ("sub", SUBTRACT), ("mul", MULTIPLY), ("truediv", DIVIDE), ("pow", POWER)),
):
    setattr(Expression, f"__{_name}__", _operator(_code))
    setattr(Expression, f"__r{_name}__", _operator(_code, reverse=True))
for _name, _code, _swap in (("lt", LESS, False), ("gt", LESS, True)):
    setattr(Expression, f"__{_name}__", _operator(_code, _swap))
for _name, _swap in (("le", True), ("ge", False)):  # not less, the other way round
    setattr(
        Expression,
        f"__{_name}__",
        lambda self, other, swap=_swap: 1.0 - _operator(LESS, swap)(self, other),
    )


class _Functions:
    """What strategies compute with, by NumPy's names."""

    inf = np.inf

    def __getattr__(self, name: str) -> Callable[..., Any]:
        codes = {"log": LOG, "exp": EXP, "absolute": ABSOLUTE}
        codes |= {"minimum": MINIMUM, "maximum": MAXIMUM, "where": WHERE}
        if name not in codes:
            raise _Other
        return lambda *operands: _pushed(codes[name], *operands)

    def clip(self, x: Any, low: Any, high: Any) -> Any:
        return self.minimum(self.maximum(x, low), high)


class Recorder:
    """Stands for a distribution, and notes what a chain does with it.

    Args:
        done: the instructions so far.
        coins: how many have been tossed.
    """

    xp: ClassVar[Any] = _Functions()

    def __init__(self, done: tuple[Instruction, ...] = (), coins: int = 0) -> None:
        self.done: tuple[Instruction, ...] = done
        self.coins: int = coins

    def _and(self, code: int, *parameters: Any, argument: float = 0.0) -> Self:
        own = (Expression.of(parameter).instructions for parameter in parameters)
        done = (*self.done, *itertools.chain.from_iterable(own), (code, argument))
        return type(self)(done, self.coins)

    def per_row(self, parameter: Any) -> Expression:
        return Expression.of(parameter)

    def count(self) -> Expression:
        return Expression((COUNT, 0.0))

    def log_total(self) -> Expression:
        return Expression((LOG_TOTAL, 0.0))

    def mean_log_weight(self) -> Expression:
        return Expression((MEAN_LOG, 0.0))

    def entropy(self) -> Any:
        return _pushed(SUBTRACT, self.log_total(), self.mean_log_weight())

    def log_collision(self) -> Expression:
        return Expression((LOG_COLLISION, 0.0))

    def std(self) -> Expression:
        return Expression((STD, 0.0))

    def tolerance(self, log_weight: Any) -> Any:
        peak, temperature = Expression((PEAK, 0.0)), Expression((TEMPERATURE, 0.0))
        logit: Any = _pushed(ADD, peak, _pushed(MULTIPLY, temperature, log_weight))
        greatest = self.xp.maximum(self.xp.absolute(peak), self.xp.absolute(logit))
        return _pushed(DIVIDE, _pushed(MULTIPLY, EPSILON, greatest), temperature)

    def scale(self, temperature: Any) -> Self:
        return self._and(SCALE, temperature)

    def top(self, k: Any) -> Self:
        return self._and(TOP, k)

    def within(self, distance: Any) -> Self:
        return self._and(WITHIN, distance)

    def at_least(self, log_weight: Any) -> Self:
        logits = _pushed(MULTIPLY, Expression((TEMPERATURE, 0.0)), log_weight)
        return self.within(-logits)

    def reach(self, p: Any, key: Any = None, *parameters: Any) -> Self:
        if key is None:
            return self._and(REACH, p)
        stored, body = self._body(key, 1, parameters)
        found = stored._and(REACH_BY, p, argument=float(len(body)))
        return type(self)((*found.done, *body), self.coins)

    def prefix(self, wanted: Any, *parameters: Any) -> Self:
        stored, body = self._body(wanted, OWN_SLOTS, parameters)
        return type(self)((*stored.done, (PREFIX, float(len(body))), *body), self.coins)

    def toss(self, probability: Any) -> tuple[Any, Self]:
        chance, number = Expression.of(probability).instructions, self.coins + 1
        return Expression(*chance, (TOSS, float(number))), type(self)(self.done, number)

    def drop_last(self) -> "_AllButLast":
        return _AllButLast(self)

    def without(self, other: Any, where: Any) -> Self:
        # What is removed has to be what `at_least` and `drop_last` leave of this.
        if not isinstance(other, _AllButLast):
            raise _Other
        done, before = other.of.done, self.done
        *distance, (code, _) = done[len(before) :] or ((NUMBER, 0.0),)
        same = all(one is another for one, another in zip(before, done, strict=False))
        if not same or code != WITHIN or any(code >= STORE for code, _ in distance):
            raise _Other
        return self._and(EXCEPT, Expression(*distance), where)

    def _body(
        self, function: Any, own: int, parameters: tuple[Any, ...]
    ) -> tuple[Self, tuple[Instruction, ...]]:
        """Return what stores parameters, and what a function does with them and a token's own."""
        stored, slots = self, [Expression((SLOT, float(i))) for i in range(own)]
        for i, parameter in enumerate(parameters, start=OWN_SLOTS):
            if i == SLOTS:
                raise _Other
            stored = stored._and(STORE, parameter, argument=float(i))
            slots.append(Expression((SLOT, float(i))))
        body = Expression.of(function(*slots)).instructions
        if any(code in MEASURES for code, _ in body):
            raise _Other
        return stored, body

    def __getattr__(self, name: str) -> NoReturn:
        raise _Other


class _AllButLast:
    """What is left of a distribution but for its last token."""

    def __init__(self, of: Recorder) -> None:
        self.of: Recorder = of

    def __getattr__(self, name: str) -> NoReturn:
        raise _Other


def depth_of(instructions: tuple[Instruction, ...]) -> int:
    """Return how much is on the stack at most."""
    depth = most = 0
    for code, _ in instructions:
        if code <= TEMPERATURE:
            depth += 1
        elif code in (WHERE, EXCEPT):
            depth -= 2
        elif code in PAIRS or STORE <= code < PREFIX:
            depth -= 1
        most = max(most, depth)
    return most


def program_of(
    transforms: Any, record: Callable[[Any], Any], coins: int
) -> tuple[Instruction, ...] | None:
    """Return the instructions of what `record` does with a distribution, if they can be told.

    Args:
        transforms: those that take part.
        record: applies them to a `Recorder`.
        coins: how many were tossed before.
    """
    for transform in transforms:
        # Code of one's own may do something else each time.
        home, _, module = type(transform).__module__.rpartition(".")
        if home != "logit_sampling.strategies" or module.startswith("_"):
            return None
    try:
        done: tuple[Instruction, ...] = record(Recorder(coins=coins)).done
    except _Other:
        return None
    return done
