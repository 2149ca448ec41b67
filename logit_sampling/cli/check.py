"""The command ``logit-sampling check``."""

import contextlib
import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from logit_sampling.cli.quiet import import_tensorflow


def check(
    model: Annotated[
        str,
        typer.Argument(
            help="A shipped model, a folder, a KerasHub preset, or a file of Keras (.keras, .h5)."
        ),
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print the report as JSON.")] = False,
) -> None:
    """Tell whether a model puts out logits or probabilities, and whether its loss expects them.

    The exit status is 1 if they do not agree.
    """
    import_tensorflow()
    from logit_sampling.diagnostics import check_logits

    with contextlib.redirect_stdout(sys.stderr):  # what a library prints is no result
        report = check_logits(_load(model))
    print(json.dumps(report.to_dict()) if as_json else report)
    if report.ok is False:
        raise typer.Exit(1)


def _load(name: str) -> Any:
    if Path(name).suffix not in (".keras", ".h5"):
        from logit_sampling.generation import load_model

        return load_model(name)
    import keras

    if not Path(name).is_file():
        raise ValueError(f"there is no file {name}")
    try:
        return keras.models.load_model(name)
    except Exception as error:  # whatever Keras raises for a file that it cannot read
        raise ValueError(f"cannot load {name}: {error}") from error
