"""A model of which something else holds than it tells."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from logit_sampling.models.model import Cache, Model, Output, Tokenizer, in_a_line
from logit_sampling.models.steps import Writer


class Described:
    """A model with other attributes than its own, or without some of its logits.

    One that is described anew is not wrapped twice.

    Args:
        model: any.
        known: ids from there on are no tokens: their logits are never looked at. Vocabularies are
            padded to round numbers, and the logits of the padding are whatever they are.
        given: attributes of a `Model`, by name; the others are those that the model tells.
    """

    def __init__(
        self, model: Model, known: int | None = None, given: Mapping[str, Any] | None = None
    ) -> None:
        given = given or {}
        if isinstance(model, Described):
            bounds = [n for n in (known, model.known) if n is not None]
            known, given = min(bounds, default=None), {**model.given, **given}
            model = model.model
        self.model: Model = model
        self.known: int | None = known
        self.given: Mapping[str, Any] = given

    def __repr__(self) -> str:
        return in_a_line(self, f"Described {type(self.model).__name__}")

    def _told(self, attribute: str) -> Any:
        if attribute in self.given:
            return self.given[attribute]
        return getattr(self.model, attribute)

    @property
    def name(self) -> str:
        """See `Model`."""
        return self._told("name")

    @property
    def context_length(self) -> int | None:
        """See `Model`."""
        return self._told("context_length")

    @property
    def vocab_size(self) -> int | None:
        """See `Model`."""
        return self._told("vocab_size")

    @property
    def end_ids(self) -> tuple[int, ...]:
        """See `Model`."""
        return self._told("end_ids")

    @property
    def tokenizer(self) -> Tokenizer | None:
        """See `Model`."""
        return self._told("tokenizer")

    @property
    def stride(self) -> int | None:
        """See `Model`."""
        return getattr(self.model, "stride", None)

    @property
    def state(self) -> object:
        """What equals another one as long as its weights and layers are what they are."""
        return getattr(self.model, "state", None)

    @property
    def traces(self) -> int:
        """How often the model was traced, to be compiled."""
        return getattr(self.model, "traces", 0)

    @property
    def writer(self) -> Writer | None:
        """What writes several tokens in one call, if anything does and may."""
        own: Writer | None = getattr(self.model, "writer", None)
        return own and own._replace(vocab_size=min(own.vocab_size, self.known or own.vocab_size))

    def prefill(self, prompts: Sequence[Sequence[int]]) -> tuple[Output, Cache]:
        """Read prompts; return what follows the last token of each, and the cache."""
        output, cache = self.model.prefill(prompts)
        if self.known is None or output.logits.shape[-1] <= self.known:
            return output, cache
        return _cut(output, self.known), _KnownCache(cache, self.known)


class _KnownCache:
    """The cache of a model, whose outputs are cut in the same way."""

    def __init__(self, cache: Cache, count: int) -> None:
        self._cache, self._count = cache, count

    @property
    def lengths(self) -> np.ndarray:
        return self._cache.lengths

    def append(self, token_ids: np.ndarray) -> Output:
        return _cut(self._cache.append(token_ids), self._count)

    def read(self, texts: Sequence[Sequence[int]]) -> Output:
        return _cut(self._cache.read(texts), self._count)

    def drop(self, counts: np.ndarray) -> None:
        self._cache.drop(counts)

    def select(self, rows: Sequence[int] | np.ndarray) -> "_KnownCache":
        return _KnownCache(self._cache.select(rows), self._count)

    def copy(self, rows: Sequence[int]) -> "_KnownCache":
        return _KnownCache(self._cache.copy(rows), self._count)

    def join(self, *others: "_KnownCache") -> "_KnownCache":
        return _KnownCache(self._cache.join(*(other._cache for other in others)), self._count)


def _cut(output: Output, count: int) -> Output:
    return output._replace(logits=output.logits[..., :count])
