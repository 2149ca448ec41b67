"""The systems whose settings are understood: the order of each chain, and what is its own."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from logit_sampling.settings.names import BY_SWITCH
from logit_sampling.strategies._settings import Bound
from logit_sampling.strategies.table import TABLE


@dataclass(frozen=True)
class Refusal:
    """Values of a parameter that a system rejects, and what to do instead."""

    parameter: str
    values: Bound
    instead: str


@dataclass(frozen=True)
class System:
    """How one system reads its settings.

    `chain` names the strategies in order, each by the parameter that switches it on; `lacks`
    are parameters of theirs that it does not know. `replaces` says which strategies a parameter
    puts out of force; `presets` are arguments of a transform, and `off` and `reads` the
    meaning of values, where they differ from the default; `defaults` is what is on unless said
    otherwise.
    """

    chain: tuple[str, ...]
    lacks: tuple[str, ...] = ()
    replaces: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    presets: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    off: Mapping[str, Bound | None] = field(default_factory=dict)
    reads: Mapping[str, Callable[[Any], Any]] = field(default_factory=dict)
    refuses: tuple[Refusal, ...] = ()
    defaults: Mapping[str, Any] = field(default_factory=dict)

    def knows(self, parameter: str) -> bool:
        """Tell whether a strategy of its chain takes the parameter called so."""
        takers = (BY_SWITCH[switch].takes.values() for switch in self.chain)
        return parameter not in self.lacks and any(
            parameter == taken.name for takes in takers for taken in takes
        )


def _switches(*groups: str) -> tuple[str, ...]:
    """Return what switches the strategies of some groups on, in the order of the table."""
    rows = (row for row in TABLE if row.group in groups)
    switches = (settings.switch.name for row in rows for settings in row.settings)
    return tuple(name for name in switches if name != "do_sample")


_PENALTIES = ("repetition_penalty", "frequency_penalty", "presence_penalty")
_SAMPLING = _switches("scaling", "truncation", "adaptive")

_HF_SAMPLING = (
    "temperature",
    "top_h",
    "top_k",
    "top_p",
    "min_p",
    "typical_p",
    "epsilon_cutoff",
    "eta_cutoff",
)

_LLAMA_CPP_SAMPLERS = (
    *_PENALTIES,
    "dry_multiplier",
    "top_n_sigma",
    "top_k",
    "typical_p",
    "top_p",
    "min_p",
    "xtc_probability",
    "dynatemp_range",
)

_AT_MOST_0, _AT_LEAST_1, _NO_FRACTION = Bound("<=", 0), Bound(">=", 1), Bound("outside", (0, 1))

SYSTEMS = {
    "default": System(
        chain=(*_switches(*{row.group for row in TABLE}), "do_sample"),
        replaces={
            "dynatemp_range": ("temperature",),
            "mirostat": ("adaptive_target",),
            "do_sample": _SAMPLING,
        },
    ),
    "hf": System(
        chain=(
            "guidance_scale",
            "sequence_bias",
            "repetition_penalty",
            "no_repeat_ngram_size",
            "bad_words_ids",
            "min_length",
            "min_new_tokens",
            "forced_bos_token_id",
            "forced_eos_token_id",
            "exponential_decay_length_penalty",
            "suppress_tokens",
            "begin_suppress_tokens",
            *_HF_SAMPLING,
            "watermarking_config",
            "do_sample",
        ),
        lacks=("repeat_last_n",),
        replaces={"do_sample": _HF_SAMPLING},
        presets={"top_h": {"renormalize": False, "first": 100}},
        off={
            "top_h": None,
            "top_p": _AT_LEAST_1,
            "typical_p": _AT_LEAST_1,
            "epsilon_cutoff": _NO_FRACTION,
            "eta_cutoff": _NO_FRACTION,
            "no_repeat_ngram_size": _AT_MOST_0,
            "min_length": _AT_MOST_0,
            "min_new_tokens": _AT_MOST_0,
        },
        refuses=(
            Refusal("temperature", _AT_MOST_0, "for the likeliest token pass do_sample=False"),
            Refusal(
                "watermarking_config",
                Bound("any"),
                "torch's generator picks its tokens; use ls.Watermark, which has a hash of its own",
            ),
        ),
        defaults={"do_sample": False, "top_k": 50},
    ),
    "vllm": System(
        chain=(
            "allowed_token_ids",
            "bad_words_ids",
            "min_new_tokens",
            "logit_bias",
            *_PENALTIES,
            "temperature",
            "min_p",
            "top_k",
            "top_p",
        ),
        lacks=("repeat_last_n",),
        presets={"bad_words_ids": {"prompt": False}},
        off={"top_k": _AT_MOST_0},
        reads={"temperature": lambda t: max(t, 0.01) if 0 < t < 1 else t},
        refuses=(
            Refusal("temperature", Bound(">", 2), "pass a temperature in [0, 2]"),
            Refusal("top_k", Bound("<", -1), "to keep all tokens pass 0 or -1"),
            *(
                Refusal(name, Bound(sign, bound), "pass a penalty in [-2, 2]")
                for name in ("frequency_penalty", "presence_penalty")
                for sign, bound in (("<", -2), (">", 2))
            ),
        ),
    ),
    "llama.cpp": System(
        chain=("logit_bias", *_LLAMA_CPP_SAMPLERS, "temperature", "mirostat", "adaptive_target"),
        lacks=("xtc_special_tokens",),
        replaces={
            "dynatemp_range": ("temperature",),
            "mirostat": (*_LLAMA_CPP_SAMPLERS, "adaptive_target"),
        },
        presets={
            **{name: {"window": 64, "prompt": True} for name in _PENALTIES},
            "dry_multiplier": {"window": 64},
            "mirostat": {"after_cut": True},
        },
        off={
            "top_n_sigma": _AT_MOST_0,
            "top_k": _AT_MOST_0,
            "typical_p": _AT_LEAST_1,
            "top_p": _AT_LEAST_1,
            "min_p": _AT_MOST_0,
            "xtc_probability": _AT_MOST_0,
            "dynatemp_range": _AT_MOST_0,
        },
        reads={"temperature": lambda t: max(t, 0)},
        defaults={"temperature": 0.8, "top_k": 40, "top_p": 0.95, "min_p": 0.05},
    ),
    "keras_hub": System(
        # TopPSampler(p, k=k) sums the mass of the whole distribution, so the nucleus comes first.
        chain=("temperature", "top_p", "top_k"),
        refuses=(Refusal("temperature", _AT_MOST_0, "for the likeliest token use ls.Greedy()"),),
    ),
}
"""The systems by the name that `order` takes."""
