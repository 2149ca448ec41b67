"""Where the backend of Keras computes, and how to wait for it."""

from collections.abc import Callable
from typing import Any

import numpy as np


def gpu() -> str | None:
    """Return the name of the GPU that the backend computes on, None if it has none."""
    import keras

    backend = keras.config.backend()
    if backend == "torch":
        import torch

        return torch.cuda.get_device_name() if torch.cuda.is_available() else None
    if backend == "jax":
        import jax

        return jax.devices()[0].device_kind if jax.default_backend() == "gpu" else None
    import tensorflow as tf

    found = tf.config.list_physical_devices("GPU")
    return tf.config.experimental.get_device_details(found[0])["device_name"] if found else None


def on_device(array: np.ndarray) -> tuple[Any, Callable[[Any], Any]]:
    """Return an array of the backend, where it computes, and what waits for a result of it."""
    import keras

    backend = keras.config.backend()
    if backend == "torch":
        import torch

        if not torch.cuda.is_available():
            return torch.tensor(array), lambda x: x
        return torch.tensor(array, device="cuda"), lambda _: torch.cuda.synchronize()
    if backend == "jax":
        import jax

        return jax.device_put(array), jax.block_until_ready
    import tensorflow as tf

    return tf.convert_to_tensor(array), lambda x: x.numpy()
