"""Tells whether a text carries a watermark."""

import math
from dataclasses import dataclass

import numpy as np

from logit_sampling.distribution.checks import check_count
from logit_sampling.strategies._green import is_green, words_of
from logit_sampling.strategies._history import as_history, has_rows
from logit_sampling.strategies.watermark import Watermark, green_count
from logit_sampling.types import TokenIds


@dataclass(frozen=True)
class Detection:
    """What a detector found: a number for one text, [batch] arrays for several."""

    scored: int | np.ndarray  # how many tokens had a full context, int
    green: int | np.ndarray  # how many of them were green, int
    z: float | np.ndarray  # how many standard deviations more than expected, float
    p_value: float | np.ndarray  # how likely a text without the mark has that z or more, float
    flagged: bool | np.ndarray  # whether z is above 3, bool


@dataclass(frozen=True)
class WatermarkDetector:
    """Count the green tokens of a text, and tell how unlikely they are without the watermark.

    Of T scored tokens a text without the mark has `gamma * T` green ones on average;
    `z = (green - gamma * T) / sqrt(T * gamma * (1 - gamma))`, and `p_value` is the upper tail
    of the normal distribution at z. Here gamma is the exact share of green tokens, those that
    `floor` leaves of the vocabulary. A text that repeats itself repeats its windows (a context
    and a token), and they are not independent then: `unique=True` counts each once.

    Args:
        watermark: the one to look for, with one `gamma`.
        vocab_size: that of the model which wrote: the number of its logits.

    Raises:
        ValueError: a `gamma` for each row, or one that makes no token green.

    Source:
        Kirchenbauer et al., A Watermark for Large Language Models, 2023, arXiv 2301.10226.

    Example:
        >>> import logit_sampling as ls
        >>> detector = ls.WatermarkDetector(ls.Watermark(gamma=0.5, key=42), vocab_size=8)
        >>> detector([3, 0, 1, 1, 5])
        Detection(scored=4, green=2, z=0.0, p_value=0.5, flagged=False)
    """

    watermark: Watermark
    vocab_size: int

    def __post_init__(self) -> None:
        check_count(self, "vocab_size", least=2)
        if not isinstance(self.watermark, Watermark):
            raise ValueError(f"WatermarkDetector needs a Watermark, got {self.watermark!r}")
        if isinstance(self.watermark.gamma, tuple):
            raise ValueError(
                "WatermarkDetector needs a watermark with one `gamma`; use watermark.of_row(row)"
            )
        if not self._count:
            raise ValueError(
                f"a gamma of {self.watermark.gamma} makes no token green of a vocabulary of "
                f"{self.vocab_size}; there is nothing to detect"
            )

    @property
    def _count(self) -> int:
        return int(green_count(self.watermark.gamma, self.vocab_size))

    def __call__(self, token_ids: TokenIds, unique: bool = False) -> Detection:
        """Look at texts.

        Args:
            token_ids: int [length] or [batch, length], -1 for padding, or lists of any lengths:
                the tokens written with the watermark, best without the prompt.
            unique: count each window (a context and the token after it) once.

        Raises:
            ValueError: ids outside the vocabulary, or a row in which no token has a full context.
        """
        history = as_history(token_ids)
        if history.size and history.max() >= self.vocab_size:
            raise ValueError(f"token id {history.max()} is not in [0, {self.vocab_size})")
        rows = [self._look(row, own[own >= 0], unique) for row, own in enumerate(history)]
        if not has_rows(token_ids):
            return Detection(*rows[0])
        return Detection(*(np.asarray(column) for column in zip(*rows, strict=True)))

    def _look(self, row: int, ids: np.ndarray, unique: bool) -> tuple[int, int, float, float, bool]:
        length = self.watermark.context + 1
        if len(ids) < length:
            raise ValueError(
                f"row {row} has {len(ids)} tokens: none has the {length - 1} tokens before it that "
                "the watermark looks at"
            )
        windows = np.lib.stride_tricks.sliding_window_view(ids.astype(np.uint32), length)
        windows, counts = np.unique(windows, axis=0, return_counts=True)
        weights = np.ones_like(counts) if unique else counts
        words = words_of(self.watermark.key_words, [*windows[:, :-1].T])
        green = is_green(np, self.vocab_size, windows[:, -1], self._count, *words)
        return _statistics(int(weights.sum()), int(weights[green].sum()), self._share)

    @property
    def _share(self) -> float:
        return self._count / self.vocab_size


def _statistics(scored: int, green: int, share: float) -> tuple[int, int, float, float, bool]:
    z = (green - share * scored) / math.sqrt(scored * share * (1 - share))
    return scored, green, z, math.erfc(z / math.sqrt(2)) / 2, z > 3
