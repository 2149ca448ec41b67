"""The strategies: each a small frozen dataclass in a file of its own name, and a row in `table`.

Each file is imported when its name is first used. A new strategy is a file, a row in `TABLE`, and
an import below, which tells type checkers of it.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from logit_sampling.strategies.table import TABLE

if TYPE_CHECKING:
    from logit_sampling.strategies._stateless import stateless as stateless
    from logit_sampling.strategies.adaptive_p import AdaptiveP as AdaptiveP
    from logit_sampling.strategies.allow_tokens import AllowTokens as AllowTokens
    from logit_sampling.strategies.bad_words import BadWords as BadWords
    from logit_sampling.strategies.dry import DRY as DRY
    from logit_sampling.strategies.dynamic_temperature import (
        DynamicTemperature as DynamicTemperature,
    )
    from logit_sampling.strategies.epsilon import Epsilon as Epsilon
    from logit_sampling.strategies.eta import Eta as Eta
    from logit_sampling.strategies.forced_tokens import ForcedTokens as ForcedTokens
    from logit_sampling.strategies.frequency_penalty import FrequencyPenalty as FrequencyPenalty
    from logit_sampling.strategies.grammar import Grammar as Grammar
    from logit_sampling.strategies.guidance import Guidance as Guidance
    from logit_sampling.strategies.guidance import guide as guide
    from logit_sampling.strategies.length_decay import LengthDecay as LengthDecay
    from logit_sampling.strategies.logit_bias import LogitBias as LogitBias
    from logit_sampling.strategies.min_k import MinK as MinK
    from logit_sampling.strategies.min_new_tokens import MinNewTokens as MinNewTokens
    from logit_sampling.strategies.min_p import MinP as MinP
    from logit_sampling.strategies.mirostat import Mirostat as Mirostat
    from logit_sampling.strategies.no_repeat_ngram import NoRepeatNGram as NoRepeatNGram
    from logit_sampling.strategies.p_less import PLess as PLess
    from logit_sampling.strategies.presence_penalty import PresencePenalty as PresencePenalty
    from logit_sampling.strategies.quadratic import Quadratic as Quadratic
    from logit_sampling.strategies.repetition_penalty import RepetitionPenalty as RepetitionPenalty
    from logit_sampling.strategies.sequence_bias import SequenceBias as SequenceBias
    from logit_sampling.strategies.span_budget import SpanBudget as SpanBudget
    from logit_sampling.strategies.suppress_tokens import SuppressTokens as SuppressTokens
    from logit_sampling.strategies.temperature import Temperature as Temperature
    from logit_sampling.strategies.top_a import TopA as TopA
    from logit_sampling.strategies.top_h import TopH as TopH
    from logit_sampling.strategies.top_k import TopK as TopK
    from logit_sampling.strategies.top_n_sigma import TopNSigma as TopNSigma
    from logit_sampling.strategies.top_p import TopP as TopP
    from logit_sampling.strategies.transform import Strategy as Strategy
    from logit_sampling.strategies.transform import Transform as Transform
    from logit_sampling.strategies.typical import Typical as Typical
    from logit_sampling.strategies.watermark import Watermark as Watermark
    from logit_sampling.strategies.xtc import XTC as XTC

_MODULES = {row.name: row.module for row in TABLE} | {
    "Strategy": "transform",
    "Transform": "transform",
    "guide": "guidance",
    "stateless": "_stateless",
}

if not TYPE_CHECKING:  # a type checker knows the names above, and that there are no others
    __all__ = sorted(_MODULES)

    def __getattr__(name: str) -> Any:
        if name not in _MODULES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        value = getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
        globals()[name] = value  # from now on it is found without asking here
        return value


def __dir__() -> list[str]:
    return sorted(_MODULES)
