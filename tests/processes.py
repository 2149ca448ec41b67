"""The environment of a process that runs on another backend."""

import os


def on(backend: str) -> dict[str, str]:
    """Return the environment of a process whose Keras runs on `backend`, on the CPU.

    XLA compiles what JAX traces without optimising it, which takes half the time; how fast the
    result is does not matter in a test, and in this process XLA optimises as for users.
    """
    return os.environ | {
        "KERAS_BACKEND": backend,
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": "--xla_backend_optimization_level=0",
    }
