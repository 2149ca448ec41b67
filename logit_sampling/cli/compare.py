"""`logit-sampling compare`: samplers side by side, in texts, numbers and pictures."""

import contextlib
import math
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from logit_sampling.cli.compared import show
from logit_sampling.cli.options import (
    DtypeOption,
    OverflowOption,
    SamplersOption,
    complete_measure,
    fitting,
    short_option,
)
from logit_sampling.cli.process import catch_interrupts, say
from logit_sampling.cli.process import interrupted as was_interrupted
from logit_sampling.models.quiet import import_tensorflow
from logit_sampling.plotting.visible import counted
from logit_sampling.types import NEW_TOKENS

if TYPE_CHECKING:
    from logit_sampling.evaluation import Comparison
    from logit_sampling.evaluation.texts import Prompt

DRAWN = 3  # prompts after which a report shows the distribution of the next token
Format = Literal["text", "json", "csv", "markdown", "latex"]


def compare(
    prompts: Annotated[
        list[str] | None,
        typer.Argument(help="Texts to continue, one or more; - is standard input."),
    ] = None,
    prompts_file: Annotated[
        Path | None,
        typer.Option(
            "--prompts",
            help="A file of prompts, one a line, or JSON lines with prompt, id and human (how its "
            "author went on); - is standard input.",
        ),
    ] = None,
    model: Annotated[
        list[str] | None,
        typer.Option(
            help="A shipped model, a folder, or a KerasHub preset; may be given several times."
        ),
    ] = None,
    dtype: DtypeOption = None,
    sampler: SamplersOption = None,
    samplers: Annotated[
        Path | None,
        typer.Option(help="A file of samplers and sweeps, .toml or .yaml; see the manual."),
    ] = None,
    sweep: Annotated[
        list[str] | None,
        typer.Option(
            help="A sampler whose values may be ranges or lists, temperature=0.5:1.5:0.1 or "
            "top_k=[10,50]; of several the product."
        ),
    ] = None,
    n: Annotated[
        int, typer.Option("-n", "--n", "--seeds", min=1, help="Texts a prompt and sampler.")
    ] = 3,
    max_new_tokens: Annotated[
        int | None,
        typer.Option(
            min=4, help=f"Tokens of every text, {NEW_TOKENS} or as many as the context has."
        ),
    ] = None,
    overflow: OverflowOption = "error",
    temperature: Annotated[
        float | None, typer.Option(help="For all samplers but greedy; by default 1.")
    ] = None,
    top_k: Annotated[
        int | None, typer.Option(help="Tokens that top-k keeps, by default 50.")
    ] = None,
    top_p: Annotated[
        float | None, typer.Option(help="Probability that top-p keeps, by default 0.9.")
    ] = None,
    measure: Annotated[
        list[str] | None,
        typer.Option(
            help="A number to show, such as seq-rep-4; may be given several times.",
            autocompletion=complete_measure,
        ),
    ] = None,
    baseline: Annotated[
        str | None, typer.Option(help="The sampler from which differences are shown.")
    ] = None,
    judge: Annotated[
        str | None,
        typer.Option(
            help="A second model, of the same --dtype, that reads all texts: judge-perplexity."
        ),
    ] = None,
    frontier: Annotated[
        bool, typer.Option("--frontier", help="How close texts come to human ones (MAUVE-like).")
    ] = False,
    steps: Annotated[
        bool, typer.Option("--steps", help="How many tokens each sampler leaves at each step.")
    ] = False,
    stop_at_end: Annotated[
        bool, typer.Option("--stop-at-end", help="Let end tokens end texts.")
    ] = False,
    batch_size: Annotated[int, typer.Option(min=1, help="Prompts that are written at once.")] = 32,
    out: Annotated[
        Path | None,
        typer.Option(help="A folder for the texts; a second call goes on where the first stopped."),
    ] = None,
    load: Annotated[
        Path | None, typer.Option(help="Show what such a folder holds, and write nothing.")
    ] = None,
    report: Annotated[
        Path | None, typer.Option(help="Write a page for a browser, .html, to look at it all.")
    ] = None,
    plot: Annotated[
        Path | None,
        typer.Option(help="Draw the next-token distribution after each prompt into this file."),
    ] = None,
    form: Annotated[Format, typer.Option("--format", help="What to print.")] = "text",
    as_json: Annotated[
        bool, typer.Option("--json", help="Print all texts and numbers as JSON, and nothing else.")
    ] = False,
) -> None:
    """Samplers side by side, with repetition, diversity and time.

    Without --sampler, --samplers and --sweep: greedy, top-k, top-p and pure sampling.

    Ctrl-C prints what is whole until then, and ends with status 130; with --out the same command
    goes on.
    """
    short = {"temperature": temperature, "top_k": top_k, "top_p": top_p}
    given: dict[str, Any] = {name: value for name, value in short.items() if value is not None}
    for option, value in given.items():
        short_option(option, value)
    from logit_sampling import evaluation
    from logit_sampling.evaluation import measures as known

    form = "json" if as_json else form
    shown = list(measure or known.DEFAULT)
    for name in shown:
        try:
            known.measure(name)
        except ValueError as error:  # with names as they are written here
            raise ValueError(f"--measure: {error}".replace("_", "-")) from None
    frontier = frontier or "frontier" in shown
    if judge is None and load is None and any(name.startswith("judge") for name in shown):
        raise ValueError("--measure judge-perplexity and judge-log-prob need a --judge")
    if report is not None:
        _check_report(report)
    if load is not None:
        if prompts or prompts_file or out:
            raise ValueError("--load shows what is there: leave out prompts, --prompts and --out")
        left: dict[str, Any] = {
            "--sampler": sampler,
            "--samplers": samplers,
            "--sweep": sweep,
            "--judge": judge,
        }
        left |= {"--model": model, "--plot": plot, "--max-new-tokens": max_new_tokens}
        if useless := [name for name, value in left.items() if value is not None]:
            raise ValueError(f"--load shows what is there, and writes nothing: no {useless[0]}")
        comparison = evaluation.Comparison.load(load, shown if measure else None, baseline)
        show(comparison, form, report, {})
        return
    asked = _prompts(prompts, prompts_file)
    lines = _lines(sampler, samplers, sweep)
    if lines and given:
        name = next(iter(given)).replace("_", "-")
        raise ValueError(f"--{name} is for the samplers that are compared without --sampler")
    chosen = evaluation.named(lines or evaluation.default_samplers(**given))
    compared: Any = lines or {name: own.search or own.sampler for name, own in chosen.items()}
    chains = {name: own.sampler for name, own in chosen.items() if own.search is None}
    if plot is not None and not chains:
        raise ValueError(
            "--plot draws what chains do to a distribution, and there are searches alone"
        )
    names = model or ["shakespeare"]
    if len(set(names)) < len(names):
        raise ValueError(f"--model is there twice with {max(names, key=names.count)!r}")
    if baseline is not None and len(names) == 1 and baseline not in (*chosen, "human"):
        raise ValueError(f"--baseline {baseline!r} is none of {', '.join(map(repr, chosen))}")
    if frontier and not any(prompt.human for prompt in asked):
        raise ValueError("--frontier needs prompts that say how their authors went on: --prompts")
    if plot is not None:
        evaluation.check_plot_path(plot)

    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    import_tensorflow()
    from logit_sampling.generation.result import Interrupted
    from logit_sampling.models.loading import load_model

    catch_interrupts()  # the bar hides the cursor, and shows it again
    stderr = Console(stderr=True)
    with (
        # Drawn seldom, since it shares the processor with what is timed.
        Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("texts,"),
            TimeRemainingColumn(),
            console=stderr,
            transient=True,
            refresh_per_second=2,
            disable=not stderr.is_terminal,
        ) as progress,
        contextlib.redirect_stdout(sys.stderr),  # what a library prints is no result
    ):
        task = progress.add_task(f"loading {', '.join(names)}", total=None)

        def told(name: str, done: int, total: int) -> None:
            progress.update(task, description=name, completed=done, total=total)

        try:
            loaded = {name: load_model(name, dtype=dtype) for name in names}
            judging = None if judge is None else loaded.get(judge) or load_model(judge, dtype=dtype)
        except (Exception, KeyboardInterrupt) as error:
            if was_interrupted(error):
                say("logit-sampling: interrupted before the first text: nothing was written")
            raise
        # Where the default is more than the least of the contexts has room for, it shrinks.
        least = min(loaded.values(), key=lambda own: own.context_length or math.inf)
        texts = [prompt.text for prompt in asked]
        length = fitting(least, texts, max_new_tokens, NEW_TOKENS, overflow == "slide")  # type: ignore[arg-type]
        interrupted = False
        try:
            comparison = evaluation.compare(
                loaded,
                asked,
                compared,
                range(n),
                length,
                on_run=told,
                overflow=overflow,
                stop_at_end=stop_at_end,
                batch_size=batch_size,
                measures=shown,
                baseline=baseline,
                judge=judging,
                frontier=frontier,
                steps=steps,
                out=out,
                command=shlex.join(["logit-sampling", *sys.argv[1:]]),
            )
        except Interrupted as error:
            comparison, interrupted = error.result, True
        following: list[dict[str, Any]] = []
        if report is not None and chains and not interrupted:
            first = [prompt.text for prompt in asked[:DRAWN]]
            try:
                following = evaluation.next_tokens(loaded[names[0]], first, chains)
            except ValueError as error:  # what was written counts for more than this picture
                say(f"logit-sampling: the report has no distribution of the next token: {error}")
    if interrupted:
        kept = (
            f"; {out} keeps {counted(len(comparison.texts), 'text')}, and the same command goes on"
        )
        whole = _whole(comparison, len(chosen) * len(names))
        say(f"logit-sampling: interrupted; {whole}{kept if out else ''}")
    about: dict[str, Any] = {"model": names[0] if len(names) == 1 else names}
    about |= {"interrupted": True} if interrupted else {}
    show(comparison, form, report, about, following)
    if interrupted:
        raise typer.Exit(130)
    if plot is not None:
        evaluation.plot_next_token(loaded[names[0]], texts, plot, chains)  # type: ignore[arg-type]
        say(f"logit-sampling: drawn to {plot}")


