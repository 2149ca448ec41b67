"""Who is measured: the two limits, this library in each mode, and its peers."""

import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
from strategies import SEED, Strategy
from timing import Contender

READ, SOFTMAX = "one read pass", "one softmax pass"
MODES = {"numpy": "NumPy", "eager": "TensorFlow", "graph": "tf.function", "xla": "XLA"}
OURS = {mode: f"ours, {name}" for mode, name in MODES.items()}
_SEEDS = 64


def limits(batch: int, vocabulary: int) -> list[Contender]:
    """Return what no sampler can beat: reading all logits; and what a dense one has to do."""
    out = np.empty((batch, vocabulary), np.float32)

    def softmax(x: np.ndarray, _: int) -> None:
        for row, masses in zip(x, out, strict=True):  # each stays in the cache
            np.subtract(row, row.max(), out=masses)
            np.exp(masses, out=masses)
            np.divide(masses, masses.sum(), out=masses)

    return [Contender(READ, lambda x, _: x.max(axis=-1)), Contender(SOFTMAX, softmax)]


def past(strategy: Strategy, batch: int, vocabulary: int) -> np.ndarray:
    """Return the tokens that are already there, int32 [batch, length], mostly of low ids."""
    draws = np.random.default_rng(SEED).random((batch, strategy.history))
    return (vocabulary * draws**4).astype(np.int32)


def ours(strategy: Strategy, batch: int, vocabulary: int, modes: list[str]) -> list[Contender]:
    """Return this library's sampler in each of `modes`; stateless chains are called directly."""
    sampler = strategy.sampler()
    if sampler is None:
        return []
    stateful = any(t.is_stateful() for t in sampler.transforms)
    state = sampler.init(past(strategy, batch, vocabulary), vocabulary, seed=SEED)
    draw = sampler.step if stateful else lambda x, seed: sampler(x, seed=seed)

    def eager(x: Any, i: Any) -> Any:
        return draw(x, state if stateful else i)

    result = [Contender(OURS["numpy"], eager)] if "numpy" in modes else []
    if modes == ["numpy"]:
        return result
    import tensorflow as tf

    if "eager" in modes:
        result.append(Contender(OURS["eager"], eager, tf.constant))
    inputs = (
        [tf.nest.map_structure(tf.convert_to_tensor, state)]
        if stateful
        else [tf.constant(i, tf.int64) for i in range(_SEEDS)]
    )
    for mode in ("graph", "xla"):
        if mode in modes:
            compiled = tf.function(draw, jit_compile=mode == "xla")
            result.append(Contender(OURS[mode], _with_seeds(compiled, inputs), tf.constant))
    return result


def _with_seeds(compiled: Callable[..., Any], inputs: list[Any]) -> Callable[[Any, int], Any]:
    return lambda x, i: compiled(x, inputs[i % len(inputs)])


def keras_hub(strategy: Strategy, batch: int, vocabulary: int) -> list[Contender]:
    """Return KerasHub's sampler, eager, in a graph and under XLA: softmax and the next token."""
    if strategy.keras_hub is None:
        return []
    import keras_hub
    import tensorflow as tf

    sampler = strategy.keras_hub(keras_hub.samplers)

    def draw(x: Any) -> Any:
        return sampler.get_next_token(sampler.compute_probabilities(x))

    modes = {
        "KerasHub, TensorFlow": draw,
        "KerasHub, tf.function": tf.function(draw),
        "KerasHub, XLA": tf.function(draw, jit_compile=True),
    }
    return [Contender(name, _alone(call), tf.constant) for name, call in modes.items()]


def _alone(call: Callable[[Any], Any]) -> Callable[[Any, int], Any]:
    return lambda x, _: call(x)


def transformers(strategy: Strategy, batch: int, vocabulary: int) -> list[Contender]:
    """Return what `generate` of transformers does with the logits: processors, softmax, draw."""
    if strategy.transformers is None:
        return []
    import torch
    from transformers.generation import logits_process

    processors = logits_process.LogitsProcessorList(strategy.transformers(logits_process))
    history = torch.from_numpy(past(strategy, batch, vocabulary).astype(np.int64))

    def draw(x: Any, _: int) -> Any:
        scores = processors(history, x)
        if strategy.greedy:
            return torch.argmax(scores, dim=-1)
        return torch.multinomial(torch.softmax(scores, dim=-1), num_samples=1).squeeze(1)

    return [Contender("transformers", draw, torch.from_numpy)]


def llama_cpp(strategy: Strategy, batch: int, vocabulary: int) -> list[Contender]:
    """Return llama.cpp's chain, with and without the copy of the logits into its candidates."""
    if strategy.llama_cpp is None:
        return []
    import ctypes

    import llama_cpp as lib

    candidate = np.dtype([("id", np.intc), ("logit", np.single), ("p", np.single)], align=True)
    blank = np.zeros((batch, vocabulary), candidate)
    blank["id"] = np.arange(vocabulary)
    data = blank.copy()
    pointers = [row.ctypes.data_as(lib.llama_token_data_p) for row in data]
    chains = []
    for tokens in past(strategy, batch, vocabulary).tolist():
        chain = lib.llama_sampler_chain_init(lib.llama_sampler_chain_default_params())
        for step in strategy.llama_cpp(lib, vocabulary):
            lib.llama_sampler_chain_add(chain, step)
        for token in tokens:
            lib.llama_sampler_accept(chain, token)
        chains.append(chain)

    def copy_in(x: np.ndarray) -> None:
        data.view(np.uint8)[:] = blank.view(np.uint8)
        data["logit"] = x

    def draw(_: np.ndarray, __: int) -> list[int]:
        tokens = []
        for pointer, chain in zip(pointers, chains, strict=True):
            array = lib.llama_token_data_array(pointer, vocabulary, -1, False)
            lib.llama_sampler_apply(chain, ctypes.byref(array))
            tokens.append(array.data[array.selected].id)
            lib.llama_sampler_accept(chain, tokens[-1])
        return tokens

    def both(x: np.ndarray, i: int) -> list[int]:
        copy_in(x)
        return draw(x, i)

    for chain in chains:
        weakref.finalize(draw, lib.llama_sampler_free, chain)
    return [
        Contender("llama.cpp", draw, prepare=copy_in),
        Contender("llama.cpp + copy-in", both),
    ]


PEERS = {
    "keras_hub": keras_hub,
    "transformers": transformers,
    "llama_cpp": llama_cpp,
}
"""By the name of the module; each takes a strategy, the batch and the vocabulary."""
