"""What follows the texts so far, as a model says it."""

from collections.abc import Sequence

import numpy as np

from logit_sampling.decoding.text_row import Row
from logit_sampling.decoding.window import window_start
from logit_sampling.models.model import Cache, Model


class Reader:
    """Reads growing texts: their prompts once, then the newest token of each.

    Rows with one prompt share its reading. A row that has ended stays in the cache, where it is fed
    its last token and forgets it again, until half of the rows have: taking it out copies the rest.

    Args:
        model: what reads.
        rows: the texts.
        slide: whether texts may outgrow the context of the model (see `window_start`).
    """

    def __init__(self, model: Model, rows: Sequence[Row], slide: bool) -> None:
        self._model, self._rows = model, rows
        self._context = model.context_length if slide else None
        self._cache: Cache | None = None
        self._held: list[int] = []  # the row in each place of the cache

    def logits(self, active: list[int]) -> np.ndarray:
        """Return the scores of what follows the rows `active`, float [active, vocab].

        They are fewer from call to call, and each has one token more than before.
        """
        starts = [self._start(i) for i in active]
        if self._cache is None or starts != [self._start(i, before=1) for i in active]:
            return self._read_anew(active, starts)
        if 2 * len(active) <= len(self._held):
            self._cache = self._cache.select([self._held.index(i) for i in active])
            self._held = active
        newest = np.array([self._rows[i].ids[-1:] for i in self._held], np.int32)
        logits = self._cache.append(newest).logits[:, -1]
        if len(active) == len(self._held):
            return logits
        ended = ~np.isin(self._held, active)
        self._cache.drop(ended.astype(np.int32))
        return logits[~ended]

    def _start(self, i: int, before: int = 0) -> int:
        if self._context is None:
            return 0
        row = self._rows[i]
        return window_start(len(row.prompt) + len(row.ids) - before, self._context)

    def _read_anew(self, active: list[int], starts: list[int]) -> np.ndarray:
        """Read the windows of the rows, equal ones once."""
        pairs = zip((self._rows[i] for i in active), starts, strict=True)
        windows = [tuple((row.prompt + row.ids)[start:]) for row, start in pairs]
        distinct = {window: place for place, window in enumerate(dict.fromkeys(windows))}
        output, cache = self._model.prefill(list(distinct))
        self._held = active
        if len(distinct) == len(windows):
            self._cache = cache
            return output.logits[:, -1]
        places = [distinct[window] for window in windows]
        self._cache = cache.select(places)
        return output.logits[places, -1]
