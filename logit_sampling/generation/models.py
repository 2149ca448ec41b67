"""What the generation loop needs of a model, for KerasHub models and for plain callables.

A model is an `init_cache(batch, length)` and a `forward(token_ids, cache, index)` that takes the
next columns of the texts and returns the logits after them with the new cache. Columns are absolute
positions: all rows stand at the same one, so nothing is ever padded.
"""

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np

_ATTRIBUTE = "_logit_sampling_model"


class Tokenizer(Protocol):
    """Text to token ids and back."""

    def encode(self, text: str) -> Sequence[int]:
        """Return the token ids of a prompt, with the start token if the model wants one."""

    def decode(self, ids: list[int]) -> str:
        """Return the text of ids; bytes that are no UTF-8 become U+FFFD."""


class Model(Protocol):
    """What :func:`generate` runs."""

    name: str
    context_length: int | None
    vocab_size: int | None
    end_ids: tuple[int, ...]
    tokenizer: Tokenizer | None

    def init_cache(self, batch: int, length: int) -> Any:
        """Return the cache of `batch` rows that have room for `length` tokens each."""

    def forward(self, token_ids: np.ndarray, cache: Any, index: int) -> tuple[np.ndarray, Any]:
        """Feed the columns from `index` on, int32 [batch, columns].

        Returns:
            the logits after the last of them, [batch, vocab], and the cache.
        """


class KerasHubTokenizer:
    """The tokenizer of a KerasHub preprocessor."""

    def __init__(self, preprocessor: Any) -> None:
        self._tokenizer = preprocessor.tokenizer
        start = getattr(self._tokenizer, "start_token_id", None)
        self._start = [start] if preprocessor.add_start_token and start is not None else []

    @property
    def end_ids(self) -> tuple[int, ...]:
        """The ids that end a text: Llama 3 has two."""
        ids = (getattr(self._tokenizer, f"end_token{i}_id", None) for i in ("", 2))
        return tuple(int(i) for i in ids if i is not None)

    def encode(self, text: str) -> list[int]:
        """Return the ids of `text`, after the start token if the preprocessor adds one."""
        return self._start + [int(i) for i in self._tokenizer.tokenize(text)]

    def decode(self, ids: list[int]) -> str:
        """Return the text of `ids`."""
        return self._tokenizer.detokenize(ids) if ids else ""


