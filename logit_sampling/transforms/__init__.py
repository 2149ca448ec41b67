"""The strategies: each a small frozen dataclass that turns logits into logits."""

from logit_sampling.transforms.base import ScoreTransform, Transform
from logit_sampling.transforms.scaling import Temperature
from logit_sampling.transforms.truncation import MinP, TopK, TopP

__all__ = ["MinP", "ScoreTransform", "Temperature", "TopK", "TopP", "Transform"]
