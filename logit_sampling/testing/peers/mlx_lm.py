"""mlx-lm's samplers, which take log-probabilities, and its processors of logits."""

from collections.abc import Iterator
from typing import Any

import mlx.core as mx
import numpy as np
from mlx_lm.sample_utils import make_logits_processors, make_sampler

import logit_sampling as ls
from logit_sampling.testing.peers.case import Case, one_draw, with_history


def cases() -> Iterator[Case]:
    """Yield single draws, then those with histories."""
    yield _one(ls.Greedy(), temp=0.0)
    yield _one(ls.Sampler(), temp=1.0)
    yield _one(ls.Temperature(0.7), temp=0.7)
    yield _one(ls.TopK(10), temp=1.0, top_k=10)
    yield _one(ls.TopP(0.9), temp=1.0, top_p=0.9)
    yield _one(ls.TopP(0.5), temp=1.0, top_p=0.5)
    yield _one(ls.MinP(0.3), temp=1.0, min_p=0.3)
    xtc = {"temp": 1.0, "xtc_probability": 0.5, "xtc_threshold": 0.05}
    yield _one(ls.XTC(0.5, 0.05), **xtc)
    chain = ls.Sampler(ls.TopP(0.9), ls.TopK(10), ls.Temperature(0.7))
    yield _one(chain, temp=0.7, top_k=10, top_p=0.9)
    yield _history(ls.RepetitionPenalty(1.5, window=20), repetition_penalty=1.5)
    frequency = ls.FrequencyPenalty(0.5, prompt=True, window=20)
    yield _history(frequency, frequency_penalty=0.5)
    yield _history(ls.PresencePenalty(0.5, prompt=True, window=20), presence_penalty=0.5)


def _shown(settings: dict[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in settings.items())


def _log_probabilities(logits: Any) -> Any:
    """As `generate_step` gives them to the sampler."""
    return logits - mx.logsumexp(logits, axis=-1, keepdims=True)


def _tensor(logits: np.ndarray) -> Any:
    if logits.dtype.name == "bfloat16":
        return mx.array(logits.astype(np.float32)).astype(mx.bfloat16)
    if logits.dtype == np.float64:
        raise TypeError("float64 is narrowed on the way in")
    return mx.array(logits)


def _one(expected: Any, **settings: Any) -> Case:
    sampler = make_sampler(**settings)

    def draw(logits: np.ndarray, seed: int = 0) -> np.ndarray:
        mx.random.seed(seed)
        return np.array(sampler(_log_probabilities(_tensor(logits)))).astype(np.int64)

    return one_draw(f"make_sampler({_shown(settings)})", draw, expected, copied=True)


def _history(expected: Any, **settings: Any) -> Case:
    processors = make_logits_processors(**settings)

    def draw(logits: np.ndarray, history: np.ndarray, seed: int) -> np.ndarray:
        mx.random.seed(seed)
        rows = []
        for row, ids in zip(logits, history, strict=True):  # as it does, a text at a time
            changed, tokens = mx.array(row[None]), mx.array(ids[ids >= 0])
            for processor in processors:
                changed = processor(tokens, changed)
            rows.append(changed)
        return np.array(mx.random.categorical(mx.concatenate(rows))).astype(np.int64)

    shown = f"make_logits_processors({_shown(settings)})"
    return with_history(shown, draw, expected, window=20, copied=True)
