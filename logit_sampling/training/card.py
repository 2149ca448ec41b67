"""The model card of a trained model: metrics as JSON, the learning curve, and a README."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from logit_sampling.plotting.figures import GREY, draw_lines
from logit_sampling.plotting.visible import visible
from logit_sampling.training.corpus import CORPORA
from logit_sampling.training.data import DROPPED, DROPPING


def write_card(folder: Path, metrics: dict[str, Any], log: list[dict[str, float]]) -> None:
    """Write `metrics.json`, `curve.png` (if matplotlib is installed) and `README.md`."""
    (folder / "metrics.json").write_text(json.dumps(metrics, indent=2) + "\n", encoding="utf-8")
    curve = _write_curve(folder / "curve.png", log)
    recipe = metrics["recipe"]
    context, ema = recipe["context"], recipe["ema"]
    characters_per_token = metrics["validation_characters"] / metrics["validation_tokens"]
    facts = (recipe | metrics) | {
        "vocabulary": metrics["vocabulary_size"],
        "millions": metrics["parameters"] / 1e6,
        "megabytes": sum(f.stat().st_size for f in folder.rglob("*") if f.is_file()) / 1e6,
        "saved": _saved(metrics),
        "curve": "the averaged weights" if ema else "the weights at the end of an epoch",
        "augmented": f"BPE dropout {recipe['bpe_dropout']} in {DROPPED:.0%} of the windows of the "
        f"first {DROPPING:.0%} of the epochs"
        if recipe["bpe_dropout"]
        else "no BPE dropout",
        "layers": _counted(recipe["layers"], "layer"),
        "heads": _counted(recipe["heads"], "head"),
        "average": f"average of the weights with a momentum that grows to {ema}"
        if ema
        else "no average of the weights",
        "epochs": _counted(recipe["epochs"], "epoch"),
        "steps": _counted(metrics["steps"], "step"),
        "windows": _counted(recipe["batch_size"], "window"),
        "time": _duration(metrics["seconds"]),
        "cores": _counted(metrics["cpus"], "CPU core"),
        "prompt": _counted(metrics["sample_prompt_tokens"], "token"),
        "context_half": context // 2,
        "context_characters": round(context // 2 * characters_per_token),
        "whole_context": round(context * characters_per_token),
        "software": ", ".join(f"{k} {v}" for k, v in metrics["versions"].items()),
        "command": metrics["command"] or "logit_sampling.train(...)",
        "sample": visible(metrics["sample"], keep="\n\t"),
    }
    templates = [Path(__file__).with_name("card.md")]
    if metrics["corpus"] in CORPORA:  # what only it calls for, such as published results on it
        templates += Path(__file__).parent.glob(f"{metrics['corpus']}.md")
    card = "\n".join(t.read_text(encoding="utf-8").format(**facts) for t in templates)
    if not curve:
        card = "".join(line for line in card.splitlines(True) if not line.startswith("!["))
    # A command may name a file in bytes that are no text.
    (folder / "README.md").write_text(card, encoding="utf-8", errors="backslashreplace")


def _counted(number: int, noun: str) -> str:
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def _duration(seconds: float) -> str:
    return f"{seconds:.1f} seconds" if seconds < 120 else f"{seconds / 60:.1f} minutes"


def _saved(metrics: dict[str, Any]) -> str:
    """Which weights were saved, and the loss of those that were not."""
    average, last = (metrics[f"{name}_nats_per_character"] for name in ("average", "last"))
    epoch = f"epoch {metrics['best_epoch']} of {metrics['recipe']['epochs']}"
    if average is None:
        return f"the weights as they were after {epoch}, without an average"
    if metrics["weights"] == "average":
        return (
            f"the averaged weights of {epoch}, with {average:.4f} nats a character; the last "
            f"weights of the run, as they were, have {last:.4f}"
        )
    return (
        f"the last weights of the run, as they were, with {last:.4f} nats a character; the best "
        f"averaged weights have {average:.4f}"
    )


def _write_curve(path: Path, log: list[dict[str, float]]) -> bool:
    try:
        from matplotlib.figure import Figure
        from matplotlib.ticker import MaxNLocator
    except ImportError:
        return False
    figure = Figure(figsize=(6, 3.6), layout="constrained")
    axes = figure.add_subplot()
    epochs = [row["epoch"] for row in log]
    parts = ("training", "validation")
    draw_lines(
        axes, {part: (epochs, [row[f"{part}_nats_per_character"] for row in log]) for part in parts}
    )
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.set_xlabel("epoch", color=GREY)
    axes.set_ylabel("loss, nats per character", color=GREY)
    figure.savefig(path, dpi=120)
    return True
