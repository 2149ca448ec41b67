"""How likely a model finds texts."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from logit_sampling.generation.language_model import as_model
from logit_sampling.generation.log_probs import LogProbs
from logit_sampling.generation.model import Model, Tokenizer
from logit_sampling.generation.prompts import Prompt, listed, token_ids
from logit_sampling.generation.window import window_start

_COLUMNS = 128  # tokens read at a time, so that their logits take little memory


@dataclass(frozen=True)
class ScoreResult:
    """Log-probabilities (natural logarithms) of texts under a model, one entry for each text.

    Attributes:
        token_ids: the ids of each text, with the start token if the model has one.
        log_probs: for each of them its log-probability given those before; None for the first.
        totals: the sum of a text's log-probabilities.
        counts: of how many tokens.
        perplexity: of all texts together: `exp(-sum(totals) / sum(counts))`, so that each token
            has the same weight.
    """

    token_ids: list[list[int]]
    log_probs: list[list[float | None]]
    totals: list[float]
    counts: list[int]
    perplexity: float

    def to_dict(self) -> dict[str, Any]:
        """Return all of it as lists, strings and numbers, ready for `json.dumps`."""
        return asdict(self)


def score(
    model: Any,
    texts: Prompt | Sequence[Prompt],
    *,
    overflow: str = "error",
    tokenizer: Tokenizer | None = None,
) -> ScoreResult:
    """Tell how likely a model finds texts, token by token.

    Texts are read one after another and in parts, so memory does not grow with their number.

    Args:
        model: as for :func:`generate`.
        texts: a string, a list of strings, or a list of lists of token ids, of any lengths.
        overflow: what to do with a text longer than the context: `"error"`, or `"slide"`, which
            shows the model at each place what :func:`generate` would: between half a context and a
            whole one of the tokens before.
        tokenizer: as for :func:`generate`.

    Returns:
        a :class:`ScoreResult`.

    Raises:
        ValueError: an empty text, one that does not fit the context, ids outside the vocabulary, no
            text with a second token, or logits that hold NaN or no token above -inf.

    Example, with a model that finds each of two tokens equally likely:

    >>> import numpy as np
    >>> result = score(lambda ids: np.zeros((*ids.shape, 2), np.float32), [[0, 1, 1], [1, 0]])
    >>> result.counts, round(result.perplexity, 6)
    ([2, 1], 2.0)
    """
    if overflow not in ("error", "slide"):
        raise ValueError(f'overflow must be "error" or "slide", got {overflow!r}')
    runner = as_model(model)
    encoder, context = tokenizer or runner.tokenizer, runner.context_length
    ids = [token_ids(i, t, runner, encoder, "text") for i, t in enumerate(listed(texts, "text"))]
    for i, own in enumerate(ids):
        if overflow == "error" and context is not None and len(own) > context:
            raise ValueError(
                f"text {i} has {len(own)} tokens, but the context of model {runner.name!r} has "
                f'{context}: shorten it, or pass overflow="slide"'
            )
    counts = [len(own) - 1 for own in ids]
    if not any(counts):
        raise ValueError("no text has a second token, so there is nothing to score")
    slide = overflow == "slide"
    log_probs = [log_probs_of(i, runner, own, slide, "text") for i, own in enumerate(ids)]
    totals = [math.fsum(p for p in own if p is not None) for own in log_probs]
    return ScoreResult(
        token_ids=ids,
        log_probs=log_probs,
        totals=totals,
        counts=counts,
        perplexity=float(np.exp(-math.fsum(totals) / sum(counts))),
    )


def log_probs_of(
    index: int, model: Model, ids: list[int], slide: bool, name: str = "prompt"
) -> list[float | None]:
    """Return the log-probability of each token given those before, None for the first.

    Raises:
        ValueError: the logits hold NaN, or no token above -inf.
    """
    context = model.context_length if slide else None
    log_probs: list[float | None] = [None]

    def take(logits: np.ndarray) -> None:
        known, found = len(log_probs), LogProbs(logits)
        if not found.defined.all():
            raise ValueError(
                f"{name} {index}: after its first {known + int(found.defined.argmin())} tokens the "
                "logits hold NaN, or -inf for every token; look at the model"
            )
        log_probs.extend(found.of(np.asarray(ids[known : known + len(logits)])).tolist())

    while len(log_probs) < len(ids):
        known = len(log_probs)  # so many tokens are read before the next is scored
        start = window_start(known, context)
        output, cache = model.prefill([ids[start:known]])
        take(output.logits[0])
        end = len(ids) if context is None else min(len(ids), start + context + 1)
        for first in range(known, end - 1, _COLUMNS):
            read = ids[first : min(first + _COLUMNS, end - 1)]
            take(cache.append(np.array([read], np.int32)).logits[0])
    return log_probs