class LanguageModel:
    """A KerasHub `CausalLM`, ready to generate with its key-value cache.

    Args:
        causal_lm: any KerasHub causal language model with `call_with_cache`.
        name: what to call it.
        context_length: how many tokens a text may have; by default what the backbone has positions
            for, else the sequence length of the preprocessor.

    Attributes:
        causal_lm: the KerasHub model.
        name, context_length, vocab_size, end_ids: as they say; `end_ids` end a text.
        tokenizer: has `encode` and `decode`; None if the KerasHub model has no preprocessor.
    """

    def __init__(
        self, causal_lm: Any, name: str | None = None, context_length: int | None = None
    ) -> None:
        preprocessor, backbone = causal_lm.preprocessor, causal_lm.backbone
        self.causal_lm = causal_lm
        self.name = name or causal_lm.name
        self.context_length: int | None = (
            context_length
            or getattr(backbone, "max_sequence_length", None)
            or getattr(preprocessor, "sequence_length", None)
        )
        self.vocab_size: int | None = backbone.vocabulary_size
        tokenizer = KerasHubTokenizer(preprocessor) if preprocessor else None
        self.tokenizer: Tokenizer | None = tokenizer
        self.end_ids = tokenizer.end_ids if tokenizer else ()
        self._variables: list[Any] = []

    def encode(self, text: str) -> list[int]:
        """Return the token ids of `text` as a prompt, with the start token if the model has one."""
        return list(needed_tokenizer(self.tokenizer, self.name).encode(text))

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of `ids`; bytes that are no UTF-8 become U+FFFD."""
        return needed_tokenizer(self.tokenizer, self.name).decode([int(i) for i in ids])

    def logits(self, token_ids: Any) -> np.ndarray:
        """Score texts: the logits after each token.

        Args:
            token_ids: int [batch, length], no padding.

        Returns:
            float32 [batch, length, vocab]; position `i` holds the logits of token `i + 1`.

        Raises:
            ValueError: not [batch, length], or longer than the context.
        """
        ids = np.asarray(token_ids, np.int32)
        if ids.ndim != 2 or ids.shape[1] > (self.context_length or np.inf):
            raise ValueError(
                f"token ids must have shape [batch, length] with at most {self.context_length} "
                f"tokens, the context of model {self.name!r}; got shape {ids.shape}"
            )
        cache = self.init_cache(*ids.shape)
        return self._compiled(ids, cache, 0)[0].numpy()

    def init_cache(self, batch: int, length: int) -> Any:
        """Return an empty key-value cache, [batch, layers, 2, length, heads, head size]."""
        import tensorflow as tf

        self._compile()
        shape = list(self._cache.shape)
        shape[0], shape[3] = batch, length
        return tf.zeros(shape, self._cache.dtype)

    def forward(self, token_ids: np.ndarray, cache: Any, index: int) -> tuple[np.ndarray, Any]:
        """Feed `token_ids`, int32 [batch, columns], that stand at `index` and after.

        Returns:
            the logits after the last column, float32 [batch, vocab], and the cache.
        """
        logits, cache = self._compiled(token_ids, cache, index)
        return logits[:, -1].numpy(), cache

    def _compile(self) -> None:
        """Trace the model once: no batch, prompt or cache length needs another graph.

        A graph reads variables, so new weights are seen; other variables (`enable_lora`,
        `quantize`) need a new graph.
        """
        import tensorflow as tf

        variables = self.causal_lm.variables
        if [id(v) for v in variables] == [id(v) for v in self._variables]:
            return
        # Each KerasHub model knows the shape of its cache, and tells it by building one.
        _, self._cache = self.causal_lm._build_cache(tf.zeros((1, 2), tf.int32))
        shape = list(self._cache.shape)
        shape[0] = shape[3] = None
        signature = [
            tf.TensorSpec([None, None], tf.int32),
            tf.TensorSpec(shape, self._cache.dtype),
            tf.TensorSpec([], tf.int32),
        ]
        causal_lm = self.causal_lm

        @tf.function(input_signature=signature)
        def compiled(token_ids: Any, cache: Any, index: Any) -> tuple[Any, Any]:
            logits, _, cache = causal_lm.call_with_cache(token_ids, cache, index)
            return tf.cast(logits, tf.float32), cache

        self._compiled, self._variables = compiled, variables


class CallableModel:
    """Any function from token ids to logits, without a cache: it sees the whole text each time.

    Args:
        function: int32 [batch, length] -> logits [batch, length, vocab], or those of the last
            position, [batch, vocab]; a NumPy array or what converts to one. No row is padded.
    """

    name = "callable"
    context_length: int | None = None
    vocab_size: int | None = None
    end_ids: tuple[int, ...] = ()
    tokenizer: Tokenizer | None = None

    def __init__(self, function: Callable[[np.ndarray], Any]) -> None:
        self._function = function

    def init_cache(self, batch: int, length: int) -> np.ndarray:
        """Return the ids seen so far: none."""
        return np.zeros((batch, 0), np.int32)

    def forward(
        self, token_ids: np.ndarray, cache: np.ndarray, index: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Call the function on the texts so far."""
        ids = np.concatenate([cache, token_ids], axis=1)
        logits = np.asarray(self._function(ids))
        if logits.shape[:-1] not in (ids.shape, ids.shape[:1]):
            raise ValueError(
                f"the model returned shape {logits.shape} for token ids of shape {ids.shape}; "
                "generate needs logits [batch, length, vocab] or [batch, vocab]"
            )
        return logits[:, -1] if logits.ndim == 3 else logits, ids


def needed_tokenizer(tokenizer: Tokenizer | None, name: str) -> Tokenizer:
    """Return `tokenizer`; raise ValueError if there is none."""
    if tokenizer is None:
        raise ValueError(
            f"model {name!r} has no tokenizer: give prompts as lists of token ids, or pass "
            "tokenizer=, an object with encode(text) and decode(ids)"
        )
    return tokenizer


def as_model(model: Any) -> Model:
    """Return `model` as the generation loop needs it.

    A KerasHub model keeps its :class:`LanguageModel`, so that a second call traces nothing.
    """
    if isinstance(model, LanguageModel | CallableModel):
        return model
    if hasattr(model, "call_with_cache"):
        if not hasattr(model, _ATTRIBUTE):
            setattr(model, _ATTRIBUTE, LanguageModel(model))
        return getattr(model, _ATTRIBUTE)
    if callable(model):
        return CallableModel(model)
    raise ValueError(
        f"generate needs what load_model returns, a KerasHub CausalLM, or a function from token "
        f"ids to logits; got {model!r}"
    )
