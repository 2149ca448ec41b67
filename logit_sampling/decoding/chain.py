"""A sampler as part of a compiled program, which serves all settings of its chain."""

import dataclasses
from collections.abc import Hashable, Sequence
from typing import Any, NamedTuple

import numpy as np

from logit_sampling.distribution.checks import is_number
from logit_sampling.distribution.symbol import Symbol
from logit_sampling.sampler import Sampler, State
from logit_sampling.strategies import Grammar, Guidance
from logit_sampling.strategies.transform import Strategy


class Drawn(NamedTuple):
    """What a step drew.

    Attributes:
        ids: int32 [rows], -1 where nothing could be drawn.
        log_probs: of the ids under the model, float32 [rows].
        sampler_log_probs: of the ids under what the chain leaves, float32 [rows].
        state: after them.
    """

    ids: Any
    log_probs: Any
    sampler_log_probs: Any
    state: State


class Chain:
    """A sampler whose numbers are given when it runs.

    Args:
        sampler: one for which `can_be_traced` holds.
        vocab_size: how many tokens there are; the logits of further ids are not looked at.

    Attributes:
        key: what the program depends on.
        numbers: the settings that it does not depend on: arrays of rank 0, or [rows].
    """

    def __init__(self, sampler: Sampler, vocab_size: int) -> None:
        from logit_sampling.distribution.search import wide

        self._sampler, self._vocab_size = sampler, vocab_size
        self._fields: list[tuple[int, str, int | None]] = []
        self.numbers: list[np.ndarray] = []
        parts: list[Any] = [type(sampler), vocab_size]
        for i, transform in enumerate(sampler.transforms):
            parts.append(type(transform))
            for field in dataclasses.fields(transform):
                value = getattr(transform, field.name)
                if value is None or not is_number(field) or field.metadata["static"]:
                    parts.append(value)
                    continue
                whole = field.metadata["integer"]
                most = _at_most(value) if whole else None
                self._fields.append((i, field.name, most))
                self.numbers.append(np.asarray(value, "int32" if whole else wide()))
                parts.append((self.numbers[-1].ndim, most))
        self.key: Hashable = tuple(parts)

    @staticmethod
    def can_be_traced(sampler: Sampler) -> bool:
        """Tell whether a sampler is made of ours alone, and runs no Python."""
        package = Strategy.__module__.rpartition(".")[0]
        return type(sampler).__module__ == Sampler.__module__ and all(
            type(transform).__module__.startswith(package)
            and not isinstance(transform, Grammar | Guidance)
            for transform in sampler.transforms
        )

    def _with(self, numbers: Sequence[Any]) -> Sampler:
        transforms = list(self._sampler.transforms)
        for (i, name, most), number in zip(self._fields, numbers, strict=True):
            symbol = Symbol(number, most)
            transforms[i] = dataclasses.replace(transforms[i], **{name: symbol})
        return type(self._sampler)(*transforms)

    def init(self, prompts: Any, seeds: Any, numbers: Sequence[Any], capacity: int) -> State:
        """Return the state before the first step, in a program.

        Args:
            prompts: int32 [rows, length], -1 for padding.
            seeds: their words, uint32 [rows, 2].
            numbers: see `numbers`.
            capacity: how many tokens it must have room for.
        """
        sampler = self._with(numbers)
        state = sampler.init(prompts, self._vocab_size, seed=0, max_new_tokens=capacity)
        return state._replace(seed=seeds)

    def draw(self, logits: Any, state: State, numbers: Sequence[Any]) -> Drawn:
        """Draw a token for each row, in a program.

        Args:
            logits: float32 [rows, vocab_size or more].
            state: before.
            numbers: see `numbers`.
        """
        pending = self._with(numbers).begin_step(logits[:, : self._vocab_size], state)
        ids = pending.draw()
        model = pending.stages[0].log_prob(ids)
        return Drawn(ids, model, pending.log_prob(ids), pending.accept(ids))


def _at_most(value: Any) -> int:
    """Return a power of two that no whole number exceeds."""
    return 1 << (int(np.max(value)) - 1).bit_length()
