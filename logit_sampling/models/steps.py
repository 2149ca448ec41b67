"""The step of a KerasHub model: tokens in, logits and hidden states out, keys and values kept.

KerasHub's own step takes its cache as one array and returns a new one: it copies the cache several
times a token. Its attention layers can also hand queries, keys and values to another function (see
`keras_hub_bridge`); `Steps` takes them there, writes keys and values into arrays in place, and
attends with two batched matrix products that read each of them once.
"""

import functools
from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np

from logit_sampling.models.attention import Attention
from logit_sampling.models.backends import Compiled, backend
from logit_sampling.models.keras_hub_bridge import attending_by
from logit_sampling.models.key_value_cache import KeyValueCache
from logit_sampling.models.model import Output
from logit_sampling.models.sizes import CALL, Sizes, similar

MOST = 32  # tokens that a program writes to each row at once
_PROGRAMS = 32  # of chains, that are held; the oldest goes


class Chain(Protocol):
    """A sampler as part of a program."""

    key: Hashable
    """What the program depends on."""

    def draw(self, logits: Any, state: Any, numbers: Any) -> tuple[Any, Any, Any, Any]:
        """Return ids, their log-probabilities, those under the chain, and the next state."""

    def init(self, prompts: Any, seeds: Any, numbers: Any, capacity: int) -> Any:
        """Return the state before the first step."""


class Writer(NamedTuple):
    """What writes several tokens in one call.

    Attributes:
        steps: with `writer` and `beginning`.
        vocab_size: how many tokens there are.
        at_once: whether it compiles a chain that has written little.
    """

    steps: "Steps"
    vocab_size: int
    at_once: bool


