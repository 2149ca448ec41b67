"""What a generation gave."""

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class GenerationResult:
    """Generated texts and their numbers, one entry for each row.

    With `n` samples a prompt, sample `j` of prompt `i` is row `i * n + j`.

    Attributes:
        prompts: the prompt of each row, a string or a list of ids as it was given.
        texts: the continuation, without the prompt and without the end token; empty without a
            tokenizer.
        token_ids: the generated ids, without the prompt; an end token that was drawn is the last.
        log_probs: for each of these ids, its log-probability (natural logarithm) under the model:
            the log-softmax of the raw logits.
        sampler_log_probs: the same under the distribution that the sampler drew from; 0.0 for a
            token that was the only one left.
        finish_reasons: ``"end_token"`` or ``"length"``.
        seeds: the seed of each row; passing them as `seed` repeats the texts.
        seconds: wall time of the call, tracing included.
    """

    prompts: list[str | list[int]]
    texts: list[str]
    token_ids: list[list[int]]
    log_probs: list[list[float]]
    sampler_log_probs: list[list[float]]
    finish_reasons: list[str]
    seeds: list[int]
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """Return all of it as lists, strings and numbers, ready for `json.dumps`."""
        return asdict(self)
