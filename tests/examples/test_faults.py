"""Each fault of a peer is still seen: if one is mended, docs/certification.md must say so."""

import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from logit_sampling.testing.peers import PEERS

ROOT = Path(__file__).parents[2]
SCRIPTS = sorted((ROOT / "examples" / "faults").glob("*.py"))
# Triton, which these import, cannot be in one process with TensorFlow.
ALONE = ("vllm", "sglang")


def peer_of(script: Path) -> str:
    return next(name for name in PEERS if script.stem.startswith(re.sub(r"[-.]", "_", name)))


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_the_fault_is_seen(script: Path, capfd: pytest.CaptureFixture) -> None:
    peer = PEERS[peer_of(script)]
    if not peer.installed:
        pytest.skip(f"{peer.name} is not installed")
    if script.stem == "keras_hub_rows" and len(os.sched_getaffinity(0)) == 1:
        pytest.skip("on one core TensorFlow shares the rows of a batch among no threads")
    if peer.name in ALONE:
        code = f"import runpy; print(runpy.run_path({str(script)!r})['wrong'])"
        run = subprocess.run(
            [sys.executable, "-c", code], check=True, capture_output=True, text=True
        )
        *said, last = run.stdout.splitlines()
        wrong = int(last)
    else:
        wrong, said = runpy.run_path(str(script))["wrong"], capfd.readouterr().out.split()
    assert wrong > 0, f"mended in {peer.versions()}: correct docs/certification.md"
    assert said


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_a_script_is_short_and_free_of_our_library(script: Path) -> None:
    text = script.read_text(encoding="utf-8")
    assert len(text.splitlines()) < 20 and "logit_sampling" not in text
    page = (ROOT / "docs" / "certification.md").read_text(encoding="utf-8")
    assert f"examples/faults/{script.name}" in page
