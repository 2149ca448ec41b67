"""Which backend Keras runs on: `KERAS_BACKEND=jax pytest tests/generation` tries another one."""

import os

import pytest

BACKEND = os.environ.get("KERAS_BACKEND") or "tensorflow"

tensorflow_only = pytest.mark.skipif(BACKEND != "tensorflow", reason="a graph of TensorFlow's")
compiled_only = pytest.mark.skipif(BACKEND == "torch", reason="torch compiles no Keras model")
