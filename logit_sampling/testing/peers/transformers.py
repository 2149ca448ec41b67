"""The processors of transformers, each followed by the draw of its `generate`."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from transformers.generation import logits_process

import logit_sampling as ls
from logit_sampling.testing.peers.case import Case, one_draw, with_history


def cases() -> Iterator[Case]:
    """Yield single draws, then those with histories."""
    yield one_draw("torch.argmax (greedy)", _greedy, ls.Greedy())
    yield _one(ls.Sampler())
    yield _one(ls.Temperature(0.7), "TemperatureLogitsWarper", 0.7)
    yield _one(ls.TopK(10), "TopKLogitsWarper", 10)
    yield _one(ls.TopP(0.9), "TopPLogitsWarper", 0.9)
    yield _one(ls.TopP(0.5), "TopPLogitsWarper", 0.5)
    yield _one(ls.MinP(0.3), "MinPLogitsWarper", 0.3)
    yield _one(ls.Typical(0.8), "TypicalLogitsWarper", 0.8)
    yield _one(ls.Epsilon(0.02), "EpsilonLogitsWarper", 0.02)
    yield _one(ls.Eta(0.02), "EtaLogitsWarper", 0.02)
    yield _one(ls.TopH(0.7), "TopHLogitsWarper", 0.7)
    own = ls.Sampler(ls.TopK(100), ls.TopH(0.7, renormalize=False))
    yield _one(own, "TopHLogitsWarper", 0.7, note=", as it is written")
    yield _history(ls.RepetitionPenalty(1.5), "RepetitionPenaltyLogitsProcessor", 1.5)
    yield _history(ls.NoRepeatNGram(2), "NoRepeatNGramLogitsProcessor", 2)


def _tensor(logits: np.ndarray) -> Any:
    if logits.dtype.name == "bfloat16":  # torch does not read NumPy's
        return torch.from_numpy(logits.astype(np.float32)).to(torch.bfloat16)
    return torch.from_numpy(logits)


def _greedy(logits: np.ndarray) -> Any:
    return torch.argmax(_tensor(logits), dim=-1)


def _drawn(scores: Any) -> Any:
    return torch.multinomial(scores.softmax(dim=-1), num_samples=1).squeeze(1)


def _one(expected: Any, name: str = "", *arguments: Any, note: str = "") -> Case:
    processor = getattr(logits_process, name)(*arguments) if name else lambda _, scores: scores

    def draw(logits: np.ndarray, seed: int) -> Any:
        torch.manual_seed(seed)
        return _drawn(processor(None, _tensor(logits)))

    shown = f"{name}({', '.join(map(str, arguments))}){note}" if name else "torch.multinomial alone"
    return one_draw(shown, draw, expected)


def _history(expected: Any, name: str, *arguments: Any) -> Case:
    processor = getattr(logits_process, name)(*arguments)

    def draw(logits: np.ndarray, history: np.ndarray, seed: int) -> Any:
        torch.manual_seed(seed)
        # A row at a time: it has no mark for padding, which `generate` puts before the text.
        scores = [
            processor(torch.from_numpy(ids[ids >= 0][None].astype(np.int64)), row[None])
            for ids, row in zip(history, _tensor(logits), strict=True)
        ]
        return _drawn(torch.cat(scores))

    return with_history(f"{name}({', '.join(map(str, arguments))})", draw, expected)
