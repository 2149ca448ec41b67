"""KerasHub models, and what :func:`generate` makes of a model that it is given."""

import sys
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from logit_sampling.generation.callable_model import CallableModel
from logit_sampling.generation.key_value_cache import Steps, serves
from logit_sampling.generation.model import Cache, Model, Output, Tokenizer, needed_tokenizer
from logit_sampling.generation.row_caches import RowSteps

_ATTRIBUTE = "_logit_sampling_model"


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
    """A KerasHub `CausalLM`, ready to generate with a key-value cache.

    GPT-2, OPT, Llama, Mistral, Gemma and Qwen keep theirs in place, for rows of any lengths
    together. Others run row by row with KerasHub's own cache, or without one if it is no array.

    Args:
        causal_lm: any KerasHub causal language model.
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
        self._steps: Steps | RowSteps | CallableModel | None = None

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
        output, cache = self.prefill(ids[:, :1].tolist())
        rest = [cache.append(ids[:, 1:]).logits] if ids.shape[1] > 1 else []
        return np.concatenate([output.logits, *rest], axis=1)

    def prefill(self, prompts: Sequence[Sequence[int]]) -> tuple[Output, Cache]:
        """Read prompts; return what follows the last token of each, and the cache."""
        return self._stepper().prefill(prompts)

    @property
    def traces(self) -> int:
        """How many graphs were traced; no prompt, batch, sampler or length needs a second one."""
        function = getattr(self._steps, "function", None)
        return function.experimental_get_tracing_count() if function else 0

    def _stepper(self) -> "Steps | RowSteps | CallableModel":
        """Return what runs the model, made once.

        A graph reads variables, so new weights are seen; other variables (`enable_lora`,
        `quantize`) need a new graph.
        """
        variables = self.causal_lm.variables
        if self._steps is None or [id(v) for v in variables] != [id(v) for v in self._variables]:
            self._variables = variables
            self._steps = Steps(self.causal_lm) if serves(self.causal_lm) else self._own_steps()
        return self._steps

    def _own_steps(self) -> "RowSteps | CallableModel":
        """Return the steps of a model that keeps its cache to itself, or that has none."""
        import tensorflow as tf

        plain = CallableModel(
            lambda ids: self.causal_lm({"token_ids": ids, "padding_mask": np.ones_like(ids)})
        )
        if not hasattr(self.causal_lm, "_build_cache"):
            return plain
        # Each KerasHub model knows the shape of its cache, and tells it by building one.
        _, cache = self.causal_lm._build_cache(tf.zeros((1, 2), tf.int32))
        if not tf.is_tensor(cache) or len(cache.shape) != 6:
            return plain
        steps = RowSteps(self.causal_lm, cache.shape, cache.dtype)
        # Not every cache in KerasHub 0.32 is right: that of GPT-NeoX forgets the position.
        cached, expected = (
            model.prefill([[0, 1]])[1].append(np.array([[0]])).logits for model in (steps, plain)
        )
        if not np.allclose(cached, expected, atol=0.1, rtol=0.1):
            warnings.warn(
                f"the logits of {self.name!r} with its cache (call_with_cache) differ by up to "
                f"{np.abs(cached - expected).max():.2g} from those of a plain call: generating "
                "without the cache, which is slower",
                stacklevel=2,
            )
            return plain
        return steps


def as_model(model: Any) -> Model:
    """Return `model` as the generation loop needs it.

    A Keras model keeps what it gets here, so that a second call traces nothing.
    """
    if hasattr(model, "prefill"):  # as ours have, and whoever writes a Model
        return model
    if hasattr(model, "call_with_cache"):
        return _kept(model, LanguageModel)
    if "keras" in sys.modules and isinstance(model, sys.modules["keras"].Model):
        return _kept(model, _keras_function)
    if callable(model):
        return CallableModel(model)
    raise ValueError(
        f"generate needs what load_model returns, a KerasHub CausalLM, or a function from token "
        f"ids to logits; got {model!r}"
    )


def _kept(model: Any, make: Callable[[Any], Model]) -> Model:
    if not hasattr(model, _ATTRIBUTE):
        setattr(model, _ATTRIBUTE, make(model))
    return getattr(model, _ATTRIBUTE)


def _keras_function(model: Any) -> CallableModel:
    """Return a Keras model from token ids to logits, compiled once for all shapes."""
    import keras

    if keras.backend.backend() != "tensorflow":
        return CallableModel(model)
    import tensorflow as tf

    @tf.function(input_signature=[tf.TensorSpec([None, None], tf.int32)])
    def compiled(token_ids: Any) -> Any:
        return model(token_ids, training=False)

    return CallableModel(compiled)
