"""Which backend Keras runs on: `KERAS_BACKEND=jax pytest tests/generation` tries another one."""

import os

import pytest

BACKEND = os.environ.get("KERAS_BACKEND") or "tensorflow"

tensorflow_only = pytest.mark.skipif(BACKEND != "tensorflow", reason="a graph of TensorFlow's")
jax_only = pytest.mark.skipif(BACKEND != "jax", reason="XLA of TensorFlow takes as long again")
compiled_only = pytest.mark.skipif(BACKEND == "torch", reason="torch compiles no Keras model")
