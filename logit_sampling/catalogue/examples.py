"""A worked example for each strategy: what it makes of one small distribution."""

from collections.abc import Callable
from typing import Any

import numpy as np

from logit_sampling import strategies as t
from logit_sampling.explain import Explanation, name_of
from logit_sampling.sampler import Greedy, Sampler

ROW = (0.5, 0.3, 0.15, 0.05)
"""The distribution that all examples start from."""

_TEXT = (0, 1, 2, 0, 1)


def _model_without_prompt(ids: np.ndarray) -> np.ndarray:
    """Return the logits of a model that without the prompt knows nothing."""
    return np.zeros((len(ids), len(ROW)))


def _grammar() -> t.Grammar:
    """Return what lets a text begin with b or d, of the tokens a, b, c, d and an end."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    tokenizer = Tokenizer(models.BPE({token: i for i, token in enumerate("abcd.")}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    return t.Grammar.regex("[bd]a*", tokenizer, end_id=4)


EXAMPLES: dict[str, tuple[Callable[[], Any], tuple[int, ...]]] = {
    "AdaptiveP": (lambda: t.AdaptiveP(0.3), ()),
    "AllowTokens": (lambda: t.AllowTokens([1, 2]), ()),
    "BadWords": (lambda: t.BadWords([[1, 0], [2, 3]]), _TEXT),
    "DRY": (lambda: t.DRY(1.0), _TEXT),
    "DynamicTemperature": (lambda: t.DynamicTemperature(1.0, 0.5), ()),
    "Epsilon": (lambda: t.Epsilon(0.1), ()),
    "Eta": (lambda: t.Eta(0.4), ()),
    "ForcedTokens": (lambda: t.ForcedTokens({5: 2}), _TEXT),
    "FrequencyPenalty": (lambda: t.FrequencyPenalty(0.5), _TEXT),
    "Grammar": (lambda: _grammar(), ()),
    "Greedy": (lambda: Greedy(), ()),
    "Guidance": (lambda: t.Guidance(2.0, _model_without_prompt), ()),
    "LengthDecay": (lambda: t.LengthDecay(start=3, factor=1.2, end_id=3), _TEXT),
    "LogitBias": (lambda: t.LogitBias({0: -1.0, 3: 2.0}), ()),
    "MinNewTokens": (lambda: t.MinNewTokens(2, end_ids=0), ()),
    "MinP": (lambda: t.MinP(0.2), ()),
    "Mirostat": (lambda: t.Mirostat(tau=1.0), ()),
    "NoRepeatNGram": (lambda: t.NoRepeatNGram(2), _TEXT),
    "PLess": (lambda: t.PLess(), ()),
    "PresencePenalty": (lambda: t.PresencePenalty(0.5), _TEXT),
    "RepetitionPenalty": (lambda: t.RepetitionPenalty(1.5), _TEXT),
    "SequenceBias": (lambda: t.SequenceBias({(0, 1, 3): 2.0, 2: -1.0}), _TEXT),
    "SuppressTokens": (lambda: t.SuppressTokens([0]), ()),
    "Temperature": (lambda: t.Temperature(0.5), ()),
    "TopA": (lambda: t.TopA(0.5), ()),
    "TopH": (lambda: t.TopH(0.6), ()),
    "TopK": (lambda: t.TopK(2), ()),
    "TopNSigma": (lambda: t.TopNSigma(1.0), ()),
    "TopP": (lambda: t.TopP(0.75), ()),
    "Typical": (lambda: t.Typical(0.3), ()),
    "Watermark": (lambda: t.Watermark(gamma=0.5), _TEXT),
    "XTC": (lambda: t.XTC(probability=1.0, threshold=0.2), ()),
}
"""Name -> what makes one, and the tokens that were generated before."""


def worked(name: str) -> tuple[str, tuple[int, ...], Explanation]:
    """Return the strategy with its parameters, the tokens before, and what it makes of ``ROW``.

    Raises:
        ValueError: it needs a package that is not installed.
    """
    make, history = EXAMPLES[name]
    made = make()
    sampler = made if isinstance(made, Sampler) else Sampler(made)
    return name_of(made), history, sampler.explain(np.log(ROW), history=list(history))
