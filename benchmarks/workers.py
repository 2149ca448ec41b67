"""Processes that hold contenders, one for each Keras backend, so that all are measured in turns."""

import gc
import os
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Any

import numpy as np
from timing import Contender

HELD: dict[Hashable, Contender] = {}
"""What the process that this runs in can be asked to time."""


class Worker:
    """A process in which Keras runs on `backend`; it waits without work between calls.

    Attributes:
        backend: as `KERAS_BACKEND` is set there.
    """

    def __init__(self, backend: str) -> None:
        self.backend = backend
        self._pool = ProcessPoolExecutor(1, get_context("spawn"), _begin, (backend,))

    def submit(self, function: Callable[..., Any], *arguments: Any) -> "Future[Any]":
        """Start `function`, of a module, there."""
        return self._pool.submit(_told, function, *arguments)

    def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Return what `function`, of a module, returns there."""
        return self.submit(function, *arguments).result()

    def close(self) -> None:
        """End the process."""
        self._pool.shutdown(cancel_futures=True)


@dataclass(frozen=True)
class Remote:
    """One of the contenders that a worker holds. It is timed there, without the way to it."""

    worker: Worker
    key: Hashable

    def convert(self, batch: np.ndarray) -> np.ndarray:
        """Return the array: the worker converts it."""
        return batch

    def sample(self, inputs: Sequence[np.ndarray], first: int, calls: int) -> float:
        """Return the seconds of a call, as `timing.Timed` says."""
        return self.worker.call(_sample, self.key, inputs, first, calls)


def _begin(backend: str) -> None:
    """Settle what must be before Keras is imported."""
    os.environ["KERAS_BACKEND"] = backend
    os.environ.pop("JAX_COMPILATION_CACHE_DIR", None)  # a first call compiles
    # On a GPU nobody takes all of its memory: KerasHub imports TensorFlow everywhere.
    os.environ["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"
    os.environ["TF_FORCE_GPU_ALLOW_GROWTH"] = "true"
    if backend == "torch":
        import torch

        torch.set_num_threads(os.cpu_count() or 1)


def _told(function: Callable[..., Any], *arguments: Any) -> Any:
    """Call `function`; raise what any process can read."""
    try:
        return function(*arguments)
    except Exception as error:
        message = f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}"
    raise RuntimeError(message)


def _sample(key: Hashable, inputs: Sequence[np.ndarray], first: int, calls: int) -> float:
    contender = HELD[key]
    converted = [contender.convert(x) for x in inputs]
    gc.disable()
    try:
        return contender.sample(converted, first, calls)
    finally:
        gc.enable()
