"""Parameters by name, as other systems know them, to a chain of transforms.

``Sampler.from_params`` takes these, and by default applies them in this order; in parentheses stand
the names that other systems have for them. A value that means off leaves the transform out; in a
list with one value per row the others keep it, but for mirostat, adaptive_target, p_less and
do_sample, which are on in all rows or in none.

- guidance_scale, 1 is off, with unconditional, a function as ``Guidance`` takes it, and
  negative_prompt_ids.
- sequence_bias, logit_bias: as ``SequenceBias`` and ``LogitBias`` take them; token ids of
  logit_bias may be strings, and False is a bias of -inf.
- repetition_penalty (repeat_penalty, penalty_repeat), 1 is off; frequency_penalty (penalty_freq)
  and presence_penalty (penalty_present), 0 is off; with repeat_last_n (penalty_last_n), how many of
  the latest tokens count, -1 for all, 0 is off.
- no_repeat_ngram_size, 0 is off; dry_multiplier, 0 is off, with dry_base, below 1 is off,
  dry_allowed_length, dry_penalty_last_n, -1 for all and 0 is off, and dry_sequence_breakers (token
  ids).
- bad_words_ids; min_length (prompt and all) and min_new_tokens (min_tokens), 0 is off, and
  exponential_decay_length_penalty, a start and a factor: with eos_token_id (stop_token_ids), one or
  several.
- allowed_token_ids, suppress_tokens, begin_suppress_tokens (at the first step).
- forced_bos_token_id, for the place behind one token; forced_eos_token_id, for the last of
  max_new_tokens, or of max_length with the prompt.
- watermarking_config: a mapping of greenlist_ratio, bias, hashing_key and context_width, for
  ``Watermark``, whose hash is its own.
- temperature (temp): at least 0, 0 is greedy, 1 is off; with dynatemp_range above 0 and
  dynatemp_exponent (dynatemp_exp) it follows the entropy.
- top_h in (0, 1], 1 is off; top_n_sigma (top_nsigma) above 0, 0 is off; top_k at least 1, 0 is off;
  top_p in (0, 1], 1 is off; min_p in [0, 1], 0 is off; typical_p (typ_p, typical) in (0, 1], 1 is
  off; epsilon_cutoff and eta_cutoff in [0, 1), 0 is off; top_a in [0, 1], 0 is off; p_less True or
  False.
- xtc_probability in [0, 1], 0 is off, with xtc_threshold, above 0.5 is off, and
  xtc_special_tokens.
- mirostat 1 or 2, 0 is off, with mirostat_tau (mirostat_ent) and mirostat_eta (mirostat_lr);
  adaptive_target in [0, 1], negative is off, with adaptive_decay.
- do_sample: False takes the likeliest token.

What is known to be a setting of another system raises ValueError with its name or its place here;
one that is off there, such as num_beams=1, min_keep=0 or tfs=1, and None, may be passed.
"""

from logit_sampling.settings.chain import chain_of
from logit_sampling.settings.names import BY_SWITCH, NAMES, PARAMETERS, SETTINGS
from logit_sampling.settings.systems import SYSTEMS, System
from logit_sampling.strategies._settings import Bound, Parameter, Settings

__all__ = [
    "BY_SWITCH",
    "NAMES",
    "PARAMETERS",
    "SETTINGS",
    "SYSTEMS",
    "Bound",
    "Parameter",
    "Settings",
    "System",
    "chain_of",
]
