"""The ways to run a chain: eager code, a plain graph, XLA and `jax.jit`."""

from collections.abc import Callable
from typing import Any

import numpy as np

import logit_sampling as ls
from tests.fuzz.cases import PROMPT
from tests.fuzz.rows import Precision


class Seen:
    """What one mode shows of a step, as NumPy arrays."""

    def __init__(self, ids: Any, state: Any, stages: Any, shares: Any, log_prob: Any) -> None:
        self.ids, self.state = np.asarray(ids), state
        self.stages = [np.asarray(stage, np.float64) for stage in stages]
        self.shares = np.asarray(shares, np.float64)
        self.log_prob = np.asarray(log_prob, np.float64)


class Mode:
    """A way to run a chain: its functions, compiled or not, and the floats that it computes in.

    Args:
        compile: makes a compiled function of one of tensors; None for eager code.
        tensors: makes tensors of the arrays in a nested tuple.
    """

    def __init__(
        self,
        name: str,
        sampler: ls.Sampler,
        compile: Callable | None = None,
        tensors: Callable = lambda value: value,
    ) -> None:
        def step(logits: Any, state: Any) -> tuple[Any, ...]:
            pending = sampler.begin_step(logits, state)
            stages = [stage.dense() for stage in pending.stages]
            ids = pending.draw()
            shares = pending.stages[-1].probabilities()
            return ids, pending.accept(ids), stages, shares, pending.log_prob(ids)

        def call(logits: Any, history: Any, seed: Any, step: Any) -> Any:
            given = {"history": history, "seed": seed, "step": step}
            return sampler(logits, prompt_length=PROMPT, **given)

        self.name, self.sampler, self.eager = name, sampler, compile is None
        self._step, self._call = map(compile or (lambda function: function), (step, call))
        self._tensors = tensors

    def forget(self) -> None:
        """Drop what was compiled."""
        if self.name == "jax":
            import jax

            jax.clear_caches()

    def precision(self, dtype: Any) -> Precision:
        logits = "float64" if dtype == np.float64 else "float32"
        return Precision(logits, "float32" if self.name == "jax" else "float64", not self.eager)

    def step(self, logits: np.ndarray, state: Any) -> Seen:
        return Seen(*self._step(*self._tensors((logits, state))))

    def call(self, *given: Any) -> np.ndarray:
        return np.asarray(self._call(*self._tensors(given)))


def mode(name: str, sampler: ls.Sampler) -> Mode:
    """Return the mode of that name for a chain."""
    if name == "eager":
        return Mode(name, sampler)
    if name == "jax":
        import jax

        return Mode(name, sampler, jax.jit, lambda value: jax.tree.map(jax.numpy.asarray, value))
    import tensorflow as tf

    def compiled(function: Any) -> Any:
        return tf.function(function, jit_compile=name == "xla", autograph=False)

    return Mode(name, sampler, compiled, lambda value: tf.nest.map_structure(tf.constant, value))
