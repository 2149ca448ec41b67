"""KerasHub models."""

import warnings
import weakref
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from logit_sampling.distribution.arrays import to_numpy
from logit_sampling.distribution.checks import level_outside
from logit_sampling.models.backends import backend, known
from logit_sampling.models.function import CallableModel
from logit_sampling.models.keras_hub_bridge import hands_on, own_cache, parameter_count, trouble
from logit_sampling.models.model import Cache, Output, in_a_line, needed_tokenizer
from logit_sampling.models.remembered import remembered
from logit_sampling.models.row_caches import RowSteps
from logit_sampling.models.steps import Steps, Writer
from logit_sampling.models.tokenizers import token_count, vocabulary
from logit_sampling.strategies._vocabularies import keras_hub_ends

_WIDTH = 64  # tokens to multiples of which texts are padded where there is no cache


class KerasHubTokenizer:
    """The tokenizer of a KerasHub preprocessor.

    Attributes:
        tokenizer: KerasHub's.
    """

    def __init__(self, preprocessor: Any) -> None:
        self.tokenizer: Any = preprocessor.tokenizer
        start = getattr(self.tokenizer, "start_token_id", None)
        self._start = [start] if preprocessor.add_start_token and start is not None else []

    def __repr__(self) -> str:
        return f"<KerasHubTokenizer {type(self.tokenizer).__name__}>"

    @property
    def end_ids(self) -> tuple[int, ...]:
        """The ids that end a text."""
        return keras_hub_ends(self.tokenizer)

    def get_vocab(self) -> Mapping[str, int] | None:
        """Return the id of each token, None if KerasHub's does not tell them."""
        return vocabulary(self.tokenizer)

    def vocabulary_size(self) -> int | None:
        """Return the number behind the last id that a token has, None if that is not known."""
        return token_count(self.tokenizer)

    def encode(self, text: str) -> list[int]:
        """Return the ids of `text`, after the start token if the preprocessor adds one."""
        return self._start + [int(i) for i in self.tokenizer.tokenize(text)]

    def decode(self, ids: list[int]) -> str:
        """Return the text of `ids`."""
        return self.tokenizer.detokenize(ids) if ids else ""


