"""The strategies: each a small frozen dataclass that turns logits into logits.

Each module is imported when one of its names is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from logit_sampling.strategies.adaptive import AdaptiveP, Mirostat
    from logit_sampling.strategies.constraints import (
        AllowTokens,
        ForcedTokens,
        LengthDecay,
        LogitBias,
        MinNewTokens,
        SuppressTokens,
    )
    from logit_sampling.strategies.dry import DRY
    from logit_sampling.strategies.floors import Epsilon, Eta, MinP, PLess, TopA, TopNSigma
    from logit_sampling.strategies.grammar import Grammar
    from logit_sampling.strategies.guidance import Guidance, guide
    from logit_sampling.strategies.penalties import (
        FrequencyPenalty,
        NoRepeatNGram,
        PresencePenalty,
        RepetitionPenalty,
    )
    from logit_sampling.strategies.scaling import DynamicTemperature, Temperature
    from logit_sampling.strategies.sequences import BadWords, SequenceBias
    from logit_sampling.strategies.transform import ScoreTransform, Transform
    from logit_sampling.strategies.truncation import XTC, TopH, TopK, TopP, Typical
    from logit_sampling.strategies.watermark import Watermark

__all__ = [
    "DRY",
    "XTC",
    "AdaptiveP",
    "AllowTokens",
    "BadWords",
    "DynamicTemperature",
    "Epsilon",
    "Eta",
    "ForcedTokens",
    "FrequencyPenalty",
    "Grammar",
    "Guidance",
    "LengthDecay",
    "LogitBias",
    "MinNewTokens",
    "MinP",
    "Mirostat",
    "NoRepeatNGram",
    "PLess",
    "PresencePenalty",
    "RepetitionPenalty",
    "ScoreTransform",
    "SequenceBias",
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
    "guide",
]

_NAMES = {
    "adaptive": "AdaptiveP Mirostat",
    "transform": "ScoreTransform Transform",
    "constraints": "AllowTokens ForcedTokens LengthDecay LogitBias MinNewTokens SuppressTokens",
    "dry": "DRY",
    "floors": "Epsilon Eta MinP PLess TopA TopNSigma",
    "grammar": "Grammar",
    "guidance": "Guidance guide",
    "penalties": "FrequencyPenalty NoRepeatNGram PresencePenalty RepetitionPenalty",
    "scaling": "DynamicTemperature Temperature",
    "sequences": "BadWords SequenceBias",
    "truncation": "XTC TopH TopK TopP Typical",
    "watermark": "Watermark",
}
_MODULE_OF = {name: module for module, names in _NAMES.items() for name in names.split()}

if not TYPE_CHECKING:  # a type checker knows the names above, and that there are no others

    def __getattr__(name: str) -> Any:
        if name not in _MODULE_OF:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
        globals()[name] = value  # from now on it is found without asking here
        return value


def __dir__() -> list[str]:
    return sorted(__all__)
