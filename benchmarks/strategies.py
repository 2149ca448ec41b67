"""What is measured: each strategy, and the same settings in the words of each peer.

The settings mean the same distribution, but for KerasHub's chain, which measures top-p before the
cut of top-k, and top-h of transformers, which looks at 100 tokens alone.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import logit_sampling as ls

Build = Callable[[Any], Any]
"""From a peer's module to its sampler, or to its list of processors."""

SEED = 7
HISTORY = 512
VOCABULARY: Any = object()  # stands for its size among the arguments


@dataclass(frozen=True)
class Strategy:
    """One line of the benchmark; a peer without it has None."""

    name: str
    chain: tuple[tuple[Any, ...], ...]  # (class of logit_sampling, its arguments ...) in order
    keras_hub: Build | None = None  # from keras_hub.samplers to a sampler
    transformers: Build | None = None  # from transformers to a list of logits processors
    llama_cpp: Callable[[Any, int], Any] | None = None  # from it and the vocabulary to samplers
    history: int = 0  # token ids already there
    greedy: bool = False

    def sampler(self) -> ls.Sampler | None:
        """Return ours, or None if a class of the chain does not exist."""
        if not all(hasattr(ls, name) for name, *_ in self.chain):
            return None
        chain = [getattr(ls, name)(*arguments) for name, *arguments in self.chain]
        return (ls.Greedy if self.greedy else ls.Sampler)(*chain)


def _llama(*calls: tuple[Any, ...], draw: bool = True) -> Callable[[Any, int], Any]:
    """Return what builds llama.cpp's samplers `(name, arguments ...)`, the draw at the end."""

    def build(lib: Any, vocabulary: int) -> Any:
        for name, *arguments in [*calls, ("dist", SEED)] if draw else calls:
            sized = [vocabulary if a is VOCABULARY else a for a in arguments]
            yield getattr(lib, f"llama_sampler_init_{name}")(*sized)

    return build


