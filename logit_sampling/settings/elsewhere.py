"""Settings of other systems that have another name here, another place, or no counterpart."""

import difflib
from collections.abc import Iterable
from typing import Any

from logit_sampling.settings.names import BY_CLASS
from logit_sampling.strategies._settings import Bound


def _each(names: str, value: Any) -> dict[str, Any]:
    return dict.fromkeys(names.split(), value)


CALLED_HERE: dict[str, str] = {
    **_each("rep_pen token_repetition_penalty", "repetition_penalty"),
    **_each("repetition_penalty_range repetition_range rep_pen_range", "repeat_last_n"),
    **_each("penalty_range token_repetition_range", "repeat_last_n"),
    **_each(
        "repetition_context_size presence_context_size frequency_context_size", "repeat_last_n"
    ),
    "token_frequency_penalty": "frequency_penalty",
    "token_presence_penalty": "presence_penalty",
    "cfg_scale": "guidance_scale",
    **_each("token_bias embedding_bias", "logit_bias"),
    **_each("dry_range dry_penalty_range", "dry_penalty_last_n"),
    "dry_sequence_breaker_ids": "dry_sequence_breakers",
    "allowed_tokens": "allowed_token_ids",
    **_each("custom_token_bans banned_tokens", "suppress_tokens"),
    "end_id": "eos_token_id",
    "watermark": "watermarking_config",
    "temp_exponent": "dynatemp_exponent",
    "k": "top_k",
    "p": "top_p",
    "nsigma": "top_n_sigma",
    "xtc_ignore_tokens": "xtc_special_tokens",
    "mirostat_mode": "mirostat",
}
"""Name -> what the same setting is called here."""

NEAREST: dict[str, str] = {
    **_each("tfs tfs_z", "min_p and top_n_sigma, which cut off a tail too"),
    "skew": "temperature and min_p",
    **_each(
        "rep_pen_slope repetition_decay token_repetition_decay",
        "repeat_last_n, within which all tokens count alike",
    ),
    **_each("penalize_nl penalize_newline", "the penalties, which spare no token"),
}
"""Name of what no strategy does -> what comes nearest to it."""

_BEAMS = "beams are no sampling; use generate(..., search=BeamSearch(num_beams))"
_NO_END = "ban the token with `suppress_tokens`, or give `generate` no token to end at"
_ORDER = "write the chain in the order that you want: ls.Sampler(ls.TopK(50), ls.TopP(0.9))"
_TEMPERATURES = (
    "dynatemp_range makes the temperature dynamic: give half of the distance between the lowest "
    "and the highest, and what is halfway as temperature"
)

_GENERATE = {  # argument -> its names in other systems, and why it is no parameter of a sampler
    "max_new_tokens": (
        "max_tokens max_completion_tokens max_output_tokens n_predict num_predict max_gen_len "
        "max_gen_toks",
        "give `max_new_tokens` to `generate`",
    ),
    "n": (
        "num_return_sequences num_generations num_samples candidate_count",
        "give it to `generate`, as `n`",
    ),
    "stop": (
        "stop_strings stop_sequence stop_sequences stopping_strings custom_stopping_strings",
        "it ends a text and changes no distribution; give it to `generate`",
    ),
    "seed": ("random_seed rng_seed", "give it to the call, or to `init` or `generate`, as `seed`"),
    "json_schema": ("guided_json response_schema", "give it to `generate`, as `json_schema`"),
    "regex": ("guided_regex", "give it to `generate`, as `regex`"),
    "top_log_probs": (
        "logprobs top_logprobs n_probs",
        "`log_prob` and the result of `generate` hold them",
    ),
}

IN_GENERATE: dict[str, str] = {
    name: argument for argument, (names, _) in _GENERATE.items() for name in names.split()
} | {"max_length": "max_new_tokens", "eos_token_id": "stop_token_ids"}
"""Name -> the argument of `generate` that it is. (Of the last two a sampler knows something too.)
"""

