"""The command `logit-sampling score`."""

import contextlib
import json
import sys
from pathlib import Path
from typing import Annotated, cast

import typer

from logit_sampling.cli.options import DtypeOption, ModelOption, OverflowOption, end_with_errors
from logit_sampling.cli.quiet import import_tensorflow
from logit_sampling.training import read_text
from logit_sampling.types import Overflow


def score(
    texts: Annotated[list[str] | None, typer.Argument(help="The texts.")] = None,
    file: Annotated[
        list[Path] | None,
        typer.Option(help="A file that is a text; may be given several times."),
    ] = None,
    model: ModelOption = "shakespeare",
    dtype: DtypeOption = None,
    overflow: OverflowOption = "error",
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object instead, token by token.")
    ] = False,
) -> None:
    """Tell how likely a language model finds texts."""
    named = [(repr(text), text) for text in texts or []]
    named += [(str(path), read_text(path)) for path in file or []]
    if not named:
        raise ValueError("nothing to score: give texts, or --file with a path")
    import_tensorflow()
    from logit_sampling.generation.score import score
    from logit_sampling.models.loading import load_model

    with contextlib.redirect_stdout(sys.stderr):  # what a library prints is no result
        loaded = load_model(model, dtype=dtype)
    result = score(
        loaded, [text for _, text in named], overflow=cast(Overflow, overflow), on_error="return"
    )
    if as_json:
        print(json.dumps({"model": loaded.name, **result.to_dict()}))
    else:
        for (name, _), total, count in zip(named, result.totals, result.counts, strict=True):
            shown = name if len(name) <= 60 else f"{name[:57]}..."
            print(f"{total:.2f} nats in {count} tokens: {shown}")
        print(f"perplexity {result.perplexity:.2f} over {sum(result.counts)} tokens")
    end_with_errors(result.errors)
