"""Who generates text, with the same weights: this library, KerasHub, transformers on torch."""

import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from devices import gpu, on_device
from strategies import SETTINGS, Strategy

import logit_sampling as ls
from logit_sampling.models.keras_hub import LanguageModel

BACKENDS = {"tensorflow": "TensorFlow", "jax": "JAX", "torch": "torch"}
LIMIT, OURS, KERAS_HUB, TRANSFORMERS = "limit", "ours", "KerasHub", "transformers"
MODES = {"compiled": True, "default": None}
"""What `jit_compile` is. The default is last: it may find compiled what costs a first call else."""
KERAS_HUB_MODES = {
    "tensorflow": {"XLA": True, "graph": False},
    "jax": {"jit": True},
    "torch": {"eager": False},
}

CHAIN = Strategy(
    "repetition penalty 1.2, temperature 0.8, top-k 50, top-p 0.95",
    (("RepetitionPenalty", 1.2), ("Temperature", 0.8), ("TopK", 50), ("TopP", 0.95)),
    transformers=lambda hf: [
        hf.RepetitionPenaltyLogitsProcessor(1.2),
        hf.TemperatureLogitsWarper(0.8),
        hf.TopKLogitsWarper(50),
        hf.TopPLogitsWarper(0.95),
    ],
)
SAMPLERS = {s.name.split()[0]: s for s in SETTINGS if s.name in ("greedy", "top-k 50")}
SAMPLERS |= {"top-p": next(s for s in SETTINGS if s.name == "top-p 0.9"), "chain": CHAIN}


@dataclass(frozen=True)
class Generator:
    """`call(prompts, count, seed)` returns `count` new ids for each prompt, [batch, count]."""

    who: str
    mode: str
    call: Callable[[Any, int, int], np.ndarray]
    convert: Callable[[np.ndarray], Any] = lambda prompts: prompts  # int32 [batch, length]


Make = Callable[[Strategy, int], list[Generator]]
"""From a strategy and the most new tokens of a call to generators; none if it has no such."""


@dataclass(frozen=True)
class Kind:
    """A model to measure, and how much of it fits in a run of some minutes."""

    load: Callable[[Path | None, str], LanguageModel]  # from the folder of SmolLM2, and a dtype
    new_tokens: int
    prompt_tokens: int = 4096  # of a cell


def gpt2(
    *, vocabulary: int, layers: int, heads: int, width: int, context: int, dtype: str = "float32"
) -> LanguageModel:
    """Return a GPT-2 with random weights, the same on each backend."""
    import keras_hub

    backbone = keras_hub.models.GPT2Backbone(
        vocabulary_size=vocabulary,
        num_layers=layers,
        num_heads=heads,
        hidden_dim=width,
        intermediate_dim=4 * width,
        dropout=0.0,
        max_sequence_length=context,
        dtype=dtype,
    )
    rng = np.random.default_rng(0)
    for weight in backbone.weights:
        if len(weight.shape) > 1:  # the others are scales and biases
            weight.assign(0.02 * rng.standard_normal(weight.shape, np.float32))
    return LanguageModel(keras_hub.models.GPT2CausalLM(backbone=backbone, preprocessor=None))


def _smollm2(folder: Path | None, dtype: str) -> LanguageModel:
    if folder is None:
        raise ValueError("the model smollm2 needs --smollm2 FOLDER")
    return ls.load_model(folder, dtype=dtype)


_TINY: dict[str, Any] = {"vocabulary": 512, "layers": 2, "heads": 2, "width": 16, "context": 64}
_GPT2: dict[str, Any] = {
    "vocabulary": 50_257,
    "layers": 12,
    "heads": 12,
    "width": 768,
    "context": 1024,
}
MODELS = {
    "shakespeare": Kind(lambda _, dtype: ls.load_model("shakespeare", dtype=dtype), 65),
    "gpt2-124m": Kind(lambda _, dtype: gpt2(**_GPT2, dtype=dtype), 17),
    "smollm2": Kind(_smollm2, 17, prompt_tokens=1024),
    "tiny": Kind(lambda _, dtype: gpt2(**_TINY, dtype=dtype), 17),
}


def ours(model: LanguageModel) -> Make:
    """Return what makes this library's generators, one for each mode."""
    import keras

    torch = keras.config.backend() == "torch"  # compiles nothing
    modes = {
        name: ls.as_model(model.causal_lm, jit_compile=jit_compile)
        for name, jit_compile in MODES.items()
        if not torch or jit_compile is None
    }

    def mode(name: str, sampler: ls.Sampler) -> Generator:

        def call(prompts: list[list[int]], count: int, seed: int) -> np.ndarray:
            result = ls.generate(
                modes[name],
                prompts,
                sampler=sampler,
                max_new_tokens=count,
                seed=seed,
                stop_at_end=False,
            )
            return np.array(result.token_ids)

        return Generator(OURS, name, call, np.ndarray.tolist)

    def make(strategy: Strategy, _: int) -> list[Generator]:
        sampler = strategy.sampler()
        return [mode(name, sampler) for name in modes] if sampler else []

    return make


