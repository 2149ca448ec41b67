"""Which tokens the keys and values of a cache belong to.

A row's tokens lie in the columns of the cache that say so: `positions` [rows, columns] holds the
position in the text of the token in each column, -1 where there is none. So rows of different
lengths share a batch, tokens are taken back by clearing their columns, and what a query may see
follows from the positions alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from logit_sampling.distribution.arrays import to_numpy
from logit_sampling.models.model import Output
from logit_sampling.models.sizes import Sizes

if TYPE_CHECKING:
    from logit_sampling.models.steps import Chain, Steps

_TOKENS = 2048  # that go through the model at once: enough for the speed of long matrix products


class KeyValueCache:
    """Rows of texts that the model has read.

    Args:
        steps: what runs the model.
        keys: arrays [..., rows * heads, columns, size], of as many rows or more. (Rows and heads
            are one axis since XLA writes in place where products take arrays as they lie.)
        values: the same.
        positions: int32 [rows, columns].
        column: the first column that is free in every row.
    """

    def __init__(
        self, steps: Steps, keys: list[Any], values: list[Any], positions: np.ndarray, column: int
    ) -> None:
        self.steps, self.keys, self.values = steps, keys, values
        self.positions, self.column, self.sizes = positions, column, steps.sizes

    @property
    def lengths(self) -> np.ndarray:
        """How many tokens each row holds."""
        return self.positions.max(axis=1) + 1

    @property
    def _all_rows(self) -> int:
        """How many rows the arrays have: some may hold no text."""
        return self.keys[0].shape[-3] // self.steps.heads

    def _all_positions(self) -> np.ndarray:
        """Return the positions in all rows of the arrays."""
        if not (more := self._all_rows - len(self.positions)):
            return self.positions
        return np.pad(self.positions, [(0, more), (0, 0)], constant_values=-1)

    def append(self, token_ids: np.ndarray) -> Output:
        """Feed the next tokens of each row, int32 [rows, columns]; return what follows each."""
        outputs = [
            self._step(part, np.full(len(part), part.shape[1]), last=False)
            for _, part in self._parts(token_ids)
        ]
        if len(outputs) == 1:
            return outputs[0]
        return Output(*(np.concatenate(parts, axis=1) for parts in zip(*outputs, strict=True)))

    def read(self, texts: Sequence[Sequence[int]]) -> Output:
        """Feed a text to each row; return what follows the last token of each."""
        counts = np.array([len(text) for text in texts])
        token_ids = np.zeros((len(texts), counts.max()), np.int32)
        for row, text in zip(token_ids, texts, strict=True):
            row[: len(text)] = text
        outputs: list[Output] = []
        for start, part in self._parts(token_ids):
            outputs.append(self._step(part, np.clip(counts - start, 0, part.shape[1]), last=True))
        if len(outputs) == 1:
            return outputs[0]
        ends = (counts - 1) // self._width  # in which part
        rows = np.arange(len(texts))
        return Output(*(np.stack(parts)[ends, rows] for parts in zip(*outputs, strict=True)))

    def _parts(self, token_ids: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
        """Yield what goes through the model at once, and where it begins."""
        for start in range(0, token_ids.shape[1], self._width):
            yield start, token_ids[:, start : start + self._width]

    @property
    def _width(self) -> int:
        """How many tokens of each row go through the model at once."""
        return max(1, _TOKENS // self._all_rows)

    def _step(self, token_ids: np.ndarray, counts: np.ndarray, last: bool) -> Output:
        """Feed the first `counts[i]` tokens of each row; tell what follows the last, or all."""
        (rows, count), all_rows = token_ids.shape, self._all_rows
        width = self.sizes.tokens(count)
        if self.column + width > self.positions.shape[1]:
            self._make_room(width)
        filled = np.zeros((2, all_rows, width), np.int32)  # tokens and places, those of no text 0
        places = self.lengths[:, None] + np.arange(width)
        given = np.arange(width) < counts[:, None]
        filled[0, :rows, :count] = token_ids
        filled[1, :rows] = np.where(given, places, 0)
        self.positions[:, self.column : self.column + width] = np.where(given, places, -1)
        firsts = np.arange(all_rows) * width
        if last:
            asked = firsts
            asked[:rows] += np.maximum(counts - 1, 0)
        else:
            asked = (firsts[:, None] + np.arange(width)).ravel()
        logits, hidden, self.keys, self.values = self.steps.compiled(
            filled.reshape(2, -1),
            self._all_positions(),
            np.concatenate([[self.column], asked]).astype(np.int32),
            self.keys,
            self.values,
        )
        self.column += int(counts.max())
        wanted = 1 if last else count
        return Output(
            *(
                to_numpy(x).reshape(all_rows, -1, x.shape[-1])[:rows, :wanted]
                for x in (logits, hidden)
            )
        )

    def for_programs(self, tokens: int) -> KeyValueCache:
        """Return this cache for `write`: of one of few sizes, with an array for each layer.

        Args:
            tokens: how many more to have room for.
        """
        from keras import ops

        self.sizes = Sizes(few=True)
        if len(self.keys[0].shape) > 3:
            self.keys, self.values = (list(ops.unstack(own[0])) for own in (self.keys, self.values))
        columns = self.positions.shape[1]
        self.lengthen(self.sizes.columns(max(self.column + tokens, columns - 1)) - columns)
        return self.select(np.arange(len(self.positions)))

    def write(
        self,
        chain: Chain,
        last: np.ndarray,
        ended: np.ndarray,
        ends: np.ndarray,
        state: Any,
        numbers: Sequence[np.ndarray],
        count: int,
    ) -> tuple[list[np.ndarray], Any]:
        """Feed the last token of each row, and write the next ones, until all rows have ended.

        Args:
            chain: what draws them.
            last: int32 [rows].
            ended: which rows need no more, bool [rows].
            ends: the tokens that end a row, int32.
            state: of the chain, for all rows of the arrays.
            numbers: of the chain.
            count: how many tokens each row gets at most, up to `MOST`.

        Returns:
            the tokens, their log-probabilities, and those under the chain, [tokens, rows] each; and
            the state. The last token of each row is not in the cache yet.
        """
        rows = len(last)
        if self.column + count > self.positions.shape[1]:
            self._make_room(count)
        rows_are = np.zeros((3, self._all_rows), np.int32)
        rows_are[:, :rows] = last, self.lengths, ended
        rows_are[2, rows:] = 1
        done, written, state, self.keys, self.values = self.steps.writer(chain)(
            np.array([count, self.column], np.int32),
            rows_are,
            self._all_positions(),
            ends,
            state,
            numbers,
            self.keys,
            self.values,
        )
        done = int(to_numpy(done))
        places = self.lengths[:, None] + np.arange(done)
        self.positions[:, self.column : self.column + done] = places
        self.column += done
        return [to_numpy(array)[:done, :rows] for array in written], state

    def drop(self, counts: np.ndarray) -> None:
        """Forget the last `counts[i]` tokens of row `i`."""
        self.positions[self.positions >= (self.lengths - counts)[:, None]] = -1
        used = np.flatnonzero((self.positions >= 0).any(axis=0))
        self.column = int(used[-1]) + 1 if used.size else 0

    def select(self, rows: Sequence[int] | np.ndarray) -> KeyValueCache:
        """Return this cache with row `i` what row `rows[i]` was."""
        from keras import ops

        rows = np.asarray(rows, np.int32)
        all_rows = self.sizes.rows(len(rows))
        if all_rows != self._all_rows or not np.array_equal(rows, np.arange(len(self.positions))):
            self.positions = self.positions[rows]
            places = np.pad(rows, (0, all_rows - len(rows)))[:, None] * self.steps.heads
            places = (places + np.arange(self.steps.heads, dtype=np.int32)).ravel()
            self._replace(lambda array: ops.take(array, places, axis=-3))
        return self

    def _make_room(self, count: int) -> None:
        """Close the gaps that dropped tokens left, if they are many; else get larger."""
        columns, longest = self.positions.shape[1], int(self.lengths.max())
        if longest + count <= columns * 3 // 4:
            self._close_gaps()
            self.column = longest
        else:
            self.lengthen(self.sizes.columns(self.column + count) - columns)

    def _close_gaps(self) -> None:
        from keras import ops

        order = np.argsort(self.positions < 0, axis=1, kind="stable").astype(np.int32)
        self.positions = np.take_along_axis(self.positions, order, axis=1)
        *tables, columns, size = self.keys[0].shape
        order = np.repeat(order, self.steps.heads, axis=0)
        order = np.pad(order, [(0, tables[-1] - len(order)), (0, 0)])
        firsts = np.arange(np.prod(tables), dtype=np.int32).reshape(*tables, 1) * columns
        lines = (firsts + order).ravel()

        def in_order(array: Any) -> Any:
            lying = ops.take(ops.reshape(array, (-1, size)), lines, axis=0)
            return ops.reshape(lying, array.shape)

        self._replace(in_order)

    def lengthen(self, more: int) -> None:
        """Make room for `more` columns."""
        from keras import ops

        if more:
            self.positions = np.pad(self.positions, [(0, 0), (0, more)], constant_values=-1)
            around = [(0, 0)] * (len(self.keys[0].shape) - 2)
            self._replace(lambda array: ops.pad(array, [*around, (0, more), (0, 0)]))

    def _replace(self, change: Callable[[Any], Any]) -> None:
        self.keys, self.values = ([change(a) for a in own] for own in (self.keys, self.values))

    @staticmethod
    def joined(caches: Sequence[KeyValueCache]) -> KeyValueCache:
        """Return one cache with the rows of all."""
        from keras import ops

        first, *others = caches
        if not others:
            return first
        columns = max(cache.positions.shape[1] for cache in caches)
        firsts = np.cumsum([0, *(cache._all_rows for cache in caches)])
        for cache in caches:
            cache.lengthen(columns - cache.positions.shape[1])
        keys, values = (
            [ops.concatenate(own, axis=-3) for own in zip(*arrays, strict=True)]
            for arrays in ([c.keys for c in caches], [c.values for c in caches])
        )
        positions = np.concatenate([cache._all_positions() for cache in caches])
        column = max(cache.column for cache in caches)
        together = KeyValueCache(first.steps, keys, values, positions, column)
        texts = [
            start + np.arange(len(cache.positions))
            for start, cache in zip(firsts, caches, strict=False)
        ]
        return together.select(np.concatenate(texts))
