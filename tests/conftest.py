"""Small models with random weights, built once in a test process and only if a test asks."""

import os
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import settings

if find_spec("numba") is not None:  # from the first row on, and not once it pays
    os.environ.setdefault("LOGIT_SAMPLING_ENGINE", "numba")

settings.register_profile("untimed", deadline=None)  # no test is about how long it takes
settings.load_profile("untimed")


def _sharpen(causal_lm: Any) -> Any:
    """Give the weights a spread at which the next token depends clearly on the text."""
    rng = np.random.default_rng(0)
    for variable in causal_lm.backbone.trainable_variables:
        if len(variable.shape) > 1:
            variable.assign(rng.normal(0, 0.2, variable.shape))
    return causal_lm


@pytest.fixture(scope="session")
def tiny_tokenizer() -> Any:
    """A byte-level BPE: 256 bytes, four merges, and id 260 for both start and end."""
    import keras_hub
    from tokenizers.pre_tokenizers import ByteLevel

    merges = ["t h", "th e", "Ġ a", "o u"]
    tokens = [*sorted(ByteLevel.alphabet()), *(m.replace(" ", "") for m in merges), "<|endoftext|>"]
    return keras_hub.models.GPT2Tokenizer({token: i for i, token in enumerate(tokens)}, merges)


@pytest.fixture(scope="session")
def tiny_gpt2(tiny_tokenizer: Any) -> Any:
    """A GPT2CausalLM: vocabulary 261, context 48, a start token before each prompt."""
    import keras_hub

    return _sharpen(
        keras_hub.models.GPT2CausalLM(
            keras_hub.models.GPT2Backbone(
                vocabulary_size=261,
                num_layers=2,
                num_heads=2,
                hidden_dim=16,
                intermediate_dim=32,
                max_sequence_length=48,
            ),
            keras_hub.models.GPT2CausalLMPreprocessor(tiny_tokenizer, sequence_length=48),
        )
    )


@pytest.fixture(scope="session")
def tiny_llama() -> Any:
    """A LlamaCausalLM with grouped queries and no preprocessor: vocabulary 50, any context."""
    import keras_hub

    return _sharpen(
        keras_hub.models.LlamaCausalLM(
            keras_hub.models.LlamaBackbone(
                vocabulary_size=50,
                num_layers=2,
                num_query_heads=4,
                num_key_value_heads=2,
                hidden_dim=16,
                intermediate_dim=32,
            )
        )
    )


@pytest.fixture(scope="session")
def tiny_preset(tiny_gpt2: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a KerasHub preset that holds tiny_gpt2."""
    folder = tmp_path_factory.mktemp("models") / "tiny"
    tiny_gpt2.save_to_preset(str(folder))
    return folder
