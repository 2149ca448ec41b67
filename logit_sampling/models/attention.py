"""Attention over keys and values that are kept in place."""

from typing import Any

import numpy as np

BLOCK = 16  # columns of keys that are written at once where they can be; a cache has whole blocks


class Attention:
    """What the attention layers of one step call, in place of attending themselves.

    Args:
        places: the positions in the texts of the tokens of this step, [rows, count].
        seen: the positions of the tokens in the cache, those of this step among them,
            [rows, columns]; -1 where there is none.
        column: the first column of this step's tokens.
        keys: of all layers, as in the cache.
        values: the same.
    """

    def __init__(self, places: Any, seen: Any, column: Any, keys: Any, values: Any) -> None:
        import tensorflow as tf

        self._places, self._seen, self._column = places[:, :, None], seen[:, None], column
        self._keys, self._values = keys, values
        self._biases: dict[int | None, Any] = {}
        self._lines: tuple[Any, Any] | None = None
        # Keys are written in whole blocks where they begin with one: the columns behind are free.
        blocks = (column % BLOCK == 0) & (tf.shape(places)[1] > 1)
        self._width = tf.where(blocks, BLOCK, 1)
        self.calls = 0

    def __call__(
        self,
        query: Any,
        key: Any,
        value: Any,
        scale: float,
        num_kv_heads: int | None = None,
        sliding_window: int | None = None,
        soft_cap: float | None = None,
    ) -> Any:
        """Attend, in the next layer.

        Args:
            query: [rows * count, 1, query heads, size].
            key: [rows * count, 1, heads, size]; each head serves equally many query heads.
            value: the same.
            scale: of the scores.
            num_kv_heads: how many heads there are, if the layer tells.
            sliding_window: how many of the latest tokens a query sees; None for all.
            soft_cap: of the scores; None for none.

        Returns:
            what was attended to, like the query.
        """
        import tensorflow as tf

        layer, self.calls = self.calls, self.calls + 1
        rows, count = tf.unstack(tf.shape(self._places)[:2])
        (query_heads, size), heads = query.shape[-2:], key.shape[-2]
        group = query_heads // heads

        def by_head(x: Any, order: list[int], *shape: Any) -> Any:
            return tf.transpose(tf.reshape(x, [rows, count, heads, *shape]), order)

        if self._lines is None:  # of the first layer
            columns = tf.shape(self._seen)[2]
            self._lines = (
                _lines(rows * heads * size, columns, self._column, count, self._width),
                _lines(rows * heads, columns, self._column, count, 1),
            )
        key = tf.pad(by_head(key, [0, 2, 3, 1], size), [(0, 0)] * 3 + [(0, -count % self._width)])
        value = by_head(value, [0, 2, 1, 3], size)
        self._keys = _write(self._keys, key, layer, self._lines[0], self._width)
        self._values = _write(self._values, value, layer, self._lines[1], size)
        keys, values = self._keys[layer], self._values[layer]
        query = by_head(query * tf.cast(scale, query.dtype), [0, 2, 3, 1, 4], group, size)
        scores = tf.matmul(tf.reshape(query, [rows, heads, group * count, size]), keys)
        scores = tf.cast(scores, tf.float32)
        if soft_cap is not None:
            scores = soft_cap * tf.tanh(scores / soft_cap)
        split = tf.reshape(scores, [rows, heads, group, count, tf.shape(scores)[-1]])
        scores = tf.reshape(split + self._bias(sliding_window), tf.shape(scores))
        mixed = tf.matmul(tf.cast(tf.nn.softmax(scores), values.dtype), values)
        mixed = tf.reshape(mixed, [rows, heads, group, count, size])
        mixed = tf.transpose(mixed, [0, 3, 1, 2, 4])
        return tf.reshape(mixed, [-1, 1, query_heads, size])

    def _bias(self, sliding_window: int | None) -> Any:
        """Return 0 for what a token sees and -inf for the rest, [rows, 1, 1, count, columns]."""
        import tensorflow as tf

        if sliding_window not in self._biases:
            visible = (self._seen >= 0) & (self._seen <= self._places)
            if sliding_window is not None:
                visible &= self._seen > self._places - sliding_window
            self._biases[sliding_window] = tf.where(visible, 0.0, -np.inf)[:, None, None]
        return self._biases[sliding_window]


def _lines(tables: Any, columns: Any, first: Any, count: Any, width: Any) -> Any:
    """Return which lines of tables that lie under one another to write, int32 [lines].

    Args:
        tables: how many there are.
        columns: of each table; a line holds `width` of them.
        first: the first column to write.
        count: how many to write.
        width: how many columns a line holds.
    """
    import tensorflow as tf

    own = tf.range(first // width, first // width + (count + width - 1) // width)
    return tf.reshape(tf.range(tables)[:, None] * (columns // width) + own, [-1])


def _write(array: Any, new: Any, layer: int, lines: Any, width: Any) -> Any:
    """Write `new` in place into lines of `width` numbers of a layer of `array`, and return it."""
    import tensorflow as tf

    flat, new = tf.reshape(array, [-1, width]), tf.reshape(tf.cast(new, array.dtype), [-1, width])
    lines += layer * (tf.shape(flat)[0] // array.shape[0])
    written = tf.raw_ops.InplaceUpdate(x=flat, i=lines, v=new)
    return tf.ensure_shape(tf.reshape(written, tf.shape(array)), array.shape)
