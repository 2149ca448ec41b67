"""Sampling: each text gets a token a step, drawn by its sampler."""

from collections.abc import Sequence

from logit_sampling.decoding.batch import Batch
from logit_sampling.decoding.plan import Decoding, EndedBy, Plan, Read
from logit_sampling.decoding.row import Row


def decode(plan: Plan, rows: Sequence[Row], ended_by: EndedBy) -> Decoding:
    """Write all rows to their ends, or until the deadline; then some have no finish reason.

    Args:
        plan: how.
        rows: the texts; those that have a finish reason stay as they are.
        ended_by: asked after each new token that is no end token.

    Yields:
        the number of a row whenever it has got a token, or cannot go on.
    """
    batch = Batch(plan, rows, ended_by, plan.max_rows)
    while active := batch.active():
        output = yield Read({i: rows[i].tokens for i in active})
        step = batch.begin(output.logits[:, -1], active, drawing=True)
        yield from batch.write(step, {i: step.draw(i) for i in step.able})
