"""The commands of `logit-sampling` together."""

from typing import Annotated

import typer

from logit_sampling import __version__
from logit_sampling.cli.check import check
from logit_sampling.cli.compare import compare
from logit_sampling.cli.explain import explain
from logit_sampling.cli.generate import generate
from logit_sampling.cli.samplers import samplers
from logit_sampling.cli.score import score
from logit_sampling.cli.train import train

app = typer.Typer(
    name="logit-sampling",
    help="Turn raw vocabulary logits into tokens: generate, score, explain, compare, train, check.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
for command in (generate, score, explain, samplers, compare, train, check):
    app.command()(command)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"logit-sampling {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    pass