class Steps:
    """The compiled step of a model.

    Args:
        causal_lm: a KerasHub `CausalLM` for which `keras_hub_bridge.hands_on` holds.

    Attributes:
        heads: how many there are of keys and values.
        sizes: which numbers of rows, tokens and columns a step takes.
        can_write: whether there is a `writer`.
        compiled: the step.
        put: see `Backend`.
        written: by the key of a chain, how many steps it took without a program.
    """

    def __init__(self, causal_lm: Any) -> None:
        import keras

        backbone, on = causal_lm.backbone, backend()
        query_heads = getattr(backbone, "num_query_heads", None) or backbone.num_heads
        heads = getattr(backbone, "num_key_value_heads", None) or query_heads
        size = getattr(backbone, "head_dim", None) or backbone.hidden_dim // query_heads
        self._backbone, self._on = backbone, on
        self.sizes: Sizes = on.sizes
        self.put: Callable[[list[Any], np.ndarray, list[Any]], list[Any]] = on.put
        self._programs: dict[Hashable, Any] = {}
        self.can_write: bool = on.program is not None
        self.written: Counter[Hashable] = Counter()
        self._layers, self._dtype = backbone.num_layers, backbone.compute_dtype

        def shapes(rows: int | None, columns: int | None) -> list[tuple[int | None, ...]]:
            """Return the shapes of the arrays of keys, and of those of values."""
            shape = (rows and rows * heads, columns, size)
            return [(self._layers, *shape)] if on.stacked else [shape] * self._layers

        def whole(*shape: int | None) -> Any:
            return keras.KerasTensor(shape, "int32")

        self._shapes = shapes
        self.heads: int = heads
        kept = [keras.KerasTensor(shape, self._dtype) for shape in shapes(None, None)]
        signature = [whole(2, None), whole(None, None), whole(None), kept, kept]
        step = functools.partial(self._step, on.attention)
        self.compiled: Compiled = on.compiled(step, backbone, signature, kept=2)

    def _step(
        self,
        attend: type[Attention],
        tokens_and_places: Any,
        seen: Any,
        column_and_asked: Any,
        keys: Any,
        values: Any,
    ) -> tuple[Any, Any, Any, Any]:
        """Feed `count` tokens to each row.

        Args:
            attend: what the layers call.
            tokens_and_places: the tokens, and their positions in the texts, [2, rows * count].
            seen: see `Attention`.
            column_and_asked: the first column of the tokens, and which of them to tell what follows
                for, [1 + asked].
            keys, values: see `Attention`.

        Returns:
            logits [asked, vocab], hidden states [asked, width], keys and values.
        """
        from keras import ops

        token_ids, places = tokens_and_places[0], tokens_and_places[1]
        attention = attend(places, seen, column_and_asked[0], keys, values)
        # KerasHub's layers take served tokens as a batch of single ones.
        tokens = ops.reshape(token_ids, (-1, 1))
        with attending_by(attention, self._backbone, places):
            inputs = {"token_ids": tokens, "padding_mask": ops.ones_like(tokens)}
            hidden = self._backbone(inputs, training=False)
        if attention.calls != self._layers:
            raise RuntimeError(
                f"{self._backbone.name} has {self._layers} layers, but {attention.calls} came to "
                "their cache"
            )
        hidden = ops.reshape(hidden, (-1, hidden.shape[-1]))
        hidden = ops.take(hidden, column_and_asked[1:], axis=0)
        logits = _scores(self._backbone.token_embedding, hidden)
        hidden = ops.cast(hidden, "float32")
        return ops.cast(logits, "float32"), hidden, attention.keys, attention.values

    @property
    def traces(self) -> int:
        """For how many sizes and chains something was traced."""
        return sum(program.traces for program in (self.compiled, *self._programs.values()))

    def _program(self, key: Hashable, function: Callable[..., Any], kept: int) -> Any:
        if key not in self._programs:
            if len(self._programs) >= _PROGRAMS:
                del self._programs[next(iter(self._programs))]
            assert self._on.program is not None
            self._programs[key] = self._on.program(function, self._backbone, (), kept)
        return self._programs[key]

    def writer(self, chain: Chain) -> Any:
        """Return the program of `_write` with a chain."""
        return self._program(chain.key, functools.partial(self._write, chain.draw), kept=2)

    def beginning(self, chain: Chain, capacity: int) -> Any:
        """Return the program of `chain.init`."""
        begin = functools.partial(chain.init, capacity=capacity)
        return self._program((chain.key, capacity), begin, kept=0)

    def _write(
        self,
        draw: Callable[..., Any],
        count_and_column: Any,
        rows_are: Any,
        seen: Any,
        ends: Any,
        state: Any,
        numbers: Any,
        keys: Any,
        values: Any,
    ) -> tuple[Any, ...]:
        """Write tokens to all rows, until each has its end.

        Args:
            draw: see `Chain`.
            count_and_column: how many tokens at most, and the first column for them, int32 [2].
            rows_are: the last token of each row, its position, and whether the row has ended,
                int32 [3, rows].
            seen: see `Attention`; before.
            ends: the tokens that end a row, int32 [ends].
            state: of the chain.
            numbers: of the chain.
            keys, values: of each layer.

        Returns:
            how many tokens were written; they, float32 their log-probabilities, and those under the
            chain, [MOST, rows] each; state, keys and values.
        """
        from keras import ops

        rows = seen.shape[0]
        every = ops.arange(rows, dtype="int32")

        def goes_on(i: Any, ids: Any, ended: Any, *others: Any) -> Any:
            return ops.logical_and(i < count_and_column[0], ops.logical_not(ops.all(ended)))

        def write(
            i: Any,
            ids: Any,
            ended: Any,
            seen: Any,
            written: Any,
            state: Any,
            keys: Any,
            values: Any,
        ) -> tuple[Any, ...]:
            column, places = count_and_column[1] + i, rows_are[1] + i
            seen = ops.slice_update(seen, (0, column), places[:, None])
            tokens, asked = ops.stack([ids, places]), ops.concatenate([column[None], every])
            logits, _, keys, values = self._step(Attention, tokens, seen, asked, keys, values)
            new, *log_probs, state = draw(logits, state, numbers)
            written = [
                ops.slice_update(array, (i, 0), ops.cast(own, array.dtype)[None])
                for array, own in zip(written, (new, *log_probs), strict=True)
            ]
            ends_here = ops.any(new[:, None] == ends[None], axis=-1)
            ended = ops.logical_or(ended, ops.logical_or(ends_here, new < 0))
            return i + 1, ops.maximum(new, 0), ended, seen, written, state, keys, values

        written = [ops.zeros((MOST, rows), kind) for kind in ("int32", "float32", "float32")]
        ended = rows_are[2] > 0
        zero = ops.zeros((), "int32")
        start = (zero, rows_are[0], ended, seen, written, state, list(keys), list(values))
        i, _, _, _, written, state, keys, values = ops.while_loop(goes_on, write, start)
        return i, written, state, keys, values

    def open(self, rows: int, tokens: int, most: int = 0) -> KeyValueCache:
        """Return an empty cache of `rows` texts, and room for `most`, of `tokens` each."""
        from keras import ops

        slots, columns = self.sizes.rows(max(rows, most)), self.sizes.columns(tokens)
        shapes = self._shapes(slots, columns)
        keys, values = ([ops.zeros(shape, self._dtype) for shape in shapes] for _ in range(2))
        nothing = np.full((slots, columns), -1, np.int32)
        return KeyValueCache(self, keys, values, nothing, np.arange(rows), 0)

    def prefill(self, prompts: Sequence[Sequence[int]]) -> tuple[Output, KeyValueCache]:
        """Read prompts, those of similar sizes together; return what follows, and the cache."""
        sizes = [self.sizes.tokens(len(prompt)) for prompt in prompts]
        # Where each size is compiled for, equal ones alone share a call: fewer pairs of numbers.
        outputs, groups = list[Output](), similar(sizes, 0 if self.sizes.few else CALL)
        together: KeyValueCache | None = None
        for places in groups:
            cache = self.open(len(places), sizes[places[-1]])
            outputs.append(cache.read([prompts[i] for i in places]))
            if len(groups) > 1:
                together = together or self.open(0, max(sizes), len(prompts))
                cache = together.join(cache)
        back = np.argsort(np.concatenate(groups))
        logits, hidden = (np.concatenate(parts)[back] for parts in zip(*outputs, strict=True))
        return Output(logits, hidden), cache.select(back)


def _scores(embedding: Any, hidden: Any) -> Any:
    """Return the logits of hidden states [tokens, width] under a `ReversibleEmbedding`."""
    from keras import ops

    tied = embedding.tie_weights and embedding.compute_dtype == embedding.variable_dtype
    changed = embedding.reverse_dtype, embedding.logit_soft_cap, embedding.quantization_mode
    if not tied or any(change is not None for change in changed):
        return embedding(hidden, reverse=True)
    # The product of Keras, with the long matrix first: a fifth faster for 8 rows, a third for 32.
    table = ops.convert_to_tensor(embedding.embeddings)
    return ops.transpose(ops.matmul(table, ops.transpose(hidden)))
