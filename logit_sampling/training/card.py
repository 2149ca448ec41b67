"""The model card of a trained model: metrics as JSON, the learning curve, and a README."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from logit_sampling.plotting.visible import visible
from logit_sampling.training.corpus import CORPORA


def write_card(folder: Path, metrics: dict[str, Any], log: list[dict[str, float]]) -> None:
    """Write `metrics.json`, `curve.png` (if matplotlib is installed) and `README.md`."""
    (folder / "metrics.json").write_text(json.dumps(metrics, indent=2) + "\n", encoding="utf-8")
    curve = _write_curve(folder / "curve.png", log)
    recipe = metrics["recipe"]
    context = recipe["context"]
    characters_per_token = metrics["validation_characters"] / metrics["validation_tokens"]
    facts = (recipe | metrics) | {
        "vocabulary": metrics["vocabulary_size"],
        "millions": metrics["parameters"] / 1e6,
        "megabytes": sum(f.stat().st_size for f in folder.rglob("*") if f.is_file()) / 1e6,
        "minutes": metrics["seconds"] / 60,
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


def _write_curve(path: Path, log: list[dict[str, float]]) -> bool:
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return False
    figure = Figure(figsize=(6, 3.6), layout="constrained")
    axes = figure.add_subplot()
    epochs = [row["epoch"] for row in log]
    for part in ("training", "validation"):
        axes.plot(epochs, [row[f"{part}_nats_per_character"] for row in log], label=part)
    axes.set(xlabel="epoch", ylabel="loss, nats per character")
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=120)
    return True
