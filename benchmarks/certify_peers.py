"""Do the samplers of other libraries draw what they say? Certify them as we certify our own.

python benchmarks/certify_peers.py [--draws 10000] [--peer llama.cpp] [--json FILE] [--smoke]

Each sampler is run through `logit_sampling.testing.check_sampler` against the same strategy of
this library. A line for each says how many checks passed and, for those that failed, what was seen.
Peers that are not installed are left out with a line that says so.
"""

import argparse
import ctypes
import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import logit_sampling as ls
from logit_sampling.testing import check_sampler

Subject = tuple[str, Callable[..., Any], Any, dict[str, Any]]
"""Name, function under test, what it should draw from, and further arguments of the check."""


def ours() -> Iterator[Subject]:
    """Yield our own samplers, for comparison."""
    for sampler in (
        ls.Greedy(),
        ls.Sampler(),
        ls.Sampler(ls.Temperature(0.7)),
        ls.Sampler(ls.TopK(10)),
        ls.Sampler(ls.TopP(0.9)),
        ls.Sampler(ls.TopP(0.5)),
        ls.Sampler(ls.MinP(0.3)),
        ls.Sampler(ls.Typical(0.8)),
        ls.Sampler(ls.XTC(0.5, 0.05)),
        ls.Sampler(ls.Temperature(0.7), ls.TopK(10), ls.TopP(0.9)),
    ):
        yield str(sampler), sampler, sampler, {"row_seeds": True}


def keras_hub() -> Iterator[Subject]:
    """Yield KerasHub's samplers: the probabilities that they compute, then the token they draw."""
    import keras_hub
    import tensorflow as tf

    def subject(name: str, expected: Any, *, seeded: bool = True, **arguments: Any) -> Subject:
        kind = getattr(keras_hub.samplers, name.partition(",")[0])

        def draw(logits: np.ndarray, seed: int = 0) -> np.ndarray:
            sampler = kind(**arguments, **({"seed": seed} if seeded else {}))
            return sampler.get_next_token(sampler.compute_probabilities(tf.constant(logits)))

        shown = ", ".join(f"{key}={value}" for key, value in arguments.items())
        return f"{name}({shown})", draw, expected, {"seeded": seeded}

    def joint(logits: np.ndarray) -> np.ndarray:
        # What both keep, the mass measured before the cut to k.
        kept = np.isfinite(ls.TopK(20)(logits)) & np.isfinite(ls.TopP(0.9)(logits))
        return ls.Sampler().probabilities(np.where(kept, logits, -np.inf))

    yield subject("GreedySampler", ls.Greedy(), seeded=False)
    yield subject("RandomSampler", ls.Sampler())
    yield subject("RandomSampler", ls.Temperature(0.7), temperature=0.7)
    yield subject("TopKSampler", ls.TopK(10), k=10)
    yield subject("TopPSampler", ls.TopP(0.9), p=0.9)
    yield subject("TopPSampler", ls.TopP(0.5), p=0.5)
    yield subject("TopPSampler", ls.Sampler(ls.TopK(20), ls.TopP(0.9)), p=0.9, k=20)
    yield subject("TopPSampler, jointly", joint, p=0.9, k=20)


def transformers() -> Iterator[Subject]:
    """Yield transformers' processors, each followed by the draw of its `generate`."""
    import torch
    from transformers.generation import logits_process

    def tensor(logits: np.ndarray) -> Any:
        if logits.dtype.name == "bfloat16":  # torch does not read NumPy's
            return torch.from_numpy(logits.astype(np.float32)).to(torch.bfloat16)
        return torch.from_numpy(logits)

    def subject(expected: Any, name: str = "", *arguments: Any, note: str = "") -> Subject:
        processor = getattr(logits_process, name)(*arguments) if name else lambda _, scores: scores

        def draw(logits: np.ndarray, seed: int) -> Any:
            torch.manual_seed(seed)
            scores = processor(None, tensor(logits))
            return torch.multinomial(scores.softmax(dim=-1), num_samples=1).squeeze(1)

        shown = ", ".join(map(str, arguments))
        title = f"{name}({shown}){note}" if name else "torch.multinomial alone"
        return title, draw, expected, {}

    def greedy(logits: np.ndarray) -> Any:
        return torch.argmax(tensor(logits), dim=-1)

    yield "torch.argmax (greedy)", greedy, ls.Greedy(), {}
    yield subject(ls.Sampler())
    yield subject(ls.Temperature(0.7), "TemperatureLogitsWarper", 0.7)
    yield subject(ls.TopK(10), "TopKLogitsWarper", 10)
    yield subject(ls.TopP(0.9), "TopPLogitsWarper", 0.9)
    yield subject(ls.TopP(0.5), "TopPLogitsWarper", 0.5)
    yield subject(ls.MinP(0.3), "MinPLogitsWarper", 0.3)
    yield subject(ls.Typical(0.8), "TypicalLogitsWarper", 0.8)
    yield subject(ls.Epsilon(0.02), "EpsilonLogitsWarper", 0.02)
    yield subject(ls.Eta(0.02), "EtaLogitsWarper", 0.02)
    yield subject(ls.TopH(0.7), "TopHLogitsWarper", 0.7)
    own = ls.Sampler(ls.TopK(100), ls.TopH(0.7, renormalize=False))
    yield subject(own, "TopHLogitsWarper", 0.7, note=", as it is written")


