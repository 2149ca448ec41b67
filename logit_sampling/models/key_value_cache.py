"""Which tokens the keys and values of a cache belong to.

The arrays of a cache have slots, and a text lies in one of them: `positions` [slots, columns] holds
the position in the text of the token in each column, -1 where there is none. So texts of different
lengths share a batch, tokens are taken back by clearing their columns, what a query may see follows
from the positions alone, and a text that leaves gives its slot to one that joins.
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
    """Texts that the model has read, each of them a row.

    Args:
        steps: what runs the model.
        keys: arrays [..., slots * heads, columns, size]. (Slots and heads are one axis since XLA
            writes in place where products take arrays as they lie.)
        values: the same.
        positions: int32 [slots, columns].
        slots: that of each row, int [rows].
        column: the first column that is free in every slot.
    """

    def __init__(
        self,
        steps: Steps,
        keys: list[Any],
        values: list[Any],
        positions: np.ndarray,
        slots: np.ndarray,
        column: int,
    ) -> None:
        self.steps: Steps = steps
        self.sizes: Sizes = steps.sizes
        self.keys: list[Any] = keys
        self.values: list[Any] = values
        self.positions: np.ndarray = positions
        self.slots: np.ndarray = slots
        self.column: int = column

    @property
    def lengths(self) -> np.ndarray:
        """How many tokens each row holds."""
        return self.positions[self.slots].max(axis=1) + 1

    def append(self, token_ids: np.ndarray) -> Output:
        """Feed the next tokens of each row, int32 [rows, columns]; return what follows each."""
        outputs = [
            self._step(part, np.full(len(part), part.shape[1]))
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
        return max(1, _TOKENS // len(self.positions))

    def _step(self, token_ids: np.ndarray, counts: np.ndarray, last: bool = False) -> Output:
        """Feed the first `counts[i]` tokens of each row; tell what follows the last, or all."""
        count, slots = token_ids.shape[1], len(self.positions)
        width = self.sizes.tokens(count)
        if self.column + width > self.positions.shape[1]:
            self._make_room(width)
        filled = np.zeros((2, slots, width), np.int32)  # tokens and places, those of no text 0
        places = self.lengths[:, None] + np.arange(width)
        given = np.arange(width) < counts[:, None]
        filled[0, self.slots, :count] = token_ids
        filled[1, self.slots] = np.where(given, places, 0)
        self.positions[self.slots, self.column : self.column + width] = np.where(given, places, -1)
        firsts = np.arange(slots) * width
        if last:
            asked = firsts
            asked[self.slots] += np.maximum(counts - 1, 0)
        else:
            asked = (firsts[:, None] + np.arange(width)).ravel()
        logits, hidden, self.keys, self.values = self.steps.compiled(
            filled.reshape(2, -1),
            self.positions,
            np.concatenate([[self.column], asked]).astype(np.int32),
            self.keys,
            self.values,
        )
        self.column += int(counts.max())
        wanted = 1 if last else count
        told = (to_numpy(x).reshape(slots, -1, x.shape[-1])[:, :wanted] for x in (logits, hidden))
        return Output(*(x[: len(counts)] if self._in_order else x[self.slots] for x in told))

    @property
    def _in_order(self) -> bool:
        """Whether row `i` lies in slot `i`."""
        return np.array_equal(self.slots, np.arange(len(self.slots)))

    def for_programs(self, tokens: int) -> KeyValueCache:
        """Return this cache for `write`: of one of few sizes, with an array for each layer.

        Args:
            tokens: how many more to have room for.
        """
        from keras import ops

        self.sizes = Sizes(few=True)
        if len(self.keys[0].shape) > 3:
            self.keys, self.values = (list(ops.unstack(own[0])) for own in (self.keys, self.values))
        columns, rows = self.positions.shape[1], len(self.slots)
        self.lengthen(self.sizes.columns(max(self.column + tokens, columns - 1)) - columns)
        if not self._in_order or len(self.positions) != self.sizes.rows(rows):
            self._lay_out(self.slots, self.sizes.rows(rows))
        return self

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
            state: of the chain, for all slots.
            numbers: of the chain.
            count: how many tokens each row gets at most, up to `MOST`.

        Returns:
            the tokens, their log-probabilities, and those under the chain, [tokens, rows] each; and
            the state. The last token of each row is not in the cache yet.
        """
        rows = len(last)  # their slots are the first: see `for_programs`
        if self.column + count > self.positions.shape[1]:
            self._make_room(count)
        rows_are = np.zeros((3, len(self.positions)), np.int32)
        rows_are[:, :rows] = last, self.lengths, ended
        rows_are[2, rows:] = 1
        done, written, state, self.keys, self.values = self.steps.writer(chain)(
            np.array([count, self.column], np.int32),
            rows_are,
            self.positions,
            ends,
            state,
            numbers,
            self.keys,
            self.values,
        )
        done = int(to_numpy(done))
        places = self.lengths[:, None] + np.arange(done)
        self.positions[:rows, self.column : self.column + done] = places
        self.column += done
        return [to_numpy(array)[:done, :rows] for array in written], state

    def drop(self, counts: np.ndarray) -> None:
        """Forget the last `counts[i]` tokens of row `i`."""
        positions = self.positions[self.slots]
        positions[positions >= (self.lengths - counts)[:, None]] = -1
        self.positions[self.slots] = positions
        self._free()

    def _free(self) -> None:
        """Find the first column that is free again."""
        used = np.flatnonzero((self.positions >= 0).any(axis=0))
        self.column = int(used[-1]) + 1 if used.size else 0

    def select(self, rows: Sequence[int] | np.ndarray) -> KeyValueCache:
        """Return this cache with row `i` what row `rows[i]` was.

        Only what is repeated is copied, into slots that are free, unless there are too few of them,
        or so many that the arrays are half empty.
        """
        rows = np.asarray(rows, np.intp)
        slots, all_slots = self.slots[rows], len(self.positions)
        if len(rows) > all_slots or 2 * self.sizes.rows(len(rows)) <= all_slots:
            self._lay_out(slots, self.sizes.rows(len(rows)))
            return self
        firsts = np.unique(slots, return_index=True)[1]
        free = np.setdiff1d(np.arange(all_slots), slots)
        self.positions[free] = -1
        again = np.setdiff1d(np.arange(len(rows)), firsts)
        if again.size:
            self._copy(slots[again], free[: again.size])
            slots[again] = free[: again.size]
        self.slots = slots
        self._free()
        return self

    def copy(self, rows: Sequence[int]) -> KeyValueCache:
        """Return a cache with some rows, and leave this one as it is."""
        from keras import ops

        slots = self.slots[np.asarray(rows, np.intp)]
        tables = self._tables(np.pad(slots, (0, self.sizes.rows(len(slots)) - len(slots))))
        keys, values = (
            [ops.take(array, tables, axis=-3) for array in own] for own in (self.keys, self.values)
        )
        positions = np.full((self.sizes.rows(len(slots)), self.positions.shape[1]), -1, np.int32)
        positions[: len(slots)] = self.positions[slots]
        other = KeyValueCache(
            self.steps, keys, values, positions, np.arange(len(slots)), self.column
        )
        other.sizes = self.sizes
        return other

    def join(self, *others: KeyValueCache) -> KeyValueCache:
        """Return this cache with the rows of others behind its own.

        None of them may be used again.
        """
        rows = len(self.slots) + sum(len(other.slots) for other in others)
        columns = max(cache.positions.shape[1] for cache in (self, *others))
        self.lengthen(columns - self.positions.shape[1])
        if rows > len(self.positions):
            self._lay_out(self.slots, self.sizes.rows(rows))
        for other in others:
            free = np.setdiff1d(np.arange(len(self.positions)), self.slots)
            slots = free[: len(other.slots)]
            self.positions[slots] = -1
            self.positions[slots, : other.positions.shape[1]] = other.positions[other.slots]
            every = other._in_order and len(slots) == len(other.positions)
            sources = None if every else other._tables(other.slots)
            self._put(self._tables(slots), other.keys, other.values, sources)
            self.slots = np.concatenate([self.slots, slots])
            self.column = max(self.column, other.column)
        return self

    def _tables(self, slots: np.ndarray) -> np.ndarray:
        """Return where the heads of slots lie, int32."""
        heads = self.steps.heads
        return (slots[:, None] * heads + np.arange(heads)).ravel().astype(np.int32)

    def _lay_out(self, slots: np.ndarray, all_slots: int) -> None:
        """Have new arrays, of `all_slots`: the rows lie in the first ones, in order."""
        from keras import ops

        places = self._tables(np.pad(slots, (0, all_slots - len(slots))))
        self._replace(lambda array: ops.take(array, places, axis=-3))
        positions = np.full((all_slots, self.positions.shape[1]), -1, np.int32)
        positions[: len(slots)] = self.positions[slots]
        self.positions, self.slots = positions, np.arange(len(slots))
        self._free()

    def _copy(self, sources: np.ndarray, targets: np.ndarray) -> None:
        """Copy what lies in some slots into others."""
        self.positions[targets] = self.positions[sources]
        self._put(self._tables(targets), self.keys, self.values, self._tables(sources))

    def _put(
        self,
        targets: np.ndarray,
        keys: list[Any],
        values: list[Any],
        sources: np.ndarray | None,
    ) -> None:
        """Write heads of slots in place.

        Args:
            targets: which.
            keys, values: what to write: arrays of at most as many columns.
            sources: which heads of them; None for all.
        """
        from keras import ops

        def chosen(arrays: list[Any]) -> list[Any]:
            if sources is None:
                return arrays
            return [ops.take(array, sources, axis=-3) for array in arrays]

        put = self.steps.put
        self.keys = put(self.keys, targets, chosen(keys))
        self.values = put(self.values, targets, chosen(values))

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
