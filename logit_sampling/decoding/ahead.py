"""Sampling ahead: a program writes several tokens to each row where nobody needs those between.

The tokens are those of `sampling`: what a row has too many behind its end is left out.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from logit_sampling.decoding import sampling
from logit_sampling.decoding.batch import NOTHING_LEFT
from logit_sampling.decoding.chain import Chain
from logit_sampling.decoding.plan import EndedBy, Plan
from logit_sampling.decoding.row import Row
from logit_sampling.distribution.random import row_seeds

SMALL = 8192
"""Tokens of a vocabulary up to which a chain pays in a program: beyond, a draw in eager code takes
no part of a step that is worth the time of compiling."""


def can_write(plan: Plan, rows: Sequence[Row]) -> bool:
    """Tell whether `decode` can follow a plan, and pays."""
    return (
        plan.ahead > 1
        and not plan.slide
        and not plan.top_log_probs
        and len(plan.groups) == 1
        and not any(row.finish_reason for row in rows)
        and Chain.can_be_traced(plan.groups[0].sampler)
        and (ahead := getattr(plan.model, "ahead", None)) is not None
        and (found := ahead()) is not None
        and found[1] <= SMALL
    )


def decode(plan: Plan, rows: Sequence[Row], ended_by: EndedBy) -> Iterator[int]:
    """Write all rows to their ends; see `sampling.decode`."""
    batch = _Batch(plan, rows)
    while active := [i for i in batch.members if not rows[i].finish_reason]:
        if 2 * len(active) <= len(batch.members):
            batch.select(active)
        for step in zip(*batch.write(), strict=True):
            for i, token, log_prob, sampler_log_prob in zip(batch.members, *step, strict=True):
                row = rows[i]
                if row.finish_reason:
                    continue
                if token < 0:
                    row.fail(_problem(plan, rows, i))
                else:
                    row.take(int(token), float(log_prob), float(sampler_log_prob), None)
                    row.finish_reason = row.finish_reason or ended_by(i)
                yield i


class _Batch:
    """Texts that are written together.

    Attributes:
        members: their numbers.
    """

    def __init__(self, plan: Plan, rows: Sequence[Row]) -> None:
        model: Any = plan.model
        steps, vocab_size = model.ahead()
        self._rows, self._ahead, self._new = rows, plan.ahead, plan.max_new_tokens
        (group,) = plan.groups
        self._chain, self.members = Chain(group.sampler, vocab_size), list(group.rows)
        self._ends = np.array(sorted(group.end_ids), np.int32)
        self._sizes = steps.sizes

        distinct: dict[tuple[int, ...], int] = {}
        prompts = [tuple(rows[i].prompt) for i in self.members]
        places = [distinct.setdefault(prompt, len(distinct)) for prompt in prompts]
        _, cache = steps.prefill([list(prompt) for prompt in distinct])
        self._cache = cache.select(places)
        self._cache.drop(np.ones(len(places), np.int32))  # the program reads on from there

        history = np.full((len(prompts), self._sizes.tokens(max(map(len, prompts)))), -1, np.int32)
        for own, prompt in zip(history, prompts, strict=True):
            own[: len(prompt)] = prompt
        seeds = row_seeds([rows[i].seed for i in self.members], len(self.members))
        begin = steps.beginning(self._chain, self._sizes.tokens(plan.max_new_tokens))
        arguments = history, seeds, self._chain.numbers
        arguments = self._of_rows(arguments, np.arange(len(prompts)))
        self._numbers, self._state = arguments[2], begin(*arguments)

    def _of_rows(self, arrays: Any, places: np.ndarray) -> Any:
        """Return arrays of some rows, and of as many more as a program has; numbers as they are."""
        import keras

        places = np.pad(places, (0, self._sizes.rows(len(places)) - len(places)), mode="edge")
        return keras.tree.map_structure(lambda x: x[places] if x.ndim else x, arrays)

    def select(self, members: list[int]) -> None:
        """Go on with some of the texts."""
        places = np.array([self.members.index(i) for i in members])
        self._cache = self._cache.select(places)
        self._state, self._numbers = self._of_rows((self._state, self._numbers), places)
        self.members = members

    def write(self) -> list[np.ndarray]:
        """Write the next tokens; return them, and what `KeyValueCache.write` tells of them."""
        own = [self._rows[i] for i in self.members]
        ended = np.array([bool(row.finish_reason) for row in own])
        left = self._new - min(len(row.ids) for row in own if not row.finish_reason)
        written, self._state = self._cache.write(
            self._chain,
            np.array([row.tokens[-1] for row in own], np.int32),
            ended,
            self._ends,
            self._state,
            self._numbers,
            min(self._ahead, left),
        )
        return written


def _problem(plan: Plan, rows: Sequence[Row], i: int) -> str:
    """Return why a row cannot go on: writing it anew, a token a step, tells."""
    (group,) = plan.groups
    place, long = group.rows.index(i), len(rows[i].ids)
    alone = [replace(row, finish_reason="other") for row in rows]
    alone[i] = Row(rows[i].prompt, rows[i].seed, rows[i].end_ids)
    transforms = [transform.of_rows([place]) for transform in group.sampler.transforms]
    own = replace(group, sampler=type(group.sampler)(*transforms), rows=[i])
    for _ in sampling.decode(replace(plan, groups=[own]), alone, lambda _: ""):
        if len(alone[i].ids) > long:
            break
    return alone[i].error or f"row {i}, new token {long}: {NOTHING_LEFT}"
