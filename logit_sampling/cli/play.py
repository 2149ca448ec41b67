"""The command `logit-sampling play`."""

import webbrowser
from typing import Annotated

import typer

from logit_sampling.cli.options import DtypeOption, ModelOption
from logit_sampling.cli.serve import LOOPBACK, hosts, listen, run


def play(
    model: ModelOption = "shakespeare",
    dtype: DtypeOption = None,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="0, as by default, for any that is free.")
    ] = 0,
    browser: Annotated[
        bool, typer.Option("--browser/--no-browser", help="Whether to open the page.")
    ] = True,
) -> None:
    """Open a page that shows what sampling does, with a real model and exact numbers.

    Needs `pip install "logit-sampling[serve]"`. The page is for this machine alone. Ctrl-C ends it.
    """

    def begun(address: str) -> None:
        if browser:
            webbrowser.open(f"{address}/play")

    run(model, dtype, listen(LOOPBACK[0], port), "play", begun, hosts=hosts(LOOPBACK[0]), play=True)
