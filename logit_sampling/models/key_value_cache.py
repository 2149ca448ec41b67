"""The keys and values of a KerasHub model, kept in place.

KerasHub's own step takes its cache as one array and returns a new one: it copies the cache several
times a token. Its attention layers can also hand queries, keys and values to another function
(see `keras_hub_bridge`); `Steps` takes them there, writes keys and values into arrays in
place, and attends with two batched matrix products that read each of them once. (Variables would
not do: TensorFlow copies one that was written in part whenever it is read.)

A row's tokens lie in the columns of the cache that say so: `positions` [rows, columns] holds the
position in the text of the token in each column, -1 where there is none. So rows of different
lengths share a batch, tokens are taken back by clearing their columns, and what a query may see
follows from the positions alone.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from logit_sampling.models.attention import BLOCK, Attention
from logit_sampling.models.keras_hub_bridge import attending_by
from logit_sampling.models.model import Output

_TOKENS = 2048  # that go through the model at once: enough for the speed of long matrix products
_COLUMNS = 32  # by which a cache grows at least


class Steps:
    """The compiled step of a model: tokens in, logits and hidden states out, cache in place.

    Args:
        causal_lm: a KerasHub `CausalLM` for which `keras_hub_bridge.hands_on` holds.
    """

    def __init__(self, causal_lm: Any) -> None:
        backbone = causal_lm.backbone
        query_heads = getattr(backbone, "num_query_heads", None) or backbone.num_heads
        self._backbone = backbone
        self.layers: Any = backbone.num_layers
        self.heads: Any = getattr(backbone, "num_key_value_heads", None) or query_heads
        self.size: Any = getattr(backbone, "head_dim", None) or backbone.hidden_dim // query_heads
        self.dtype: Any = backbone.compute_dtype
        self.function: Any = self._function()
        # A call of the function would look for its graph anew, which costs half a millisecond.
        self.compiled: Any = self.function.get_concrete_function()

    def _function(self) -> Any:
        import tensorflow as tf

        signature = [
            tf.TensorSpec([2, None, None], tf.int32),
            tf.TensorSpec([None, None], tf.int32),
            tf.TensorSpec([2], tf.int32),
            tf.TensorSpec([self.layers, None, self.heads, self.size, None], self.dtype),
            tf.TensorSpec([self.layers, None, self.heads, None, self.size], self.dtype),
        ]

        @tf.function(input_signature=signature)
        def step(
            ids_and_places: Any, seen: Any, column_and_wanted: Any, keys: Any, values: Any
        ) -> tuple[Any, Any]:
            token_ids, places = tf.unstack(ids_and_places)
            column, wanted = tf.unstack(column_and_wanted)
            shape = tf.shape(token_ids)
            # KerasHub's layers take served tokens as a batch of single ones.
            tokens = tf.reshape(token_ids, [-1, 1])
            attention = Attention(places, seen, column, keys, values)
            with attending_by(attention, self._backbone, tf.reshape(places, [-1])):
                hidden = self._backbone(
                    {"token_ids": tokens, "padding_mask": tf.ones_like(tokens)}, training=False
                )
            if attention.calls != self.layers:
                raise RuntimeError(
                    f"{self._backbone.name} has {self.layers} layers, but {attention.calls} came "
                    "to their cache"
                )
            hidden = tf.reshape(hidden, [shape[0], shape[1], hidden.shape[-1]])
            hidden = hidden[:, shape[1] - wanted :]
            logits = _scores(self._backbone.token_embedding, hidden)
            return tf.cast(logits, tf.float32), tf.cast(hidden, tf.float32)

        return step

    def open(self, rows: int, columns: int) -> "KeyValueCache":
        """Return an empty cache of `rows` texts with room for `columns` tokens each."""
        import tensorflow as tf

        shape = [self.layers, rows, self.heads]
        keys = tf.zeros([*shape, self.size, columns], self.dtype)
        values = tf.zeros([*shape, columns, self.size], self.dtype)
        return KeyValueCache(self, keys, values, np.full((rows, columns), -1, np.int32), 0)

    def prefill(self, prompts: Sequence[Sequence[int]]) -> tuple[Output, "KeyValueCache"]:
        """Read prompts, those of equal length together; return what follows, and the cache."""
        lengths = [len(prompt) for prompt in prompts]
        outputs, caches, order = [], [], np.argsort(lengths, kind="stable")
        for length in sorted(set(lengths)):
            ids = np.array([prompt for prompt in prompts if len(prompt) == length], np.int32)
            caches.append(self.open(len(ids), _room(length)))
            outputs.append(caches[-1].append(ids, 1))
        back = np.argsort(order)
        logits, hidden = (np.concatenate(parts)[back] for parts in zip(*outputs, strict=True))
        return Output(logits, hidden), _join(caches).select(back)


class KeyValueCache:
    """Rows of texts that the model has read.

    Args:
        steps: what runs the model.
        keys: [layers, rows, heads, size, columns]: the product with the queries is faster this way
            round.
        values: [layers, rows, heads, columns, size].
        positions: int32 [rows, columns].
        column: the first column that is free in every row.
    """

    def __init__(
        self, steps: Steps, keys: Any, values: Any, positions: np.ndarray, column: int
    ) -> None:
        self.steps, self.keys, self.values = steps, keys, values
        self.positions, self.column = positions, column

    @property
    def lengths(self) -> np.ndarray:
        """How many tokens each row holds."""
        return self.positions.max(axis=1) + 1

    def append(self, token_ids: np.ndarray, wanted: int | None = None) -> Output:
        """Feed the next tokens of each row; return what follows each of the last `wanted`."""
        rows, count = token_ids.shape
        wanted = count if wanted is None else wanted
        outputs = []
        for start in range(0, count, width := max(1, _TOKENS // rows)):
            part = token_ids[:, start : start + width]
            asked = min(part.shape[1], max(0, wanted - (count - start - part.shape[1])))
            output = self._step(part, asked)
            if asked:
                outputs.append(output)
        if len(outputs) == 1:
            return outputs[0]
        return Output(*(np.concatenate(parts, axis=1) for parts in zip(*outputs, strict=True)))

    def _step(self, token_ids: np.ndarray, wanted: int) -> Output:
        import tensorflow as tf

        count = token_ids.shape[1]
        if self.column + count > self.positions.shape[1]:
            self._make_room(count)
        places = self.lengths[:, None] + np.arange(count)
        self.positions[:, self.column : self.column + count] = places
        logits, hidden = self.steps.compiled(
            tf.constant(np.stack([token_ids, places]), tf.int32),
            tf.constant(self.positions),
            tf.constant([self.column, wanted]),
            self.keys,
            self.values,
        )
        self.column += count
        return Output(logits.numpy(), hidden.numpy())

    def drop(self, counts: np.ndarray) -> None:
        """Forget the last `counts[i]` tokens of row `i`."""
        self.positions[self.positions >= (self.lengths - counts)[:, None]] = -1
        used = np.flatnonzero((self.positions >= 0).any(axis=0))
        self.column = int(used[-1]) + 1 if used.size else 0

    def select(self, rows: Sequence[int] | np.ndarray) -> "KeyValueCache":
        """Return this cache with row `i` what row `rows[i]` was."""
        import tensorflow as tf

        rows = np.asarray(rows, np.int32)
        if not np.array_equal(rows, np.arange(len(self.positions))):
            self.positions = self.positions[rows]
            self._replace(lambda array, axis: tf.gather(array, rows, axis=1))
        return self

    def _make_room(self, count: int) -> None:
        """Close the gaps that dropped tokens left, if they are many; else get larger."""
        columns, longest = self.positions.shape[1], int(self.lengths.max())
        if longest + count <= columns * 3 // 4:
            order = np.argsort(self.positions < 0, axis=1, kind="stable").astype(np.int32)
            self.positions = np.take_along_axis(self.positions, order, axis=1)
            self._replace(lambda array, axis: _in_order(array, order, axis))
            self.column = longest
        else:
            self.lengthen(_room(self.column + count) - columns)

    def lengthen(self, more: int) -> None:
        """Make room for `more` columns."""
        self.positions = np.pad(self.positions, [(0, 0), (0, more)], constant_values=-1)
        self._replace(lambda array, axis: _lengthened(array, axis, more))

    def _replace(self, change: Callable[[Any, int], Any]) -> None:
        """Replace keys and values by `change(array, axis of its columns)`."""
        self.keys, self.values = change(self.keys, 4), change(self.values, 3)


def _scores(embedding: Any, hidden: Any) -> Any:
    """Return the logits of hidden states [rows, columns, width] under a `ReversibleEmbedding`."""
    import tensorflow as tf

    tied = embedding.tie_weights and embedding.compute_dtype == embedding.variable_dtype
    changed = embedding.reverse_dtype, embedding.logit_soft_cap, embedding.quantization_mode
    if not tied or any(change is not None for change in changed):
        return embedding(hidden, reverse=True)
    # The product of Keras, with the long matrix first: a fifth faster for 8 rows, a third for 32.
    table, shape = embedding.embeddings, tf.shape(hidden)
    flat = tf.reshape(hidden, [-1, hidden.shape[-1]])
    logits = tf.transpose(tf.matmul(table, flat, transpose_b=True))
    return tf.reshape(logits, [shape[0], shape[1], table.shape[0]])


def _room(tokens: int) -> int:
    """How many columns to make for so many tokens: whole blocks."""
    return -(-(tokens + max(_COLUMNS, tokens // 8)) // BLOCK) * BLOCK


def _lengthened(array: Any, axis: int, more: int) -> Any:
    """Return keys or values with `more` free columns."""
    import tensorflow as tf

    return tf.pad(array, [(0, more if i == axis else 0) for i in range(5)])


def _in_order(array: Any, order: np.ndarray, axis: int) -> Any:
    """Return keys or values with the columns of each row in another order, int [rows, columns]."""
    import tensorflow as tf

    layers = [tf.gather(layer, order, axis=axis - 1, batch_dims=1) for layer in tf.unstack(array)]
    return tf.stack(layers)


def _join(caches: list[KeyValueCache]) -> KeyValueCache:
    """Return one cache with the rows of all."""
    import tensorflow as tf

    first, *others = caches
    if not others:
        return first
    columns = max(cache.positions.shape[1] for cache in caches)
    for cache in caches:
        cache.lengthen(columns - cache.positions.shape[1])
    return KeyValueCache(
        first.steps,
        tf.concat([cache.keys for cache in caches], 1),
        tf.concat([cache.values for cache in caches], 1),
        np.concatenate([cache.positions for cache in caches]),
        max(cache.column for cache in caches),
    )
