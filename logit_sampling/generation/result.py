"""What a generation gave."""

from dataclasses import asdict, dataclass
from typing import Any

from logit_sampling.generation.row import Alternatives


@dataclass(frozen=True)
class GenerationResult:
    """Generated texts and their numbers, one entry for each row.

    With `n` samples a prompt, sample `j` of prompt `i` is row `i * n + j`.

    Attributes:
        prompts: the prompt of each row, a string or a list of ids as it was given.
        texts: the continuation, without the prompt (but see `echo`), the end token, and the stop
            string and what follows it; empty without a tokenizer.
        token_ids: the generated ids, without the prompt; an end token that was drawn is the last,
            and the tokens of a stop string are there.
        log_probs: for each of these ids, its log-probability (natural logarithm) under the model:
            the log-softmax of the raw logits.
        sampler_log_probs: the same under the distribution that the sampler drew from; 0.0 for a
            token that was the only one left.
        finish_reasons: why each text ends: ``"end_token"``, ``"stop_string"``, ``"length"``
            (`max_new_tokens`), ``"callback"`` (`should_stop`), ``"deadline"`` or ``"interrupted"``.
        seeds: the seed of each row; passing them as `seed` repeats the texts.
        seconds: wall time of the call, tracing included.
        stop_strings: with `stop`, the one that ended each text, or None.
        top_log_probs: with `top_log_probs=k`, for each generated id the pairs (id, log-probability
            under the model) of the `k` likeliest tokens at its place, the likeliest first, of
            equals the lower id.
        prompt_ids: with `echo`, the token ids of each prompt.
        prompt_log_probs: with `echo`, their log-probabilities under the model; None for the first,
            which nothing predicts.
        scores: of a beam search, what it ranks each row by.
        accepted: with `draft`, how many drafted tokens of each row were kept in a call of the
            model, on average; each call adds one token to them.
    """

    prompts: list[str | list[int]]
    texts: list[str]
    token_ids: list[list[int]]
    log_probs: list[list[float]]
    sampler_log_probs: list[list[float]]
    finish_reasons: list[str]
    seeds: list[int]
    seconds: float
    stop_strings: list[str | None] | None = None
    top_log_probs: list[list[Alternatives]] | None = None
    prompt_ids: list[list[int]] | None = None
    prompt_log_probs: list[list[float | None]] | None = None
    scores: list[float] | None = None
    accepted: list[float] | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return what there is as lists, strings and numbers, ready for `json.dumps`."""
        return {name: value for name, value in asdict(self).items() if value is not None}
