"""SGLang's sampling with PyTorch alone (its backend `pytorch`), and its penalties.

Draws by `sampling_seed` need a Triton kernel and a GPU, so torch's generator is seeded instead.
TensorFlow and Triton cannot be in one process, so this is an environment of its own.
"""

import os
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

import logit_sampling as ls
from logit_sampling.testing.peers.case import Case, mixed, one_draw, with_history

# Two functions of it are compiled; the compiled ones need a compiler of C++, and do the same.
os.environ.setdefault("TORCH_COMPILE_DISABLE", "1")


def _modules() -> tuple[Any, Any]:
    """Import its sampler and its penalties.

    By way of image models they import torchvision, whose wheels for a GPU find no kernels without
    one, and fail for want of two names.
    """
    try:
        import torchvision  # noqa: F401
    except (ImportError, RuntimeError):
        library = torch.library.Library("torchvision", "FRAGMENT")
        for name in ("nms", "qnms"):
            library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    from sglang.srt.layers import sampler
    from sglang.srt.sampling import penaltylib

    return sampler, penaltylib


sampler, penaltylib = _modules()


def cases() -> Iterator[Case]:
    """Yield single draws, those with histories, then mixed batches."""
    yield _one("no settings", ls.Sampler())
    yield _one("temperature=0.7", ls.Temperature(0.7), temperature=0.7)
    yield _one("top_k=10", ls.TopK(10), top_k=10)
    yield _one("top_p=0.9", ls.TopP(0.9), top_p=0.9)
    yield _one("top_p=0.5", ls.TopP(0.5), top_p=0.5)
    yield _one("min_p=0.3", ls.MinP(0.3), min_p=0.3)
    both = {"temperature": 0.7, "top_k": 20, "top_p": 0.9}
    chain = ls.Sampler(ls.Temperature(0.7), ls.TopK(20), ls.TopP(0.9))
    yield _one("temperature=0.7, top_k=20, top_p=0.9", chain, **both)
    yield _one("the same, against what both keep", _joint, **both)
    yield _history("BatchedRepetitionPenalizer", ls.RepetitionPenalty(1.5), "repetition", 1.5)
    frequency = ls.FrequencyPenalty(0.5, prompt=True)
    yield _history("BatchedFrequencyPenalizer", frequency, "frequency", 0.5)
    presence = ls.PresencePenalty(0.5, prompt=True)
    yield _history("BatchedPresencePenalizer", presence, "presence", 0.5)
    each = [(1.0, 1, 1.0), (0.7, 10, 1.0), (1.0, 60, 0.9)]
    yield mixed("a temperature, top_k and top_p of each row", _mixed, each, _chain, copied=True)


def _drawn(
    logits: Any,
    seed: int,
    temperature: Any = 1.0,
    top_k: Any = None,
    top_p: Any = 1.0,
    min_p: float = 0.0,
) -> Any:
    """Draw as `Sampler.forward` does: a softmax of the scaled logits, the cuts, the draw."""
    rows, vocabulary = logits.shape
    torch.manual_seed(seed)
    wide = logits.to(torch.float32)

    def column(value: Any) -> Any:
        return torch.as_tensor(value).expand(rows)

    probabilities = torch.softmax(wide / column(temperature).view(-1, 1), dim=-1)
    if top_k is None and isinstance(top_p, float) and top_p == 1.0 and not min_p:
        return sampler.sampling_from_probs_torch(probabilities)
    return sampler.top_k_top_p_min_p_sampling_from_probs_torch(
        probabilities,
        column(vocabulary if top_k is None else top_k),
        column(top_p),
        column(min_p),
        bool(min_p),
        None,
        torch.zeros(rows, dtype=torch.int64),
    )


def _tensor(logits: np.ndarray) -> Any:
    if logits.dtype.name == "bfloat16":  # torch does not read NumPy's
        return torch.from_numpy(logits.astype(np.float32)).to(torch.bfloat16)
    return torch.from_numpy(logits.copy())


def _one(name: str, expected: Any, **settings: Any) -> Case:
    def draw(logits: np.ndarray, seed: int) -> Any:
        return _drawn(_tensor(logits), seed, **settings)

    return one_draw(name, draw, expected, copied=True)


def _joint(logits: np.ndarray) -> np.ndarray:
    """What both keep, the mass measured before the cut to k."""
    cold = logits / 0.7
    kept = np.isfinite(ls.TopK(20)(cold)) & np.isfinite(ls.TopP(0.9)(cold))
    return ls.Sampler().probabilities(np.where(kept, cold, -np.inf))


def _history(name: str, expected: Any, kind: str, penalty: float) -> Case:
    penalizer = getattr(penaltylib, name)

    def draw(logits: np.ndarray, history: np.ndarray, seed: int) -> Any:
        scores = _tensor(logits)
        for row, ids in enumerate(history):  # a request at a time, as each began at another step
            settings = SimpleNamespace(**{f"{kind}_penalty": penalty})
            batch = _Batch([SimpleNamespace(sampling_params=settings)])
            of_row = penaltylib.BatchedPenalizerOrchestrator(scores.shape[1], batch, {penalizer})
            for token in ids[ids >= 0].tolist():
                of_row.cumulate_output_tokens(torch.tensor([token]))
            of_row.apply(scores[row : row + 1])
        return _drawn(scores, seed)

    return with_history(f"{name}({penalty})", draw, expected, copied=True)


class _Batch:
    """What the penalties ask of a batch."""

    device = "cpu"

    def __init__(self, reqs: list[Any]) -> None:
        self.reqs = reqs


def _mixed(logits: np.ndarray, settings: list[Any], seed: int) -> Any:
    temperature, top_k, top_p = zip(*settings, strict=True)
    return _drawn(_tensor(logits), seed, temperature, top_k, torch.tensor(top_p))


def _chain(setting: tuple[float, int, float]) -> ls.Sampler:
    temperature, k, p = setting
    return ls.Sampler(ls.Temperature(temperature), ls.TopK(k), ls.TopP(p))
