"""Our own samplers, certified as the others are."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import logit_sampling as ls
from logit_sampling.testing.peers.case import Case, joint_law, mixed, one_draw, with_history


def speculative(sampler: ls.Sampler, num_draft: int = 2) -> Callable[..., np.ndarray]:
    """Return what `check_speculative` asks for: `generate` with a draft model."""

    def after_each(model: Any) -> Callable[[Any], np.ndarray]:
        """Return a model of whole texts, whose first token is a start: logits behind each."""

        def logits(ids: Any) -> np.ndarray:
            texts = np.asarray(ids)
            return np.stack([model(texts[:, 1 : n + 1]) for n in range(texts.shape[1])], axis=1)

        return logits

    def fn(draft: Any, target: Any, batch: int, length: int, seed: int) -> np.ndarray:
        result = ls.generate(
            after_each(target),
            [[0]],
            n=batch,
            max_rows=batch,
            max_new_tokens=length,
            sampler=sampler,
            draft=after_each(draft),
            num_draft=num_draft,
            seed=seed,
        )
        return np.array(result.token_ids)

    return fn


def cases() -> Iterator[Case]:
    """Yield single draws, histories, parameters of each row and drafts."""
    for sampler in (
        ls.Greedy(),
        ls.Sampler(),
        ls.Sampler(ls.Temperature(0.7)),
        ls.Sampler(ls.TopK(10)),
        ls.Sampler(ls.TopP(0.9)),
        ls.Sampler(ls.TopP(0.5)),
        ls.Sampler(ls.MinP(0.3)),
        ls.Sampler(ls.Typical(0.8)),
        ls.Sampler(ls.XTC(0.5, 0.05)),
        ls.Sampler(ls.Temperature(0.7), ls.TopK(10), ls.TopP(0.9)),
    ):
        yield one_draw(shown(sampler), sampler, sampler, row_seeds=True)
    for transform in (
        ls.RepetitionPenalty(1.5),
        ls.FrequencyPenalty(0.5, prompt=True),
        ls.PresencePenalty(0.5, prompt=True),
        ls.NoRepeatNGram(2),
        ls.DRY(0.8),
    ):
        yield _history(ls.Sampler(transform))
    window = ls.Sampler(ls.RepetitionPenalty(1.5, window=20))
    yield _history(window, window=20)

    def of_each(logits: np.ndarray, settings: list[Any], seed: int) -> np.ndarray:
        temperature, k, p = zip(*settings, strict=True)
        chain = ls.Sampler(ls.Temperature(temperature), ls.TopK(k), ls.TopP(p))
        return chain(logits, seed=seed)

    yield mixed(
        "temperature, top-k, top-p", of_each, [(1, 60, 0.9), (0.7, 10, 1), (1.5, 3, 1)], chain
    )
    yield mixed("the same, a row greedy", of_each, [(0, 60, 1), (0.7, 10, 1), (1, 60, 0.9)], chain)
    for sampler in (ls.Sampler(), ls.Sampler(ls.TopK(1)), ls.Sampler(ls.TopP(0.8))):
        yield joint_law(shown(sampler), speculative(sampler), sampler)


def chain(setting: tuple[float, int, float]) -> ls.Sampler:
    """Return the chain of a temperature, a top-k and a top-p."""
    temperature, k, p = setting
    return ls.Sampler(ls.Temperature(temperature), ls.TopK(k), ls.TopP(p))


def shown(sampler: ls.Sampler) -> str:
    """Return the strategies as a table shows them."""
    return ", ".join(map(str, sampler.transforms)) or str(sampler)


def _history(sampler: ls.Sampler, **settings: Any) -> Case:
    def fn(logits: np.ndarray, history: np.ndarray, seed: int) -> np.ndarray:
        return sampler(logits, history=history, seed=seed)

    return with_history(shown(sampler), fn, sampler, **settings)
