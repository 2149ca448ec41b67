"""vLLM's sampler as it is on a CPU: its PyTorch code, with a generator for each request.

Its kernels for other devices (Triton, FlashInfer) and its rejection sampler, which is one of them,
are not run. TensorFlow and Triton cannot be in one process, so this is an environment of its own.
"""

from collections.abc import Iterator, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from vllm.v1.sample.logits_processor import LogitsProcessors
from vllm.v1.sample.logits_processor.builtin import MinPLogitsProcessor
from vllm.v1.sample.logits_processor.interface import BatchUpdate
from vllm.v1.sample.metadata import SamplingMetadata
from vllm.v1.sample.ops import penalties
from vllm.v1.sample.sampler import Sampler

import logit_sampling as ls
from logit_sampling.testing.peers.case import Case, mixed, one_draw, with_history

_SAMPLER = Sampler()
penalties.PIN_MEMORY = False  # without an accelerator there is none to pin memory for


def cases() -> Iterator[Case]:
    """Yield single draws, those with histories, then mixed batches."""
    yield _one("temperature=0", ls.Greedy(), temperature=0.0)
    yield _one("no settings", ls.Sampler())
    yield _one("temperature=0.7", ls.Temperature(0.7), temperature=0.7)
    yield _one("top_k=10", ls.TopK(10), top_k=10)
    yield _one("top_p=0.9", ls.TopP(0.9), top_p=0.9)
    yield _one("top_p=0.5", ls.TopP(0.5), top_p=0.5)
    yield _one("min_p=0.3", ls.MinP(0.3), min_p=0.3)
    chain = ls.Sampler(ls.Temperature(0.7), ls.TopK(20), ls.TopP(0.9))
    yield _one("temperature=0.7, top_k=20, top_p=0.9", chain, temperature=0.7, top_k=20, top_p=0.9)
    yield _history("repetition_penalty=1.5", ls.RepetitionPenalty(1.5), repetition=1.5)
    frequency = ls.FrequencyPenalty(0.5, prompt=True)
    yield _history("frequency_penalty=0.5", frequency, frequency=0.5)
    yield _history("presence_penalty=0.5", ls.PresencePenalty(0.5, prompt=True), presence=0.5)
    each = [(0.0, 60, 1.0), (0.7, 10, 1.0), (1.0, 60, 0.9)]
    yield mixed("a temperature, top_k and top_p of each row", _mixed, each, _chain)


def _column(value: Any, rows: int, dtype: Any = torch.float32) -> Any:
    return torch.as_tensor(value, dtype=dtype).expand(rows).clone()


def _drawn(
    logits: Any,
    seed: int | Sequence[int],
    *,
    temperature: Any = 1.0,
    top_k: Any = None,
    top_p: Any = None,
    min_p: float = 0.0,
    history: np.ndarray | None = None,
    repetition: float = 1.0,
    frequency: float = 0.0,
    presence: float = 0.0,
) -> Any:
    """Draw with the settings of requests; the history is what they have written."""
    rows, vocabulary = logits.shape
    seeds = range(seed, seed + rows) if isinstance(seed, int) else seed
    hot = _column(temperature, rows)
    processors = []
    if min_p:
        limits = SimpleNamespace(scheduler_config=SimpleNamespace(max_num_seqs=rows))
        processors.append(MinPLogitsProcessor(limits, torch.device("cpu"), False))
        added: list[Any] = [(row, SimpleNamespace(min_p=min_p), None, []) for row in range(rows)]
        processors[0].update_state(BatchUpdate(batch_size=rows, removed=[], added=added, moved=[]))
    written = [] if history is None else [ids[ids >= 0].tolist() for ids in history]
    metadata = SamplingMetadata(
        temperature=hot,
        all_greedy=bool((hot == 0).all()),
        all_random=bool((hot > 0).all()),
        top_p=None if top_p is None else _column(top_p, rows),
        top_k=None if top_k is None else _column(top_k, rows, torch.int32),
        generators={i: torch.Generator().manual_seed(int(own)) for i, own in enumerate(seeds)},
        max_num_logprobs=None,
        no_penalties=history is None,
        # It fills prompts up with the size of the vocabulary; here all tokens are written ones.
        prompt_token_ids=torch.full((rows, 1), vocabulary),
        frequency_penalties=_column(frequency, rows),
        presence_penalties=_column(presence, rows),
        repetition_penalties=_column(repetition, rows),
        output_token_ids=written,
        allowed_token_ids_mask=None,
        bad_words_token_ids={},
        logitsprocs=LogitsProcessors(processors),
    )
    return _SAMPLER(logits, metadata).sampled_token_ids[:, 0]


def _tensor(logits: np.ndarray) -> Any:
    if logits.dtype.name == "bfloat16":  # torch does not read NumPy's
        return torch.from_numpy(logits.astype(np.float32)).to(torch.bfloat16)
    return torch.from_numpy(logits)


def _one(name: str, expected: Any, **settings: Any) -> Case:
    def draw(logits: np.ndarray, seed: int | Sequence[int]) -> Any:
        return _drawn(_tensor(logits), seed, **settings)

    return one_draw(name, draw, expected, row_seeds=True)


def _history(name: str, expected: Any, **settings: Any) -> Case:
    def draw(logits: np.ndarray, history: np.ndarray, seed: int) -> Any:
        return _drawn(_tensor(logits), seed, history=history, **settings)

    return with_history(name, draw, expected)


def _mixed(logits: np.ndarray, settings: list[Any], seed: int) -> Any:
    temperature, top_k, top_p = zip(*settings, strict=True)
    return _drawn(_tensor(logits), seed, temperature=temperature, top_k=top_k, top_p=top_p)


def _chain(setting: tuple[float, int, float]) -> ls.Sampler:
    temperature, k, p = setting
    return ls.Sampler(ls.Temperature(temperature), ls.TopK(k), ls.TopP(p))
