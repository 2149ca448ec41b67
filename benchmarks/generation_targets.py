"""What generation sets out to reach, as ratios of the time of a step within one run."""

from collections.abc import Iterator
from typing import Any

from generators import KERAS_HUB, LIMIT, OURS, TRANSFORMERS

CHAIN = 1.10  # any chain, of greedy
KERAS_HUB_MODEL = "gpt2-124m"
KERAS_HUB_MODES = {1: 1 / 1.3, 8: 1 / 2.5, 32: 1 / 2.5}  # by batch, of the better mode
LIMITED = 1.3  # batch 1, of the limit


def findings(records: list[dict[str, Any]]) -> Iterator[tuple[str, float, float]]:
    """Yield for each target that can be judged what it is, the ratio, and the limit."""
    cells: dict[tuple[Any, ...], dict[str, float]] = {}
    for r in records:
        if "median" in r:
            key = tuple(r[name] for name in ("model", "prompt", "batch", "sampler"))
            cells.setdefault(key, {})[r["contender"]] = r["median"]
    for (model, prompt, batch, sampler), seconds in cells.items():
        if OURS not in seconds:
            continue
        own, where = seconds[OURS], f"{model}, batch {batch}, prompt {prompt}, {sampler}: {OURS}"
        greedy = cells.get((model, prompt, batch, "greedy"), {}).get(OURS)
        if greedy and sampler != "greedy":
            yield f"{where} / its greedy", own / greedy, CHAIN
        modes = [seconds[name] for name in KERAS_HUB if name in seconds]
        if modes and model == KERAS_HUB_MODEL and batch in KERAS_HUB_MODES:
            yield f"{where} / KerasHub, better mode", own / min(modes), KERAS_HUB_MODES[batch]
        if TRANSFORMERS in seconds:
            yield f"{where} / {TRANSFORMERS}", own / seconds[TRANSFORMERS], 1
        if batch == 1:
            yield f"{where} / {LIMIT}", own / seconds[LIMIT], LIMITED
