"""Settings of other systems that are no parameters of a sampler, and where they belong here."""

_CALL = "give it to the call, or to `init` or `generate`"
_GENERATE = "give it to `generate`"
_BEAMS = "beams are no sampling; use generate(..., search=BeamSearch(num_beams))"
_ENDS = "it ends a text and changes no distribution; give it to `generate`"
_ORDER = "write the chain in the order that you want: ls.Sampler(ls.TopK(50), ls.TopP(0.9))"
_KEEP = "every transform keeps one token at least"

ELSEWHERE = {
    "seed": _CALL,
    "n": _GENERATE,
    "num_return_sequences": _GENERATE,
    "n_predict": "give `max_new_tokens` to `generate`",
    "max_tokens": "give `max_new_tokens` to `generate`",
    "max_completion_tokens": "give `max_new_tokens` to `generate`",
    "stop": _ENDS,
    "stop_strings": _ENDS,
    "ignore_eos": "ban the token with `suppress_tokens`, or give `generate` no token to end at",
    "logprobs": "`log_prob` and the result of `generate` hold them",
    "top_logprobs": "`log_prob` and the result of `generate` hold them",
    "num_beams": _BEAMS,
    "num_beam_groups": _BEAMS,
    "diversity_penalty": _BEAMS,
    "length_penalty": _BEAMS,
    "early_stopping": _BEAMS,
    "best_of": _BEAMS,
    "constraints": _BEAMS,
    "force_words_ids": _BEAMS,
    "penalty_alpha": "use generate(..., search=ContrastiveSearch(k, alpha))",
    "dola_layers": "a sampler sees the logits of the last layer alone",
    "assistant_ensemble_weight": "drafts change no distribution here",
    "token_healing": "it changes the prompt; do so before the call",
    "samplers": _ORDER,
    "sampler_seq": _ORDER,
    "min_keep": _KEEP,
    "min_tokens_to_keep": _KEEP,
    "renormalize_logits": "it changes no distribution",
    "remove_invalid_values": "a row with NaN raises here",
    "bad_words": "give the token ids of each word as `bad_words_ids`",
    "prefix_allowed_tokens_fn": "write a Transform of your own that looks at the history",
    "encoder_repetition_penalty": "there is no encoder here",
    "encoder_no_repeat_ngram_size": "there is no encoder here",
    "grammar": "put ls.Grammar into ls.Sampler(...)",
    "structured_outputs": "put ls.Grammar into ls.Sampler(...)",
    "response_format": "put ls.Grammar into ls.Sampler(...)",
    "logits_processor": "put your own Transform into ls.Sampler(...)",
}
"""Name -> where it belongs."""
