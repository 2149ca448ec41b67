"""The peers that can be certified: what each is called, installed as and imported from."""

import importlib.util
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version

from logit_sampling.testing.peers.case import Case


@dataclass(frozen=True)
class Peer:
    """A library whose samplers can be certified.

    Attributes:
        name: as the command takes it.
        imports: the modules that must be there.
        packages: those whose versions a report states.
        install: the line that installs it.
    """

    name: str
    imports: tuple[str, ...]
    packages: tuple[str, ...]
    install: str

    @property
    def installed(self) -> bool:
        """Whether all that it needs can be found; nothing is imported."""
        return all(importlib.util.find_spec(name) is not None for name in self.imports)

    def versions(self) -> dict[str, str]:
        """Return the version of each package that is installed."""
        found = {}
        for package in self.packages:
            try:
                found[package] = version(package)
            except PackageNotFoundError:  # as of a source tree
                continue
        return found

    def cases(self) -> Iterable[Case]:
        """Return its samplers.

        Raises:
            ValueError: it is not installed.
        """
        if not self.installed:
            raise ValueError(f"{self.name} is not installed: {self.install}")
        module = self.name.replace("-", "_").replace(".", "_")
        return import_module(f"logit_sampling.testing.peers.{module}").cases()


PEERS = {
    peer.name: peer
    for peer in (
        Peer("logit-sampling", (), ("logit-sampling", "numpy"), "pip install logit-sampling"),
        Peer(
            "keras-hub",
            ("keras_hub", "tensorflow"),
            ("keras-hub", "keras", "tensorflow"),
            "pip install keras-hub tensorflow",
        ),
        Peer(
            "transformers",
            ("transformers", "torch"),
            ("transformers", "torch"),
            "pip install transformers torch",
        ),
        Peer("llama.cpp", ("llama_cpp",), ("llama-cpp-python",), "pip install llama-cpp-python"),
        Peer("mlx-lm", ("mlx", "mlx_lm"), ("mlx-lm", "mlx"), 'pip install mlx-lm "mlx[cpu]"'),
        Peer("vllm", ("vllm", "torch"), ("vllm", "torch"), "pip install vllm"),
        Peer("sglang", ("sglang", "torch"), ("sglang", "torch"), "pip install sglang"),
    )
}
