"""The generation loop."""

import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from logit_sampling.decoding.drawing import Drawer
from logit_sampling.decoding.log_probs import LogProbs
from logit_sampling.decoding.reading import Reader
from logit_sampling.decoding.text_row import Row

if TYPE_CHECKING:
    from logit_sampling.generation.request import Request


def grow(request: "Request", rows: Sequence[Row], ended_by: Callable[[int], str]) -> Iterator[int]:
    """Write all rows to their ends, or to the deadline.

    Args:
        request: how.
        rows: the texts.
        ended_by: `ended_by(row)` is asked after each new token that is no end token; it returns
            the reason why the text ends with it, or an empty string.

    Yields:
        the number of a row whenever it has got a token.
    """
    reader, drawer = Reader(request.model, rows, request.slide), None
    active = [i for i, row in enumerate(rows) if not row.finish_reason]
    while active:
        # The model reads what is new, and each row gets a token from its sampler.
        logits = reader.logits(active)
        if drawer is None:
            drawer = Drawer(request.groups, rows, logits.shape[-1], request.max_new_tokens)
        ids, sampler_log_probs, problems = drawer.draw(logits, active)
        # Each takes it in, with what the model thinks of it, and may end.
        model, count = LogProbs(logits), request.top_log_probs
        tokens, log_probs = ids.tolist(), model.of(ids).tolist()
        for place, i in enumerate(active):
            row, token = rows[i], tokens[place]
            if i in problems:
                row.fail(f"row {i}, new token {len(row.ids)}: {problems[i]}")
            else:
                top = model.likeliest(place, count) if count else None
                row.take(token, log_probs[place], float(sampler_log_probs[place]), top)
                row.finish_reason = "end_token" if token in row.end_ids else ended_by(i)
            yield i
        # The others go on, if there is time.
        active = [i for i in active if not rows[i].finish_reason]
        if request.deadline is not None and time.perf_counter() >= request.deadline:
            for i in active:
                rows[i].end("deadline")
                yield i
            return
