"""The commands of `logit-sampling` together."""

from collections.abc import Sequence
from importlib import import_module
from typing import Annotated, Any

import typer

from logit_sampling import __version__

COMMANDS = (
    "generate",
    "score",
    "explain",
    "samplers",
    "compare",
    "train",
    "check",
    "certify",
    "serve",
    "batch",
    "play",
)


def run(arguments: Sequence[str]) -> int:
    """Run a command and return its exit status; raise ValueError for arguments that it lacks."""
    app = typer.Typer(
        help="Turn raw vocabulary logits into tokens: generate, score, explain, samplers, compare, "
        "train, check, certify, serve, batch, play.",
        pretty_exceptions_enable=False,
    )
    app.callback()(_options)
    # The modules of the others take a while, and are needed for the list of commands alone.
    for name in [name for name in COMMANDS if name in arguments[:1]] or COMMANDS:
        app.command()(getattr(import_module(f"logit_sampling.cli.{name}"), name))
    try:
        status = app(arguments or ["--help"], prog_name="logit-sampling", standalone_mode=False)
    except typer.TyperException as error:
        raise ValueError(_explained(error)) from None
    return status or 0


def _explained(error: Any) -> str:
    """What is wrong with arguments, and where to look."""
    message = error.format_message().rstrip(".").replace("Value error, ", "")
    if message.startswith("No such option") and "Possible options" not in message:
        message += "; a text that begins with a dash goes behind -- and all options"
    return f"{message} (`{error.ctx.command_path} --help` tells more)"


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"logit-sampling {__version__}")
        raise typer.Exit


def _options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    pass
