"""The strategies: each a small frozen dataclass that turns logits into logits."""

from logit_sampling.transforms.adaptive import AdaptiveP, Mirostat
from logit_sampling.transforms.base import ScoreTransform, Transform
from logit_sampling.transforms.scaling import DynamicTemperature, Temperature
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

__all__ = [
    "XTC",
    "AdaptiveP",
    "DynamicTemperature",
    "Epsilon",
    "Eta",
    "MinP",
    "Mirostat",
    "PLess",
    "ScoreTransform",
    "Temperature",
    "TopA",
    "TopH",
    "TopK",
    "TopNSigma",
    "TopP",
    "Transform",
    "Typical",
]
