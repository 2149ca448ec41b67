"""The distribution of the next token, before and after each sampler."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from logit_sampling.evaluation.samplers import default_samplers
from logit_sampling.generation.text import continuation
from logit_sampling.plotting.visible import visible
from logit_sampling.sampler import Sampler


@dataclass(frozen=True, eq=False)
class NextToken:
    """What samplers do to the distribution of the token after a prompt.

    Attributes:
        prompt: the text before, or its token ids.
        ids: the model's likeliest tokens, the likeliest first.
        texts: what each of them adds to the prompt.
        before: the model's probabilities, [vocab].
        after: those of each sampler by its name, [vocab].
    """

    prompt: str | Sequence[int]
    ids: np.ndarray
    texts: tuple[str, ...]
    before: np.ndarray
    after: Mapping[str, np.ndarray]

    @property
    def others(self) -> int:
        """How many tokens there are besides `ids`."""
        return self.before.size - self.ids.size

    def bars(self, probabilities: np.ndarray) -> np.ndarray:
        """Return the probabilities of `ids`, and of all others together, if there are any."""
        others = np.delete(probabilities, self.ids)
        return np.append(probabilities[self.ids], [others.sum()] if others.size else [])

    def kept(self, name: str) -> tuple[int, float]:
        """Return how many tokens a sampler keeps, and the probability that the model gave them."""
        kept = self.after[name] > 0
        return int(kept.sum()), float(self.before[kept].sum())

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON has it, for `Comparison.to_html`; `others` are those without a bar."""
        probabilities = {visible(name): self._plain(own) for name, own in self.after.items()}
        count, before = self.ids.size, self._plain(self.before)
        return {
            "prompt": visible(
                self.prompt if isinstance(self.prompt, str) else " ".join(map(str, self.prompt))
            ),
            "tokens": [visible(text).replace(" ", "␣") for text in self.texts],
            "model": before[:count],
            "samplers": {name: own[:count] for name, own in probabilities.items()},
            "others": {
                "tokens": self.others,
                "model": sum(before[count:]),
                "samplers": {name: sum(own[count:]) for name, own in probabilities.items()},
            },
            "kept": {visible(name): self.kept(name) for name in self.after},
        }

    def _plain(self, probabilities: np.ndarray) -> list[float]:
        return [round(float(p), 6) for p in self.bars(probabilities)]


def next_token(
    model: Any, prompt: str | Sequence[int], samplers: Mapping[str, Sampler], top: int = 20
) -> NextToken:
    """Return the distribution of the token after a prompt, before and after each sampler.

    Raises:
        ValueError: an empty prompt, or one that the model rejects.
    """
    if not prompt:
        raise ValueError("a prompt of the plot is empty: give at least one token")
    past = model.encode(prompt) if isinstance(prompt, str) else list(prompt)
    logits = model.logits([past])[0, -1]
    after = {
        name: sampler.probabilities(logits, history=past, prompt_length=len(past))
        for name, sampler in samplers.items()
    }
    before = Sampler().probabilities(logits)
    ids = np.argsort(-before, kind="stable")[:top]
    texts = tuple(continuation(model.decode, past, [int(token)]) for token in ids)
    return NextToken(prompt, ids, texts, before, after)


def next_tokens(
    model: Any,
    prompts: Sequence[str | Sequence[int]],
    samplers: Mapping[str, Sampler] | None = None,
    top: int = 20,
) -> list[dict[str, Any]]:
    """Return what `Comparison.to_html` shows of the token after each prompt.

    Args:
        model: what `load_model` returns.
        prompts: the texts before the token, or their token ids.
        samplers: name -> sampler; default: greedy, top-k 50, top-p 0.9 and pure sampling.
        top: number of tokens to show, at least 1.

    Raises:
        ValueError: an empty prompt, or one that the model rejects.
    """
    chosen = default_samplers() if samplers is None else samplers
    return [next_token(model, prompt, chosen, top).to_dict() for prompt in prompts]
