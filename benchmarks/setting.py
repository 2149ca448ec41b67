"""Where a benchmark runs: the machine, the versions, the peers that are installed."""

import contextlib
import importlib.metadata
import importlib.util
import math
import os
import platform
import re
import sys
from pathlib import Path
from typing import Any

from rich.console import Console

MODULES = {  # peer or backend -> what has to be installed
    "tensorflow": ("tensorflow",),
    "jax": ("jax",),
    "torch": ("torch",),
    "keras_hub": ("keras_hub", "tensorflow"),
    "transformers": ("transformers", "torch"),
    "llama_cpp": ("llama_cpp",),
    "flashinfer": ("flashinfer",),
}

PACKAGES = (
    *("numpy", "tensorflow", "jax", "torch", "keras-hub", "transformers"),
    *("llama-cpp-python", "flashinfer-python", "numba"),
)


def installed(peers: list[str], console: Console) -> list[str]:
    """Return the peers that are there; say which are not."""
    found = []
    for peer in peers:
        missing = [m for m in MODULES[peer] if importlib.util.find_spec(m) is None]
        if missing:
            console.print(f"{peer} is left out, not installed: {', '.join(missing)}")
        else:
            found.append(peer)
    return found


def _machine() -> dict[str, Any]:
    """Return where it runs and with which versions."""
    versions = {}
    for name in PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    info = Path("/proc/cpuinfo")
    told = info.read_text() if info.exists() else ""
    models = re.findall(r"model name\s*: (.*)", told)
    return {
        "processor": models[0] if models else platform.processor(),
        "cores": os.cpu_count(),
        "amx": "amx_bf16" in told,  # multiplies bfloat16 in hardware
        "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else math.nan,
        "python": platform.python_version(),
        "versions": versions,
        "command": sys.argv[1:],
    }


def start(console: Console) -> dict[str, Any]:
    """Settle what must be before the peers are imported; print and return where this runs."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # Threads of a contender that wait for more work must not slow down the next.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    where = _machine()
    import logit_sampling as ls

    # From the first row on, so that no contender changes halfway.
    where["engine"] = os.environ.get("LOGIT_SAMPLING_ENGINE") or ls.engine()
    os.environ["LOGIT_SAMPLING_ENGINE"] = where["engine"]
    console.print(f"{where['processor']}, {where['cores']} cores, load {where['load']:.1f}")
    if where["load"] > 0.5:
        console.print(
            "[yellow]The machine is busy: what uses several threads suffers most.[/yellow]"
        )
    console.print(", ".join(f"{name} {version}" for name, version in where["versions"].items()))
    console.print(f"NumPy arrays are served by {where['engine']} (LOGIT_SAMPLING_ENGINE)")
    return where


def ratio(value: float) -> str:
    """Return a ratio for a column of a table."""
    return f"{value:.3g}" if value < 100 else f"{value:,.0f}"
