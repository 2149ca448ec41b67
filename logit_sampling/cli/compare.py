"""`logit-sampling compare`: samplers side by side, in texts, numbers and a picture."""

import contextlib
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from logit_sampling.cli.options import DtypeOption, ModelOption, SamplersOption
from logit_sampling.cli.process import catch_interrupts, say
from logit_sampling.cli.quiet import import_tensorflow

if TYPE_CHECKING:
    from rich.table import Table

    from logit_sampling.evaluation import Comparison, Result

MIN_COLUMN = 24  # characters of a text; below that, lines of verse fall apart
GAP = 3  # " │ "


def compare(
    prompts: Annotated[list[str], typer.Argument(help="Texts to continue, one or more.")],
    model: ModelOption = "shakespeare",
    dtype: DtypeOption = None,
    sampler: SamplersOption = None,
    seeds: Annotated[int, typer.Option(help="Runs of each random sampler: seeds 0, 1, ...")] = 3,
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
    plot: Annotated[
        Path | None,
        typer.Option(help="Draw the next-token distribution after each prompt into this file."),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print all texts and numbers as JSON, and nothing else.")
    ] = False,
) -> None:
    """Samplers side by side, with repetition, diversity and time.

    Without --sampler: greedy, top-k, top-p and pure sampling.

    Ctrl-C prints the samplers whose texts are all written, and ends with status 130.
    """
    from logit_sampling import evaluation

    short = {"temperature": temperature, "top_k": top_k, "top_p": top_p}
    given: dict[str, Any] = {name: value for name, value in short.items() if value is not None}
    if sampler and given:
        name = next(iter(given)).replace("_", "-")
        raise ValueError(f"--{name} is for the samplers that are compared without --sampler")
    samplers = evaluation.named(sampler or evaluation.default_samplers(**given))
    chains = {name: own.sampler for name, own in samplers.items() if own.search is None}
    if plot is not None and not chains:
        raise ValueError(
            "--plot draws what chains do to a distribution, and there are searches alone"
        )
    if seeds < 1:
        raise ValueError(f"--seeds must be at least 1, got {seeds}")
    if plot is not None:
        evaluation.check_plot_path(plot)

    from rich.console import Console
    from rich.progress import Progress

    import_tensorflow()
    from logit_sampling.generation.result import Interrupted
    from logit_sampling.models.loading import load_model

    catch_interrupts()  # the bar hides the cursor, and shows it again
    stderr = Console(stderr=True)
    with (
        # Drawn seldom, since it shares the processor with what is timed.
        Progress(
            console=stderr,
            transient=True,
            refresh_per_second=2,
            disable=not stderr.is_terminal,
        ) as progress,
        contextlib.redirect_stdout(sys.stderr),  # what a library prints is no result
    ):
        task = progress.add_task(f"loading {model}", total=None)

        def show(name: str, done: int, total: int) -> None:
            progress.update(task, description=name, completed=done, total=total)

        loaded = load_model(model, dtype=dtype)
        compared = {name: own.search or own.sampler for name, own in samplers.items()}
        interrupted = False
        try:
            comparison = evaluation.compare(
                loaded, prompts, compared, range(seeds), max_new_tokens, on_run=show
            )
        except Interrupted as error:
            comparison, interrupted = error.result, True
    if interrupted:
        whole = f"{len(comparison.results)} of {len(samplers)} samplers"
        say(f"logit-sampling: interrupted; whole are the texts of {whole}")
    if as_json:
        about = {"model": loaded.name} | ({"interrupted": True} if interrupted else {})
        print(json.dumps(about | comparison.to_dict()))
    elif comparison.results:
        _print(comparison)
    if interrupted:
        raise typer.Exit(130)
    if plot is not None:
        evaluation.plot_next_token(loaded, prompts, plot, chains)


def _print(comparison: "Comparison") -> None:
    from rich.console import Console
    from rich.rule import Rule
    from rich.text import Text

    from logit_sampling.evaluation import visible

    console = Console()
    for index, prompt in enumerate(comparison.prompts):
        console.print(Rule(Text(visible(str(prompt)), "bold"), align="left"))
        for part in _parts(comparison.results, console.width):
            console.print(_side_by_side(part, index))
            console.print()
    console.print(_numbers(comparison))
    console.print(Text("\n" + _legend(comparison), "dim"))


def _parts(results: tuple["Result", ...], width: int) -> list[tuple["Result", ...]]:
    """Split into as few rows of columns as the width allows, each as long as the others."""
    fit = max(1, (width + GAP) // (MIN_COLUMN + GAP))
    rows = -(-len(results) // fit)
    size = -(-len(results) // rows)
    return [results[start : start + size] for start in range(0, len(results), size)]


def _side_by_side(results: tuple["Result", ...], prompt: int) -> "Table":
    """The texts of the first seed for one prompt, a column each."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from logit_sampling.evaluation import visible

    table = Table(box=box.MINIMAL, expand=True, show_edge=False, pad_edge=False)
    for result in results:
        table.add_column(Text(result.name, "bold"), ratio=1, overflow="fold")
    table.add_row(
        *(
            Text(visible((result.texts[prompt].text or "").strip("\n"), keep="\n\t"))
            for result in results
        )
    )
    return table


def _numbers(comparison: "Comparison") -> "Table":
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
    table.add_column("", no_wrap=True)
    for title in ("seq-rep-4", "distinct-1", "distinct-2", "log p", "ms/token"):
        table.add_column(title, justify="right")
    for result in comparison.results:
        table.add_row(
            Text(result.name),
            result.seq_rep_4.format(2),
            result.distinct_1.format(2),
            result.distinct_2.format(2),
            result.log_prob.format(2),
            result.seconds_per_token.format(1, scale=1000),
        )
    return table


def _legend(comparison: "Comparison") -> str:
    runs = len(comparison.seeds)
    spread = f"Mean ± standard deviation over {runs} seeds" if runs > 1 else "One seed, no spread"
    once = [r.name for r in comparison.results if r.texts[0].seed is None]
    alone = f"; {', '.join(once)}: no seed, one run" if once and runs > 1 else ""
    return (
        f"{spread}{alone}. {comparison.tokens} tokens a text, end "
        f"tokens ignored; the texts shown are of seed {comparison.seeds[0]}.\n"
        "seq-rep-4: share of 4-grams that repeat an earlier one. distinct-n: share of n-grams that "
        "are different, over all prompts. log p: mean log-probability of a token under the model, "
        "in nats."
    )
