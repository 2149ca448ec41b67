"""Rows of the vocabulary, beside what chains made of them: for who shows some at a time."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from logit_sampling.explain.trace import Explanation, Token, likeliest


def told(token: Token) -> dict[str, Any]:
    """Return what a chain did to a token, ready for `json.dumps`."""
    whole = token.to_dict()
    return {name: whole[name] for name in ("final_log_prob", "removed_by", "log_probs")}


def rows(
    raw: np.ndarray,
    found: Sequence[Any],
    spelled: Callable[[int], dict[str, Any]],
    first: int,
    count: int,
    by: int | None = None,
) -> tuple[int, list[dict[str, Any]]]:
    """Return how many tokens there are to draw, and some of them, the likeliest first.

    Args:
        raw: their log-probabilities before any chain, nats [vocab].
        found: an `Explanation` for each chain, or something else for one that cannot be.
        spelled: what to say of a token's text.
        first: the rank of the first.
        count: how many.
        by: which chain orders them: what that cannot draw comes behind; None for none.
    """
    key = raw
    if by is not None and isinstance(found[by], Explanation):
        final = found[by].final_log_probs
        key = np.where(final > -np.inf, final, raw - 1e6)
    total = int((key > -np.inf).sum())
    order = likeliest(key, min(first + count, total))[first:]
    return total, [
        {
            "rank": rank,
            **spelled(id),
            "raw_log_prob": float(raw[id]),
            "chains": [told(e.token(id)) if isinstance(e, Explanation) else None for e in found],
        }
        for rank, id in enumerate(order.tolist(), first)
    ]
