"""The command `logit-sampling batch`."""

import contextlib
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from logit_sampling import __version__
from logit_sampling.cli.options import (
    DtypeOption,
    ModelOption,
    NameOption,
    RowsOption,
    SamplerOption,
    TemplateOption,
    template_in,
)
from logit_sampling.cli.process import catch_interrupts, interrupted, say
from logit_sampling.plotting.visible import counted


def batch(
    given: Annotated[
        Path,
        typer.Argument(metavar="IN.jsonl", help="Requests: a JSON object a line."),
    ],
    out: Annotated[
        Path, typer.Argument(metavar="OUT.jsonl", help="Results: a line each, in order.")
    ],
    model: ModelOption = "shakespeare",
    dtype: DtypeOption = None,
    sampler: SamplerOption = None,
    max_new_tokens: Annotated[
        int | None, typer.Option(min=1, help="Tokens of a text whose request does not say.")
    ] = None,
    seed: Annotated[
        int, typer.Option(help="Of requests without one, each of which makes its own of it.")
    ] = 0,
    name: NameOption = None,
    chat_template: TemplateOption = None,
    max_rows: RowsOption = 32,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with a job that was interrupted.")
    ] = False,
) -> None:
    """Write what a file of requests asks for.

    A request is {"id": 1, "prompt": "ROMEO:", "temperature": 0.8}
    with any settings, or in the batch form of the OpenAI API.
    What is wrong with one is its result; the job goes on, and ends with status 1.
    """
    from logit_sampling.serving.job import Job

    template = template_in(chat_template)
    otherwise: dict[str, Any] = {}
    if sampler is not None:
        from logit_sampling.decoding.written import read

        read(sampler)
        otherwise["sampler"] = sampler
    if max_new_tokens is not None:
        otherwise["max_new_tokens"] = max_new_tokens
    about = {
        "model": str(model),
        "dtype": dtype,
        "name": name,
        "seed": seed,
        "chat template": template,
        "max_rows": max_rows,
        **otherwise,
    }
    job = Job(given, out, resume)
    from logit_sampling.models.identity import identity
    from logit_sampling.models.loading import load_model
    from logit_sampling.serving.lines import Writer

    with contextlib.redirect_stdout(sys.stderr):
        loaded = load_model(model, dtype=dtype)
    writer = Writer(
        loaded, name=name, seed=seed, template=template, max_rows=max_rows, otherwise=otherwise
    )
    import keras

    about |= identity(loaded) | {"version": __version__, "backend": keras.backend.backend()}
    catch_interrupts()
    try:
        _with_progress(job, writer, about)
    except KeyboardInterrupt:
        say(
            f"logit-sampling: interrupted; {counted(job.done, 'result')} are in {job.part}, and "
            "--resume goes on behind them"
        )
        raise typer.Exit(130) from None
    told = f"{counted(job.done, 'result')} in {out}, {counted(job.errors, 'error')}"
    say(f"logit-sampling: {told}" + "; it was complete before" * job.complete)
    if job.errors:
        raise typer.Exit(1)


def _with_progress(job: Any, writer: Any, about: dict[str, Any]) -> None:
    """Run a job, with a bar on a terminal."""
    from rich import progress
    from rich.console import Console

    console = Console(stderr=True)
    bar = progress.Progress(
        progress.BarColumn(),
        progress.TaskProgressColumn(),
        progress.TextColumn("{task.fields[ended]} requests"),
        progress.TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
    )
    with bar:
        task, ended = bar.add_task("", total=None, ended=0), 0

        def tell(place: int, size: int) -> None:
            nonlocal ended
            if interrupted(RuntimeError()):  # a library made another error of it, of a request
                raise KeyboardInterrupt
            ended += 1
            bar.update(task, completed=place, total=size, ended=ended)

        job.run(writer, about, tell)
