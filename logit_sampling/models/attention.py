"""Attention over keys and values that are kept."""

from collections.abc import Sequence
from typing import Any

UNSEEN = -1e30
"""Added to the score of what a token does not see: its weight is exactly 0, and no row is NaN."""


class Attention:
    """What the attention layers of one step call, in place of attending themselves.

    This is what a program traces. A backend may keep (`kept`) and attend (`mixed`) in a way of its
    own.

    Args:
        places: the positions in the texts of the tokens of this step, int32 [rows * count].
        seen: the positions of the tokens in the cache, those of this step among them,
            int32 [rows, columns]; -1 where there is none.
        column: the first column of this step's tokens, int32.
        keys: of each layer, [rows * heads, columns, size]; or of all together (see `Backend`).
        values: the same.

    Attributes:
        keys, values: with those of the layers that have attended.
        calls: how many these are.
    """

    def __init__(
        self, places: Any, seen: Any, column: Any, keys: Sequence[Any], values: Sequence[Any]
    ) -> None:
        from keras import ops

        self.rows: Any = ops.shape(seen)[0]
        self.places: Any = ops.reshape(places, (self.rows, -1, 1))
        self.count: Any = ops.shape(self.places)[1]
        self.seen: Any = seen[:, None]
        self.column: Any = column
        self.keys: list[Any] = list(keys)
        self.values: list[Any] = list(values)
        self.calls: int = 0
        self._visible: dict[int | None, Any] = {}

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
        from keras import ops

        layer, self.calls = self.calls, self.calls + 1
        (query_heads, size), heads = query.shape[-2:], key.shape[-2]
        group = query_heads // heads

        def tables(x: Any) -> Any:
            x = ops.reshape(x, (self.rows, self.count, heads, size))
            return ops.reshape(ops.transpose(x, (0, 2, 1, 3)), (-1, self.count, size))

        keys = self.kept(self.keys, layer, tables(key))
        values = self.kept(self.values, layer, tables(value))
        # The queries that share a head come one after the other: one product for all of them.
        query = ops.reshape(query, (self.rows, self.count, heads, group, size))
        query = ops.transpose(query, (0, 2, 3, 1, 4))
        query = ops.reshape(query, (-1, group * self.count, size))
        visible = self.visible(sliding_window, heads)
        visible = ops.tile(visible, (1, group, 1)) if group > 1 else visible
        mixed = self.mixed(query, keys, values, visible, float(scale), soft_cap)
        mixed = ops.reshape(mixed, (self.rows, heads, group, self.count, size))
        mixed = ops.transpose(mixed, (0, 3, 1, 2, 4))
        return ops.reshape(mixed, (-1, 1, query_heads, size))

    def kept(self, arrays: list[Any], layer: int, new: Any) -> Any:
        """Write keys or values from `column` on; return all of the layer.

        Args:
            arrays: `keys` or `values`.
            layer: which.
            new: [rows * heads, count, size].

        Returns:
            [rows * heads, columns, size].
        """
        from keras import ops

        new = ops.cast(new, arrays[layer].dtype)
        arrays[layer] = ops.slice_update(arrays[layer], (0, self.column, 0), new)
        return arrays[layer]

    def mixed(
        self, query: Any, keys: Any, values: Any, visible: Any, scale: float, soft_cap: float | None
    ) -> Any:
        """Return the mean of `values` under the weights of `keys`, [rows * heads, queries, size].

        Args:
            query: [rows * heads, queries, size].
            keys: [rows * heads, columns, size].
            values: the same.
            visible: bool [rows * heads, queries, columns].
            scale: of the scores.
            soft_cap: of the scores; None for none.
        """
        from keras import ops

        scores = self.scores(query * ops.cast(scale, query.dtype), keys)
        scores = ops.cast(scores, "float32")
        if soft_cap is not None:
            scores = soft_cap * ops.tanh(scores / soft_cap)
        weights = ops.softmax(ops.where(visible, scores, UNSEEN))
        return ops.matmul(ops.cast(weights, values.dtype), values)

    def scores(self, query: Any, keys: Any) -> Any:
        """Return the products of queries and keys, [rows * heads, queries, columns]."""
        from keras import ops

        # XLA takes five times as long for the product with transposed keys.
        return ops.einsum("tqs,tcs->tqc", query, keys)

    def visible(self, sliding_window: int | None, heads: int) -> Any:
        """Return what each token sees, bool [rows * heads, count, columns]."""
        from keras import ops

        if sliding_window not in self._visible:
            seen = ops.logical_and(self.seen >= 0, self.seen <= self.places)
            if sliding_window is not None:
                seen = ops.logical_and(seen, self.seen > self.places - sliding_window)
            self._visible[sliding_window] = self.by_head(seen, heads)
        return self._visible[sliding_window]

    def by_head(self, seen: Any, heads: int) -> Any:
        """Return what each head sees, [rows * heads, ...], where all see the same, [rows, ...]."""
        from keras import ops

        return ops.repeat(seen, heads, axis=0)
