"""What decoding needs to know of a call: the model, the samplers and the limits."""

import time
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, TypeAlias

from logit_sampling.decoding.row import Row
from logit_sampling.models.model import Model, Output
from logit_sampling.sampler import Greedy, Sampler

EndedBy = Callable[[int], str]
"""Asked after each new token of a row: the reason why it ends with it, or an empty string."""


MAX_ROWS = 32
"""Rows that are written at once, so that the memory of a call does not grow with its prompts."""


@dataclass(frozen=True)
class Read:
    """What a way to decode asks for; see `Reader.read`, whose result it is sent."""

    texts: Mapping[Any, list[int]]
    columns: int = 1
    origins: Mapping[Any, Any] | None = None


Decoding: TypeAlias = Generator[int | Read, Output, None]
"""A way to decode, while it does: it asks for what to read, and yields the number of a row whenever
that has got a token, or cannot go on."""


@dataclass(frozen=True)
class Group:
    """The rows that one sampler draws for, and the tokens that end them."""

    sampler: Sampler
    rows: list[int]
    end_ids: frozenset[int]


@dataclass(frozen=True)
class Plan:
    """What all ways to decode follow.

    Attributes:
        model: what reads the texts.
        groups: the samplers, each with the numbers of its rows.
        n: rows for each prompt.
        max_new_tokens: of a row, at most.
        top_log_probs: how many alternatives to note for each token.
        slide: whether texts may outgrow the context of the model.
        deadline: in seconds of `time.perf_counter`; None for no limit.
        ahead: how many tokens a row may get before anyone is told of the first.
        max_rows: how many rows are written at once, at most.
        first_row: the number that the first row has for the user: a plan may be part of another.
    """

    model: Model
    groups: list[Group]
    n: int
    max_new_tokens: int
    top_log_probs: int = 0
    slide: bool = False
    deadline: float | None = None
    ahead: int = 1
    max_rows: int = MAX_ROWS
    first_row: int = 0

    @property
    def late(self) -> bool:
        """Whether the deadline has passed."""
        return self.deadline is not None and time.perf_counter() >= self.deadline

    def check_several(self, name: str) -> None:
        """Raise ValueError for a sampler that leaves one token, where several are compared."""
        if any(isinstance(group.sampler, Greedy) for group in self.groups):
            raise ValueError(
                f"{name} compares several tokens a step, and Greedy leaves one: pass its "
                "transforms in a Sampler, or no sampler"
            )


class Search(Protocol):
    """Another way to decode than drawing token by token."""

    streams: ClassVar[bool]
    """Whether a row gets its tokens one after the other."""
    refuses: ClassVar[tuple[str, ...]]
    """Arguments of `generate` that it cannot follow."""

    def rows(self, n: int) -> int:
        """Return how many texts are read at once for `n` texts of a prompt."""

    def decode(self, plan: Plan, rows: Sequence[Row], ended_by: EndedBy) -> Decoding:
        """Write rows to their ends; see `sampling.decode`.

        Raises:
            ValueError: the plan asks for something that the search cannot do.
        """