ELSEWHERE: dict[str, str] = {
    **{name: why for names, why in _GENERATE.values() for name in names.split()},
    "seed": "give it to the call, or to `init` or `generate`",
    "n": "give it to `generate`",
    "stop": _GENERATE["stop"][1],
    **_each("ignore_eos ban_eos_token bypass_eos", _NO_END),
    **_each("json_schema regex", "give it to `generate`"),
    "stream": "use ls.stream",
    **_each(
        "num_ctx n_ctx max_context_length truncation_length",
        "a model has its own; generate(..., overflow='slide') goes on beyond it",
    ),
    **_each("num_beams num_beam_groups diversity_penalty length_penalty", _BEAMS),
    **_each("early_stopping best_of constraints force_words_ids use_beam_search", _BEAMS),
    "penalty_alpha": "use generate(..., search=ContrastiveSearch(k, alpha))",
    "dola_layers": "a sampler sees the logits of the last layer alone",
    "assistant_ensemble_weight": "drafts change no distribution here",
    "token_healing": "it changes the prompt; do so before the call",
    **_each("samplers sampler_seq sampler_order sampler_priority temperature_last", _ORDER),
    **_each("min_keep min_tokens_to_keep", "every transform keeps one token at least"),
    "renormalize_logits": "it changes no distribution",
    "remove_invalid_values": "a row with NaN raises here",
    **_each("bad_words banned_strings", "give the token ids of each word as `bad_words_ids`"),
    "negative_prompt": "give its token ids as `negative_prompt_ids`, with `guidance_scale`",
    **_each("dynamic_temperature dynatemp_low dynatemp_high", _TEMPERATURES),
    **_each("dynatemp_min dynatemp_max min_temp max_temp", _TEMPERATURES),
    "prefix_allowed_tokens_fn": "write a Transform of your own that looks at the history",
    **_each("encoder_repetition_penalty encoder_no_repeat_ngram_size", "there is no encoder here"),
    **_each(
        "grammar grammar_string ebnf structured_outputs response_format guided_choice "
        "guided_grammar",
        "give `json_schema` or `regex` to `generate`, or put ls.Grammar into ls.Sampler(...)",
    ),
    **_each("logits_processor logits_processors", "put your own Transform into ls.Sampler(...)"),
}
"""Name of what is no parameter of a sampler -> where it belongs."""

OFF: dict[str, Any] = {
    **_each("n num_return_sequences best_of num_beams num_beam_groups", Bound("==", 1)),
    **_each("diversity_penalty encoder_no_repeat_ngram_size", Bound("<=", 0)),
    "penalty_alpha": Bound("==", 0),
    "encoder_repetition_penalty": Bound("==", 1),
    **_each("remove_invalid_values token_healing use_beam_search", Bound("==", False)),
    **_each("ignore_eos ban_eos_token dynamic_temperature", Bound("==", False)),
    **_each("min_keep min_tokens_to_keep", Bound("<=", 1)),
    **_each("bad_words banned_strings custom_token_bans banned_tokens stop", Bound("empty")),
    "grammar": Bound("empty"),
    **_each("tfs tfs_z", Bound(">=", 1)),
    "skew": Bound("==", 0),
}
"""Name of what a chain does not have -> the values at which it would do nothing."""

ORDERS: dict[str, str] = {
    "openai": "OpenAI publishes none; the default order knows its names, so leave `order` out",
    **_each("transformers huggingface", "it is called 'hf' here"),
    "ollama": "its settings are those of 'llama.cpp'",
}
"""Name of what is no order -> what to pass."""


def is_known(name: str) -> bool:
    """Tell whether a name stands in one of these tables."""
    return name in CALLED_HERE or name in NEAREST or name in ELSEWHERE


def does_nothing(name: str, value: Any) -> bool:
    """Tell whether a setting of these tables has a value at which it does nothing."""
    return is_known(name) and (value is None or (name in OFF and OFF[name].holds(value)))


def closest(name: str, names: Iterable[str], cutoff: float) -> str | None:
    """Return which of `names` another may be a slip of, alike to `cutoff` in [0, 1], if any."""
    return next(iter(difflib.get_close_matches(_spelled(name), names, n=1, cutoff=cutoff)), None)


def _spelled(name: str) -> str:
    return name.lower().replace("-", "_")


def meant(name: str, parameters: Iterable[str]) -> str:
    """Return the parameters of the class `name`, or those that begin so; empty if there are none.

    >>> meant("minp", []), meant("xtc_t", ["xtc_threshold"]), meant("adaptive", ["adaptive_target"])
    ('`min_p`', '', '`adaptive_target`')
    """
    begun = [own for own in parameters if own.startswith(f"{_spelled(name)}_")]
    return ", ".join(f"`{own}`" for own in BY_CLASS.get(name.lower(), begun))


def explained(name: str, parameters: Iterable[str], unlike: str | None = None) -> str:
    """Return what to do about a name that is none of the `parameters`.

    `unlike` is what to say where none is like it; by default they are listed.
    """
    if name in CALLED_HERE:
        return f"`{name}` is `{CALLED_HERE[name]}` here"
    if name in NEAREST:
        return f"no strategy here does what `{name}` does; nearest come {NEAREST[name]}"
    if name in ELSEWHERE:
        return f"`{name}` is no parameter of a sampler: {ELSEWHERE[name]}"
    if named := meant(name, parameters):
        return f"unknown parameter `{name}`; did you mean {named}?"
    known = sorted(parameters)
    guess = closest(name, [*known, *CALLED_HERE, *NEAREST, *ELSEWHERE], cutoff=0.75)
    if guess is None:
        return unlike or f"unknown parameter `{name}`; known: {', '.join(known)}"
    further = "" if guess in known else f" {explained(guess, known)}"
    return f"unknown parameter `{name}`; did you mean `{guess}`?{further}"
