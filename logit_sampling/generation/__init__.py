"""Texts from a model: loading, the generation loop, and its result."""

from logit_sampling.generation.beam import BeamSearch
from logit_sampling.generation.callable_model import CallableModel
from logit_sampling.generation.contrastive import ContrastiveSearch
from logit_sampling.generation.generate import generate
from logit_sampling.generation.language_model import LanguageModel
from logit_sampling.generation.loading import load_model
from logit_sampling.generation.result import GenerationResult, Interrupted, RowError
from logit_sampling.generation.score import ScoreResult, score
from logit_sampling.generation.stream import Stream, TextEvent, stream

__all__ = [
    "BeamSearch",
    "CallableModel",
    "ContrastiveSearch",
    "GenerationResult",
    "Interrupted",
    "LanguageModel",
    "RowError",
    "ScoreResult",
    "Stream",
    "TextEvent",
    "generate",
    "load_model",
    "score",
    "stream",
]
