"""The same small GPT, trained on the same text with `from_logits` right and wrong.

Four runs start from the same weights and see the same batches. They differ in whether the model
ends in a softmax, and in whether the loss is told. After each stretch of training, the held-out
text is scored by the distribution that the model states: the softmax of its logits, or its
probabilities.

    python examples/from_logits.py --out docs            # a few minutes on two cores
    python examples/from_logits.py --out /tmp/x --quick  # seconds, and nothing is learned

Mixed bfloat16, as in `logit-sampling train`: in float32 alone, Keras' TensorFlow backend would find
the softmax behind its own cross-entropy, and mend the second mistake with no more than a warning.
"""

import argparse
import itertools
import json
from dataclasses import dataclass, field
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

import logit_sampling as ls
from logit_sampling.evaluation import visible
from logit_sampling.plotting.figures import GREY, draw_lines
from logit_sampling.training import CORPORA, Recipe, learn_tokenizer, read_text, split
from logit_sampling.training.data import batches
from logit_sampling.training.model import build_model

RUNS = {  # does the model end in a softmax, and from_logits
    "logits, from_logits=True": (False, True),
    "softmax, from_logits=False": (True, False),
    "logits, from_logits=False": (False, False),
    "softmax, from_logits=True": (True, True),
}
PROMPT = "ROMEO:"


@dataclass
class Settings:
    """How long, and on what."""

    recipe: Recipe
    steps: int = 600
    every: int = 50
    windows: int = 128  # of the held-out text
    tokens: int = 120  # of the text that is written


@dataclass
class Run:
    """What came of one way to set the flag."""

    verdict: bool | None
    shown: list[float] = field(default_factory=list)  # the loss that Keras shows, nats a token
    nats: list[float] = field(default_factory=list)  # what the held-out text costs, nats a token
    text: str = ""


def build(settings: Settings, vocabulary: int, softmax: bool, from_logits: bool) -> keras.Model:
    keras.utils.set_random_seed(settings.recipe.seed)
    gpt = build_model(settings.recipe, vocabulary, "mixed_bfloat16")
    outputs = keras.layers.Softmax(dtype="mixed_bfloat16")(gpt.output) if softmax else gpt.output
    model = keras.Model(gpt.input, outputs)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=from_logits)
    model.compile(keras.optimizers.Adam(settings.recipe.learning_rate), loss)
    return model


def logits_of(model: keras.Model, ids: np.ndarray, softmax: bool) -> np.ndarray:
    """What the model states about each next token, as logits [batch, length, vocab]."""
    outputs = model({"token_ids": ids, "padding_mask": np.ones_like(ids)}, training=False)
    return np.asarray(
        tf.cast(ls.logits_from(probabilities=outputs) if softmax else outputs, "float32")
    )


