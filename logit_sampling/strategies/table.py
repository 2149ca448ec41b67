"""The table of all strategies: everything that is listed anywhere is read from here.

A strategy is a file, named as its class in lower case, and a row: what kind it is, examples of its
parameters, and the settings of other systems that it answers to. The order is the order in which
`Sampler.from_params` applies them.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from logit_sampling.strategies._settings import Bound, Parameter, Settings


@dataclass(frozen=True)
class Row:
    """A strategy.

    Attributes:
        name: that of its class.
        group: what kind it is.
        examples: arguments of its constructor, or functions that return them. The first one is what
            the catalogue shows; all of them are tested, and each differs in every number.
        settings: the parameters of other systems that make it.
    """

    name: str
    group: str
    examples: tuple[Mapping[str, Any] | Callable[[], Mapping[str, Any]], ...]
    settings: tuple[Settings, ...] = ()

    @property
    def module(self) -> str:
        """The name of its file."""
        return _FILES.get(self.name) or "".join(
            f"_{letter.lower()}" if letter.isupper() else letter for letter in self.name
        ).lstrip("_")

    def arguments(self, example: int = 0) -> dict[str, Any]:
        """Return the arguments of an example."""
        chosen = self.examples[example]
        return dict(chosen() if callable(chosen) else chosen)


_FILES = {
    "DRY": "dry",
    "NoRepeatNGram": "no_repeat_ngram",
    "PLess": "p_less",
    "XTC": "xtc",
}  # where letters in a row are one word


def _greedy(do_sample: Any) -> float:
    """Return the temperature for `do_sample`; True never gets here, it means off."""
    if do_sample is not False:
        raise ValueError(f"`do_sample` is True or False, got {do_sample!r}")
    return 0.0


def _last_n(window: Any) -> Any:
    """Return a window, or one for each row; -1 is llama.cpp's word for all."""
    if isinstance(window, list):
        return [_ALL if n == -1 else n for n in window]
    return None if not hasattr(window, "__len__") and window == -1 else window


def _biases(bias: Any) -> Any:
    """Return a mapping by integers; the keys of JSON are strings, and False bans a token."""
    try:
        pairs = bias.items() if isinstance(bias, Mapping) else list(bias)
        return {int(token): -math.inf if value is False else value for token, value in pairs}
    except (TypeError, ValueError):
        raise ValueError(f"`logit_bias` maps token ids to numbers, got {bias!r}") from None


def _decay(arguments: dict[str, Any]) -> dict[str, Any]:
    """Take apart the pair of a start and a factor."""
    pair = arguments.pop("start and factor")
    if not hasattr(pair, "__len__") or len(pair) != 2:
        raise ValueError(
            f"`exponential_decay_length_penalty` is a pair, a start and a factor; got {pair!r}"
        )
    return {"start": pair[0], "factor": pair[1], **arguments}


def _end(arguments: dict[str, Any]) -> dict[str, Any]:
    """Return the step of the last token: of all tokens, or of those that are generated."""
    token, total, new = (arguments.get(name) for name in ("token", "total", "new"))
    if total is None and new is None:
        raise ValueError("`forced_eos_token_id` needs `max_length` or `max_new_tokens`")
    if total is not None and new is not None:
        raise ValueError(f"`max_length` has no effect because of max_new_tokens={new!r}")
    last = total if new is None else new
    if not isinstance(last, int) or last < 1:
        raise ValueError(f"a text has at least one token, got a length of {last!r}")
    return {"tokens": {last - 1: token}, "prompt": new is None}


_WATERMARK = {
    "greenlist_ratio": "gamma",
    "bias": "delta",
    "hashing_key": "key",
    "context_width": "context",
}


