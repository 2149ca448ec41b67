"""Watermark: a mark that a reader does not see and that statistics find."""

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from logit_sampling.distribution.checks import Numbers, check_count, number
from logit_sampling.distribution.protocol import Distribution
from logit_sampling.strategies._green import is_green, words_of
from logit_sampling.strategies._memory import accepted, appended, as_state, held, log_of, past_of
from logit_sampling.strategies.transform import Strategy
from logit_sampling.types import ArrayLike, Integers

_WORD = 0xFFFFFFFF


@dataclass(frozen=True)
class Watermark(Strategy):
    """Add `delta` to the logits of some tokens, the green ones, picked by a keyed hash.

    Exactly `floor(gamma * vocabulary)` tokens are green; which ones depends on `key` and on the
    last `context` tokens of the row. With fewer tokens than that, a row is unchanged. Whoever
    knows the key finds the mark with `WatermarkDetector`. The state is those tokens, int32
    [batch, context], the latest at the right, -1 for none.

    Args:
        gamma: the share of green tokens, between 0 and 1, or one for each row.
        delta: what is added, at least 0, or one for each row; 0 changes nothing.
        key: an integer in [0, 2**64). It is all that keeps others from finding the mark.
        context: how many tokens the hash takes in, at least 1. More make the green tokens harder
            to guess, and the mark easier to lose when the text is edited.

    Raises:
        ValueError: a value is out of range.

    Source:
        Kirchenbauer et al., A Watermark for Large Language Models, 2023, arXiv 2301.10226. The hash
        is this library's own, of integers only, and the same on every engine.

    Example:
        >>> import numpy as np, logit_sampling as ls
        >>> watermark = ls.Watermark(gamma=0.5, delta=2.0, key=42)
        >>> watermark(np.zeros(8, np.float32), history=[3])
        array([2., 2., 2., 0., 0., 2., 0., 0.], dtype=float32)
        >>> watermark(np.zeros(8, np.float32))
        array([0., 0., 0., 0., 0., 0., 0., 0.], dtype=float32)
    """

    gamma: Numbers = number(gt=0, lt=1, default=0.25)
    delta: Numbers = number(ge=0, le=1e30, default=2.0)
    key: int = 15485863
    context: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        check_count(self, "key", least=0)
        check_count(self, "context", least=1)
        if self.key >= 2**64:
            raise ValueError(f"Watermark needs `key` to be below 2**64; got {self.key}")

    def init(
        self,
        history: ArrayLike,
        vocab_size: int,
        capacity: int = 0,
        prompt_length: Integers | None = None,
    ) -> tuple[ArrayLike, ...]:
        """Return the latest tokens."""
        xp, past, _ = past_of(self, history, vocab_size, capacity, prompt_length)
        room = xp.pad(past, ((0, 0), (self.context, 0)), constant_values=-1)
        return as_state(xp, log_of(xp, room, self.context))

    def update(self, state: Any, ids: ArrayLike) -> tuple[ArrayLike, ...]:
        """Move the tokens by one."""
        xp, token, (log,) = accepted(ids, state)
        return as_state(xp, appended(xp, self.context, token, log))

    def apply(self, distribution: Distribution, state: Any = ()) -> Distribution:
        distribution, (log,) = held(distribution, state)
        xp, vocab_size = distribution.xp, distribution.vocab_size
        count = distribution.per_row(green_count(self.gamma, vocab_size))
        count = xp.array(xp.where(xp.all(log >= 0, axis=1), count, 0), dtype="int32")
        words = self._words(xp, xp.maximum(log, 0))
        return distribution.add(self.delta, partial(is_green, xp, vocab_size), count, *words)

    def _words(self, xp: Any, log: Any) -> Any:
        """Return four words for each row, uint32 [batch] each."""
        if xp is np:  # Python integers are fastest for a few rows
            rows = [words_of(self.key_words, row) for row in log.tolist()]
            return np.asarray(rows, np.uint32).reshape(-1, 4).T

        from logit_sampling.distribution.tensors import left_shift, right_shift

        key = np.uint32(self.key_words[0]), np.uint32(self.key_words[1])
        tokens = [xp.cast(log[:, place], "uint32") for place in range(self.context)]
        return words_of(key, tokens, left_shift, right_shift, np.uint32)

    @property
    def key_words(self) -> tuple[int, int]:
        """The key as two words, the low one first."""
        return self.key & _WORD, self.key >> 32


def green_count(gamma: Any, vocabulary: int) -> Any:
    """Return floor(gamma * vocabulary) as a float, for a number, each of several, or a tensor."""
    # What is an integer on paper may round to just below it.
    return np.floor(np.multiply(gamma, vocabulary) * (1 + 1e-12))
