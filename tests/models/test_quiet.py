"""What loading a model imports, and what it writes on standard error: nothing."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.processes import on

QUIET = """
import os, sys
import logit_sampling as ls
model = ls.load_model(sys.argv[1])
ls.generate(model, "the", max_new_tokens=2)
os.write(2, b"what comes behind")
"""
IMPORTED = """
import os, sys
import tensorflow
level = os.environ["TF_CPP_MIN_LOG_LEVEL"]  # which it sets itself
import logit_sampling as ls
ls.load_model(sys.argv[1])
sys.exit(level != os.environ["TF_CPP_MIN_LOG_LEVEL"])
"""
ORDER = """
import sys
from logit_sampling.models.quiet import import_tensorflow

class Looked:
    names = []
    def find_spec(self, name, path=None, target=None):
        self.names.append(name)

sys.meta_path.insert(0, Looked())
import_tensorflow()
sys.exit(Looked.names.index("keras") > Looked.names.index("tensorflow"))
"""


def stderr(code: str, preset: Path, **variables: str) -> str:
    environment = {k: v for k, v in os.environ.items() if k != "TF_CPP_MIN_LOG_LEVEL"} | variables
    command = [sys.executable, "-c", code, str(preset)]
    run = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    return run.stderr


def test_load_model_is_quiet(tiny_preset: Path) -> None:
    assert stderr(QUIET, tiny_preset) == "what comes behind"


@pytest.mark.parametrize(
    ("code", "variables"), [(QUIET, {"TF_CPP_MIN_LOG_LEVEL": "0"}), (IMPORTED, {})]
)
def test_what_the_user_chose_stays(tiny_preset: Path, code: str, variables: dict[str, str]) -> None:
    """With a log level of one's own, or a TensorFlow that is there already."""
    told = stderr(code, tiny_preset, **variables)
    assert "cpu_feature_guard" in told or "port.cc" in told


@pytest.mark.parametrize("backend", ["tensorflow", "jax"])
def test_keras_is_imported_before_tensorflow(backend: str) -> None:
    """So is what it runs on: torch brings Triton, which cannot be loaded behind TensorFlow."""
    subprocess.run([sys.executable, "-c", ORDER], env=on(backend), check=True)
