"""DRY: a penalty on going on as before."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from operator import and_
from typing import Any

import numpy as np

from logit_sampling.distribution.checks import Kept, Numbers, Whole, number
from logit_sampling.distribution.intake import engine_of
from logit_sampling.distribution.protocol import Distribution
from logit_sampling.distribution.rounding import greatest_exponent
from logit_sampling.strategies._formula import Row, latest
from logit_sampling.strategies._memory import (
    accepted,
    as_state,
    ends_with,
    held,
    hot_columns,
    per_row,
    table_of,
)
from logit_sampling.strategies._repeats import Repeats
from logit_sampling.strategies._tokens import parameter, sequences_of
from logit_sampling.types import ArrayLike, Integers

_NEVER = 2**30  # tokens ago, further than any history reaches


@dataclass(frozen=True)
class DRY(Repeats):
    """Penalise tokens by how long a passage of the history they would repeat.

    A token that followed an earlier occurrence of the latest m tokens (the longest such m counts)
    has its logit lowered by `multiplier * base ** (m - allowed_length)` if m is at least
    `allowed_length`. The power stops below the greatest float32; the prompt counts.

    The state is the log; for each of its columns how many tokens before it are also the latest
    ones, [batch, capacity]; and how many tokens ago each breaker was, [batch, breakers].

    Args:
        multiplier: at least 0, or one for each row; 0 changes nothing.
        base: at least 1, or one for each row.
        allowed_length: a token that would go on a repetition of so many tokens, or of more, is
            penalised; at least 1, or one for each row.
        window: how many of the latest tokens count, or None for all, or one for each row.
        breakers: sequences of token ids that no repetition goes across, such as those of a line
            break; an id alone is a sequence of one, and is itself never penalised.

    Raises:
        ValueError: a value is out of range.

    Source:
        p-e-w, DRY: a modern repetition penalty, text-generation-webui, pull request 5677, 2024.

    Example:
        >>> import numpy as np, logit_sampling as ls
        >>> ls.DRY(1.0, base=2.0)(np.zeros(5), history=[0, 1, 2, 3, 0, 1, 2])
        array([ 0.,  0.,  0., -2.,  0.])
        >>> ls.DRY(1.0, base=2.0, breakers=[0])(np.zeros(5), history=[0, 1, 2, 3, 0, 1, 2])
        array([ 0.,  0.,  0., -1.,  0.])
    """

    multiplier: Numbers = number(ge=0)
    base: Numbers = number(ge=1, default=1.75)
    allowed_length: Whole = number(ge=1, lt=2**30, integer=True, default=2)
    window: Whole = number(ge=1, le=2**31 - 1, integer=True, static=True, default=None)
    breakers: Kept[Sequence[Sequence[int]] | Sequence[int], tuple[tuple[int, ...], ...]] = (
        parameter(default=())
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "breakers", sequences_of(self, "breakers"))

    def formula(self, x: Row, past: list[int], generated: list[int]) -> Row:
        tokens = latest(past, self.window)
        usable = len(tokens)  # how many of the latest tokens come after every breaker
        for b in map(list, self.breakers):
            for i in range(len(tokens) - len(b) + 1):
                if tokens[i : i + len(b)] == b:
                    usable = min(usable, len(tokens) - i - len(b))
        longest: dict[int, int] = {}
        for i, token in enumerate(tokens):
            for m in range(min(i, usable) + 1):
                if tokens[i - m : i] == tokens[len(tokens) - m :]:
                    longest[token] = max(longest.get(token, 0), m)

        def penalized(token: int, v: float) -> float:
            excess = longest.get(token, -1) - self.allowed_length
            if excess < 0 or (token,) in self.breakers:
                return v
            most = math.log(3.4028234663852886e38) / math.log(self.base) if self.base > 1 else 0
            return v - self.multiplier * self.base ** min(excess, math.floor(most))

        return [penalized(token, v) for token, v in enumerate(x)]

    def token_ids_named(self) -> tuple[int, ...]:
        return tuple(token for breaker in self.breakers for token in breaker)

    @property
    def _limit(self) -> int | None:
        return None if self.window is None else int(np.max(self.window))

    @property
    def _single(self) -> tuple[int, ...]:
        return tuple(breaker[0] for breaker in self.breakers if len(breaker) == 1)

    @property
    def _several(self) -> tuple[tuple[int, ...], ...]:
        return tuple(breaker for breaker in self.breakers if len(breaker) > 1)

    def _breaks(self, xp: Any, ids: Any) -> Any:
        """Return which ids [batch, n] are breakers of one token."""
        if xp is np:
            return np.isin(ids, self._single)
        known = np.isin(np.arange(-1, max(self._single) + 2), self._single)
        return xp.take(known, xp.clip(ids, -1, len(known) - 2) + 1)

    def _since(self, xp: Any, log: Any) -> Any:
        """Return how many tokens of a log follow each breaker, [batch, breakers]."""

        def latest(ends: Any) -> Any:
            ago = xp.arange(ends.shape[1] - 1, -1, -1, dtype="int32")
            return xp.min(xp.where(ends, ago, _NEVER), axis=1)

        since = [latest(self._breaks(xp, log))] if self._single else []
        longest = max(map(len, self._several), default=0)
        padded = xp.pad(log, ((0, 0), (longest, 0)), constant_values=-1)
        for breaker in self._several:
            places = padded.shape[1] - len(breaker) + 1
            equal = [padded[:, i : i + places] == token for i, token in enumerate(breaker)]
            since.append(latest(reduce(and_, equal)))
        return xp.stack(since, axis=1) if since else log[:, :0]

    def _just(self, xp: Any, log: Any) -> Any:
        """Return which breakers a log ends with, bool [batch, breakers]."""
        several = ends_with(xp, log, table_of(self._several))
        if not self._single:
            return several
        return xp.concatenate([self._breaks(xp, log[:, -1:]), several], axis=1)

    def _enough(self) -> Any:
        return per_row(np.add(self.allowed_length, greatest_exponent(self.base)))

    def init(
        self,
        history: ArrayLike,
        vocab_size: int,
        capacity: int = 0,
        prompt_length: Integers | None = None,
    ) -> tuple[ArrayLike, ...]:
        """Return the log, what repeats at its columns, and how long ago breakers were."""
        log, lengths = super().init(history, vocab_size, capacity, prompt_length)
        xp, (log, lengths) = engine_of(log, lengths)
        return as_state(xp, log, lengths, self._since(xp, log))

    def update(self, state: Any, ids: ArrayLike) -> tuple[ArrayLike, ...]:
        """Append the token; what went on with it repeats one token more."""
        *columns, since = state
        log, lengths = super().update(tuple(columns), ids)
        xp, token, (log, lengths, since) = accepted(ids, (log, lengths, since))
        since = xp.where(self._just(xp, log), 0, xp.where(token < 0, since, since + 1))
        return as_state(xp, log, lengths, xp.minimum(since, _NEVER))

    def apply(self, distribution: Distribution, state: Any = ()) -> Distribution:
        distribution, (log, lengths, since) = held(distribution, state)
        xp = distribution.xp
        size, columns = log.shape[1], xp.arange(log.shape[1], dtype="int32")[None]
        hot = (log >= 0) & (lengths >= per_row(self.allowed_length))
        hot, log, lengths, columns = hot_columns(xp, hot, log, lengths, columns)
        if self.window is not None:
            columns = columns - np.maximum(size - per_row(self.window), 0)
            hot = hot & (columns >= 0)
            spans = [1] * bool(self._single) + [len(breaker) for breaker in self._several]
            within = since + np.asarray([spans], np.int32) <= per_row(self.window)
            since = xp.where(within, since, _NEVER)
        repeated = xp.minimum(lengths, columns)
        if self.breakers:
            repeated = xp.minimum(repeated, xp.min(since, axis=1, keepdims=True))
        if self._single:
            hot = hot & xp.logical_not(self._breaks(xp, log))
        excess = repeated - per_row(self.allowed_length)
        hot = hot & (excess >= 0)

        levels = xp.minimum(excess, per_row(greatest_exponent(self.base)))
        multiplier, base = (distribution.per_row(p)[:, None] for p in (self.multiplier, self.base))
        amounts = xp.multiply(multiplier, xp.power(base, xp.where(hot, levels, 0)))
        return distribution.lower(xp.where(hot, log, -1), amounts)
