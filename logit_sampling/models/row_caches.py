"""The caches of KerasHub models that hold on to theirs: an array for each row."""

import weakref
from collections.abc import Sequence
from typing import Any

import numpy as np

from logit_sampling.distribution.arrays import to_numpy
from logit_sampling.models.backends import Compiled, backend
from logit_sampling.models.model import Output
from logit_sampling.models.sizes import Sizes

_ROOM = 64  # tokens of the shortest cache; each longer one has twice the room


class RowSteps:
    """KerasHub's own step, row by row: it takes one position for all rows of a batch.

    Slower than `Steps`, which not every model supports.

    Args:
        causal_lm: a KerasHub `CausalLM` with `call_with_cache` and a cache that is one array.
        shape: of its cache, [rows, layers, 2, length, heads, size].
        dtype: of its cache.
    """

    def __init__(self, causal_lm: Any, shape: Sequence[int], dtype: str) -> None:
        import keras

        own, on = weakref.ref(causal_lm), backend()  # see `remembered`
        self.shape: list[int | None] = [1, *shape[1:3], None, *shape[4:]]
        self.dtype: str = dtype
        self.sizes: Sizes = on.sizes

        def step(token_ids: Any, index: Any, cache: Any) -> tuple[Any, Any, Any]:
            model: Any = own()
            logits, hidden, cache = model.call_with_cache(token_ids, cache, index)
            cast = keras.ops.cast
            return cast(logits, "float32"), cast(hidden, "float32"), cache

        signature = [
            keras.KerasTensor(shape, dtype)
            for shape, dtype in (((1, None), "int32"), ((), "int32"), (self.shape, dtype))
        ]
        self.compiled: Compiled = on.compiled(step, causal_lm, signature, kept=0)

    @property
    def traces(self) -> int:
        """For how many sizes the step was traced."""
        return self.compiled.traces

    def prefill(self, prompts: Sequence[Sequence[int]]) -> tuple[Output, "RowCaches"]:
        """Read prompts; return what follows the last token of each, and the cache."""
        from keras import ops

        empty = ops.zeros([n or _ROOM for n in self.shape], self.dtype)
        rows = RowCaches(self, [(empty, 0)] * len(prompts))
        return rows.read(prompts), rows


class RowCaches:
    """Rows of texts that the model has read.

    Args:
        steps: what runs the model.
        rows: of each row the cache and how many tokens it holds.
    """

    def __init__(self, steps: RowSteps, rows: list[tuple[Any, int]]) -> None:
        self._steps, self._rows = steps, rows

    @property
    def lengths(self) -> np.ndarray:
        """How many tokens each row holds."""
        return np.array([length for _, length in self._rows])

    def feed(
        self, row: int, token_ids: Sequence[int] | np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Feed tokens to one row; return the logits and the hidden states after each."""
        from keras import ops

        (cache, length), count = self._rows[row], len(token_ids)
        width = self._steps.sizes.tokens(count)
        room = cache.shape[3]
        while room < length + width:
            room *= 2
        if room > cache.shape[3]:
            more = [(0, (room - cache.shape[3]) * (axis == 3)) for axis in range(6)]
            cache = ops.pad(cache, more)
        # What stands behind the tokens is neither looked at nor kept.
        ids = np.pad(np.array([token_ids], np.int32), [(0, 0), (0, width - count)])
        logits, hidden, cache = self._steps.compiled(ids, np.int32(length), cache)
        self._rows[row] = cache, length + count
        return to_numpy(logits)[0, :count], to_numpy(hidden)[0, :count]

    def append(self, token_ids: np.ndarray) -> Output:
        """Feed the next tokens of each row, [rows, columns]; return what follows each."""
        told = zip(*(self.feed(i, ids) for i, ids in enumerate(token_ids)), strict=True)
        return Output(*map(np.stack, told))

    def read(self, texts: Sequence[Sequence[int]]) -> Output:
        """Feed a text to each row; return what follows the last token of each."""
        told = zip(*(self.feed(i, text) for i, text in enumerate(texts)), strict=True)
        return Output(*(np.stack([own[-1:] for own in part]) for part in told))

    def drop(self, counts: np.ndarray) -> None:
        """Forget the last `counts[i]` tokens of row `i`: what is behind them is not looked at."""
        self._rows = [
            (cache, length - int(count))
            for (cache, length), count in zip(self._rows, counts, strict=True)
        ]

    def select(self, rows: Sequence[int] | np.ndarray) -> "RowCaches":
        """Return the caches of `rows`."""
        return RowCaches(self._steps, [self._rows[row] for row in rows])

    def copy(self, rows: Sequence[int]) -> "RowCaches":
        """Return the caches of `rows`, which no step writes into."""
        return self.select(rows)

    def join(self, *others: "RowCaches") -> "RowCaches":
        """Return the caches of these rows and of others."""
        return RowCaches(self._steps, [row for cache in (self, *others) for row in cache._rows])
