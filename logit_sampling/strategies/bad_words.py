"""Sequences of tokens that are banned."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from logit_sampling.distribution.checks import Kept, check_flag
from logit_sampling.strategies._formula import Row
from logit_sampling.strategies._sequence_rule import SequenceRule
from logit_sampling.strategies._tokens import parameter, sequences_of
from logit_sampling.types import ArrayLike


@dataclass(frozen=True)
class BadWords(SequenceRule):
    """Remove the token that would complete one of some sequences.

    A sequence of one token is never drawn.

    Args:
        sequences: lists of token ids, or single ids.
        prompt: whether a sequence may begin in the prompt.

    Raises:
        ValueError: they are none, or the vocabulary lacks one of the tokens.

    Source:
        Hugging Face transformers, `bad_words_ids`, 2019.

    Example:
        >>> import numpy as np, logit_sampling as ls
        >>> ls.BadWords([[0, 1], [2]])(np.array([3.0, 1.0, -1.0]), history=[1, 0])
        array([  3., -inf, -inf])
    """

    sequences: Kept[Sequence[Sequence[int]] | ArrayLike, tuple[tuple[int, ...], ...]] = parameter()
    prompt: bool = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "sequences", sequences_of(self, "sequences"))
        check_flag(self, "prompt")

    def formula(self, x: Row, past: list[int], generated: list[int]) -> Row:
        tokens = past if self.prompt else generated
        ends = [
            s for s in map(list, self.sequences) if len(s) < 2 or tokens[1 - len(s) :] == s[:-1]
        ]
        return [-math.inf if i in {s[-1] for s in ends} else v for i, v in enumerate(x)]

    def _sequences(self) -> tuple[tuple[int, ...], ...]:
        return self.sequences

    def _biases(self) -> np.ndarray:
        return np.full(len(self.sequences), -np.inf)
