"""Speculative decoding: a small model drafts, the target checks several tokens in one call."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from logit_sampling.decoding.batch import Batch, Step
from logit_sampling.decoding.plan import EndedBy, Plan
from logit_sampling.decoding.reader import Reader
from logit_sampling.decoding.row import Row
from logit_sampling.distribution.row import EagerRow
from logit_sampling.distribution.weights import find
from logit_sampling.models.model import Model

# Streams of random numbers for a seed and a position: the sampler draws from 0 and its coins count
# up from 1; these count down.
_CHECK, _REPLACE = 2**32 - 1, 2**32 - 2


@dataclass(frozen=True)
class Speculation:
    """Write texts with the distribution of the sampler on the target, whatever the draft says.

    In a round the draft model samples up to `num_draft` tokens of each text, and the target
    reads them in one call. With p and q what the whole chain of the sampler makes of the logits of
    the target and of the draft after the same tokens, a drafted token t is kept with probability
    min(1, p(t) / q(t)). The first that is not is replaced by a draw from max(p - q, 0), normalised,
    and ends the round; if all are kept, one more is drawn from p.

    A text depends on its prompt and its seed alone: each position has its own random numbers, and
    what was drafted behind the last token that is kept leaves no trace.

    The vocabulary of the draft may be padded to another size than the target's: what the draft
    lacks has q = 0, it proposes nothing that the target lacks, and where the text holds a token
    that it lacks it reads its last one.

    Args:
        draft: a model with the tokens of the target.
        num_draft: how many tokens it drafts in a round, at least 1.

    Source:
        Leviathan et al., Fast Inference from Transformers via Speculative Decoding, 2022, arXiv
        2211.17192.
    """

    streams: ClassVar[bool] = True
    refuses: ClassVar[tuple[str, ...]] = ("overflow",)

    draft: Model
    num_draft: int = 4

    def decode(self, plan: Plan, rows: Sequence[Row], ended_by: EndedBy) -> Iterator[int]:
        """Write all rows to their ends, or until the deadline.

        Yields:
            the number of a row whenever it has got a token, or cannot go on.
        """
        batch, target, drafter = Batch(plan, rows, ended_by), Reader(plan.model), Reader(self.draft)
        active = batch.active()
        if active:
            prompts = {i: rows[i].prompt for i in active}
            output = drafter.read(_readable(prompts, self.draft.vocab_size))
            known = output.logits.shape[-1]  # tokens of the draft model
        while active:
            drafts, guesses = self._draft(batch, drafter, active, known)
            yield from (i for i in active if rows[i].finish_reason)
            yield from _verify(batch, target, drafts, guesses)
            active = batch.active()

    def _draft(
        self, batch: Batch, drafter: Reader, active: list[int], known: int
    ) -> tuple[dict[int, list[int]], list[Step]]:
        """Return what is drafted for each row, and the distributions it was drawn from.

        The draft begins with the states of the samplers after the tokens that are kept. Rows for
        which the draft model gives NaN fail.
        """
        rows, states, guesses = batch.rows, batch.states, list[Step]()
        drafts: dict[int, list[int]] = {i: [] for i in active}
        place_of = {i: place for place, i in enumerate(active)}
        drafting = [i for i in active if rows[i].ids]  # the first tokens need no draft
        for size in range(self.num_draft):
            # No more than a text may get; one that may get more has the same beginning.
            drafting = [i for i in drafting if size < _room(batch, i)]
            if not drafting:
                break
            texts = {i: rows[i].tokens + drafts[i] for i in active}
            logits = drafter.read(_readable(texts, known)).logits[:, -1]
            logits = _widened(logits[[place_of[i] for i in drafting]], batch.vocabulary)
            step = batch.begin(logits, drafting, states)
            for i, problem in step.problems.items():
                batch.fail(i, problem, "draft model: ")
            # Where the chain leaves nothing, the target goes on alone.
            tokens = {i: step.draw(i) for i in step.able}
            states = step.accept(tokens)
            guesses.append(step)
            for i, token in tokens.items():
                drafts[i].append(token)
            drafting = [i for i, token in tokens.items() if token not in rows[i].end_ids]
        return {i: drafted for i, drafted in drafts.items() if not rows[i].finish_reason}, guesses


def _verify(
    batch: Batch, target: Reader, drafts: Mapping[int, list[int]], guesses: Sequence[Step]
) -> Iterator[int]:
    """Keep or replace what was drafted, and yield the row of each token."""
    if not drafts:
        return
    rows = batch.rows
    # What follows the last token that a text may get is not asked for.
    read = {i: drafted[: _room(batch, i) - 1] for i, drafted in drafts.items()}
    texts = {i: rows[i].tokens + read[i] for i in drafts}
    logits = target.read(texts, 1 + max(map(len, read.values()))).logits
    place_of = {i: place for place, i in enumerate(drafts)}
    for i in drafts:
        rows[i].rounds += bool(rows[i].ids)  # the first token is no round
    checked = list(drafts)
    for size in range(len(guesses) + 1):
        columns = [size - len(read[i]) - 1 for i in checked]  # from the end
        step = batch.begin(logits[[place_of[i] for i in checked], columns], checked)
        tokens, kept = {}, []
        for i in step.able:
            if size == len(drafts[i]):
                tokens[i] = step.draw(i)
                continue
            p, q, token = step.sampler(i), guesses[size].sampler(i), drafts[i][size]
            if step.uniform(i, _CHECK) * _chance(q, token) < _chance(p, token):
                tokens[i] = token
                kept.append(i)
            else:
                tokens[i] = _replacement(p, q, logits.shape[-1], step.uniform(i, _REPLACE))
        for i in kept:
            rows[i].accepted += 1
        yield from batch.write(step, tokens)
        checked = [i for i in kept if not rows[i].finish_reason]
        if not checked:
            break


def _room(batch: Batch, i: int) -> int:
    """Return how many tokens a row may still get."""
    return batch.plan.max_new_tokens - len(batch.rows[i].ids)


def _chance(distribution: EagerRow, token: int) -> float:
    return math.exp(distribution.log_prob(token))


def _replacement(p: EagerRow, q: EagerRow, vocabulary: int, uniform: float) -> int:
    """Draw from what `p` has more than `q`."""
    ids = np.arange(vocabulary) if p.ids is None else p.ids
    own, other = (left.weights.of() / left.weights.total for left in (p, q))
    excess = np.maximum(own - q.spread(other, vocabulary, 0.0)[ids], 0.0)
    return int(ids[find(excess if excess.any() else own, uniform)[0]])


def _readable(texts: Mapping[int, list[int]], vocabulary: int | None) -> dict[int, list[int]]:
    """Return texts with the last of the tokens that a model has for those that it lacks."""
    if vocabulary is None or all(max(text) < vocabulary for text in texts.values()):
        return dict(texts)
    return {i: [min(token, vocabulary - 1) for token in text] for i, text in texts.items()}


def _widened(logits: np.ndarray, vocabulary: int) -> np.ndarray:
    """Return logits [..., vocab] of so many tokens: -inf for more, without those beyond."""
    missing = vocabulary - logits.shape[-1]
    if missing <= 0:
        return logits[..., :vocabulary]
    return np.pad(logits, [(0, 0)] * (logits.ndim - 1) + [(0, missing)], constant_values=-np.inf)
