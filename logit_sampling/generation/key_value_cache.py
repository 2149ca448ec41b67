"""The keys and values of a KerasHub model, kept in place.

KerasHub's own step takes its cache as one array and returns a new one: it copies the cache several
times a token. Its attention layers can also hand queries, keys and values to whoever serves the
model (`keras_hub.src.vllm`); :class:`Steps` takes them there, writes keys and values into variables
in place, and attends with two batched matrix products that read each of them once.

A row's tokens lie in the columns of the cache that say so: `positions` [rows, columns] holds the
position in the text of the token in each column, -1 where there is none. So rows of different
lengths share a batch, tokens are taken back by clearing their columns, and what a query may see
follows from the positions alone.
"""

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np

from logit_sampling.generation.model import Output

_TOKENS = 2048  # that go through the model at once: enough for the speed of long matrix products
_COLUMNS = 32  # by which a cache grows at least
_LOCK = threading.Lock()


class Steps:
    """The compiled step of a model: tokens in, logits and hidden states out, cache in place.

    Args:
        causal_lm: a KerasHub `CausalLM` for which :func:`serves` holds.
    """

    def __init__(self, causal_lm: Any) -> None:
        backbone = causal_lm.backbone
        query_heads = getattr(backbone, "num_query_heads", None) or backbone.num_heads
        self._backbone = backbone
        self.layers = backbone.num_layers
        self.heads = getattr(backbone, "num_key_value_heads", None) or query_heads
        self.size = getattr(backbone, "head_dim", None) or backbone.hidden_dim // query_heads
        self.dtype = backbone.compute_dtype
        self.compiled = self._compile()

    def _compile(self) -> Any:
        import tensorflow as tf

        ids = tf.TensorSpec([None, None], tf.int32)
        handles = [tf.TensorSpec([], tf.resource)] * self.layers
        scalar = tf.TensorSpec([], tf.int32)

        @tf.function(input_signature=[ids, ids, ids, scalar, scalar, handles, handles])
        def step(
            token_ids: Any, places: Any, seen: Any, column: Any, wanted: Any, keys: Any, values: Any
        ) -> tuple[Any, Any]:
            shape = tf.shape(token_ids)
            # KerasHub's layers take served tokens as a batch of single ones.
            tokens = tf.reshape(token_ids, [-1, 1])
            attention = _Attention(places, seen, column)
            with _serving(
                attention, tf.reshape(places, [-1]), list(zip(keys, values, strict=True))
            ):
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
            logits = self._backbone.token_embedding(hidden, reverse=True)
            return tf.cast(logits, tf.float32), tf.cast(hidden, tf.float32)

        return step

    def open(self, rows: int, columns: int) -> "KeyValueCache":
        """Return an empty cache of `rows` texts with room for `columns` tokens each."""
        import tensorflow as tf

        free = (None, self.heads, None, None)
        shape = [rows, self.heads, self.size, columns]
        keys, values = (
            [tf.Variable(tf.zeros(s, self.dtype), False, shape=free) for _ in range(self.layers)]
            for s in (shape, [*shape[:2], *shape[:1:-1]])
        )
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
        keys: a variable for each layer, [rows, heads, size, columns]: the last axis is the one that
            the product with the queries runs along fastest.
        values: a variable for each layer, [rows, heads, columns, size].
        positions: int32 [rows, columns].
        column: the first column that is free in every row.
    """

    def __init__(
        self, steps: Steps, keys: list[Any], values: list[Any], positions: np.ndarray, column: int
    ) -> None:
        self.steps, self.keys, self.values = steps, keys, values
        self.positions, self.column = positions, column
        self._handles = [[v.handle for v in variables] for variables in (keys, values)]

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
        count = token_ids.shape[1]
        if self.column + count > self.positions.shape[1]:
            self._make_room(count)
        places = (self.lengths[:, None] + np.arange(count)).astype(np.int32)
        self.positions[:, self.column : self.column + count] = places
        logits, hidden = self.steps.compiled(
            token_ids.astype(np.int32), places, self.positions, self.column, wanted, *self._handles
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
            self._replace(lambda array, axis: tf.gather(array, rows))
        return self

    def _make_room(self, count: int) -> None:
        """Close the gaps that dropped tokens left, if they are many; else get larger."""
        import tensorflow as tf

        columns, longest = self.positions.shape[1], int(self.lengths.max())
        if longest + count <= columns * 3 // 4:
            order = np.argsort(self.positions < 0, axis=1, kind="stable").astype(np.int32)
            self.positions = np.take_along_axis(self.positions, order, axis=1)
            self._replace(lambda array, axis: tf.gather(array, order, axis=axis, batch_dims=1))
            self.column = longest
        else:
            more = _room(self.column + count) - columns
            self.positions = np.pad(self.positions, [(0, 0), (0, more)], constant_values=-1)
            self._replace(lambda array, axis: _lengthened(array, axis, more))

    def _replace(self, change: Callable[[Any, int], Any]) -> None:
        """Replace each variable by `change(variable, axis of its columns)`."""
        for variables, axis in ((self.keys, 3), (self.values, 2)):
            for variable in variables:
                variable.assign(change(variable, axis))


def serves(causal_lm: Any) -> bool:
    """Whether the attention layers of a KerasHub model let others hold their cache."""
    try:
        import keras_hub.src.vllm.context  # noqa: F401
    except ImportError:
        return False
    layers = causal_lm.backbone._flatten_layers()
    served = sum(hasattr(layer, "_compute_vllm_attention") for layer in layers)
    return served == getattr(causal_lm.backbone, "num_layers", None)


class _Attention:
    """What the attention layers of one step call, in place of attending themselves.

    Args:
        places: the positions in the texts of the tokens of this step, [rows, count].
        seen: the positions of the tokens in the cache, those of this step among them,
            [rows, columns]; -1 where there is none.
        column: the first column of this step's tokens.
    """

    def __init__(self, places: Any, seen: Any, column: Any) -> None:
        self._places, self._seen, self._column = places[:, :, None], seen[:, None], column
        self._biases: dict[int | None, Any] = {}
        self.calls = 0

    def __call__(
        self,
        cache: tuple[Any, Any],
        query: Any,
        key: Any,
        value: Any,
        scale: float,
        size: int,
        query_heads: int,
        heads: int,
        sliding_window: int | None = None,
        soft_cap: float | None = None,
    ) -> tuple[tuple[Any, Any], Any]:
        """Attend.

        Args:
            cache: the resource handles of this layer's keys and values.
            query: [rows * count, query_heads * size].
            key: [rows * count, heads * size].
            value: the same.
            scale: of the scores.
            size: of a head.
            query_heads: how many heads ask.
            heads: how many heads there are to ask; each serves `query_heads / heads`.
            sliding_window: how many of the latest tokens a query sees; None for all.
            soft_cap: of the scores; None for none.

        Returns:
            the cache, and what was attended to, [rows * count, query_heads * size].
        """
        import tensorflow as tf

        self.calls += 1
        rows, count = tf.unstack(tf.shape(self._places)[:2])
        group = query_heads // heads

        def by_head(x: Any, order: list[int], *shape: Any) -> Any:
            return tf.transpose(tf.reshape(x, [rows, count, heads, *shape]), order)

        keys = _written(cache[0], by_head(key, [0, 2, 3, 1], size), self._column, axis=3)
        values = _written(cache[1], by_head(value, [0, 2, 1, 3], size), self._column, axis=2)
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
        return cache, tf.reshape(mixed, [-1, query_heads * size])

    def _bias(self, sliding_window: int | None) -> Any:
        """Return 0 for what a token sees and -inf for the rest, [rows, 1, 1, count, columns]."""
        import tensorflow as tf

        if sliding_window not in self._biases:
            visible = (self._seen >= 0) & (self._seen <= self._places)
            if sliding_window is not None:
                visible &= self._seen > self._places - sliding_window
            self._biases[sliding_window] = tf.where(visible, 0.0, -np.inf)[:, None, None]
        return self._biases[sliding_window]


def _written(handle: Any, new: Any, column: Any, axis: int) -> Any:
    """Write `new` into the columns of a variable from `column` on; return all of the variable."""
    import tensorflow as tf

    begin = [column if i == axis else 0 for i in range(4)]
    others = 0b1111 & ~(1 << axis)  # axes that are taken whole
    tf.raw_ops.ResourceStridedSliceAssign(
        ref=handle,
        begin=begin,
        end=[column + tf.shape(new)[axis] if i == axis else 0 for i in range(4)],
        strides=[1] * 4,
        value=new,
        begin_mask=others,
        end_mask=others,
    )
    whole = tf.raw_ops.ReadVariableOp(resource=handle, dtype=new.dtype)
    shape = new.shape.as_list()
    shape[axis] = None
    return tf.ensure_shape(whole, shape)


@contextlib.contextmanager
def _serving(
    attention: _Attention, positions: Any, caches: list[tuple[Any, Any]]
) -> Iterator[None]:
    """Have the attention layers of KerasHub call `attention`."""
    from keras import ops
    from keras_hub.src.vllm import attention as bridge
    from keras_hub.src.vllm.context import vllm_context_scope

    # The bridge restores the shape that it saw, which must be known; here the batch is not.
    def reshape(x: Any, shape: Sequence[int | None]) -> Any:
        return ops.reshape(x, [-1 if n is None else n for n in shape])

    with _LOCK, vllm_context_scope(attention, positions, caches):
        known = bridge.ops
        bridge.ops = SimpleNamespace(reshape=reshape)
        try:
            yield
        finally:
            bridge.ops = known


def _room(tokens: int) -> int:
    """How many columns to make for so many tokens."""
    return int(tokens + max(_COLUMNS, tokens // 8))


def _lengthened(array: Any, axis: int, more: int) -> Any:
    import tensorflow as tf

    return tf.pad(array, [(0, more if i == axis else 0) for i in range(4)])


def _join(caches: list[KeyValueCache]) -> KeyValueCache:
    """Return one cache with the rows of all."""
    import tensorflow as tf

    first, *others = caches
    if not others:
        return first
    columns = max(cache.positions.shape[1] for cache in caches)
    mores = [columns - cache.positions.shape[1] for cache in caches]

    for variables, axis in (("keys", 3), ("values", 2)):
        for layer, target in enumerate(getattr(first, variables)):
            arrays = [getattr(cache, variables)[layer] for cache in caches]
            target.assign(
                tf.concat(
                    [_lengthened(a, axis, more) for a, more in zip(arrays, mores, strict=True)], 0
                )
            )
    first.positions = np.concatenate(
        [
            np.pad(cache.positions, [(0, 0), (0, more)], constant_values=-1)
            for cache, more in zip(caches, mores, strict=True)
        ]
    )
    first.column = max(cache.column for cache in caches)
    return first
