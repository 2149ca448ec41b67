"""The strategies: each a small frozen dataclass that turns logits into logits."""

from logit_sampling.transforms.adaptive import AdaptiveP, Mirostat
from logit_sampling.transforms.base import ScoreTransform, Transform
from logit_sampling.transforms.constraints import (
    AllowTokens,
    ForcedTokens,
    LengthDecay,
    LogitBias,
    MinNewTokens,
    SuppressTokens,
)
from logit_sampling.transforms.dry import DRY
from logit_sampling.transforms.grammar import Grammar
from logit_sampling.transforms.guidance import Guidance, guide
from logit_sampling.transforms.penalties import (
    FrequencyPenalty,
    NoRepeatNGram,
    PresencePenalty,
    RepetitionPenalty,
)
from logit_sampling.transforms.scaling import DynamicTemperature, Temperature
from logit_sampling.transforms.sequences import BadWords, SequenceBias
from logit_sampling.transforms.truncation import (
    XTC,
    Epsilon,
    Eta,
    MinP,
    PLess,
    TopA,
    TopH,
    TopK,
    TopNSigma,
    TopP,
    Typical,
)
from logit_sampling.transforms.watermark import Watermark

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