def _watermark(arguments: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments for a WatermarkingConfig, or for a mapping of the same names."""
    config = arguments["config"]
    given = dict(config if isinstance(config, Mapping) else getattr(config, "__dict__", {"": 0}))
    scheme = given.pop("seeding_scheme", "lefthash")
    if scheme != "lefthash" or not set(given) <= set(_WATERMARK):
        raise ValueError(
            f"`watermarking_config` has the keys {', '.join(_WATERMARK)} and the seeding_scheme "
            f"'lefthash'; got {config!r}"
        )
    return {_WATERMARK[name]: value for name, value in given.items()}


_ALL = 2**31 - 1  # no vocabulary and no history has as many
_ZERO, _ONE, _EMPTY = Bound("==", 0), Bound("==", 1), Bound("empty")

_TEMPERATURE = Parameter("temperature", _ONE, 1, ("temp",), note="0 is greedy")
_ENDS = Parameter(
    "eos_token_id", _EMPTY, aliases=("stop_token_ids",), joins=True, note="one or several"
)
_LAST_N = Parameter(
    "repeat_last_n",
    _ZERO,
    _ALL,
    ("penalty_last_n",),
    read=_last_n,
    note="how many of the latest tokens count, -1 for all",
)


def _without_prompt(ids: Any) -> Any:
    """Return the logits of a model that without the prompt knows nothing."""
    import numpy as np

    return np.zeros((len(ids), 4))


def _grammar() -> dict[str, Any]:
    """Return what lets a text begin with b or d, of the tokens a, b, c, d and an end."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    from logit_sampling.strategies.grammar import Grammar

    tokenizer = Tokenizer(models.BPE({token: i for i, token in enumerate("abcd.")}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    made = Grammar.regex("[bd]a*", tokenizer, end_id=4)
    return {"grammar": made.grammar, "tokenizer": made.tokenizer, "end_id": 4}


TABLE = (
    Row(
        "Guidance",
        "guidance",
        (
            {"scale": 2.0, "unconditional": _without_prompt},
            {"scale": 0.5, "unconditional": _without_prompt},
        ),
        (
            Settings(
                {
                    "scale": Parameter("guidance_scale", _ONE, neutral=1),
                    "unconditional": Parameter("unconditional", note="a function or a model"),
                    "prompt": Parameter("negative_prompt_ids"),
                },
                needs=("unconditional",),
            ),
        ),
    ),
    Row(
        "SequenceBias",
        "constraints",
        (
            {"bias": {(0, 1, 3): 2.0, 2: -1.0}},
            {"bias": {(1, 0): float("-inf"), (1,): 0.5}},
        ),
        (Settings({"bias": Parameter("sequence_bias", _EMPTY)}),),
    ),
    Row(
        "LogitBias",
        "constraints",
        (
            {"bias": {0: -1.0, 3: 2.0}},
            {"bias": {1: float("-inf"), 2: 0.5}},
        ),
        (
            Settings(
                {
                    "bias": Parameter(
                        "logit_bias",
                        _EMPTY,
                        read=_biases,
                        note="token ids may be strings, and False is a bias of -inf",
                    )
                }
            ),
        ),
    ),
    Row(
        "RepetitionPenalty",
        "penalties",
        (
            {"penalty": 1.5},
            {"penalty": 0.8, "window": 3, "prompt": False},
            {"penalty": 1.3, "normalize": True},
        ),
        (
            Settings(
                {
                    "penalty": Parameter(
                        "repetition_penalty", _ONE, 1, ("repeat_penalty", "penalty_repeat")
                    ),
                    "window": _LAST_N,
                },
            ),
        ),
    ),
    Row(
        "FrequencyPenalty",
        "penalties",
        (
            {"penalty": 0.5},
            {"penalty": -0.3, "window": 4, "prompt": True},
        ),
        (
            Settings(
                {
                    "penalty": Parameter("frequency_penalty", _ZERO, 0, ("penalty_freq",)),
                    "window": _LAST_N,
                },
            ),
        ),
    ),
    Row(
        "PresencePenalty",
        "penalties",
        (
            {"penalty": 0.5},
            {"penalty": -0.3, "window": 4, "prompt": True},
        ),
        (
            Settings(
                {
                    "penalty": Parameter("presence_penalty", _ZERO, 0, ("penalty_present",)),
                    "window": _LAST_N,
                },
            ),
        ),
    ),
    Row(
        "NoRepeatNGram",
        "penalties",
        (
            {"n": 2},
            {"n": 1},
            {"n": 3},
        ),
        (Settings({"n": Parameter("no_repeat_ngram_size", _ZERO, neutral=_ALL)}),),
    ),
    Row(
        "DRY",
        "penalties",
        (
            {"multiplier": 1.0},
            {"multiplier": 0.5, "base": 1.2, "allowed_length": 1, "breakers": (3,)},
        ),
        (
            Settings(
                {
                    "multiplier": Parameter("dry_multiplier", _ZERO, neutral=0),
                    "base": Parameter("dry_base", Bound("<", 1), neutral=1),
                    "allowed_length": Parameter("dry_allowed_length"),
                    "window": Parameter(
                        "dry_penalty_last_n", _ZERO, _ALL, read=_last_n, note="-1 for all"
                    ),
                    "breakers": Parameter("dry_sequence_breakers", note="token ids"),
                },
            ),
        ),
    ),
    Row(
        "BadWords",
        "constraints",
        (
            {"sequences": [[1, 0], [2, 3]]},
            {"sequences": [[1], [0, 1, 2]], "prompt": False},
        ),
        (Settings({"sequences": Parameter("bad_words_ids", _EMPTY)}),),
    ),
    Row(
        "MinNewTokens",
        "constraints",
        (
            {"n": 6, "end_ids": 0},
            {"n": 3, "end_ids": (1, 2), "prompt": True},
        ),
        (
            Settings(
                {
                    "n": Parameter("min_length", _ZERO, neutral=0, note="prompt and all"),
                    "end_ids": _ENDS,
                },
                needs=("end_ids",),
                presets={"prompt": True},
            ),
            Settings(
                {"n": Parameter("min_new_tokens", _ZERO, 0, ("min_tokens",)), "end_ids": _ENDS},
                needs=("end_ids",),
            ),
        ),
    ),
    Row(
        "LengthDecay",
        "constraints",
        (
            {"start": 3, "factor": 1.2, "end_id": 3},
            {"start": 1, "factor": 0.7, "end_id": 1},
        ),
        (
            Settings(
                {
                    "start and factor": Parameter(
                        "exponential_decay_length_penalty", note="a start and a factor"
                    ),
                    "end_id": _ENDS,
                },
                needs=("end_id",),
                make=_decay,
            ),
        ),
    ),
    Row(
        "AllowTokens",
        "constraints",
        (
            {"token_ids": (1, 2)},
            {"token_ids": (0, 2, 3)},
        ),
        (Settings({"token_ids": Parameter("allowed_token_ids")}),),
    ),
    Row(
        "SuppressTokens",
        "constraints",
        (
            {"token_ids": (0,)},
            {"token_ids": (1, 2), "steps": 3},
        ),
        (
            Settings({"token_ids": Parameter("suppress_tokens", _EMPTY)}),
            Settings(
                {"token_ids": Parameter("begin_suppress_tokens", _EMPTY, note="at the first step")},
                presets={"steps": 1},
            ),
        ),
    ),
    Row(
        "ForcedTokens",
        "constraints",
        (
            {"tokens": {5: 2}},
            {"tokens": {3: 1, 4: 0}},
        ),
        (
            Settings(  # Behind the one token that a decoder starts with.
                {
                    "tokens": Parameter(
                        "forced_bos_token_id",
                        read=lambda token: {1: token},
                        note="for the place behind one token",
                    )
                },
                presets={"prompt": True},
            ),
            Settings(
                {
                    "token": Parameter("forced_eos_token_id", note="for the last token"),
                    "total": Parameter("max_length", note="prompt and all"),
                    "new": Parameter("max_new_tokens"),
                },
                make=_end,
            ),
        ),
    ),
    Row(
        "SpanBudget",
        "constraints",
        (
            {"budget": 1, "start": 2, "end": 3},
            {"budget": 2, "start": (0, 1), "end": (1, 3), "closing": (2, 0), "prompt": False},
        ),
        (
            Settings(
                {
                    "budget": Parameter("span_budget"),
                    "start": Parameter("span_start", note="token ids"),
                    "end": Parameter("span_end", note="token ids"),
                    "closing": Parameter("span_closing", note="token ids"),
                },
                needs=("start", "end"),
            ),
        ),
    ),
    Row(
        "Watermark",
        "watermark",
        (
            {"gamma": 0.5},
            {"gamma": 0.3, "delta": 1.0, "key": 7, "context": 2},
        ),
        (
            Settings(
                {
                    "config": Parameter(
                        "watermarking_config",
                        note="a mapping of greenlist_ratio, bias, hashing_key and context_width; "
                        "the hash is our own",
                    )
                },
                make=_watermark,
            ),
        ),
    ),
    Row(
        "DynamicTemperature",
        "scaling",
        (
            {"temperature": 1.0, "range": 0.5},
            {"temperature": 0.6, "range": 0.6, "exponent": 2.0},
        ),
        (
            Settings(
                {
                    "range": Parameter("dynatemp_range", _ZERO, neutral=0),
                    "temperature": _TEMPERATURE,
                    "exponent": Parameter("dynatemp_exponent", aliases=("dynatemp_exp",)),
                },
                presets={"temperature": 1.0},
            ),
        ),
    ),
    Row(
        "Temperature",
        "scaling",
        (
            {"temperature": 0.5},
            {"temperature": 0.0},
            {"temperature": 1.7},
        ),
        (
            Settings({"temperature": _TEMPERATURE}),
            Settings(
                {
                    "temperature": Parameter(
                        "do_sample",
                        Bound("==", True),
                        read=_greedy,
                        note="False takes the likeliest token",
                    )
                }
            ),
        ),
    ),
    Row(
        "Quadratic",
        "scaling",
        (
            {"factor": 0.5},
            {"factor": 0.2, "curve": 2.0},
            {"factor": 1.0, "curve": 5.0},
        ),
        (
            Settings(
                {
                    "factor": Parameter("smoothing_factor", _ZERO),
                    "curve": Parameter("smoothing_curve"),
                },
            ),
        ),
    ),
    Row(
        "TopH",
        "truncation",
        (
            {"h": 0.6},
            {"h": 0.3},
            {"h": 0.6, "renormalize": False, "first": 4},
        ),
        (Settings({"h": Parameter("top_h", _ONE, neutral=1)}, keeps_best=True),),
    ),
    Row(
        "TopNSigma",
        "truncation",
        (
            {"n": 1.0},
            {"n": 2.5},
        ),
        (
            Settings(  # As a float32 the neutral value reaches further than any deviation.
                {"n": Parameter("top_n_sigma", _ZERO, neutral=1e38, aliases=("top_nsigma",))},
                keeps_best=True,
            ),
        ),
    ),
    Row(
        "MinK",
        "truncation",
        (
            {"tau": 3.0},
            {"tau": 20.0},
        ),
        (
            Settings(  # The neutral value is greater than any range of logits.
                {"tau": Parameter("min_k_tau", _ZERO, neutral=1e300)}, keeps_best=True
            ),
        ),
    ),
    Row(
        "TopK",
        "truncation",
        (
            {"k": 2},
            {"k": 7},
        ),
        (Settings({"k": Parameter("top_k", _ZERO, neutral=_ALL)}, keeps_best=True),),
    ),
    Row(
        "TopP",
        "truncation",
        (
            {"p": 0.75},
            {"p": 0.3},
            {"p": 1.0},
        ),
        (Settings({"p": Parameter("top_p", _ONE, neutral=1)}, keeps_best=True),),
    ),
    Row(
        "MinP",
        "truncation",
        (
            {"p": 0.2},
            {"p": 0.02},
            {"p": 0.0},
        ),
        (Settings({"p": Parameter("min_p", _ZERO, neutral=0)}, keeps_best=True),),
    ),
    Row(
        "Typical",
        "truncation",
        (
            {"p": 0.3},
            {"p": 0.9},
            {"p": 1.0},
        ),
        (Settings({"p": Parameter("typical_p", _ONE, 1, ("typ_p", "typical"))}),),
    ),
    Row(
        "Epsilon",
        "truncation",
        (
            {"epsilon": 0.1},
            {"epsilon": 0.01},
        ),
        (Settings({"epsilon": Parameter("epsilon_cutoff", _ZERO, 0)}, keeps_best=True),),
    ),
    Row(
        "Eta",
        "truncation",
        (
            {"epsilon": 0.4},
            {"epsilon": 0.01},
        ),
        (Settings({"epsilon": Parameter("eta_cutoff", _ZERO, 0)}, keeps_best=True),),
    ),
    Row(
        "TopA",
        "truncation",
        (
            {"a": 0.5},
            {"a": 0.1},
        ),
        (Settings({"a": Parameter("top_a", _ZERO, neutral=0)}, keeps_best=True),),
    ),
    Row(
        "PLess",
        "truncation",
        ({},),
        (
            Settings(
                {"on": Parameter("p_less", Bound("==", False))},
                make=lambda _: {},
                keeps_best=True,
            ),
        ),
    ),
    Row(
        "XTC",
        "truncation",
        (
            {"probability": 1.0, "threshold": 0.2},
            {"probability": 0.5, "threshold": 0.05, "protected": (2,)},
        ),
        (
            Settings(
                {
                    "probability": Parameter("xtc_probability", _ZERO, neutral=0),
                    "threshold": Parameter("xtc_threshold", Bound(">", 0.5), neutral=0.5),
                    "protected": Parameter("xtc_special_tokens"),
                },
                presets={"threshold": 0.1},
            ),
        ),
    ),
    Row(
        "Mirostat",
        "adaptive",
        (
            {"tau": 1.0},
            {"tau": 3.0, "eta": 0.2, "version": 1},
        ),
        (
            Settings(
                {
                    "version": Parameter("mirostat", _ZERO, note="1 or 2, the version"),
                    "tau": Parameter("mirostat_tau", aliases=("mirostat_ent",)),
                    "eta": Parameter("mirostat_eta", aliases=("mirostat_lr",)),
                },
            ),
        ),
    ),
    Row(
        "AdaptiveP",
        "adaptive",
        (
            {"target": 0.3},
            {"target": 0.05, "decay": 0.5},
        ),
        (
            Settings(
                {
                    "target": Parameter("adaptive_target", Bound("<", 0)),
                    "decay": Parameter("adaptive_decay"),
                },
            ),
        ),
    ),
    Row("Grammar", "grammar", (_grammar,)),
)
"""All strategies."""

SETTINGS = tuple(replace(own, transform=row.name) for row in TABLE for own in row.settings)
"""Everything that parameters can ask for, in the order of the table."""
