"""Times side by side: interleaved rounds, medians with quartiles."""

import gc
import math
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

SAMPLE = 1e-3
"""Seconds that one sample of a round takes at least: short calls are repeated."""


class Timed(Protocol):
    """What can be timed beside others."""

    def convert(self, batch: np.ndarray, /) -> Any:
        """Return an input made of an array."""

    def sample(self, inputs: Sequence[Any], first: int, calls: int) -> float:
        """Return the seconds of a call, from `calls` of them; each has the next of `inputs`.

        Args:
            inputs: calls go through them in turns.
            first: the number of the first of these calls.
            calls: how many.
        """


@dataclass(frozen=True)
class Contender:
    """Something to time: `call` gets one input and the number of the call."""

    name: str
    call: Callable[[Any, int], Any]
    convert: Callable[[np.ndarray], Any] = lambda batch: batch  # array to an input
    prepare: Callable[[Any], Any] | None = None  # before each call, not timed

    def sample(self, inputs: Sequence[Any], first: int, calls: int) -> float:
        """Return the seconds of a call, as `Timed` says."""
        call, prepare, clock = self.call, self.prepare, time.perf_counter
        chosen = [inputs[i % len(inputs)] for i in range(first, first + calls)]
        if prepare is None:
            start = clock()
            for i, x in enumerate(chosen, first):
                call(x, i)
            return (clock() - start) / calls
        total = 0.0
        for i, x in enumerate(chosen, first):
            prepare(x)
            start = clock()
            call(x, i)
            total += clock() - start
        return total / calls


@dataclass
class Timing:
    """Seconds a call, one value for each round; or why there are none."""

    seconds: list[float] = field(default_factory=list)
    calls: int = 1  # in each round
    first: float = math.nan  # seconds of the first call, not among those above
    failure: str = ""

    def quartiles(self) -> tuple[float, float, float]:
        """Return the first quartile, the median and the third, in seconds."""
        low, median, high = np.percentile(self.seconds, (25, 50, 75)).tolist()
        return low, median, high


def _warm_up(contender: Timed, inputs: Sequence[Any], calls: int) -> Timing:
    """Call, and settle from the last call how many a sample has."""
    try:
        spent = [contender.sample(inputs, i, 1) for i in range(calls)]
    except Exception as error:  # of whatever a peer or its compiler raises
        first_line = str(error).strip().partition("\n")[0]
        return Timing(failure=f"{type(error).__name__}: {first_line}")
    return Timing(calls=max(1, round(SAMPLE / spent[-1])), first=spent[0])


def measure(
    contenders: Sequence[Timed],
    batches: np.ndarray,
    rounds: int,
    budget: float,
    warm_up: int = 2,
) -> list[Timing]:
    """Time each contender on `batches` [count, ...], of which a call gets one.

    The first `warm_up` calls, which compile, are not counted; an error in them is reported. A
    round runs everyone once, in another order each time, so that what disturbs the machine disturbs
    all alike. Whoever has used up its `budget` in seconds leaves out the rounds that remain.
    """
    inputs = [[c.convert(batch) for batch in batches] for c in contenders]
    timings = [_warm_up(*pair, warm_up) for pair in zip(contenders, inputs, strict=True)]
    order = [place for place, timing in enumerate(timings) if not timing.failure]
    shuffle = random.Random(0).shuffle
    gc.collect()
    gc.disable()
    for _ in range(rounds):
        shuffle(order)
        for place in order:
            timing = timings[place]
            if sum(timing.seconds) * timing.calls < budget:
                first = len(timing.seconds) * timing.calls
                seconds = contenders[place].sample(inputs[place], first, timing.calls)
                timing.seconds.append(seconds)
    gc.enable()
    return timings
