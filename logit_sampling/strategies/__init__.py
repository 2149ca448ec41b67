"""The strategies: each a small frozen dataclass in a file of its own name.

Each module is imported when one of its names is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from logit_sampling.strategies.adaptive_p import AdaptiveP
    from logit_sampling.strategies.allow_tokens import AllowTokens
    from logit_sampling.strategies.bad_words import BadWords
    from logit_sampling.strategies.dry import DRY
    from logit_sampling.strategies.dynamic_temperature import DynamicTemperature
    from logit_sampling.strategies.epsilon import Epsilon
    from logit_sampling.strategies.eta import Eta
    from logit_sampling.strategies.forced_tokens import ForcedTokens
    from logit_sampling.strategies.frequency_penalty import FrequencyPenalty
    from logit_sampling.strategies.grammar import Grammar
    from logit_sampling.strategies.guidance import Guidance, guide
    from logit_sampling.strategies.length_decay import LengthDecay
    from logit_sampling.strategies.logit_bias import LogitBias
    from logit_sampling.strategies.min_new_tokens import MinNewTokens
    from logit_sampling.strategies.min_p import MinP
    from logit_sampling.strategies.mirostat import Mirostat
    from logit_sampling.strategies.no_repeat_ngram import NoRepeatNGram
    from logit_sampling.strategies.p_less import PLess
    from logit_sampling.strategies.presence_penalty import PresencePenalty
    from logit_sampling.strategies.repetition_penalty import RepetitionPenalty
    from logit_sampling.strategies.sequence_bias import SequenceBias
    from logit_sampling.strategies.suppress_tokens import SuppressTokens
    from logit_sampling.strategies.temperature import Temperature
    from logit_sampling.strategies.top_a import TopA
    from logit_sampling.strategies.top_h import TopH
    from logit_sampling.strategies.top_k import TopK
    from logit_sampling.strategies.top_n_sigma import TopNSigma
    from logit_sampling.strategies.top_p import TopP
    from logit_sampling.strategies.transform import Strategy, Transform
    from logit_sampling.strategies.typical import Typical
    from logit_sampling.strategies.watermark import Watermark
    from logit_sampling.strategies.xtc import XTC

_MODULES = {
    "AdaptiveP": "adaptive_p",
    "AllowTokens": "allow_tokens",
    "BadWords": "bad_words",
    "DRY": "dry",
    "DynamicTemperature": "dynamic_temperature",
    "Epsilon": "epsilon",
    "Eta": "eta",
    "ForcedTokens": "forced_tokens",
    "FrequencyPenalty": "frequency_penalty",
    "Grammar": "grammar",
    "Guidance": "guidance",
    "LengthDecay": "length_decay",
    "LogitBias": "logit_bias",
    "MinNewTokens": "min_new_tokens",
    "MinP": "min_p",
    "Mirostat": "mirostat",
    "NoRepeatNGram": "no_repeat_ngram",
    "PLess": "p_less",
    "PresencePenalty": "presence_penalty",
    "RepetitionPenalty": "repetition_penalty",
    "SequenceBias": "sequence_bias",
    "Strategy": "transform",
    "SuppressTokens": "suppress_tokens",
    "Temperature": "temperature",
    "TopA": "top_a",
    "TopH": "top_h",
    "TopK": "top_k",
    "TopNSigma": "top_n_sigma",
    "TopP": "top_p",
    "Transform": "transform",
    "Typical": "typical",
    "Watermark": "watermark",
    "XTC": "xtc",
    "guide": "guidance",
}
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
    "SequenceBias",
    "Strategy",
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

if not TYPE_CHECKING:  # a type checker knows the names above, and that there are no others

    def __getattr__(name: str) -> Any:
        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
        globals()[name] = value  # from now on it is found without asking here
        return value


def __dir__() -> list[str]:
    return sorted(__all__)