class LanguageModel:
    """A KerasHub `CausalLM`, ready to generate with a key-value cache.

    GPT-2, OPT, Llama, Mistral, Gemma and Qwen keep theirs in place, for rows of any lengths
    together. Others run row by row with KerasHub's own cache, or without one if it is no array.
    What changes on the KerasHub model (weights, LoRA, layers, preprocessor) counts from then on.

    Args:
        causal_lm: any KerasHub causal language model.
        name: what to call it.
        context_length: how many tokens a text may have; by default what the backbone has positions
            for, else the sequence length of the preprocessor.
        jit_compile: see `load_model`.

    Attributes:
        causal_lm: the KerasHub model.
        name: what to call it.
        jit_compile: see `load_model`.
    """

    def __init__(
        self,
        causal_lm: Any,
        name: str | None = None,
        context_length: int | None = None,
        jit_compile: bool | None = None,
    ) -> None:
        self.causal_lm = causal_lm
        self.name: str = name or causal_lm.name
        self.jit_compile = jit_compile
        self._context_length = context_length

    def __repr__(self) -> str:
        kind = type(self.causal_lm).__name__
        return in_a_line(self, f"LanguageModel {kind}", parameter_count(self.causal_lm))

    @property
    def context_length(self) -> int | None:
        """How many tokens a text may have, None if there is no limit."""
        return (
            self._context_length
            or getattr(self.causal_lm.backbone, "max_sequence_length", None)
            or getattr(self.causal_lm.preprocessor, "sequence_length", None)
        )

    @property
    def vocab_size(self) -> int:
        """How many tokens there are."""
        return int(self.causal_lm.backbone.vocabulary_size)

    @property
    def tokenizer(self) -> "KerasHubTokenizer | None":
        """Has `encode` and `decode`; None if the KerasHub model has no preprocessor."""
        preprocessor = self.causal_lm.preprocessor
        return KerasHubTokenizer(preprocessor) if preprocessor else None

    @property
    def end_ids(self) -> tuple[int, ...]:
        """The ids that end a text."""
        return self.tokenizer.end_ids if self.tokenizer else ()

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
            ValueError: not [batch, length], without a token, or longer than the context.
        """
        ids, context = np.asarray(token_ids, np.int32), self.context_length
        if ids.ndim != 2 or not 1 <= ids.shape[1] <= (context or np.inf):
            most = f" and at most {context}, the context of model {self.name!r}" if context else ""
            raise ValueError(
                f"token ids must have shape [batch, length] with at least one token{most}; got "
                f"shape {ids.shape}"
            )
        output, cache = self.prefill(ids[:, :1].tolist())
        rest = [cache.append(ids[:, 1:]).logits] if ids.shape[1] > 1 else []
        return np.concatenate([output.logits, *rest], axis=1)

    def prefill(self, prompts: Sequence[Sequence[int]]) -> tuple[Output, Cache]:
        """Read prompts; return what follows the last token of each, and the cache."""
        return self._stepper().prefill(prompts)

    @property
    def writer(self) -> Writer | None:
        """What writes several tokens in one call, if anything does and may."""
        stepper = self._stepper()
        if self.jit_compile is False or not isinstance(stepper, Steps) or not stepper.can_write:
            return None
        return Writer(stepper, self.vocab_size, at_once=bool(self.jit_compile))

    @property
    def traces(self) -> int:
        """For how many sizes, and chains that are compiled, something was traced.

        TensorFlow needs one graph for all sizes. On JAX rows, tokens and columns are filled up to
        one of few sizes, and so they are in a program that holds a sampler. On torch a size is a
        number of rows and of tokens fed to each, with any number of columns. No other prompt,
        seed or setting of the sampler within a size needs another one.
        """
        return getattr(self._stepper(), "traces", 0)

    @property
    def state(self) -> object:
        """What equals another one as long as its weights and layers are what they are."""
        return self._stepper(), backend().state(self.causal_lm.variables)

    def _stepper(self) -> "Steps | RowSteps | CallableModel":
        """Return what runs the model as it is now."""
        return remembered(self.causal_lm, self._steps, part=self.causal_lm.backbone)

    def _steps(self) -> "Steps | RowSteps | CallableModel":
        if not known():  # a backend that none of ours is for
            return self._plain_steps()
        if (why := trouble()) is not None:
            warnings.warn(
                f"no cache is kept in place ({why}): generating row by row with KerasHub's own, "
                "which is slower",
                stacklevel=level_outside(),
            )
        elif hands_on(self.causal_lm):
            return Steps(self.causal_lm)
        return self._own_steps()

    def _plain_steps(self) -> CallableModel:
        """Return the model without a cache."""
        own = weakref.ref(self.causal_lm)  # see `remembered`
        longest = self.context_length

        def call(token_ids: np.ndarray) -> np.ndarray:
            rows, length = token_ids.shape
            width = -(-length // _WIDTH) * _WIDTH  # few lengths, as each is compiled for
            width = max(length, min(width, longest or width))
            padded = np.zeros((rows, width), np.int32)
            padded[:, :length] = token_ids
            mask = np.broadcast_to(np.arange(width) < length, padded.shape).astype(np.int32)
            model: Any = own()
            logits = model({"token_ids": padded, "padding_mask": mask})
            return to_numpy(logits)[:, :length]

        return CallableModel(call)

    def _own_steps(self) -> "RowSteps | CallableModel":
        """Return the steps of a model that keeps its cache to itself, or that has none."""
        import keras

        plain, cache = self._plain_steps(), own_cache(self.causal_lm)
        if not keras.ops.is_tensor(cache) or len(cache.shape) != 6:
            return plain
        dtype = keras.backend.standardize_dtype(cache.dtype)
        steps = RowSteps(self.causal_lm, cache.shape, dtype)
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


def checked_jit_compile(jit_compile: Any) -> bool | None:
    """Return the argument of `load_model`, or raise a ValueError."""
    if jit_compile is not None and not isinstance(jit_compile, bool):
        raise ValueError(f"jit_compile must be True, False or None, got {jit_compile!r}")
    return jit_compile