def _prompts(given: list[str] | None, file: Path | None) -> tuple["Prompt", ...]:
    from logit_sampling.evaluation.texts import as_prompts, read_prompts

    if given == ["-"]:
        given, file = None, file or Path("-")
    if file is not None:
        if given:
            raise ValueError("give prompts or --prompts FILE, not both")
        return read_prompts(file)
    if not given:
        raise ValueError("give texts to continue, or --prompts FILE")
    for i, text in enumerate(given):
        if not text:
            raise ValueError(f"prompt {i} is empty: give at least one character")
    return as_prompts(given)


def _lines(sampler: list[str] | None, file: Path | None, sweep: list[str] | None) -> Any:
    """Return the samplers of all options as lines, or nothing if there is none."""
    from logit_sampling.evaluation.grid import Swept, read_samplers, swept

    lines = Swept(sampler or [])
    for own in (read_samplers(file) if file else Swept(), swept(*sweep) if sweep else Swept()):
        lines.extend(own)
        lines.settings |= own.settings
    return lines


def _check_report(path: Path) -> None:
    if path.suffix != ".html":
        raise ValueError(f"--report writes a page that ends in .html; got {str(path)!r}")
    if not path.parent.is_dir():
        raise ValueError(f"the folder of --report {str(path)!r} does not exist: create it first")


def _whole(comparison: "Comparison", samplers: int) -> str:
    """Return what is whole of an interrupted comparison."""
    own, asked = len(comparison.results), len(comparison.setting["prompts"])
    if own < samplers:
        return f"whole are the texts of {own} of {samplers} samplers"
    return f"whole are the texts of {len(comparison.prompt_ids)} of {asked} prompts"
