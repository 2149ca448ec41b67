"""Sampling ahead: a program writes several tokens to each row where nobody needs those between.

The tokens are those of `sampling`: what a row has too many behind its end is left out.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from logit_sampling.decoding import sampling
from logit_sampling.decoding.batch import NOTHING_LEFT
from logit_sampling.decoding.chain import Chain
from logit_sampling.decoding.plan import Decoding, EndedBy, Plan
from logit_sampling.decoding.reader import Reader, follow
from logit_sampling.decoding.row import Row
from logit_sampling.distribution.random import row_seeds
from logit_sampling.models.sizes import Sizes
from logit_sampling.models.steps import Steps, Writer

PAYS = 1000
"""Steps after which a chain is compiled: for the shipped model they save (2 to 6 ms each) what it
takes to compile (4 to 6 s). Larger models save more or nothing: see `docs/backends.md`."""

_ROOM = 256  # new tokens that a cache has room for at once: each growth is compiled for


def decode(plan: Plan, rows: Sequence[Row], ended_by: EndedBy) -> Decoding:
    """Write all rows to their ends, by a program where there can be one and it pays.

    For the arguments, and what it yields, see `sampling.decode`.
    """
    writer = _writer(plan, rows)
    if writer is None:
        yield from sampling.decode(plan, rows, ended_by)
        return
    (group,) = plan.groups
    written, count = writer.steps.written, len(group.rows)
    chain = Chain(group.sampler, writer.vocab_size)
    if not writer.at_once and written[chain.key] < PAYS:
        yield from sampling.decode(plan, rows, ended_by)
        written[chain.key] += max(len(row.ids) for row in rows)
        return
    for first in range(0, count, plan.max_rows):
        members = range(first, min(first + plan.max_rows, count))
        # As many rows as a program has: the last one is repeated.
        slots = Sizes(few=True).rows(len(members))
        places = np.pad(members, (0, slots - len(members)), mode="edge")
        chain = Chain(group.sampler.of_rows(places.tolist()), writer.vocab_size)
        batch = _Batch(plan, rows, writer.steps, chain, places, len(members))
        yield from _by_program(plan, rows, ended_by, batch)


def _writer(plan: Plan, rows: Sequence[Row]) -> Writer | None:
    """Return what can follow a plan, if anything does."""
    if (
        plan.ahead > 1
        and not plan.slide
        and not plan.top_log_probs
        and len(plan.groups) == 1
        and not any(row.finish_reason for row in rows)
        and Chain.can_be_traced(plan.groups[0].sampler)
    ):
        return getattr(plan.model, "writer", None)
    return None


def _by_program(
    plan: Plan, rows: Sequence[Row], ended_by: EndedBy, batch: "_Batch"
) -> Iterator[int]:
    while not all(rows[i].finish_reason for i in batch.members):
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
    """Texts that are written together; those that end stay, since fewer would be another size.

    Attributes:
        members: their numbers.
    """

    def __init__(
        self,
        plan: Plan,
        rows: Sequence[Row],
        steps: Steps,
        chain: Chain,
        places: np.ndarray,
        count: int,
    ) -> None:
        self._rows, self._ahead, self._new = rows, plan.ahead, plan.max_new_tokens
        (group,) = plan.groups
        self._chain, self.members = chain, [group.rows[place] for place in places[:count]]
        self._ends = np.array(sorted(group.end_ids), np.int32)

        distinct: dict[tuple[int, ...], int] = {}
        prompts = [tuple(rows[i].prompt) for i in self.members]
        read = [distinct.setdefault(prompt, len(distinct)) for prompt in prompts]
        _, cache = steps.prefill([list(prompt) for prompt in distinct])
        self._cache = cache.select(read)
        self._cache.drop(np.ones(len(read), np.int32))  # the program reads on from there
        self._cache = self._cache.for_programs(min(plan.max_new_tokens, _ROOM))
        sizes = self._cache.sizes

        history = np.full((len(prompts), sizes.tokens(max(map(len, prompts)))), -1, np.int32)
        for own, prompt in zip(history, prompts, strict=True):
            own[: len(prompt)] = prompt
        seeds = row_seeds([rows[i].seed for i in self.members], len(self.members))
        begin = steps.beginning(chain, sizes.tokens(plan.max_new_tokens))
        filled = np.arange(len(places)).clip(max=count - 1)
        self._state = begin(history[filled], seeds[filled], chain.numbers)

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
            self._chain.numbers,
            min(self._ahead, left),
        )
        return written


def _problem(plan: Plan, rows: Sequence[Row], i: int) -> str:
    """Return why a row cannot go on: writing it anew, a token a step, tells."""
    (group,) = plan.groups
    place, long = group.rows.index(i), len(rows[i].ids)
    alone = [replace(row, finish_reason="other") for row in rows]
    alone[i] = Row(rows[i].prompt, rows[i].seed, rows[i].end_ids)
    own = replace(group, sampler=group.sampler.of_rows([place]), rows=[i])
    anew = sampling.decode(replace(plan, groups=[own]), alone, lambda _: "")
    for _ in follow(anew, Reader(plan.model)):
        if len(alone[i].ids) > long:
            break
    return alone[i].error or f"row {i}, new token {long}: {NOTHING_LEFT.format(row='this row')}"
