"""Models with more logits than their tokenizer has tokens: what no token has is never looked at.

Vocabularies are padded to round numbers, and the logits of the padding are whatever they are.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from logit_sampling.models.keras_hub import as_model
from logit_sampling.models.model import Cache, Model, Output, Tokenizer
from logit_sampling.models.tokenizers import as_tokenizer, token_count


def model_and_tokenizer(model: Any, tokenizer: Any) -> tuple[Model, Tokenizer | None]:
    """Return a model without the logits that no token of its tokenizer has, and the tokenizer.

    Args:
        model: as for `generate`.
        tokenizer: one in place of the model's, or None.
    """
    runner = as_model(model)
    chosen = as_tokenizer(runner.tokenizer if tokenizer is None else tokenizer)
    count = token_count(chosen)
    return runner if count is None else KnownTokens(runner, count), chosen


class KnownTokens:
    """A model, but for the logits of ids from `count` on."""

    def __init__(self, model: Model, count: int) -> None:
        self._model, self._count = model, count
        self.name: str = model.name
        self.tokenizer: Tokenizer | None = model.tokenizer
        self.end_ids: tuple[int, ...] = model.end_ids
        self.context_length: int | None = model.context_length
        self.vocab_size: int | None = model.vocab_size

    def prefill(self, prompts: Sequence[Sequence[int]]) -> tuple[Output, Cache]:
        """Read prompts; return what follows the last token of each, and the cache."""
        output, cache = self._model.prefill(prompts)
        if output.logits.shape[-1] <= self._count:
            return output, cache
        return _cut(output, self._count), _KnownCache(cache, self._count)


class _KnownCache:
    """The cache of a model, whose outputs are cut in the same way."""

    def __init__(self, cache: Cache, count: int) -> None:
        self._cache, self._count = cache, count

    @property
    def lengths(self) -> np.ndarray:
        return self._cache.lengths

    def append(self, token_ids: np.ndarray) -> Output:
        return _cut(self._cache.append(token_ids), self._count)

    def drop(self, counts: np.ndarray) -> None:
        self._cache.drop(counts)

    def select(self, rows: Sequence[int] | np.ndarray) -> "_KnownCache":
        return _KnownCache(self._cache.select(rows), self._count)


def _cut(output: Output, count: int) -> Output:
    return output._replace(logits=output.logits[..., :count])
