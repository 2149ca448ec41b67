"""What of a `GenerationConfig` of Hugging Face transformers acts on the distribution."""

from collections.abc import Mapping
from typing import Any

from logit_sampling.settings import NAMES, SYSTEMS, chain_of
from logit_sampling.settings.elsewhere import OFF, closest, is_known

IGNORED = frozenset(
    {
        "max_time",
        "stop_strings",
        "num_return_sequences",
        "pad_token_id",
        "bos_token_id",
        "decoder_start_token_id",
        "output_attentions",
        "output_hidden_states",
        "output_scores",
        "output_logits",
        "return_dict_in_generate",
        "return_legacy_cache",
        "use_cache",
        "cache_implementation",
        "cache_config",
        "max_cache_len",
        "low_memory",
        "prefill_chunk_size",
        "compile_config",
        "disable_compile",
        "continuous_batching_config",
        "is_assistant",
        "num_assistant_tokens",
        "num_assistant_tokens_schedule",
        "assistant_confidence_threshold",
        "prompt_lookup_num_tokens",
        "max_matching_ngram_size",
        "assistant_early_exit",
        "assistant_lookbehind",
        "target_lookbehind",
        "speculation_type",
        "use_mtp",
        "length_penalty",
        "early_stopping",
        "renormalize_logits",
        "transformers_version",
    }
)
"""Settings that leave the distribution of a token alone.

They say when a text ends and what is returned, or how fast it comes (caches, compiling, drafts that
are checked); two act on beams alone, and `renormalize_logits` on no distribution.
"""

_ACTING = [name for name, parameter in NAMES.items() if SYSTEMS["hf"].knows(parameter.name)]


def _is_setting(name: str) -> bool:
    """Tell whether the name in a file is that of a setting, or a slip of one.

    Others are those of a model: `lang_to_id`, `max_window_size`. Its tokens have names that are
    all alike, `eot_token_id` or `sep_token_id`.
    """
    if name in NAMES or is_known(name):
        return True
    slips = [n for n in (*_ACTING, *OFF) if not n.endswith(("token_id", "token_ids"))]
    return closest(name, slips, cutoff=0.85) is not None


def chain_from(config: Any, overrides: Mapping[str, Any]) -> list[Any]:
    """Return the transforms for a configuration (see `Sampler.from_generation_config`)."""
    if not isinstance(config, Mapping):
        if not hasattr(config, "to_dict"):
            raise ValueError(
                "config must be a GenerationConfig, or the mapping that its file holds, "
                f"json.loads(Path('generation_config.json').read_text()); got {config!r}"
            )
        config = config.to_dict()
    own = {name: value for name, value in config.items() if _is_setting(name)}
    given = {
        name: value
        for name, value in {**own, **overrides}.items()
        if value is not None and name not in IGNORED
    }
    if given.get("do_sample"):
        passed_over = ["penalty_alpha"]  # contrastive search is for the likeliest text
    else:
        passed_over = list(SYSTEMS["hf"].replaces["do_sample"])
    if "max_new_tokens" in given:
        passed_over.append("max_length")
    for name in passed_over:
        given.pop(name, None)
    return chain_of(given, order="hf", defaults=True, surplus=True)
