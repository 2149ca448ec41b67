"""Comparisons made by hand, whose numbers are known."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from logit_sampling.evaluation import Comparison, Text
from logit_sampling.evaluation.texts import HUMAN

LogProb = Callable[[int], float]
CALL = {
    "date": "2026-01-02T03:04:05+00:00",
    "command": "logit-sampling compare --prompts p.txt",
    "versions": {"python": "3.11.7", "numpy": "2.4.0"},
    "backend": None,
    "machine": "Linux x86_64",
}


def wave(place: int) -> float:
    """Something for each prompt, as often above 0 as below."""
    return (-1) ** place * (1 + place % 3) / 10


def compared(
    samplers: Mapping[str, LogProb],
    prompts: int = 24,
    human: LogProb | None = None,
    settings: Mapping[str, Mapping[str, Any]] | None = None,
    text: str = "words",
    seeds: Sequence[int] = (0,),
    steps: bool = False,
    prompt: str = "prompt",
    **given: Any,
) -> Comparison:
    """Each sampler by the log-probability of the tokens of its text for each prompt."""
    own = settings or {}
    ids = [f"p{i}" for i in range(prompts)]
    setting = {
        "prompts": {i: {"text": f"{prompt} {i}", "human": None} for i in ids},
        "samplers": {
            name: {"chain": f"Chain({name})", "draws": True, "settings": own.get(name, {})}
            for name in samplers
        },
        "models": {"toy": {"weights": "0123abcd"}},
        "seeds": list(seeds),
        "max_new_tokens": 4,
        "stop_at_end": False,
        "overflow": "error",
        "judge": None,
    }  # fmt: skip
    writers = dict(samplers) | ({} if human is None else {HUMAN: human})
    texts = [
        Text(
            model="toy",
            sampler=name,
            prompt_id=i,
            prompt=f"{prompt} {i}",
            run=None if name == HUMAN else seed,
            seed=None if name == HUMAN else seed,
            text=f"{text} of {name} {i} {seed}",
            token_ids=(place, place + 1, place + 2, place + 3),
            log_probs=(log_prob(place),) * 4,
            kept=(4, 3, 2, 1) if steps and name != HUMAN else None,
        )
        for name, log_prob in writers.items()
        for place, i in enumerate(ids)
        for seed in (seeds if name != HUMAN else [0])
    ]
    return Comparison(
        setting, (dict(CALL),), tuple(texts), **({"measures": ("perplexity",)} | given)
    )
