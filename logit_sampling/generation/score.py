"""How likely a model finds texts."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from logit_sampling.decoding.log_probs import LogProbs
from logit_sampling.decoding.window import window_start
from logit_sampling.distribution.checks import warn_if_probabilities
from logit_sampling.generation.arguments import check_on_error
from logit_sampling.generation.prompts import Prompt, listed, token_ids
from logit_sampling.generation.result import RowError
from logit_sampling.models.as_model import model_and_tokenizer
from logit_sampling.models.model import AnyModel, AnyTokenizer, Model
from logit_sampling.plain import strict_json
from logit_sampling.plotting import html
from logit_sampling.plotting.visible import brief, counted, listing
from logit_sampling.types import OnError, Overflow

if TYPE_CHECKING:
    from logit_sampling.generation.engine import Engine

_COLUMNS = 128  # tokens read at a time, so that their logits take little memory


@dataclass(frozen=True, repr=False)
class ScoreResult:
    """Log-probabilities (natural logarithms) of texts under a model, one entry for each text.

    `repr` shows a line for each, and a notebook a table.

    Attributes:
        texts: as they were given: strings, or lists of ids.
        token_ids: the ids of each text, with the start token if the model has one.
        log_probs: for each of them its log-probability given those before; None for the first.
        totals: the sum of a text's log-probabilities.
        counts: of how many tokens.
        perplexity: of all texts together: `exp(-sum(totals) / sum(counts))`, so that each token
            has the same weight.
        errors: why a text has no log-probabilities (None each, NaN as the total, a count of 0),
            None for one that has; None if all have.
    """

    texts: list[str | list[int]]
    token_ids: list[list[int]]
    log_probs: list[list[float | None]]
    totals: list[float]
    counts: list[int]
    perplexity: float
    errors: list[str | None] | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return all of it as lists, strings and numbers, as JSON has them: null is -inf."""
        return strict_json({k: value for k, value in asdict(self).items() if value is not None})

    def __repr__(self) -> str:
        texts, tokens = counted(len(self.texts), "text"), counted(sum(self.counts), "token")

        def line(i: int) -> str:
            size = counted(self.counts[i], "token")
            return f"{brief(self.texts[i])}: {self.totals[i]:.2f} nats in {size}"

        head = f"ScoreResult: {texts}, {tokens}, {self._perplexity()}"
        return listing(head, len(self.texts), line)

    def _repr_html_(self) -> str:
        rows = [
            [
                brief(text, 200) if error is None else f"{brief(text, 200)} {error}",
                count,
                f"{total:.2f}",
                f"{total / count:.3f}" if count else "",
            ]
            for text, count, total, error in zip(
                self.texts,
                self.counts,
                self.totals,
                self.errors or [None] * len(self.texts),
                strict=True,
            )
        ]
        return html.table(self._perplexity(), ["text", "tokens", "nats", "nats a token"], rows)

    def _perplexity(self) -> str:
        return f"perplexity {self.perplexity:.2f}"


