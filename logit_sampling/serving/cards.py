"""The strategies as the page has them: a card each, with its settings, their ranges and sliders."""

import dataclasses
import functools
from typing import Any

from logit_sampling.catalogue import entries
from logit_sampling.settings import SETTINGS, SYSTEMS, Parameter, Settings
from logit_sampling.strategies.transform import Transform

LEARNING = ("Mirostat", "AdaptiveP")  # what was drawn moves their next cut

_BEGINS: dict[str, Any] = {  # what a fresh card says
    "temperature": 0.8,
    "dynatemp_range": 0.5,
    "dynatemp_exponent": 1.0,
    "smoothing_factor": 0.2,
    "smoothing_curve": 1.0,
    "top_k": 50,
    "top_p": 0.9,
    "min_p": 0.1,
    "typical_p": 0.9,
    "top_a": 0.2,
    "top_h": 0.4,
    "top_n_sigma": 1.0,
    "min_k_tau": 3.0,
    "p_less": True,
    "epsilon_cutoff": 0.001,
    "eta_cutoff": 0.001,
    "xtc_probability": 0.5,
    "xtc_threshold": 0.1,
    "xtc_special_tokens": [],
    "mirostat": 2,
    "mirostat_tau": 5.0,
    "mirostat_eta": 0.1,
    "adaptive_target": 0.5,
    "adaptive_decay": 0.9,
    "repetition_penalty": 1.2,
    "repeat_last_n": 64,
    "frequency_penalty": 0.5,
    "presence_penalty": 0.5,
    "no_repeat_ngram_size": 3,
    "dry_multiplier": 0.8,
    "dry_base": 1.75,
    "dry_allowed_length": 2,
    "dry_penalty_last_n": 64,
    "dry_sequence_breakers": [],
    "logit_bias": {"0": -1.0},
    "sequence_bias": [[[0, 1], -1.0]],
    "bad_words_ids": [[0, 1]],
    "suppress_tokens": [0],
    "begin_suppress_tokens": [0],
    "allowed_token_ids": [0, 1],
    "min_new_tokens": 5,
    "min_length": 10,
    "exponential_decay_length_penalty": [5, 1.1],
    "watermarking_config": {"greenlist_ratio": 0.5, "bias": 2.0},
    "span_budget": 8,
    "span_start": [0],
    "span_end": [1],
    "span_closing": [],
    "forced_bos_token_id": 0,
    "forced_eos_token_id": 0,
    "max_length": 100,
}
_SLIDERS: dict[str, tuple[float, float, float]] = {  # where the range has no end, or a wide one
    "temperature": (0, 3, 0.01),
    "dynatemp_range": (0, 2, 0.01),
    "dynatemp_exponent": (0.1, 5, 0.01),
    "smoothing_factor": (0, 2, 0.01),
    "smoothing_curve": (1, 3, 0.01),
    "top_n_sigma": (0, 5, 0.01),
    "min_k_tau": (0, 10, 0.1),
    "mirostat": (1, 2, 1),
    "mirostat_tau": (0, 10, 0.05),
    "repetition_penalty": (0.5, 2, 0.01),
    "frequency_penalty": (-2, 2, 0.01),
    "presence_penalty": (-2, 2, 0.01),
    "no_repeat_ngram_size": (1, 10, 1),
    "repeat_last_n": (1, 256, 1),
    "dry_multiplier": (0, 3, 0.01),
    "dry_base": (1, 4, 0.01),
    "dry_allowed_length": (1, 10, 1),
    "dry_penalty_last_n": (1, 256, 1),
    "epsilon_cutoff": (0, 0.1, 0.0001),
    "eta_cutoff": (0, 0.1, 0.0001),
    "min_new_tokens": (1, 50, 1),
    "min_length": (1, 100, 1),
    "span_budget": (1, 100, 1),
}
_LEFT_OUT = {"do_sample", "guidance_scale"}  # greedy is the chain's; a function is no setting


@functools.cache
def cards(vocab_size: int, end_id: int) -> list[dict[str, Any]]:
    """Return all strategies that a line of text can switch on, in the order of `from_params`.

    Args:
        vocab_size: of the model.
        end_id: what a fresh card takes for the end token.
    """
    about = {entry.name: entry for entry in entries()}
    found = []
    for own in SETTINGS:
        if own.switch.name in _LEFT_OUT:
            continue
        entry = about[own.transform]
        texts = {parameter.name: parameter.text for parameter in entry.parameters}
        found.append(
            {
                "switch": own.switch.name,
                "name": own.transform,
                "group": entry.group,
                "summary": entry.summary,
                "source": entry.source,
                "systems": [n for n, s in SYSTEMS.items() if own.switch.name in s.chain],
                "settings": [
                    _setting(own, argument, parameter, texts.get(argument, ""), vocab_size, end_id)
                    for argument, parameter in own.takes.items()
                ],
                "memory": own.transform in LEARNING,
                "keeps_best": own.keeps_best,
            }
        )
    return found


def _setting(
    own: Settings, argument: str, parameter: Parameter, text: str, vocab_size: int, end_id: int
) -> dict[str, Any]:
    begins = end_id if parameter.name == "eos_token_id" else _BEGINS.get(parameter.name)
    fields = {field.name: field for field in dataclasses.fields(_made(own))}
    range_ = fields[argument].metadata if argument in fields else {}
    kind = "json"
    if isinstance(begins, bool):
        kind = "boolean"
    elif isinstance(begins, int | float):
        whole = isinstance(begins, int)
        kind = "integer" if range_.get("integer", whole) else "number"
    low, high = _end(range_, "ge", "gt"), _end(range_, "le", "lt")
    slider = _SLIDERS.get(parameter.name)
    if parameter.name == "top_k":
        slider = (1, vocab_size, 1)
    elif slider is None and kind == "number" and low is not None and high is not None:
        slider = (low, high, 0.01)
    return {
        "name": parameter.name,
        "aliases": list(parameter.aliases),
        "kind": kind,
        "low": low,
        "high": high,
        "open_low": "gt" in range_ and range_["gt"] == low,
        "open_high": "lt" in range_ and range_["lt"] == high,
        "start": begins,
        "slider": None if slider is None else list(slider),
        "log": parameter.name == "top_k",
        "required": parameter is own.switch or argument in own.needs,
        "text": text,
    }


def _made(own: Settings) -> type:
    return Transform.called(own.transform)


def _end(range_: Any, closed: str, opened: str) -> float | None:
    """Return where a range ends, None if it does not."""
    for name in (closed, opened):
        value = range_.get(name)
        if value is not None and abs(value) < 2**30:
            return value
    return None


CHAINS = [
    ("temperature 0.8, top-k 50", "order=written temperature=0.8 top_k=50"),
    ("greedy", "greedy"),
    ("top-p 0.9", "order=written top_p=0.9"),
    ("min-p 0.1 behind temperature 1.5", "order=written temperature=1.5 min_p=0.1"),
    ("everything", "sample"),
    ("llama.cpp's defaults", "order=written top_k=40 top_p=0.95 min_p=0.05 temperature=0.8"),
]
PROMPTS = ["ROMEO:", "To be, or not to be", "JULIET:\nO Romeo, Romeo!", "The king is"]
