"""The result of a run: the numbers of its model, and the folder with the model and its card."""

from __future__ import annotations

import math
import os
import shutil
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from logit_sampling.training.card import write_card
from logit_sampling.training.progress import write_log

if TYPE_CHECKING:
    from logit_sampling.training.fit import Run


def better(losses: dict[str, float]) -> str:
    """Which weights are saved: those of the "best" epoch, or the "last" if they are better.

    `losses` are their nats on the whole validation text.
    """
    return "last" if losses["last"] < losses["best"] else "best"


def metrics_of(
    run: Run, log: list[dict[str, float]], losses: dict[str, float], sample: str
) -> dict[str, Any]:
    """What the model card reports; `losses` as those of `better`."""
    import keras
    import keras_hub
    import tokenizers

    backend = keras.config.backend()
    software = {backend: import_module(backend), "keras": keras, "keras-hub": keras_hub}
    software["tokenizers"] = tokenizers
    characters, tokens = len(run.validation_text), int(run.validation_ids.size)
    saved = better(losses)
    loss = losses[saved]
    best = min(log, key=lambda row: row["validation_nats_per_character"])["epoch"]
    averaged = run.recipe.ema > 0
    return {
        "text_sha256": run.text_sha256,
        "training_characters": len(run.training_text),
        "training_tokens": int(run.training_ids.size),
        "validation_characters": characters,
        "validation_tokens": tokens,
        "parameters": int(run.judged.count_params()),
        "steps": run.recipe.epochs * run.steps,
        "vocabulary_size": run.tokenizer.vocabulary_size(),
        "best_epoch": best if saved == "best" else run.recipe.epochs,
        "weights": "average" if averaged and saved == "best" else "last",
        "nats_per_token": loss / tokens,
        "nats_per_character": loss / characters,
        "bits_per_character": loss / characters / math.log(2),
        "perplexity": math.exp(loss / tokens),
        "average_nats_per_character": losses["best"] / characters if averaged else None,
        "last_nats_per_character": losses["last"] / characters,
        "seconds": log[-1]["seconds"],
        "cpus": os.cpu_count(),
        "versions": {name: module.__version__ for name, module in software.items()},
        "sample": sample,
        "sample_prompt_tokens": int(run.prompt.size),
        "recipe": asdict(run.recipe),
    }


def write_result(run: Run, metrics: dict[str, Any], log: list[dict[str, float]]) -> Path:
    """Write the judged model as it is, the log and the card; return their folder."""
    preset = run.folder.path / "preset"
    shutil.rmtree(preset, ignore_errors=True)
    run.judged.save_to_preset(str(preset))
    write_log(preset / "log.csv", log)
    write_card(preset, metrics, log)
    return preset
