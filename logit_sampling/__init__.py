"""Turn raw vocabulary logits into tokens.

The samplers need NumPy alone. What runs a model (``load_model``, ``generate``, ``compare``,
``train``) imports Keras and TensorFlow when it is first used. Every name here is imported by then,
with its module: the import of the package takes no time, and the command line is ready for Ctrl-C.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from logit_sampling.decoding.beam import BeamSearch
    from logit_sampling.decoding.contrastive import ContrastiveSearch
    from logit_sampling.diagnostics import (
        LogitsReport,
        check_logits,
        logits_from,
    )
    from logit_sampling.diagnostics.guard import LogitsGuard
    from logit_sampling.distribution.checks import ProbabilitiesWarning
    from logit_sampling.evaluation import compare
    from logit_sampling.generation.generate import generate
    from logit_sampling.generation.result import Interrupted, RowError
    from logit_sampling.generation.score import score
    from logit_sampling.generation.stream import stream
    from logit_sampling.models.loading import load_model
    from logit_sampling.sampler import Greedy, Sampler, State
    from logit_sampling.strategies import (
        DRY,
        XTC,
        AdaptiveP,
        AllowTokens,
        BadWords,
        DynamicTemperature,
        Epsilon,
        Eta,
        ForcedTokens,
        FrequencyPenalty,
        Grammar,
        Guidance,
        LengthDecay,
        LogitBias,
        MinNewTokens,
        MinP,
        Mirostat,
        NoRepeatNGram,
        PLess,
        PresencePenalty,
        RepetitionPenalty,
        SequenceBias,
        SuppressTokens,
        Temperature,
        TopA,
        TopH,
        TopK,
        TopNSigma,
        TopP,
        Transform,
        Typical,
        Watermark,
        guide,
    )
    from logit_sampling.strategies.watermark_detector import Detection, WatermarkDetector
    from logit_sampling.training import train
    from logit_sampling.training.metrics import BitsPerCharacter, Perplexity

__version__ = "0.1.0"

__all__ = [
    "DRY",
    "XTC",
    "AdaptiveP",
    "AllowTokens",
    "BadWords",
    "BeamSearch",
    "BitsPerCharacter",
    "ContrastiveSearch",
    "Detection",
    "DynamicTemperature",
    "Epsilon",
    "Eta",
    "ForcedTokens",
    "FrequencyPenalty",
    "Grammar",
    "Greedy",
    "Guidance",
    "Interrupted",
    "LengthDecay",
    "LogitBias",
    "LogitsGuard",
    "LogitsReport",
    "MinNewTokens",
    "MinP",
    "Mirostat",
    "NoRepeatNGram",
    "PLess",
    "Perplexity",
    "PresencePenalty",
    "ProbabilitiesWarning",
    "RepetitionPenalty",
    "RowError",
    "Sampler",
    "SequenceBias",
    "State",
    "SuppressTokens",
    "Temperature",
    "TopA",
    "TopH",
    "TopK",
    "TopNSigma",
    "TopP",
    "Transform",
    "Typical",
    "Watermark",
    "WatermarkDetector",
    "check_logits",
    "compare",
    "generate",
    "guide",
    "load_model",
    "logits_from",
    "score",
    "stream",
    "train",
]

_LAZY = {
    "BeamSearch": "logit_sampling.decoding.beam",
    "BitsPerCharacter": "logit_sampling.training.metrics",
    "ContrastiveSearch": "logit_sampling.decoding.contrastive",
    "Detection": "logit_sampling.strategies.watermark_detector",
    "Greedy": "logit_sampling.sampler",
    "Interrupted": "logit_sampling.generation.result",
    "LogitsGuard": "logit_sampling.diagnostics.guard",
    "LogitsReport": "logit_sampling.diagnostics",
    "Perplexity": "logit_sampling.training.metrics",
    "ProbabilitiesWarning": "logit_sampling.distribution.checks",
    "RowError": "logit_sampling.generation.result",
    "Sampler": "logit_sampling.sampler",
    "State": "logit_sampling.sampler",
    "WatermarkDetector": "logit_sampling.strategies.watermark_detector",
    "check_logits": "logit_sampling.diagnostics",
    "compare": "logit_sampling.evaluation",
    "generate": "logit_sampling.generation.generate",
    "load_model": "logit_sampling.models.loading",
    "logits_from": "logit_sampling.diagnostics",
    "score": "logit_sampling.generation.score",
    "stream": "logit_sampling.generation.stream",
    "train": "logit_sampling.training",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(_LAZY.get(name, "logit_sampling.strategies")), name)
    globals()[name] = value  # from now on it is found without asking here
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
