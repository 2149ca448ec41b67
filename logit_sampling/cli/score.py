"""The command `logit-sampling score`."""

import contextlib
import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from logit_sampling.cli.options import (
    DtypeOption,
    ModelOption,
    OverflowOption,
    end_with_errors,
    from_stdin,
)
from logit_sampling.plotting.visible import visible


def score(
    texts: Annotated[
        list[str] | None,
        typer.Argument(metavar="TEXT", help="The texts; - is what stands in standard input."),
    ] = None,
    file: Annotated[
        list[Path] | None,
        typer.Option(
            help="A file that is a text, - for standard input; may be given several times."
        ),
    ] = None,
    model: ModelOption = "shakespeare",
    dtype: DtypeOption = None,
    overflow: OverflowOption = "error",
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object instead, token by token.")
    ] = False,
) -> None:
    """Tell how likely a language model finds texts."""
    if not texts and not file:
        raise ValueError("nothing to score: give texts, or --file with a path")
    from logit_sampling.training.corpus import read_text

    named = [(repr(text), from_stdin(text)) for text in texts or []]
    for path in file or []:
        named.append((str(path), sys.stdin.read() if str(path) == "-" else read_text(path)))
    from logit_sampling.generation.score import score
    from logit_sampling.models.loading import load_model

    with contextlib.redirect_stdout(sys.stderr):  # what a library prints is no result
        loaded = load_model(model, dtype=dtype)
    result = score(loaded, [text for _, text in named], overflow=overflow, on_error="return")
    if as_json:
        print(json.dumps({"model": loaded.name, **result.to_dict()}))
    else:
        for (name, _), total, count in zip(named, result.totals, result.counts, strict=True):
            shown = visible(name if len(name) <= 60 else f"{name[:57]}...")
            print(f"{total:.2f} nats in {count} tokens: {shown}")
        print(f"perplexity {result.perplexity:.2f} over {sum(result.counts)} tokens")
    end_with_errors(result.errors)
