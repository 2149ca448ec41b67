"""Who draws tokens from logits on a device: this library, torch's own operations, FlashInfer."""

import importlib.util
from collections.abc import Callable
from typing import Any

import numpy as np
import rows
from devices import gpu, on_device
from strategies import SETTINGS
from timing import Contender
from workers import HELD

OURS, TORCH, FLASHINFER = "ours", "torch", "FlashInfer"
CHAIN = "temperature 0.8, top-k 50, top-p 0.9"
STRATEGIES = {s.name: s for s in SETTINGS if s.name in ("top-k 50", "top-p 0.9", CHAIN)}

Draw = Callable[[Any], Any]
"""From logits [batch, vocab] to ids [batch]."""


def in_torch() -> dict[str, Draw]:
    """Return for each strategy what torch's own operations do; none draws from what it cut off."""
    import torch

    def pick(shares: Any, ids: Any) -> Any:
        return ids.gather(-1, torch.multinomial(shares, 1)).squeeze(-1)

    def nucleus(shares: Any) -> Any:  # sorted
        return torch.where(shares.cumsum(-1) - shares < 0.9, shares, 0)

    def top_k(x: Any) -> Any:
        best, ids = x.topk(50)
        return pick(best.softmax(-1), ids)

    def top_p(x: Any) -> Any:
        shares, ids = x.softmax(-1).sort(dim=-1, descending=True)
        return pick(nucleus(shares), ids)

    def chain(x: Any) -> Any:
        best, ids = (x / 0.8).topk(50)
        return pick(nucleus(best.softmax(-1)), ids)

    return {"top-k 50": top_k, "top-p 0.9": top_p, CHAIN: chain}


def in_flashinfer() -> dict[str, Draw]:
    """Return for each strategy what FlashInfer does."""
    from flashinfer import sampling

    def chain(x: Any) -> Any:
        order = "top_k_first"
        return sampling.top_k_top_p_sampling_from_logits(x / 0.8, 50, 0.9, filter_apply_order=order)

    return {
        "top-k 50": lambda x: sampling.top_k_sampling_from_probs(x.softmax(-1), 50),
        "top-p 0.9": lambda x: sampling.top_p_sampling_from_probs(x.softmax(-1), 0.9),
        CHAIN: chain,
    }


def ours(backend: str, strategy: str) -> Callable[[Any, int], Any]:
    """Return this library's sampler: compiled on JAX, as it is called on torch."""
    sampler = STRATEGIES[strategy].sampler()
    if sampler is None:
        raise ValueError(f"this version has no {strategy}")
    if backend != "jax":
        return lambda x, seed: sampler(x, seed=seed)
    import jax

    return jax.jit(lambda x, seed: sampler(x, seed=seed))


def prepare(backend: str, strategy: str, batch: int, vocabulary: int) -> list[str]:
    """Hold who draws from two batches of rows like a language model's; return their names.

    A call ends when its ids are there, on the device.
    """
    HELD.clear()
    found: dict[str, Callable[[Any, int], Any]] = {OURS: ours(backend, strategy)}
    if backend == "torch":
        found[TORCH] = _alone(in_torch()[strategy])
        if gpu() and importlib.util.find_spec("flashinfer"):
            found[FLASHINFER] = _alone(in_flashinfer()[strategy])
    logits = rows.batches(rows.language(2 * batch, vocabulary), batch, 2)
    inputs = [on_device(x) for x in logits]
    for name, draw in found.items():
        HELD[name] = _contender(name, draw, inputs)
    return list(found)


def _alone(draw: Draw) -> Callable[[Any, int], Any]:
    return lambda x, _: draw(x)


def _contender(
    name: str, draw: Callable[[Any, int], Any], inputs: list[tuple[Any, Callable[[Any], Any]]]
) -> Contender:
    def call(_: Any, i: int) -> None:
        x, wait = inputs[i % len(inputs)]
        wait(draw(x, i))

    return Contender(name, call)


def blank() -> np.ndarray:
    """Return what stands for the inputs, which the worker holds: one empty batch."""
    return np.empty((1, 0))
