"""Sampling: each text gets a token a step, drawn by its sampler."""

from collections.abc import Iterator, Sequence

from logit_sampling.decoding.batch import Batch
from logit_sampling.decoding.plan import EndedBy, Plan
from logit_sampling.decoding.reader import Reader
from logit_sampling.decoding.row import Row


def decode(plan: Plan, rows: Sequence[Row], ended_by: EndedBy) -> Iterator[int]:
    """Write all rows to their ends, or until the deadline; then some have no finish reason.

    Args:
        plan: how.
        rows: the texts; those that have a finish reason stay as they are.
        ended_by: asked after each new token that is no end token.

    Yields:
        the number of a row whenever it has got a token, or cannot go on.
    """
    batch, reader = Batch(plan, rows, ended_by), Reader(plan.model, plan.slide)
    while active := batch.active():
        logits = reader.read({i: rows[i].tokens for i in active}).logits[:, -1]
        step = batch.begin(logits, active)
        yield from batch.write(step, {i: step.draw(i) for i in step.able})
