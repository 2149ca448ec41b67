"""What a worker of `generation.py` holds: a model in each dtype, and who generates with it."""

import gc
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import generators
import numpy as np
from devices import gpu
from timing import Contender
from workers import HELD

from logit_sampling.models.keras_hub import LanguageModel


class Who(NamedTuple):
    """Who generates, and how."""

    who: str
    backend: str
    mode: str
    dtype: str

    def __str__(self) -> str:
        how = [self.mode] + [self.dtype] * (self.dtype != "float32")
        if not self.backend:  # the limit
            return ", ".join([self.who, *how[1:]])
        return f"{self.who} on {generators.BACKENDS[self.backend]} ({', '.join(how)})"


@dataclass(frozen=True)
class Facts:
    """What a cell needs to know of a model.

    Attributes:
        context_length: tokens, None if there is no limit.
        vocab_size: tokens.
        reads: for each dtype the bytes that a step reads: of weights, and of a token's cache.
        speed: bytes a second that come from the memory.
        gpu: its name, if the backend computes on one.
    """

    context_length: int | None
    vocab_size: int
    reads: dict[str, tuple[float, float]]
    speed: float
    gpu: str | None


_models: dict[str, LanguageModel] = {}
_makers: dict[tuple[str, str], generators.Make] = {}
_texts: dict[Who, np.ndarray] = {}


def load(name: str, folder: Path | None, dtypes: Sequence[str], contenders: Sequence[str]) -> None:
    """Load a model in each dtype; others than ours have it in the first alone."""
    for held in (_models, _makers, HELD, _texts):
        held.clear()
    gc.collect()
    for dtype in dtypes:
        model = _models[dtype] = generators.MODELS[name].load(folder, dtype)
        for contender in contenders:
            if contender == "ours" or dtype == dtypes[0]:
                _makers[contender, dtype] = generators.CONTENDERS[contender](model)


def facts() -> Facts:
    """Tell of the model that is loaded."""
    reads = {}
    for dtype, model in _models.items():
        weights = generators.bytes_of_step(model, 1, 0)
        reads[dtype] = weights, generators.bytes_of_step(model, 1, 1) - weights
    return Facts(model.context_length, model.vocab_size, reads, generators.bandwidth(), gpu())


def prepare(backend: str, sampler: str, batch: int, new_tokens: int) -> list[Who]:
    """Hold who takes part in a cell, under `(who, N)` what writes `new_tokens` and one."""
    HELD.clear()
    _texts.clear()
    found = []
    for (_, dtype), make in _makers.items():
        for generator in make(generators.SAMPLERS[sampler], new_tokens):
            who = Who(generator.who, backend, generator.mode, dtype)
            found.append(who)
            for count in (new_tokens, 1):
                HELD[who, count] = _contender(generator, who, (batch, count))
    return found


def _contender(generator: generators.Generator, who: Who, shape: tuple[int, int]) -> Contender:
    def call(prompts: Any, i: int) -> None:
        ids = generator.call(prompts, shape[1], i)
        if ids.shape != shape:
            raise ValueError(f"{ids.shape} new ids, not {shape}")
        if shape[1] > 1:
            _texts.setdefault(who, ids)

    return Contender(str(who), call, generator.convert)


def texts() -> dict[Who, np.ndarray]:
    """Return the ids of each one's first call for N tokens."""
    return _texts


def logits(ids: np.ndarray) -> np.ndarray:
    """Return logits [1, length, vocab] of ids [1, length]."""
    return next(iter(_models.values())).logits(ids)