def llama_cpp() -> Iterator[Subject]:
    """Yield llama.cpp's samplers, each in a chain of its own that ends in its draw."""
    import llama_cpp as llama

    kind = np.dtype([("id", np.int32), ("logit", np.float32), ("p", np.float32)])

    def subject(name: str, expected: Any, *samplers: Callable[[int, int], Any]) -> Subject:
        def draw(logits: np.ndarray, seed: int | Sequence[int]) -> np.ndarray:
            seeds = range(seed, seed + len(logits)) if isinstance(seed, int) else seed
            data = np.zeros(logits.shape[-1], kind)
            ids = np.empty(len(logits), np.int64)
            for row, (scores, own) in enumerate(zip(logits, seeds, strict=True)):
                # A chain for each row, as for each sequence: some carry a state along.
                chain = llama.llama_sampler_chain_init(llama.llama_sampler_chain_default_params())
                for sampler in samplers:
                    llama.llama_sampler_chain_add(chain, sampler(len(data), own))
                data["id"], data["logit"], data["p"] = np.arange(len(data)), scores, 0
                pointer = data.ctypes.data_as(llama.llama_token_data_p)
                candidates = llama.llama_token_data_array(pointer, len(data), -1, False)
                llama.llama_sampler_apply(chain, ctypes.byref(candidates))
                ids[row] = candidates.data[candidates.selected].id
                llama.llama_sampler_free(chain)
            return ids

        # Its scores are float32 by their type.
        return name, draw, expected, {"dtypes": (), "row_seeds": True}

    def drawing(name: str, expected: Any, filtered: Callable[[int, int], Any]) -> Subject:
        return subject(f"{name}, dist", expected, filtered, dist)

    def dist(_: int, seed: int) -> Any:
        return llama.llama_sampler_init_dist(seed)

    yield subject("greedy", ls.Greedy(), lambda *_: llama.llama_sampler_init_greedy())
    yield subject("dist", ls.Sampler(), dist)
    temp = llama.llama_sampler_init_temp
    yield drawing("temp 0.7", ls.Temperature(0.7), lambda *_: temp(0.7))
    yield drawing("temp 0", ls.Temperature(0), lambda *_: temp(0.0))
    temp_ext = llama.llama_sampler_init_temp_ext
    yield drawing(
        "temp_ext 1 +- 0.5", ls.DynamicTemperature(1.0, 0.5), lambda *_: temp_ext(1.0, 0.5, 1.0)
    )
    yield drawing("top_k 10", ls.TopK(10), lambda *_: llama.llama_sampler_init_top_k(10))
    top_p = llama.llama_sampler_init_top_p
    yield drawing("top_p 0.9", ls.TopP(0.9), lambda *_: top_p(0.9, 1))
    yield drawing("top_p 0.5", ls.TopP(0.5), lambda *_: top_p(0.5, 1))
    yield drawing("min_p 0.3", ls.MinP(0.3), lambda *_: llama.llama_sampler_init_min_p(0.3, 1))
    yield drawing(
        "typical 0.8", ls.Typical(0.8), lambda *_: llama.llama_sampler_init_typical(0.8, 1)
    )
    yield drawing(
        "top_n_sigma 1", ls.TopNSigma(1.0), lambda *_: llama.llama_sampler_init_top_n_sigma(1.0)
    )
    xtc, expected = llama.llama_sampler_init_xtc, ls.XTC(0.5, 0.05)
    yield drawing("xtc 0.5 0.05", expected, lambda _, seed: xtc(0.5, 0.05, 1, seed ^ 2**30))
    yield drawing("xtc, seed of dist", expected, lambda _, seed: xtc(0.5, 0.05, 1, seed))
    yield subject(
        "mirostat 3 0.1",
        ls.Mirostat(3.0, 0.1, version=1),
        lambda vocab, seed: llama.llama_sampler_init_mirostat(vocab, seed, 3.0, 0.1, 100),
    )
    yield subject(
        "mirostat_v2 3 0.1",
        ls.Mirostat(3.0, 0.1),
        lambda _, seed: llama.llama_sampler_init_mirostat_v2(seed, 3.0, 0.1),
    )
    yield subject(
        "adaptive_p 0.3 0.9",
        ls.AdaptiveP(0.3, 0.9),
        lambda _, seed: llama.llama_sampler_init_adaptive_p(0.3, 0.9, seed),
    )


PEERS: dict[str, Callable[[], Iterator[Subject]]] = {
    "logit_sampling": ours,
    "KerasHub": keras_hub,
    "transformers": transformers,
    "llama.cpp": llama_cpp,
}


def main() -> None:
    """Print a line for each sampler, and one for each check that failed or was not made."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--draws", type=int, default=10_000, help="for each row of logits")
    parser.add_argument("--peer", choices=PEERS, help="only this one")
    parser.add_argument("--json", type=Path, help="write all reports to this file")
    parser.add_argument("--smoke", action="store_true", help="two of each, to see that it runs")
    options = parser.parse_args()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    size = {"draws": 200, "wide_vocab_size": 500} if options.smoke else {"draws": options.draws}
    reports = []
    for peer in [options.peer] if options.peer else PEERS:
        try:
            subjects = list(PEERS[peer]())
        except ImportError as error:
            print(f"{peer}: not installed, left out ({error})")
            continue
        for name, fn, expected, settings in subjects[:2] if options.smoke else subjects:
            start = time.perf_counter()
            report = check_sampler(fn, expected, **settings, **size)
            seconds = time.perf_counter() - start
            reports.append({"peer": peer, "sampler": name} | report.to_dict())
            passed = sum(check.passed is True for check in report.checks)
            made = passed + len(report.failures)
            print(f"{peer}: {name}: {passed} of {made} checks passed ({seconds:.0f} s)")
            for check in report.checks:
                if check.passed is not True:
                    word = "not made" if check.passed is None else "FAILED"
                    print(f"    {word}: {check.name}, {check.rows}: {check.detail}")
    if options.json:
        options.json.write_text(json.dumps(reports, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
