"""Prompt lookup: what followed the last tokens when the text had them before is a draft."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from logit_sampling.decoding.batch import Batch
from logit_sampling.decoding.plan import Decoding, EndedBy, Plan, Read
from logit_sampling.decoding.row import Row
from logit_sampling.decoding.speculative import CHECK, REPLACE, chance_of
from logit_sampling.distribution.row import EagerRow
from logit_sampling.distribution.weights import find

_LENGTHS = (3, 2)  # of the last tokens that are looked up, the longer ones first
_FIRST = 3  # tokens of a first draft
_LONGEST_PAUSE = 64  # rounds without a draft


@dataclass(frozen=True)
class Lookup:
    """Write texts with the distribution of the sampler, several tokens a step where they copy.

    The draft of a text is what followed its last three tokens, or else two, when it had them the
    last time before, in the prompt or behind it. The model reads it in one call. A drafted token is
    kept with the probability that the sampler gives it, and the first that is not is replaced by a
    draw from the others: the rule of speculative decoding for a draft that is sure. (The whole
    draft is kept as likely as it can be then: verifying it as a block would keep no more.)

    Drafts get longer while they are kept and shorter when they are not; after one of which nothing
    was kept there is none for a while, twice as long each time: a text that copies nothing costs
    hardly more than without. A text depends on its prompt and its seed alone.

    Args:
        num_draft: how many tokens a draft has at most, at least 1.

    Source:
        Saxena, Prompt Lookup Decoding, 2023, github.com/apoorvumang/prompt-lookup-decoding;
        Leviathan et al., 2022, arXiv 2211.17192.
    """

    streams: ClassVar[bool] = True
    refuses: ClassVar[tuple[str, ...]] = ("overflow",)

    num_draft: int = 16

    def rows(self, n: int) -> int:
        """Return how many texts are read at once for `n` texts of a prompt."""
        return n

    def decode(self, plan: Plan, rows: Sequence[Row], ended_by: EndedBy) -> Decoding:
        """Write all rows to their ends, or until the deadline.

        Yields:
            the number of a row whenever it has got a token, or cannot go on.
        """
        batch = Batch(plan, rows, ended_by, plan.max_rows)
        copies = [_Copies(self.num_draft) for _ in rows]
        while active := batch.active():
            drafts = dict[int, list[int]]()
            for i in active:
                left = plan.max_new_tokens - len(rows[i].ids)
                draft = copies[i].draft(rows[i].tokens, left, rows[i].end_ids)
                drafts[i] = draft if rows[i].ids else []  # the first token needs none
            before = {i: rows[i].accepted for i in active}
            yield from _verify(batch, drafts)
            for i, drafted in drafts.items():
                copies[i].learn(len(drafted), rows[i].accepted - before[i])


def _verify(batch: Batch, drafts: Mapping[int, list[int]]) -> Decoding:
    """Keep or replace what was drafted, and yield the row of each token."""
    rows = batch.rows
    # What follows the last token that a text may get is not asked for.
    most = {i: batch.plan.max_new_tokens - len(rows[i].ids) - 1 for i in drafts}
    read = {i: drafted[: most[i]] for i, drafted in drafts.items()}
    texts = {i: rows[i].tokens + read[i] for i in drafts}
    logits = (yield Read(texts, 1 + max(map(len, read.values())))).logits
    place_of = {i: place for place, i in enumerate(drafts)}
    checked = list(drafts)
    for i in checked:
        rows[i].rounds += bool(rows[i].ids)  # the first token is no round
    for size in range(max(map(len, drafts.values())) + 1):
        columns = [size - len(read[i]) - 1 for i in checked]  # from the end
        step = batch.begin(logits[[place_of[i] for i in checked], columns], checked)
        tokens, kept = dict[int, int](), list[int]()
        for i in step.able:
            if size == len(drafts[i]):
                tokens[i] = step.draw(i)
                continue
            p, token = step.sampler(i), drafts[i][size]
            if step.uniform(i, CHECK) < chance_of(p, token):
                tokens[i] = token
                kept.append(i)
            else:
                tokens[i] = _another(p, token, step.uniform(i, REPLACE))
        for i in kept:
            rows[i].accepted += 1
        yield from batch.write(step, tokens)
        checked = [i for i in kept if not rows[i].finish_reason]
        if not checked:
            break


def _another(p: EagerRow, token: int, uniform: float) -> int:
    """Draw another token than one that was not kept."""
    weights = p.weights.of()
    ids = np.arange(weights.size) if p.ids is None else p.ids
    others = np.where(ids == token, 0.0, weights)
    return int(ids[find(others if others.any() else weights, uniform)[0]])


class _Copies:
    """Where in one text its last tokens stood before.

    Args:
        most: tokens of a draft.
    """

    def __init__(self, most: int) -> None:
        self._most, self._size = most, min(_FIRST, most)
        self._behind: dict[tuple[int, ...], int] = {}  # the place behind tokens, the latest one
        self._known = 0  # tokens whose places are in it
        self._pause = self._misses = 0

    def draft(self, text: list[int], room: int, end_ids: frozenset[int]) -> list[int]:
        """Return what may come next, which may be nothing."""
        for end in range(self._known + 1, len(text)):
            for length in _LENGTHS:
                if length <= end:
                    self._behind[tuple(text[end - length : end])] = end
        self._known = max(len(text) - 1, 0)
        if self._pause:
            self._pause -= 1
            return []
        for length in _LENGTHS:
            place = self._behind.get(tuple(text[-length:]))
            if place is not None:
                draft = text[place : place + min(self._size, room)]
                ends = [at for at, token in enumerate(draft) if token in end_ids]
                return draft[: ends[0] + 1] if ends else draft
        return []

    def learn(self, drafted: int, kept: int) -> None:
        """Take in how many tokens of a draft were kept."""
        if not drafted:
            return
        self._misses = 0 if kept else self._misses + 1
        self._pause = 0 if kept else min(2**self._misses, _LONGEST_PAUSE)
        self._size = min(2 * self._size, self._most) if kept == drafted else max(kept, 1)
