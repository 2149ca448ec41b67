"""llama.cpp's samplers through its bindings: what a chain of them leaves of a row."""

import ctypes
from typing import Any

import numpy as np
import pytest

from tests.peers.rows import softmax

llama = pytest.importorskip("llama_cpp")


def apply(samplers: list[Any], logits: np.ndarray, history: Any = ()) -> tuple[np.ndarray, int]:
    """Return the distribution that a chain of llama.cpp's samplers leaves, and what it selected."""
    chain = llama.llama_sampler_chain_init(llama.llama_sampler_chain_default_params())
    for sampler in samplers:
        llama.llama_sampler_chain_add(chain, sampler)
    for token in history:
        llama.llama_sampler_accept(chain, token)
    data = (llama.llama_token_data * len(logits))()
    for i, x in enumerate(logits.tolist()):
        data[i] = llama.llama_token_data(i, x, 0.0)
    array = llama.llama_token_data_array(data, len(logits), -1, False)
    llama.llama_sampler_apply(chain, ctypes.byref(array))
    kept = [(array.data[i].id, array.data[i].logit) for i in range(array.size)]
    scores = np.full(len(logits), -np.inf, np.float32)
    for i, x in kept:
        scores[i] = x
    selected = array.data[array.selected].id if array.selected >= 0 else -1
    llama.llama_sampler_free(chain)
    return softmax(scores), selected


_DRY = "_Z30llama_sampler_init_dry_testingffiiRKSt6vectorIS_IiSaIiEESaIS1_EE"


class _Vector(ctypes.Structure):
    """A C++ vector as libstdc++ lays it out."""

    _fields_ = (("begin", ctypes.c_void_p), ("end", ctypes.c_void_p), ("room", ctypes.c_void_p))


def _vector(array: Any) -> _Vector:
    begin = ctypes.addressof(array)
    end = begin + ctypes.sizeof(array)
    return _Vector(begin, end, end)


def dry(multiplier: float, base: float, allowed: int, last_n: int, breakers: Any = ()) -> Any:
    """Return the DRY sampler, with breakers of token ids: the one that llama.cpp's tests use.

    Each breaker is its first token and then the rest backwards, as the sampler stores them.
    """
    init = llama.llama_cpp._lib[_DRY]
    init.restype = llama.llama_sampler_p_ctypes
    number, count = ctypes.c_float, ctypes.c_int32
    init.argtypes = [number, number, count, count, ctypes.c_void_p]
    held = [(ctypes.c_int32 * len(b))(*b) for b in breakers]
    inner = (_Vector * len(held))(*map(_vector, held))
    outer = _vector(inner)
    return init(multiplier, base, allowed, last_n, ctypes.byref(outer))
