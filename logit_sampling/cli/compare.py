"""`logit-sampling compare`: samplers side by side, in texts, numbers and pictures."""

import contextlib
import json
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from logit_sampling.cli.options import DtypeOption, SamplersOption
from logit_sampling.cli.process import catch_interrupts, say
from logit_sampling.cli.quiet import import_tensorflow

if TYPE_CHECKING:
    from logit_sampling.evaluation import Comparison, Result
    from logit_sampling.evaluation.texts import Prompt

MIN_COLUMN = 24  # characters of a text; below that, lines of verse fall apart
GAP = 3  # " │ "
SHOWN = 8  # prompts whose texts are printed
DRAWN = 3  # prompts after which a report shows the distribution of the next token
FORMATS = ("text", "json", "csv", "markdown", "latex")


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
    n: Annotated[int, typer.Option("-n", "--n", "--seeds", help="Texts a prompt and sampler.")] = 3,
    max_new_tokens: Annotated[int, typer.Option(help="Tokens of every text.")] = 120,
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
        typer.Option(help="A number to show, such as seq-rep-4; may be given several times."),
    ] = None,
    baseline: Annotated[
        str | None, typer.Option(help="The sampler from which differences are shown.")
    ] = None,
    judge: Annotated[
        str | None, typer.Option(help="A second model that reads all texts: judge-perplexity.")
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
    batch_size: Annotated[int, typer.Option(help="Prompts that are written at once.")] = 32,
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
    form: Annotated[
        str, typer.Option("--format", help=f"What to print: {', '.join(FORMATS)}.")
    ] = "text",
    as_json: Annotated[
        bool, typer.Option("--json", help="Print all texts and numbers as JSON, and nothing else.")
    ] = False,
) -> None:
    """Samplers side by side, with repetition, diversity and time.

    Without --sampler, --samplers and --sweep: greedy, top-k, top-p and pure sampling.

    Ctrl-C prints what is whole until then, and ends with status 130; with --out the same command
    goes on.
    """
    from logit_sampling import evaluation
    from logit_sampling.evaluation import measures as known

    form = "json" if as_json else form
    if form not in FORMATS:
        raise ValueError(f"--format must be one of {', '.join(FORMATS)}; got {form!r}")
    shown = list(measure or known.DEFAULT)
    for name in shown:
        if name != "frontier":
            known.measure(name)
    shown += ["frontier"] if frontier and "frontier" not in shown else []
    shown += ["judge_perplexity"] if judge and not any("judge" in name for name in shown) else []
    if report is not None:
        _check_report(report)
    if load is not None:
        if prompts or prompts_file or out:
            raise ValueError("--load shows what is there: leave out prompts, --prompts and --out")
        comparison = evaluation.Comparison.load(load, shown, baseline)
        _show(comparison, form, report, {})
        return
    asked = _prompts(prompts, prompts_file)
    short = {"temperature": temperature, "top_k": top_k, "top_p": top_p}
    given: dict[str, Any] = {name: value for name, value in short.items() if value is not None}
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
    for option, number in (("-n", n), ("--batch-size", batch_size)):
        if number < 1:
            raise ValueError(f"{option} must be at least 1, got {number}")
    if max_new_tokens < 4:
        raise ValueError(f"--max-new-tokens must be at least 4 for 4-grams, got {max_new_tokens}")
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

        def show(name: str, done: int, total: int) -> None:
            progress.update(task, description=name, completed=done, total=total)

        loaded = {name: load_model(name, dtype=dtype) for name in names}
        judging = None if judge is None else loaded.get(judge) or load_model(judge)
        interrupted = False
        try:
            comparison = evaluation.compare(
                loaded,
                asked,
                compared,
                range(n),
                max_new_tokens,
                on_run=show,
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
        say(f"logit-sampling: interrupted; {_whole(comparison, len(chosen) * len(names))}")
    about: dict[str, Any] = {"model": names[0] if len(names) == 1 else names}
    about |= {"interrupted": True} if interrupted else {}
    _show(comparison, form, report, about, following)
    if interrupted:
        raise typer.Exit(130)
    if plot is not None:
        texts = [prompt.text for prompt in asked]
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


def _show(
    comparison: "Comparison",
    form: str,
    report: Path | None,
    about: dict[str, Any],
    next_tokens: Sequence[Mapping[str, Any]] = (),
) -> None:
    if form == "json":
        print(json.dumps(about | comparison.to_dict()))
    elif comparison.results and form == "text":
        _print(comparison)
    elif comparison.results:
        forms = {"csv": comparison.to_csv, "markdown": comparison.to_markdown}
        print(forms.get(form, comparison.to_latex)(), end="")
    if report is not None and comparison.results:
        comparison.to_html(report, next_tokens=next_tokens)
        say(f"logit-sampling: the report is {report}")


def _print(comparison: "Comparison") -> None:
    from rich.console import Console
    from rich.rule import Rule
    from rich.text import Text

    from logit_sampling.evaluation import visible
    from logit_sampling.evaluation.tables import differences, legend, numbers, side_by_side

    console = Console()
    for index, prompt in enumerate(comparison.prompts[:SHOWN]):
        console.print(Rule(Text(visible(str(prompt)), "bold"), align="left"))
        for part in _parts((*comparison.humans[:1], *comparison.results), console.width):
            console.print(side_by_side(part, index))
            console.print()
    if len(comparison.prompts) > SHOWN:
        more = len(comparison.prompts) - SHOWN
        console.print(Text(f"... and {more} prompts more: --report FILE.html shows them\n", "dim"))
    for table in numbers(comparison, console.width):
        console.print(table)
    if comparison.baseline:
        console.print(Text(f"\nDifferences from {visible(comparison.baseline)}", "bold"))
        for table in differences(comparison, console.width):
            console.print(table)
    console.print(Text("\n" + legend(comparison), "dim"))


def _parts(results: tuple["Result", ...], width: int) -> list[tuple["Result", ...]]:
    """Split into as few rows of columns as the width allows, each as long as the others."""
    fit = max(1, (width + GAP) // (MIN_COLUMN + GAP))
    rows = -(-len(results) // fit)
    size = -(-len(results) // rows)
    return [results[start : start + size] for start in range(0, len(results), size)]
