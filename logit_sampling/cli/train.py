"""The command `logit-sampling train`."""

import re
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from inspect import signature
from pathlib import Path
from typing import Annotated

import typer

from logit_sampling.cli.process import catch_interrupts, interrupted, say
from logit_sampling.models.quiet import import_tensorflow
from logit_sampling.training import CORPORA, Recipe, read_text
from logit_sampling.training.data import check_length
from logit_sampling.training.fit import train_in
from logit_sampling.training.folder import RunFolder


@contextmanager
def _naming_options() -> Iterator[None]:
    """Name the option where an error names an argument: `batch_size` is --batch-size here."""
    try:
        yield
    except ValueError as error:
        names = "|".join(signature(train).parameters)
        message = re.sub(
            f"`({names})(?:=True)?`", lambda name: "--" + name[1].replace("_", "-"), str(error)
        )
        raise ValueError(message) from error


@_naming_options()
def train(
    out: Annotated[Path, typer.Option(help="The folder to make: a KerasHub preset and its card.")],
    text: Annotated[Path | None, typer.Option(help="The UTF-8 file to learn from.")] = None,
    corpus: Annotated[
        str | None, typer.Option(help=f"A published text instead: {', '.join(CORPORA)}.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue an interrupted run with the same options.")
    ] = False,
    epochs: Annotated[
        int, typer.Option(help="Rounds, each of as many windows as the text fills.")
    ] = Recipe.epochs,
    batch_size: Annotated[
        int | None,
        typer.Option(help="Windows in a step: 32, or fewer for a small text, by default."),
    ] = Recipe.batch_size,
    learning_rate: Annotated[
        float, typer.Option(help="Its peak, after warm-up and before cosine decay.")
    ] = Recipe.learning_rate,
    dropout: Annotated[float, typer.Option(help="Dropout of each block.")] = Recipe.dropout,
    bpe_dropout: Annotated[
        float,
        typer.Option(help="How often a merge is left out where the text is cut anew; 0 for never."),
    ] = Recipe.bpe_dropout,
    vocabulary_size: Annotated[
        int, typer.Option(help="Tokens at most: 256 bytes, the end token, and merges.")
    ] = Recipe.vocabulary_size,
    context: Annotated[
        int, typer.Option(help="Tokens that the model sees at once.")
    ] = Recipe.context,
    layers: Annotated[int, typer.Option(help="Transformer blocks.")] = Recipe.layers,
    heads: Annotated[int, typer.Option(help="Attention heads in a block.")] = Recipe.heads,
    width: Annotated[int, typer.Option(help="Size of the embedding.")] = Recipe.width,
    ema: Annotated[
        float,
        typer.Option(help="What the momentum of the average of the weights grows to; 0 for none."),
    ] = Recipe.ema,
    seed: Annotated[
        int, typer.Option(help="Weights, dropout and order of the text.")
    ] = Recipe.seed,
) -> None:
    """Train a small GPT on a text; the default recipe made the shipped model.

    The last tenth of the text is kept for validation, and the weights that do best on it are
    saved. State is in OUT.training until then: after an interruption, add --resume to the same
    command.
    """
    recipe = Recipe(
        vocabulary_size=vocabulary_size,
        context=context,
        layers=layers,
        heads=heads,
        width=width,
        dropout=dropout,
        bpe_dropout=bpe_dropout,
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        ema=ema,
        seed=seed,
    )
    if (text is None) == (corpus is None):
        raise ValueError("give the text to learn from: either --text FILE or --corpus NAME")
    if corpus is not None and corpus not in CORPORA:
        raise ValueError(f"unknown corpus {corpus!r}: choose from {', '.join(CORPORA)}")
    content = ""
    if text is not None:
        content = read_text(text)
        check_length(content, recipe)
    folder = RunFolder(out)
    command = shlex.join(["logit-sampling", *(a for a in sys.argv[1:] if a != "--resume")])
    with folder.claimed(resume):
        pass  # what is wrong with it is told before the imports, which take long
    import_tensorflow()
    catch_interrupts()
    try:
        with folder.claimed(resume):
            if corpus is not None:
                content = CORPORA[corpus]()
            metrics = train_in(folder, content, recipe, resume, corpus or "a local file", command)
    except BaseException as error:
        if not interrupted(error):
            raise
        kept = folder.checkpoint.exists()
        say(
            f"\ninterrupted; continue with: {command} --resume"
            if kept
            else "\ninterrupted before the first epoch was over: nothing was kept"
        )
        raise KeyboardInterrupt from None
    weights = {"average": "the averaged weights", "last": "the weights"}[metrics["weights"]]
    print(
        f"{out}: {metrics['nats_per_character']:.4f} nats a character on the last tenth of the "
        f"text, from {weights} of epoch {metrics['best_epoch']} of {epochs}"
    )
