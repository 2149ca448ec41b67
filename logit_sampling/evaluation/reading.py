"""What is found out about texts by reading them: with a model, a judge, or step by step."""

import math
import warnings
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np

from logit_sampling.distribution.checks import level_outside
from logit_sampling.evaluation.texts import HUMAN, Prompt, Text
from logit_sampling.generation.prompts import token_ids
from logit_sampling.generation.score import log_probs_or_error, logits_of_text
from logit_sampling.models.as_model import model_and_tokenizer
from logit_sampling.models.model import needed_tokenizer
from logit_sampling.sampler import Sampler


class Reader:
    """A model that reads texts.

    Args:
        name: what to call it.
        model: as for `generate`.
        tokenizer: in place of the model's.
        slide: whether to read of a text that outgrows the context what `generate` would.

    Attributes:
        cut: how many texts of others it read the beginning of alone, having no room for more.
    """

    def __init__(self, name: str, model: Any, tokenizer: Any = None, slide: bool = False) -> None:
        self.name = name
        self._model, self._tokenizer = model_and_tokenizer(model, tokenizer)
        self._slide = slide
        self.cut = 0

    def check_reads(self, writer: "Reader") -> None:
        """Raise ValueError unless it reads what another model writes: text, or ids like its own."""
        if writer is self or (self._tokenizer is None) == (writer._tokenizer is None):
            return
        without, other = (self, writer) if self._tokenizer is None else (writer, self)
        raise ValueError(
            f"model {self.name!r} cannot read what model {writer.name!r} writes: {without.name!r} "
            f"has no tokenizer, and its token ids say nothing to {other.name!r}; give it one, "
            "as_model(model, tokenizer=...)"
        )

    def warn_of_cuts(self) -> None:
        """Warn, once, of texts that were longer than the context."""
        if self.cut:
            warnings.warn(
                f"model {self.name!r} read {self.cut} texts in part: prompt and text have more "
                f"tokens than its context, {self._model.context_length}; their judge-perplexity "
                "or embedding is of the beginning",
                stacklevel=level_outside(),
            )

    def parts(
        self, prompt: str | tuple[int, ...], text: str | tuple[int, ...]
    ) -> tuple[list[int], list[int]]:
        """Return the ids of a prompt and of what follows it, as one text has them."""
        before = token_ids(0, prompt, self._model, self._tokenizer)
        if isinstance(prompt, str) and isinstance(text, str):
            whole = token_ids(0, prompt + text, self._model, self._tokenizer)
            common = next(
                (i for i, (a, b) in enumerate(zip(before, whole, strict=False)) if a != b),
                min(len(before), len(whole)),
            )
            return whole[:common], whole[common:]
        if isinstance(text, str):
            ids = token_ids(0, text, self._model, self._tokenizer, "text")
            start = list(needed_tokenizer(self._tokenizer, self.name).encode(""))
            return before, ids[len(start) :] if ids[: len(start)] == start else ids
        return before, list(text)

    def log_probs(self, before: list[int], ids: list[int]) -> tuple[list[float], str | None]:
        """Return the log-probability of each token, and why there are none if so."""
        if not before or not ids:
            return [], "there is nothing to read"
        name = f"a text of {self.name}"
        found, error = log_probs_or_error(name, self._model, before + ids, self._slide)
        return ([] if error else [p for p in found[len(before) :] if p is not None]), error

    def human(self, prompt: Prompt, most: int) -> Text:
        """Return how the author of a prompt went on, as a text of this model's."""
        assert prompt.human is not None
        before, ids = self.parts(prompt.text, prompt.human)
        ids = self._fitting(before, ids[:most])
        log_probs, error = self.log_probs(before, ids)
        text = prompt.human if isinstance(prompt.human, str) else None
        if self._tokenizer is not None:
            text = self._tokenizer.decode(ids)
        return Text(
            model=self.name,
            sampler=HUMAN,
            prompt_id=prompt.id,
            prompt=prompt.text,
            run=None,
            seed=None,
            text=text,
            token_ids=tuple(ids),
            log_probs=tuple(log_probs),
            finish_reason="error" if error else HUMAN,
            error=error,
        )

    def _fitting(self, before: list[int], ids: list[int]) -> list[int]:
        context = None if self._slide else self._model.context_length
        return ids if context is None else ids[: max(0, context - len(before))]

    def _heard(self, text: Text, writer: "Reader") -> tuple[list[int], list[int]]:
        """Return the ids of a prompt and its text as this model has them, cut to its context."""
        prompt, shown = text.prompt, text.text
        if not isinstance(prompt, str):  # ids of the writer's tokenizer, if it has one
            if writer is self or writer._tokenizer is None:
                shown = None
            else:
                prompt = writer._tokenizer.decode(list(prompt))
        before, ids = self.parts(prompt, text.token_ids if shown is None else shown)
        fitting = self._fitting(before, ids)
        self.cut += len(fitting) < len(ids)
        return before, fitting

    def judged(self, text: Text, writer: "Reader") -> float:
        """Return the mean log-probability of a token of a text, in nats; NaN for an empty one.

        Args:
            text: what to read.
            writer: the model that wrote it, whose ids a prompt may be.
        """
        log_probs, _ = self.log_probs(*self._heard(text, writer))
        return math.fsum(log_probs) / len(log_probs) if log_probs else math.nan

    def embedding(self, text: Text, writer: "Reader") -> np.ndarray:
        """Return the last hidden state after a prompt and its text, float16 [width].

        Args:
            text, writer: as for `judged`.

        Raises:
            ValueError: the model tells none.
        """
        before, ids = self._heard(text, writer)
        hidden = self._model.prefill([before + ids])[0].hidden
        if hidden is None:
            raise ValueError(
                f"model {self.name!r} tells no hidden states, of which the frontier is made"
            )
        return np.asarray(hidden[0, -1], np.float16)

    def stepped(self, text: Text, sampler: Sampler) -> Text:
        """Return a text with how many tokens the sampler left at each step, and their entropy.

        The sampler is led along the text, which is read once more.
        """
        before = token_ids(0, text.prompt, self._model, self._tokenizer)
        kept, entropies = [], []
        state = None
        for logits, token in zip(self._logits(before, text), text.token_ids, strict=True):
            if state is None:
                state = sampler.init(
                    np.array([before]),
                    logits.size,
                    seed=text.seed or 0,
                    max_new_tokens=len(text.token_ids),
                )
            pending = sampler.begin_step(logits[None], state)
            left = np.asarray(pending.stages[-1].dense()[0], np.float64)
            count, entropy = _left(left)
            kept.append(count)
            entropies.append(entropy)
            state = pending.accept(np.array([token], np.int32))
        return replace(text, kept=tuple(kept), entropies=tuple(entropies))

    def _logits(self, before: list[int], text: Text) -> Iterator[np.ndarray]:
        """Yield the logits from which each token of a text was drawn."""
        ids = before + list(text.token_ids)
        for place, logits in enumerate(logits_of_text(self._model, ids, self._slide), 1):
            if place >= len(before):
                yield logits


def _left(logits: np.ndarray) -> tuple[int, float]:
    """Return how many tokens logits leave, and the entropy of their softmax in nats."""
    own = logits[logits > -np.inf]
    own = own - own.max()
    weights = np.exp(own)
    total = weights.sum()
    return own.size, float(np.log(total) - (weights * own).sum() / total)
