"""llama.cpp's samplers, each in a chain of its own that ends in its draw."""

import ctypes
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import llama_cpp as llama
import numpy as np

import logit_sampling as ls
from logit_sampling.testing.peers.case import Case, one_draw, with_history

_KIND = np.dtype([("id", np.int32), ("logit", np.float32), ("p", np.float32)])

Make = Callable[[int, int], Any]
"""A sampler of llama.cpp, from the size of the vocabulary and a seed."""


def cases() -> Iterator[Case]:
    """Yield single draws, then those with histories."""
    yield _one("greedy", ls.Greedy(), lambda *_: llama.llama_sampler_init_greedy())
    yield _one("dist", ls.Sampler(), _dist)
    temp, top_p = llama.llama_sampler_init_temp, llama.llama_sampler_init_top_p
    yield _one("temp 0.7", ls.Temperature(0.7), lambda *_: temp(0.7), _dist)
    yield _one("temp 0", ls.Temperature(0), lambda *_: temp(0.0), _dist)
    temp_ext, wanted = llama.llama_sampler_init_temp_ext, ls.DynamicTemperature(1.0, 0.5)
    yield _one("temp_ext 1 ± 0.5", wanted, lambda *_: temp_ext(1.0, 0.5, 1.0), _dist)
    yield _one("top_k 10", ls.TopK(10), lambda *_: llama.llama_sampler_init_top_k(10), _dist)
    yield _one("top_p 0.9", ls.TopP(0.9), lambda *_: top_p(0.9, 1), _dist)
    yield _one("top_p 0.5", ls.TopP(0.5), lambda *_: top_p(0.5, 1), _dist)
    yield _one("min_p 0.3", ls.MinP(0.3), lambda *_: llama.llama_sampler_init_min_p(0.3, 1), _dist)
    typical, sigma = llama.llama_sampler_init_typical, llama.llama_sampler_init_top_n_sigma
    yield _one("typical 0.8", ls.Typical(0.8), lambda *_: typical(0.8, 1), _dist)
    yield _one("top_n_sigma 1", ls.TopNSigma(1.0), lambda *_: sigma(1.0), _dist)
    xtc, expected = llama.llama_sampler_init_xtc, ls.XTC(0.5, 0.05)
    yield _one("xtc 0.5 0.05", expected, lambda _, seed: xtc(0.5, 0.05, 1, seed ^ 2**30), _dist)
    yield _one("xtc, seed of dist", expected, lambda _, seed: xtc(0.5, 0.05, 1, seed), _dist)
    mirostat, mirostat_v2 = llama.llama_sampler_init_mirostat, llama.llama_sampler_init_mirostat_v2
    yield _one(
        "mirostat 3 0.1",
        ls.Mirostat(3.0, 0.1, version=1),
        lambda vocab, seed: mirostat(vocab, seed, 3.0, 0.1, 100),
    )
    of_v2 = ls.Mirostat(3.0, 0.1)
    yield _one("mirostat_v2 3 0.1", of_v2, lambda _, seed: mirostat_v2(seed, 3.0, 0.1))
    adaptive_p, expected_p = llama.llama_sampler_init_adaptive_p, ls.AdaptiveP(0.3, 0.9)
    yield _one("adaptive_p 0.3 0.9", expected_p, lambda _, seed: adaptive_p(0.3, 0.9, seed))
    yield _history("penalties repeat 1.5, last 20", ls.RepetitionPenalty(1.5, window=20), 1.5, 0, 0)
    frequency = ls.FrequencyPenalty(0.5, prompt=True, window=20)
    yield _history("penalties frequency 0.5, last 20", frequency, 1, 0.5, 0)
    presence = ls.PresencePenalty(0.5, prompt=True, window=20)
    yield _history("penalties presence 0.5, last 20", presence, 1, 0, 0.5)


def _dist(_: int, seed: int) -> Any:
    return llama.llama_sampler_init_dist(seed)


def _drawn(
    logits: np.ndarray, seed: int | Sequence[int], samplers: Sequence[Make], history: Any = None
) -> np.ndarray:
    """Draw a token for each row, with a chain of its own, as for each sequence: some have state."""
    seeds = range(seed, seed + len(logits)) if isinstance(seed, int) else seed
    data = np.zeros(logits.shape[-1], _KIND)
    ids = np.empty(len(logits), np.int64)
    for row, (scores, own) in enumerate(zip(logits, seeds, strict=True)):
        chain = llama.llama_sampler_chain_init(llama.llama_sampler_chain_default_params())
        for sampler in samplers:
            llama.llama_sampler_chain_add(chain, sampler(len(data), own))
        for token in () if history is None else history[row][history[row] >= 0].tolist():
            llama.llama_sampler_accept(chain, token)
        data["id"], data["logit"], data["p"] = np.arange(len(data)), scores, 0
        pointer = data.ctypes.data_as(llama.llama_token_data_p)
        candidates = llama.llama_token_data_array(pointer, len(data), -1, False)
        llama.llama_sampler_apply(chain, ctypes.byref(candidates))
        ids[row] = candidates.data[candidates.selected].id
        llama.llama_sampler_free(chain)
    return ids


def _one(name: str, expected: Any, *samplers: Make) -> Case:
    def draw(logits: np.ndarray, seed: int | Sequence[int]) -> np.ndarray:
        return _drawn(logits, seed, samplers)

    shown = name if len(samplers) == 1 else f"{name}, dist"
    # Its scores are float32 by their type.
    return one_draw(shown, draw, expected, dtypes=(), row_seeds=True, copied=True)


def _history(name: str, expected: Any, repeat: float, frequency: float, presence: float) -> Case:
    def penalties(vocab: int, _: int) -> Any:
        return llama.llama_sampler_init_penalties(vocab, 20, repeat, frequency, presence)

    def draw(logits: np.ndarray, history: np.ndarray, seed: int) -> np.ndarray:
        return _drawn(logits, seed, (penalties, _dist), history)

    return with_history(f"{name}, dist", draw, expected, window=20, copied=True)
