"""A row: one text that is being written."""

from dataclasses import dataclass, field, replace
from typing import Self

Alternatives = list[tuple[int, float]]
"""Token ids and their log-probabilities, the likeliest first."""


@dataclass
class Row:
    """One text in the making.

    Attributes:
        prompt: its token ids.
        seed: the seed of its draws.
        end_ids: the tokens that end it.
        ids: the new token ids.
        log_probs: of each new token, under the model.
        sampler_log_probs: of each new token, under the distribution it was drawn from.
        top_log_probs: for each new token the likeliest at its place, if they are asked for.
        finish_reason: empty while the text grows.
        error: why it cannot go on, if its finish reason is "error".
        stop_string: the one that ended it.
        text: what was told of it while it grew; None if nothing was.
        score: what a search ranks it by.
        rounds: how often the target checked a draft.
        accepted: how many drafted tokens it kept.
    """

    prompt: list[int]
    seed: int
    end_ids: frozenset[int] = frozenset()
    ids: list[int] = field(default_factory=list)
    log_probs: list[float] = field(default_factory=list)
    sampler_log_probs: list[float] = field(default_factory=list)
    top_log_probs: list[Alternatives] = field(default_factory=list)
    finish_reason: str = ""
    error: str | None = None
    stop_string: str | None = None
    text: str | None = None
    score: float | None = None
    rounds: int = 0
    accepted: int = 0

    @property
    def tokens(self) -> list[int]:
        """All that a model reads: the prompt and the new tokens."""
        return self.prompt + self.ids

    @property
    def shown(self) -> list[int]:
        """The ids that become text: all but the end token."""
        return self.ids[:-1] if self.finish_reason == "end_token" else self.ids

    def take(
        self, token: int, log_prob: float, sampler_log_prob: float, top: Alternatives | None
    ) -> None:
        """Take in a new token; an end token finishes the text."""
        self.log_probs.append(log_prob)
        self.sampler_log_probs.append(sampler_log_prob)
        if top is not None:
            self.top_log_probs.append(top)
        self.ids.append(token)  # the last, see `end`
        if token in self.end_ids:
            self.finish_reason = "end_token"

    def copy(self) -> Self:
        """Return the same text, to be written on in another way."""
        return replace(
            self,
            ids=[*self.ids],
            log_probs=[*self.log_probs],
            sampler_log_probs=[*self.sampler_log_probs],
            top_log_probs=[*self.top_log_probs],
        )

    def end(self, reason: str) -> None:
        """Finish a text from outside, perhaps in the middle of `take`."""
        for numbers in (self.log_probs, self.sampler_log_probs, self.top_log_probs):
            del numbers[len(self.ids) :]
        self.finish_reason = reason

    def fail(self, problem: str) -> None:
        """Finish a text that cannot go on."""
        self.end("error")
        self.error = problem
