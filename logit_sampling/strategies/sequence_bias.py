"""A bias on sequences of tokens."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from logit_sampling.distribution.checks import Kept
from logit_sampling.strategies._formula import Row, plus
from logit_sampling.strategies._sequence_rule import SequenceRule
from logit_sampling.strategies._tokens import biases_of, parameter

_Biases: TypeAlias = Mapping[Any, float] | Sequence[tuple[int | Sequence[int], float]]


@dataclass(frozen=True)
class SequenceBias(SequenceRule):
    """Add a bias to the token that would complete a sequence; what several add, adds up.

    The prompt counts. A sequence of one token always gets its bias; -inf beats +inf.

    Args:
        bias: maps sequences of token ids (tuples), or single ids, to numbers.

    Raises:
        ValueError: it is no such mapping, or the vocabulary lacks one of the tokens.

    Source:
        Hugging Face transformers, `sequence_bias`, 2023.

    Example:
        >>> import numpy as np, logit_sampling as ls
        >>> bias = ls.SequenceBias({(0, 1): 2.0, (2, 0, 1): 3.0, (1, 2): 9.0})
        >>> bias(np.array([3.0, 1.0, -1.0]), history=[1, 2, 0])
        array([ 3.,  6., -1.])
    """

    bias: Kept[_Biases, tuple[tuple[tuple[int, ...], float], ...]] = parameter()

    def __post_init__(self) -> None:
        object.__setattr__(self, "bias", biases_of(self, "bias"))

    def formula(self, x: Row, past: list[int], generated: list[int]) -> Row:
        for sequence, bias in self.bias:
            head = list(sequence[:-1])
            if not head or past[-len(head) :] == head:
                x = [plus(v, bias) if i == sequence[-1] else v for i, v in enumerate(x)]
        return x

    def _sequences(self) -> tuple[tuple[int, ...], ...]:
        return tuple(ids for ids, _ in self.bias)

    def _biases(self) -> np.ndarray:
        return np.asarray([bias for _, bias in self.bias])
