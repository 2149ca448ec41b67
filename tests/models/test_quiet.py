"""What loading a model writes on standard error: nothing."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

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
