"""The model beside a batch: it reads prompts at once (prefill), then what is new (decode)."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from logit_sampling.decoding.window import window_start
from logit_sampling.models.model import Cache, Model, Output


class Reader:
    """A model that reads texts as they grow and shrink; each has a number that names it.

    A text that is no longer asked for stays in the cache, where its last tokens are read again and
    again, until half of the texts have gone: taking it out copies the rest.

    Args:
        model: what reads.
        slide: whether texts may outgrow the context of the model (see `window_start`).
    """

    def __init__(self, model: Model, slide: bool = False) -> None:
        self._model, self._context = model, model.context_length if slide else None
        self._stride: int | None = getattr(model, "stride", None) if slide else None
        self._cache: Cache | None = None
        self._read: dict[int, list[int]] = {}  # what stands in each place of the cache
        self._starts: dict[int, int] = {}  # where in its text that begins

    def read(self, texts: Mapping[int, list[int]], columns: int = 1) -> Output:
        """Read each text to its end.

        What has been read of a text may differ from it in its last `columns` tokens and behind
        them; that is forgotten. All texts are read by equally many tokens at once, so that the last
        tokens of some are read again.

        Args:
            texts: by their numbers: some of those of the call before.
            columns: of how many tokens to tell what follows; 1 in the first call.

        Returns:
            for each of `texts` what follows at least its last `columns` tokens, and all that
            had not been read; the last column belongs to the last token. Columns before the first
            token mean nothing.
        """
        starts = {
            i: window_start(len(text), self._context, self._stride) for i, text in texts.items()
        }
        windows = {i: text[starts[i] :] if starts[i] else text for i, text in texts.items()}
        if self._cache is None or any(starts[i] != self._starts[i] for i in texts):
            self._starts = starts
            return self._prefill(windows)
        if 2 * len(texts) <= len(self._read):
            self.select({i: i for i in texts})
        self._read |= windows
        output = self._decode(list(self._read.values()), columns)
        if list(texts) == list(self._read):
            return output
        place_of = {i: place for place, i in enumerate(self._read)}
        return _at(output, [place_of[i] for i in texts])

    def select(self, origins: Mapping[int, int]) -> None:
        """Go on with other texts: text `i` is what `origins[i]` was; some may be repeated."""
        assert self._cache is not None
        place_of = {i: place for place, i in enumerate(self._read)}
        if list(origins.values()) != list(self._read):
            self._cache = self._cache.select([place_of[origin] for origin in origins.values()])
        self._read = {i: self._read[origin] for i, origin in origins.items()}
        self._starts = {i: self._starts[origin] for i, origin in origins.items()}

    def _prefill(self, texts: Mapping[int, list[int]]) -> Output:
        """Read texts from their beginnings, equal ones once."""
        distinct: dict[tuple[int, ...], int] = {}
        places = [distinct.setdefault(tuple(text), len(distinct)) for text in texts.values()]
        output, self._cache = self._model.prefill([list(text) for text in distinct])
        self._read = dict(texts)
        if len(distinct) == len(places):
            return output
        self._cache = self._cache.select(places)
        return _at(output, places)

    def _decode(self, texts: list[list[int]], columns: int) -> Output:
        """Read on, all texts in the cache by equally many tokens."""
        assert self._cache is not None
        held, lengths = self._cache.lengths, np.array([len(text) for text in texts])
        columns = max(columns, int((lengths - held).max()))
        surplus = held - np.maximum(lengths - columns, 0)
        if surplus.any():
            self._cache.drop(surplus)
        # What stands behind a text that is shorter than that is forgotten again.
        parts = [text[-columns:] + text[-1:] * (columns - len(text)) for text in texts]
        output = self._cache.append(np.array(parts, np.int32))
        short = np.maximum(columns - lengths, 0)
        if not short.any():
            return output
        self._cache.drop(short)
        return _at(output, (np.arange(len(texts))[:, None], np.arange(columns) - short[:, None]))


def _at(output: Output, places: Any) -> Output:
    logits, hidden = output
    return Output(logits[places], None if hidden is None else hidden[places])