SETTINGS = (
    Strategy(
        "greedy",
        (),
        lambda kh: kh.GreedySampler(),
        lambda hf: [],
        _llama(("greedy",), draw=False),
        greedy=True,
    ),
    Strategy(
        "whole distribution", (), lambda kh: kh.RandomSampler(seed=SEED), lambda hf: [], _llama()
    ),
    Strategy(
        "top-k 50",
        (("TopK", 50),),
        lambda kh: kh.TopKSampler(k=50, seed=SEED),
        lambda hf: [hf.TopKLogitsWarper(50)],
        _llama(("top_k", 50)),
    ),
    Strategy(
        "top-p 0.9",
        (("TopP", 0.9),),
        lambda kh: kh.TopPSampler(p=0.9, seed=SEED),
        lambda hf: [hf.TopPLogitsWarper(0.9)],
        _llama(("top_p", 0.9, 1)),
    ),
    Strategy(
        "min-p 0.05",
        (("MinP", 0.05),),
        transformers=lambda hf: [hf.MinPLogitsWarper(0.05)],
        llama_cpp=_llama(("min_p", 0.05, 1)),
    ),
    Strategy(
        "temperature 0.8, top-k 50, top-p 0.9",
        (("Temperature", 0.8), ("TopK", 50), ("TopP", 0.9)),
        lambda kh: kh.TopPSampler(p=0.9, k=50, temperature=0.8, seed=SEED),
        lambda hf: [
            hf.TemperatureLogitsWarper(0.8),
            hf.TopKLogitsWarper(50),
            hf.TopPLogitsWarper(0.9),
        ],
        _llama(("temp", 0.8), ("top_k", 50), ("top_p", 0.9, 1)),
    ),
    Strategy(
        "top-k 40, top-p 0.95, min-p 0.05, temperature 0.8",  # llama.cpp's own chain
        (("TopK", 40), ("TopP", 0.95), ("MinP", 0.05), ("Temperature", 0.8)),
        transformers=lambda hf: [
            hf.TopKLogitsWarper(40),
            hf.TopPLogitsWarper(0.95),
            hf.MinPLogitsWarper(0.05),
            hf.TemperatureLogitsWarper(0.8),
        ],
        llama_cpp=_llama(("top_k", 40), ("top_p", 0.95, 1), ("min_p", 0.05, 1), ("temp", 0.8)),
    ),
    Strategy(
        "dynamic temperature 0.8 ± 0.5",
        (("DynamicTemperature", 0.8, 0.5),),
        llama_cpp=_llama(("temp_ext", 0.8, 0.5, 1.0)),
    ),
    Strategy(
        "typical 0.95",
        (("Typical", 0.95),),
        transformers=lambda hf: [hf.TypicalLogitsWarper(0.95)],
        llama_cpp=_llama(("typical", 0.95, 1)),
    ),
    Strategy(
        "epsilon 0.0003",
        (("Epsilon", 3e-4),),
        transformers=lambda hf: [hf.EpsilonLogitsWarper(3e-4)],
    ),
    Strategy(
        "eta 0.0003", (("Eta", 3e-4),), transformers=lambda hf: [hf.EtaLogitsWarper(epsilon=3e-4)]
    ),
    Strategy("top-a 0.2", (("TopA", 0.2),)),
    Strategy("top-n-sigma 1", (("TopNSigma", 1.0),), llama_cpp=_llama(("top_n_sigma", 1.0))),
    Strategy("top-h 0.4", (("TopH", 0.4),), transformers=lambda hf: [hf.TopHLogitsWarper(0.4)]),
    Strategy("p-less", (("PLess",),)),
    Strategy("xtc 0.5, 0.1", (("XTC", 0.5, 0.1),), llama_cpp=_llama(("xtc", 0.5, 0.1, 1, SEED))),
    Strategy(
        "repetition penalty 1.1",
        (("RepetitionPenalty", 1.1),),
        transformers=lambda hf: [hf.RepetitionPenaltyLogitsProcessor(1.1)],
        llama_cpp=_llama(("penalties", VOCABULARY, HISTORY, 1.1, 0.0, 0.0)),
        history=HISTORY,
    ),
    Strategy(
        "repetition 1.1, frequency 0.1, presence 0.1, top-k 50",
        (
            ("RepetitionPenalty", 1.1),
            ("FrequencyPenalty", 0.1),
            ("PresencePenalty", 0.1),
            ("TopK", 50),
        ),
        llama_cpp=_llama(("penalties", VOCABULARY, HISTORY, 1.1, 0.1, 0.1), ("top_k", 50)),
        history=HISTORY,
    ),
    Strategy(
        "no repeated 3-gram",
        (("NoRepeatNGram", 3),),
        transformers=lambda hf: [hf.NoRepeatNGramLogitsProcessor(3)],
        history=HISTORY,
    ),
    Strategy(
        "dry 0.8",
        (("DRY", 0.8),),
        llama_cpp=_llama(("dry", None, 0.8, 1.75, 2, HISTORY, None, 0)),
        history=HISTORY,
    ),
    Strategy(
        "mirostat v2, tau 5",
        (("Mirostat", 5.0, 0.1),),
        llama_cpp=_llama(("mirostat_v2", SEED, 5.0, 0.1), draw=False),
    ),
    Strategy(
        "adaptive-p 0.5",
        (("AdaptiveP", 0.5),),
        llama_cpp=_llama(("adaptive_p", 0.5, 0.9, SEED), draw=False),
    ),
)


def named(patterns: Sequence[str]) -> list[Strategy]:
    """Return the strategies whose name contains one of `patterns`; all if there is none.

    Raises:
        ValueError: a pattern fits no strategy.
    """
    for pattern in patterns:
        if not any(pattern in strategy.name for strategy in SETTINGS):
            names = "; ".join(strategy.name for strategy in SETTINGS)
            raise ValueError(f"no strategy is called {pattern!r}; there are: {names}")
    return [s for s in SETTINGS if not patterns or any(p in s.name for p in patterns)]