def keras_hub(model: LanguageModel) -> Make:
    """Return what makes KerasHub's `generate`, in each mode that the backend has.

    Its function is compiled for a window of the prompt and all new tokens, which it reads first,
    whatever the mask says. A call for fewer tokens has the same window, more of it prompt, so that
    it does not compile again.
    """
    import keras
    import keras_hub

    backbone, kind = model.causal_lm.backbone, type(model.causal_lm)
    modes = KERAS_HUB_MODES[keras.config.backend()]

    def mode(name: str, strategy: Strategy, most: int) -> Generator:
        causal_lm = kind(backbone=backbone, preprocessor=None)
        sampler = strategy.keras_hub(keras_hub.samplers)  # type: ignore[misc]
        causal_lm.compile(sampler=sampler, jit_compile=modes[name])

        def call(prompts: np.ndarray, count: int, _: int) -> np.ndarray:
            window = np.pad(prompts, ((0, 0), (0, most)))
            mask = np.broadcast_to(np.arange(window.shape[1]), window.shape)
            mask = mask < window.shape[1] - count
            inputs = {"token_ids": window, "padding_mask": mask}
            return causal_lm.generate(inputs, stop_token_ids=None)["token_ids"][:, -count:]

        return Generator(KERAS_HUB, name, call)

    def make(strategy: Strategy, most: int) -> list[Generator]:
        return [mode(name, strategy, most) for name in modes] if strategy.keras_hub else []

    return make


def transformers(model: LanguageModel) -> Make:
    """Return what makes the `generate` of transformers, with the weights of `model`."""
    import torch
    import transformers
    from transformers.generation import logits_process

    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()  # of end tokens outside a small vocabulary
    with tempfile.TemporaryDirectory() as folder:
        model.causal_lm.backbone.export_to_transformers(folder)
        torch_model = transformers.AutoModelForCausalLM.from_pretrained(
            folder, dtype=torch.float32
        ).eval()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch_model.to(device).generation_config.eos_token_id = None

    def make(strategy: Strategy, _: int) -> list[Generator]:
        if strategy.transformers is None:
            return []
        processors = logits_process.LogitsProcessorList(strategy.transformers(logits_process))

        @torch.inference_mode()
        def call(prompts: Any, count: int, seed: int) -> np.ndarray:
            torch.manual_seed(seed)
            ids = torch_model.generate(
                prompts,
                attention_mask=torch.ones_like(prompts),
                max_new_tokens=count,
                do_sample=not strategy.greedy,
                top_k=None if strategy.greedy else 0,  # its default cuts to 50
                logits_processor=processors,
                pad_token_id=0,
            )
            return ids[:, prompts.shape[1] :].cpu().numpy()

        def convert(prompts: np.ndarray) -> Any:
            return torch.tensor(prompts, dtype=torch.int64, device=device)

        return [Generator(TRANSFORMERS, "eager", call, convert)]

    return make


CONTENDERS: dict[str, Callable[[LanguageModel], Make]] = {
    "ours": ours,
    "keras_hub": keras_hub,
    "transformers": transformers,  # in a process where Keras runs on torch
}


def bandwidth() -> float:
    """Return the bytes a second that are read from memory: the best of 20 passes.

    On a CPU NumPy reads them, on a GPU the backend.
    """
    import keras

    array = np.ones(100_000_000, np.float32)
    read: Callable[[], Any] = array.max
    if gpu() is not None:
        there, wait = on_device(array)
        read = lambda: wait(keras.ops.max(there))  # noqa: E731

    def seconds() -> Iterator[float]:
        for _ in range(20):
            start = time.perf_counter()
            read()
            yield time.perf_counter() - start

    return array.nbytes / min(seconds())


def bytes_of_step(model: LanguageModel, batch: int, length: float) -> float:
    """Return the bytes that a step must read: each weight once, and a cache of `length` tokens.

    Of tables that are looked up, a step reads a few rows, which are not counted: that of the
    positions, and that of the tokens unless the output layer shares it.
    """
    backbone = model.causal_lm.backbone
    tokens = backbone.token_embedding
    tables = [getattr(backbone, "position_embedding", None)]
    tables += [] if getattr(tokens, "tie_weights", True) else [tokens]
    looked_up = {id(t.weights[0]) for t in tables if t is not None}
    read = [w for w in model.causal_lm.weights if id(w) not in looked_up]
    heads = getattr(backbone, "num_query_heads", None) or backbone.num_heads
    kept = getattr(backbone, "num_key_value_heads", None) or heads
    entry = 2 * backbone.num_layers * kept * (backbone.hidden_dim // heads)  # keys and values
    itemsize = np.dtype(read[0].dtype).itemsize
    return itemsize * (sum(int(np.prod(w.shape)) for w in read) + batch * length * entry)
