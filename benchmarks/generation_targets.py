"""What generation sets out to reach, as ratios of the time of a step within one run."""

from collections.abc import Iterator
from typing import Any

from generation_worker import Who
from generators import KERAS_HUB, LIMIT, OURS, TRANSFORMERS

COMPILED = ("tensorflow", "jax")
COMPILING = 0.5  # of KerasHub's time, in its better mode
CHAIN = 1.05  # any chain, of greedy, where it is compiled
LIMITED = 1.15  # batch 1, short prompts, of the limit
LIMITED_MODELS = ("gpt2-124m", "smollm2")
SHORT, LONG = 64, 512  # tokens of a prompt
OF_TRANSFORMERS = {"gpt2-124m": 0.85, "smollm2": 0.85}
BFLOAT16 = 0.6  # of float32, on torch, where the processor has AMX


def of_keras_hub(backend: str, prompt: int, batch: int) -> float:
    """Return what of a step of KerasHub, in its better mode, one of ours may take."""
    if backend not in COMPILED:
        return 1
    if prompt < LONG:
        return 0.9
    return 0.65 if batch == 1 else 0.3 if batch >= 8 else 0.9


def findings(
    records: list[dict[str, Any]], amx: bool = False
) -> Iterator[tuple[str, float, float]]:
    """Yield for each target that can be judged what it is, the ratio, and the limit.

    `amx` tells whether the processor has AMX. Without it, bfloat16 should not be slower.
    """
    cells: dict[tuple[Any, ...], dict[Who, dict[str, Any]]] = {}
    for r in records:
        if "median" in r:
            key = tuple(r[name] for name in ("model", "prompt", "batch", "sampler"))
            cells.setdefault(key, {})[Who(*(r[name] for name in Who._fields))] = r
    for (model, prompt, batch, sampler), cell in cells.items():
        where = f"{model}, batch {batch}, prompt {prompt}, {sampler}"
        greedy = cells.get((model, prompt, batch, "greedy"), {})
        for who, own in cell.items():
            if who.who != OURS:
                continue
            seconds, what = own["median"], f"{where}: {who}"
            if who.dtype != "float32":
                if wide := cell.get(who._replace(dtype="float32")):
                    most = BFLOAT16 if amx and who.backend == "torch" and batch == 8 else 1
                    yield f"{what}: {who.dtype} / float32", seconds / wide["median"], most
                continue
            same = [(w, r) for w, r in cell.items() if w.backend == who.backend]
            if peers := [r for w, r in same if w.who == KERAS_HUB]:
                best = min(peers, key=lambda r: r["median"])
                most = of_keras_hub(who.backend, prompt, batch)
                yield f"{what} / KerasHub ({best['mode']})", seconds / best["median"], most
                if who.mode == "compiled" and best["compile"]:
                    compiling = own["compile"] / best["compile"]
                    yield f"{what} / KerasHub ({best['mode']}): compiling", compiling, COMPILING
            for w, r in same:
                if w.who == TRANSFORMERS:
                    yield f"{what} / {w.who}", seconds / r["median"], OF_TRANSFORMERS.get(model, 1)
            if who.backend in COMPILED and sampler != "greedy" and who in greedy:
                yield f"{what} / its greedy", seconds / greedy[who]["median"], CHAIN
            short = batch == 1 and prompt < SHORT
            if who.backend in COMPILED and short and model in LIMITED_MODELS:
                limit = cell[Who(LIMIT, "", "", who.dtype)]["median"]
                yield f"{what} / {LIMIT}", seconds / limit, LIMITED
