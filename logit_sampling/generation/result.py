"""What a generation gave, also when it did not come to its end."""

from dataclasses import asdict, dataclass
from typing import Any

from logit_sampling.decoding.row import Alternatives
from logit_sampling.plain import strict_json
from logit_sampling.plotting import html
from logit_sampling.plotting.visible import brief, counted, listing, visible


@dataclass(frozen=True, repr=False)
class GenerationResult:
    """Generated texts and their numbers, one entry for each row.

    `print` shows the texts behind their prompts, `repr` a line for each, and a notebook a table.
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
        finish_reasons: why each text ends: `"end_token"`, `"stop_string"`, `"loop"`
            (`stop_loops`), `"length"` (`max_new_tokens`), `"unfinished"` (the same, and the text is
            not whole under a `Grammar`), `"callback"` (`should_stop`), `"deadline"`,
            `"interrupted"`, `"cancelled"` (a request of an `Engine`), or `"error"` for a row that
            could not go on (see `errors`).
        seeds: the seed of each row, in [0, 2**64): passed as `seed` they repeat the texts, and
            `[seeds[i]]` repeats that of row `i` alone.
        seconds: wall time of the call, tracing included.
        stop_strings: with `stop`, the string or match that ended each text, or None.
        top_log_probs: with `top_log_probs=k`, for each generated id the pairs (id, log-probability
            under the model) of the `k` likeliest tokens at its place, the likeliest first, of
            equals the lower id.
        prompt_ids: with `echo`, the token ids of each prompt.
        prompt_log_probs: with `echo`, their log-probabilities under the model; None for the first,
            which nothing predicts.
        scores: of a beam search, what it ranks each row by.
        accepted: with `draft`, how many drafted tokens of each row were kept in a call of the
            model, on average; each call adds one token to them.
        errors: what kept each row from going on, None for one that nothing did; None if no row
            failed.
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
    errors: list[str | None] | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return what there is as lists, strings and numbers, as JSON has them: null is -inf."""
        fields = {name: value for name, value in asdict(self).items() if value is not None}
        return strict_json(fields)

    def __str__(self) -> str:
        rows = range(len(self.prompts))
        return "\n".join(
            (f"--- row {i}, seed {self.seeds[i]}, {self.finish_reasons[i]} ---\n" * (len(rows) > 1))
            + visible(self._whole(i), keep="\n\t")
            for i in rows
        )

    def __repr__(self) -> str:
        rows, tokens = len(self.prompts), sum(map(len, self.token_ids))
        head = f"GenerationResult: {counted(rows, 'text')}, {counted(tokens, 'token')}"

        def line(i: int) -> str:
            size = counted(len(self.token_ids[i]), "token")
            shown = f"{brief(self.prompts[i], 24)} -> {brief(self._made(i))}"
            return f"{shown} ({size}, {self.finish_reasons[i]})"

        return listing(f"{head}, {self.seconds:.2f} seconds", rows, line)

    def _repr_html_(self) -> str:
        columns = ["row", "prompt", "text", "tokens", "ended by", "seed"]
        rows = [
            [i, _text(prompt), _text(self._made(i)), len(self.token_ids[i]), why, self.seeds[i]]
            for i, (prompt, why) in enumerate(zip(self.prompts, self._ends(), strict=True))
        ]
        return html.table(f"{self.seconds:.2f} seconds", columns, rows)

    def _ends(self) -> list[str]:
        """Why each row ended, in full."""
        errors = self.errors or [None] * len(self.prompts)
        return [error or why for error, why in zip(errors, self.finish_reasons, strict=True)]

    def _made(self, row: int) -> str | list[int]:
        """The text of a row, or its ids if there was no tokenizer."""
        return self.texts[row] if self.texts else self.token_ids[row]

    def _whole(self, row: int) -> str:
        """A prompt and what follows it, as far as there is text of them."""
        prompt = self.prompts[row]
        before = prompt if isinstance(prompt, str) and self.prompt_ids is None else ""
        return before + _text(self._made(row))


def _text(value: str | list[int]) -> str:
    return value if isinstance(value, str) else brief(value, 200)


class RowError(ValueError):
    """Rows could not go on; the others came to their ends.

    Attributes:
        result: what the call would have returned: the messages of the rows are in its `errors`.
    """

    def __init__(self, result: Any) -> None:
        problems = [error for error in result.errors if error is not None]
        message, rows = problems[0], len(result.errors)
        if rows > 1:
            message += f" ({len(problems)} of {rows} rows failed; error.result holds all of them)"
        super().__init__(message)
        self.result = result


class Interrupted(KeyboardInterrupt):
    """Ctrl-C in the middle of a call.

    Attributes:
        result: what was written until then, as the call would have returned it; of `compare`, the
            samplers that came to their ends.
    """

    def __init__(self, result: Any) -> None:
        super().__init__("interrupted; the .result of this exception has what was written")
        self.result = result
