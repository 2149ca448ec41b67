"""The parameters that users of other systems know, and the transform that each belongs to."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from logit_sampling.settings.parameters import Bound, Parameter, Strategy


def _greedy(do_sample: Any) -> float:
    """Return the temperature for ``do_sample``; True never gets here, it means off."""
    if do_sample is not False:
        raise ValueError(f"`do_sample` is True or False, got {do_sample!r}")
    return 0.0


def _last_n(window: Any) -> Any:
    """Return a window, or one for each row; -1 is llama.cpp's word for all."""
    if isinstance(window, list):
        return [_ALL if n == -1 else n for n in window]
    return None if isinstance(window, int | np.integer) and window == -1 else window


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
    if not isinstance(pair, Sequence | np.ndarray) or len(pair) != 2:
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

_TEMPERATURE = Parameter("temperature", _ONE, neutral=1, aliases=("temp",))
_ENDS = Parameter("eos_token_id", _EMPTY, aliases=("stop_token_ids",), joins=True)
_LAST_N = Parameter("repeat_last_n", _ZERO, _ALL, ("penalty_last_n",), read=_last_n)

STRATEGIES = (
    Strategy(
        "Guidance",
        {
            "scale": Parameter("guidance_scale", _ONE, neutral=1),
            "unconditional": Parameter("unconditional"),
            "prompt": Parameter("negative_prompt_ids"),
        },
        needs=("unconditional",),
    ),
    Strategy("SequenceBias", {"bias": Parameter("sequence_bias", _EMPTY)}),
    Strategy("LogitBias", {"bias": Parameter("logit_bias", _EMPTY, read=_biases)}),
    Strategy(
        "RepetitionPenalty",
        {
            "penalty": Parameter(
                "repetition_penalty", _ONE, 1, ("repeat_penalty", "penalty_repeat")
            ),
            "window": _LAST_N,
        },
    ),
    Strategy(
        "FrequencyPenalty",
        {
            "penalty": Parameter("frequency_penalty", _ZERO, 0, ("penalty_freq",)),
            "window": _LAST_N,
        },
    ),
    Strategy(
        "PresencePenalty",
        {
            "penalty": Parameter("presence_penalty", _ZERO, 0, ("penalty_present",)),
            "window": _LAST_N,
        },
    ),
    Strategy("NoRepeatNGram", {"n": Parameter("no_repeat_ngram_size", _ZERO, neutral=_ALL)}),
    Strategy(
        "DRY",
        {
            "multiplier": Parameter("dry_multiplier", _ZERO, neutral=0),
            "base": Parameter("dry_base", Bound("<", 1), neutral=1),
            "allowed_length": Parameter("dry_allowed_length"),
            "window": Parameter("dry_penalty_last_n", _ZERO, neutral=_ALL, read=_last_n),
            "breakers": Parameter("dry_sequence_breakers"),
        },
    ),
    Strategy("BadWords", {"sequences": Parameter("bad_words_ids", _EMPTY)}),
    Strategy(
        "MinNewTokens",
        {"n": Parameter("min_length", _ZERO, neutral=0), "end_ids": _ENDS},
        needs=("end_ids",),
        presets={"prompt": True},
    ),
    Strategy(
        "MinNewTokens",
        {"n": Parameter("min_new_tokens", _ZERO, 0, ("min_tokens",)), "end_ids": _ENDS},
        needs=("end_ids",),
    ),
    Strategy(
        "LengthDecay",
        {"start and factor": Parameter("exponential_decay_length_penalty"), "end_id": _ENDS},
        needs=("end_id",),
        make=_decay,
    ),
    Strategy("AllowTokens", {"token_ids": Parameter("allowed_token_ids")}),
    Strategy("SuppressTokens", {"token_ids": Parameter("suppress_tokens", _EMPTY)}),
    Strategy(
        "SuppressTokens",
        {"token_ids": Parameter("begin_suppress_tokens", _EMPTY)},
        presets={"steps": 1},
    ),
    Strategy(
        "ForcedTokens",
        # Behind the one token that a decoder starts with.
        {"tokens": Parameter("forced_bos_token_id", read=lambda token: {1: token})},
        presets={"prompt": True},
    ),
    Strategy(
        "ForcedTokens",
        {
            "token": Parameter("forced_eos_token_id"),
            "total": Parameter("max_length"),
            "new": Parameter("max_new_tokens"),
        },
        make=_end,
    ),
    Strategy("Watermark", {"config": Parameter("watermarking_config")}, make=_watermark),
    Strategy(
        "DynamicTemperature",
        {
            "range": Parameter("dynatemp_range", _ZERO, neutral=0),
            "temperature": _TEMPERATURE,
            "exponent": Parameter("dynatemp_exponent", aliases=("dynatemp_exp",)),
        },
        presets={"temperature": 1.0},
    ),
    Strategy("Temperature", {"temperature": _TEMPERATURE}),
    Strategy(
        "Temperature", {"temperature": Parameter("do_sample", Bound("==", True), read=_greedy)}
    ),
    Strategy("TopK", {"k": Parameter("top_k", _ZERO, neutral=_ALL)}, keeps_best=True),
    Strategy("TopP", {"p": Parameter("top_p", _ONE, neutral=1)}, keeps_best=True),
    Strategy("MinP", {"p": Parameter("min_p", _ZERO, neutral=0)}, keeps_best=True),
    Strategy("Typical", {"p": Parameter("typical_p", _ONE, 1, ("typ_p", "typical"))}),
    Strategy("Epsilon", {"epsilon": Parameter("epsilon_cutoff", _ZERO, 0)}, keeps_best=True),
    Strategy("Eta", {"epsilon": Parameter("eta_cutoff", _ZERO, 0)}, keeps_best=True),
    Strategy("TopA", {"a": Parameter("top_a", _ZERO, neutral=0)}, keeps_best=True),
    Strategy(
        "TopNSigma",
        # As a float32 the neutral value reaches further than any deviation.
        {"n": Parameter("top_n_sigma", _ZERO, neutral=1e38, aliases=("top_nsigma",))},
        keeps_best=True,
    ),
    Strategy("TopH", {"h": Parameter("top_h", _ONE, neutral=1)}, keeps_best=True),
    Strategy(
        "PLess",
        {"on": Parameter("p_less", Bound("==", False))},
        make=lambda _: {},
        keeps_best=True,
    ),
    Strategy(
        "XTC",
        {
            "probability": Parameter("xtc_probability", _ZERO, neutral=0),
            "threshold": Parameter("xtc_threshold", Bound(">", 0.5), neutral=0.5),
            "protected": Parameter("xtc_special_tokens"),
        },
        presets={"threshold": 0.1},
    ),
    Strategy(
        "Mirostat",
        {
            "version": Parameter("mirostat", _ZERO),
            "tau": Parameter("mirostat_tau", aliases=("mirostat_ent",)),
            "eta": Parameter("mirostat_eta", aliases=("mirostat_lr",)),
        },
    ),
    Strategy(
        "AdaptiveP",
        {
            "target": Parameter("adaptive_target", Bound("<", 0)),
            "decay": Parameter("adaptive_decay"),
        },
    ),
)
"""Every strategy that parameters can ask for."""

BY_SWITCH = {strategy.switch.name: strategy for strategy in STRATEGIES}
"""The strategies by the name of the parameter that switches each on."""

PARAMETERS = {p.name: p for strategy in STRATEGIES for p in strategy.takes.values()}
"""Every parameter by its name."""

NAMES = {
    name: parameter
    for parameter in PARAMETERS.values()
    for name in (parameter.name, *parameter.aliases)
}
"""Every parameter by each of its names."""