def score(
    model: "AnyModel | Engine",
    texts: Prompt | Sequence[Prompt],
    *,
    overflow: Overflow = "error",
    tokenizer: AnyTokenizer | None = None,
    on_error: OnError = "raise",
) -> ScoreResult:
    """Tell how likely a model finds texts, token by token.

    Texts are read one after another and in parts, so memory does not grow with their number.

    Args:
        model: as for `generate`.
        texts: as the prompts of `generate`, of any lengths; none may be empty.
        overflow: what to do with a text longer than the context: `"error"`, or `"slide"`, which
            shows the model at each place what `generate` would: between half a context and a
            whole one of the tokens before.
        tokenizer: as for `generate`.
        on_error: the same, for a text whose log-probabilities are not defined.

    Returns:
        a `ScoreResult`.

    Raises:
        ValueError: an empty text, one that does not fit the context, ids outside the vocabulary, no
            text with a second token.
        RowError: with `on_error="raise"`, after all texts are read: logits of one hold NaN, or no
            token above -inf. Its `result` has the other texts.

    Example, with a model that finds each of two tokens equally likely:

    >>> import numpy as np
    >>> result = score(lambda ids: np.zeros((*ids.shape, 2), np.float32), [[0, 1, 1], [1, 0]])
    >>> result.counts, round(result.perplexity, 6)
    ([2, 1], 2.0)
    """
    if overflow not in ("error", "slide"):
        raise ValueError(f'overflow must be "error" or "slide", got {overflow!r}')
    check_on_error(on_error)
    runner, encoder = model_and_tokenizer(model, tokenizer)
    context = runner.context_length
    given = listed(texts, "text")
    ids = [token_ids(i, text, runner, encoder, "text") for i, text in enumerate(given)]
    for i, own in enumerate(ids):
        if overflow == "error" and context is not None and len(own) > context:
            raise ValueError(
                f"text {i} has {len(own)} tokens, but the context of model {runner.name!r} has "
                f'{context}: shorten it, or pass overflow="slide"'
            )
    if not any(len(own) > 1 for own in ids):
        raise ValueError("no text has a second token, so there is nothing to score")
    slide = overflow == "slide"
    scored = [log_probs_or_error(f"text {i}", runner, own, slide) for i, own in enumerate(ids)]
    log_probs, errors = (list(column) for column in zip(*scored, strict=True))
    totals = [
        math.fsum(p for p in own if p is not None) if error is None else math.nan
        for own, error in zip(log_probs, errors, strict=True)
    ]
    counts = [len(own) - 1 if error is None else 0 for own, error in zip(ids, errors, strict=True)]
    known = math.fsum(total for total in totals if not math.isnan(total))
    result = ScoreResult(
        texts=[
            text if isinstance(text, str) else own for text, own in zip(given, ids, strict=True)
        ],
        token_ids=ids,
        log_probs=log_probs,
        totals=totals,
        counts=counts,
        perplexity=float(np.exp(-known / sum(counts))) if any(counts) else math.nan,
        errors=errors if any(errors) else None,
    )
    if result.errors and on_error == "raise":
        raise RowError(result)
    return result


def log_probs_or_error(
    name: str, model: Model, ids: list[int], slide: bool
) -> tuple[list[float | None], str | None]:
    """Return the log-probability of each token given those before, None for the first.

    Where they are not defined (NaN, or no token above -inf), all are None, and the second value
    tells why. What looks like probabilities is warned about.
    """
    log_probs: list[float | None] = [None]
    for logits in _read(model, ids, slide):
        known, found = len(log_probs), LogProbs(logits)
        if not found.defined.all():
            return [None] * len(ids), (
                f"{name}: after its first {known + int(found.defined.argmin())} tokens the logits "
                "hold NaN, or -inf for every token; look at the model"
            )
        if known == 1 and 0 < logits[0].max() <= 1:
            warn_if_probabilities(logits[0], f"what the model says after the first token of {name}")
        log_probs.extend(found.of(np.asarray(ids[known : known + len(logits)])).tolist())
    return log_probs, None


def logits_of_text(model: Model, ids: list[int], slide: bool) -> Iterator[np.ndarray]:
    """Yield the logits that each token but the first was drawn from, [vocab], in order."""
    for logits in _read(model, ids, slide):
        yield from logits


def _read(model: Model, ids: list[int], slide: bool) -> Iterator[np.ndarray]:
    """Yield the logits of what follows each token but the last, [columns, vocab], in order."""
    context, known = model.context_length if slide else None, 1
    stride = getattr(model, "stride", None) if slide else None
    while known < len(ids):
        start = window_start(known, context, stride)  # from there to `known` is read at once
        output, cache = model.prefill([ids[start:known]])
        yield output.logits[0]
        end = len(ids) if context is None else min(len(ids), start + context + 1)
        for first in range(known, end - 1, _COLUMNS):
            read = ids[first : min(first + _COLUMNS, end - 1)]
            yield cache.append(np.array([read], np.int32)).logits[0]
        known = end