def nats_per_token(model: keras.Model, windows: np.ndarray, softmax: bool) -> float:
    total = 0.0
    for rows in np.array_split(windows, max(1, len(windows) // 32)):
        logits = logits_of(model, rows[:, :-1], softmax).astype(np.float64)
        chosen = np.take_along_axis(logits, rows[:, 1:, None], -1)[..., 0]
        # A probability that bfloat16 rounds to 0 counts as the least that Keras' loss can tell.
        chosen = np.maximum(chosen, np.log(1e-7) if softmax else -np.inf)
        total += float((np.log(np.exp(logits).sum(-1)) - chosen).sum())
    return total / (windows.shape[0] * (windows.shape[1] - 1))


def train(text: str, settings: Settings) -> dict[str, object]:
    recipe = settings.recipe
    training, held_out = split(text)
    tokenizer = learn_tokenizer(training, recipe.vocabulary_size)
    ids = np.asarray(tokenizer(training), np.int32)
    held_out_ids = np.asarray(tokenizer(held_out), np.int32)
    count = min(settings.windows, held_out_ids.size // (recipe.context + 1))
    windows = held_out_ids[: count * (recipe.context + 1)].reshape(count, -1)
    vocabulary = tokenizer.vocabulary_size()

    runs = {}
    for name, (softmax, from_logits) in RUNS.items():
        model = build(settings, vocabulary, softmax, from_logits)
        report = ls.check_logits(model)
        print(f"--- {name}\n{report}")
        run = Run(report.ok, nats=[nats_per_token(model, windows, softmax)])
        stream = itertools.islice(batches(ids, recipe, 0), settings.steps)
        for step, (x, y) in enumerate(stream, start=1):
            loss = float(model.train_on_batch(x, y))  # the mean since reset_metrics
            if step % settings.every == 0:
                run.shown.append(loss)
                run.nats.append(nats_per_token(model, windows, softmax))
                print(f"step {step}: {run.shown[-1]:.3f} shown, {run.nats[-1]:.3f} held out")
                model.reset_metrics()
        run.text = write(model, tokenizer, settings, softmax)
        print(run.text)
        runs[name] = run
    return {
        "parameters": model.count_params(),
        "vocabulary": vocabulary,
        "guess": float(np.log(vocabulary)),
        "floor": float(np.log(np.e + vocabulary - 1) - 1),
        "characters_per_token": len(tokenizer.detokenize(windows.reshape(-1).tolist()))
        / windows.size,
        "steps": settings.steps,
        "every": settings.every,
        "held_out_tokens": int(windows[:, 1:].size),
        "runs": {name: vars(run) for name, run in runs.items()},
    }


def write(model: keras.Model, tokenizer: object, settings: Settings, softmax: bool) -> str:
    """What the model writes: the same seed for all, and the whole distribution."""

    def last(ids: np.ndarray) -> np.ndarray:
        return logits_of(model, ids[:, -settings.recipe.context :], softmax)[:, -1]

    result = ls.generate(
        last,
        [np.asarray(tokenizer(PROMPT)).tolist()],  # type: ignore[operator]
        sampler=ls.Sampler(ls.Temperature(0.8)),
        max_new_tokens=settings.tokens,
        seed=1,
    )
    return PROMPT + tokenizer.detokenize(result.token_ids[0])  # type: ignore[attr-defined]


def tables(results: dict) -> str:
    """What docs/logits.md shows of the results: the losses, and the texts."""
    runs = results["runs"]
    lines = [
        "| the model ends in, and the flag | check_logits | loss that Keras shows "
        "| held out, nats a token | nats a character | lost, nats a token |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for name, run in runs.items():
        ending, flag = name.split(", ")
        # The same model with the flag that agrees.
        right = runs[f"{ending}, from_logits={ending == 'logits'}"]["nats"][-1]
        nats = run["nats"][-1]
        verdict = "agrees" if run["verdict"] else "does not agree"
        numbers = (run["shown"][-1], nats, nats / results["characters_per_token"], nats - right)
        row = [ending, f"`{flag}`", verdict, *(f"{number:.2f}" for number in numbers)]
        lines.append(f"| {row[0]}, {' | '.join(row[1:])} |")
    texts = [f"{name}:\n{visible(run['text'], keep=chr(10))}" for name, run in runs.items()]
    return "\n".join(lines) + "\n\n```text\n" + "\n\n".join(texts) + "\n```"


def plot(results: dict, path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4), layout="constrained")
    axes = figure.add_subplot()
    steps = np.arange(len(next(iter(results["runs"].values()))["nats"])) * results["every"]
    axes.axhline(results["guess"], color=GREY, lw=0.8)
    middle = (steps[-1] / 2, results["guess"])
    axes.annotate("a guess: ln(vocabulary)", middle, color=GREY, va="bottom", fontsize=9)
    runs = results["runs"]
    wrong = [name for name, run in runs.items() if not run["verdict"]]
    draw_lines(axes, {name: (steps, run["nats"]) for name, run in runs.items()}, dashed=wrong)
    axes.set_xlabel("step", color=GREY)
    axes.set_ylabel("held-out text, nats per token", color=GREY)
    figure.savefig(path, dpi=120)


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Train with from_logits right and wrong.")
    parser.add_argument("--out", type=Path, required=True, help="folder of results and picture")
    parser.add_argument("--text", type=Path, help="a UTF-8 file instead of tinyshakespeare")
    parser.add_argument("--quick", action="store_true", help="a few steps of a tiny model")
    chosen = parser.parse_args(arguments)
    text = read_text(chosen.text) if chosen.text else CORPORA["tinyshakespeare"]()
    if chosen.quick:
        recipe = Recipe(vocabulary_size=260, context=8, layers=1, heads=1, width=8, batch_size=2)
        settings = Settings(recipe, steps=4, every=2, windows=4, tokens=5)
    else:
        recipe = Recipe(
            vocabulary_size=320, context=64, layers=2, heads=4, width=128, dropout=0.0,
            batch_size=32, learning_rate=3e-3,
        )  # fmt: skip
        settings = Settings(recipe)
    results = train(text, settings)
    chosen.out.mkdir(parents=True, exist_ok=True)
    (chosen.out / "from_logits.json").write_text(json.dumps(results, indent=1) + "\n")
    print(tables(results))
    plot(results, chosen.out / "from_logits.png")


if __name__ == "__main__":
    main()
