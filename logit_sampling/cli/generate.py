"""The command `logit-sampling generate`."""

import contextlib
import json
import os
import re
import secrets
import sys
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from logit_sampling.cli.options import (
    DtypeOption,
    GreedyOption,
    MinPOption,
    ModelOption,
    OverflowOption,
    SamplerOption,
    TemperatureOption,
    TopKOption,
    TopPOption,
    chosen,
    end_with_errors,
    fitting,
    from_stdin,
)
from logit_sampling.cli.process import catch_interrupts, say
from logit_sampling.plotting.visible import unescaped, visible
from logit_sampling.types import NEW_TOKENS


def generate(
    prompts: Annotated[
        list[str],
        typer.Argument(
            metavar="PROMPT", help="The texts to continue; - is what stands in standard input."
        ),
    ],
    model: ModelOption = "shakespeare",
    dtype: DtypeOption = None,
    sampler: SamplerOption = None,
    temperature: TemperatureOption = None,
    top_k: TopKOption = None,
    top_p: TopPOption = None,
    min_p: MinPOption = None,
    greedy: GreedyOption = False,
    max_new_tokens: Annotated[
        int | None,
        typer.Option(
            min=1,
            help=f"Tokens that a text gets at most; by default {NEW_TOKENS}, or as many as fit the "
            "model's context.",
        ),
    ] = None,
    min_new_tokens: Annotated[
        int, typer.Option(min=0, help="Tokens before an end token or --stop may end a text.")
    ] = 0,
    stop: Annotated[
        list[str] | None,
        typer.Option(
            help="End a text before this string, in which \\n is a line break, \\t a tab, \\\\ a "
            "backslash; may be given several times."
        ),
    ] = None,
    stop_regex: Annotated[
        list[str] | None,
        typer.Option(help="End a text before what this matches; may be given several times."),
    ] = None,
    json_schema: Annotated[
        str | None,
        typer.Option(help="The JSON schema that each text follows, as text or in a file."),
    ] = None,
    regex: Annotated[
        str | None,
        typer.Option(help="The regular expression that each text matches from end to end."),
    ] = None,
    lookup: Annotated[
        bool, typer.Option(help="Draft what followed before: quicker for texts that copy.")
    ] = False,
    deadline: Annotated[
        float | None, typer.Option(help="End all texts after so many seconds.")
    ] = None,
    overflow: OverflowOption = "error",
    n: Annotated[int, typer.Option("--n", "-n", min=1, help="Texts for each prompt.")] = 1,
    seed: Annotated[
        int | None,
        typer.Option(
            help="The same seed gives the same texts; of several each shows a seed of its own."
        ),
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object instead, with log-probabilities.")
    ] = False,
    top_log_probs: Annotated[
        int, typer.Option(min=0, help="With --json: so many of the likeliest tokens at each place.")
    ] = 0,
    echo: Annotated[
        bool, typer.Option("--echo", help="With --json: the prompts' log-probabilities too.")
    ] = False,
) -> None:
    """Continue prompts with a language model, and print the text as it is made.

    On a terminal the prompt is bold, and control characters read as \\x1b.
    A pipe or a file gets the text as it is.
    Ctrl-C prints what there is and ends with status 130.
    """
    if (top_log_probs or echo) and not as_json:
        raise ValueError("--top-log-probs and --echo add to what --json prints: add --json")
    if deadline is not None and not deadline > 0:
        raise ValueError(f"--deadline must be seconds above 0, got {deadline}")
    if max_new_tokens is not None and min_new_tokens > max_new_tokens:
        raise ValueError(
            f"--min-new-tokens is {min_new_tokens}, more than --max-new-tokens, {max_new_tokens}"
        )
    if "" in (stop or ()):
        raise ValueError("--stop is an empty string, which would end a text before its beginning")
    if json_schema is not None and regex is not None:
        raise ValueError("--json-schema and --regex are both given: leave one of them out")
    schema = None if json_schema is None else _schema(json_schema)
    patterns = [_compiled(pattern) for pattern in stop_regex or ()]
    _, chain, search = chosen(
        sampler, greedy, temperature=temperature, top_k=top_k, top_p=top_p, min_p=min_p
    )
    prompts = [from_stdin(prompt) for prompt in prompts]
    from logit_sampling.sampler import Greedy

    chosen_here = seed is None and not (search or isinstance(chain, Greedy))
    seed = secrets.randbits(32) if seed is None else seed
    from logit_sampling.distribution.random import row_integers
    from logit_sampling.generation.generate import generate
    from logit_sampling.generation.result import Interrupted
    from logit_sampling.models.loading import load_model

    # What a library prints while it loads or downloads must not end up in the text.
    with contextlib.redirect_stdout(sys.stderr):
        loaded = load_model(model, dtype=dtype)
    catch_interrupts()
    seeds = row_integers(seed, n * len(prompts))
    length = fitting(loaded, prompts, max_new_tokens, NEW_TOKENS, overflow == "slide")
    terminal = sys.stdout.isatty()
    # A terminal would obey the control characters that a model writes.
    shown = partial(visible, keep="\n\t") if terminal else str
    bold = terminal and os.environ.get("TERM") != "dumb"
    begun = False

    def begin(row: int) -> None:
        if n * len(prompts) > 1:
            print(f"--- prompt {row // n}, sample {row % n}, seed {seeds[row]} ---")
        prompt = shown(prompts[row // n])
        print(typer.style(prompt, bold=True) if bold else prompt, end="")

    def show(row: int, piece: str) -> None:
        """Show the first text while it grows; the others grow beside it and follow whole."""
        nonlocal begun
        if row == 0:
            if not begun:
                begin(row)
            begun = True
            print(shown(piece), end="", flush=True)

    interrupted = False
    try:
        result = generate(
            loaded,
            prompts,
            sampler=chain,
            search=search,
            max_new_tokens=length,
            min_new_tokens=min_new_tokens,
            stop=[*map(unescaped, stop or ()), *patterns],
            json_schema=schema,
            regex=regex,
            draft="lookup" if lookup else None,
            deadline=deadline,
            overflow=overflow,
            seed=seed,
            n=n,
            top_log_probs=top_log_probs,
            echo=echo,
            on_text=None if as_json or (search and not search.streams) else show,
            on_error="return",
        )
    except Interrupted as error:
        result, interrupted = error.result, True
    if as_json:
        about = {"model": loaded.name, "sampler": repr(search or chain)}
        tokens = [[loaded.decode([i]) for i in ids] for ids in result.token_ids]
        print(json.dumps(about | result.to_dict() | {"tokens": tokens}))
    else:
        for row, text in enumerate(result.texts):
            if row or not begun:
                begin(row)
                print(shown(text), end="")
            print()
        if chosen_here:
            say(f"logit-sampling: drawn with --seed {seed}")
        if "unfinished" in result.finish_reasons:
            say("logit-sampling: a text was cut off before it is whole: more --max-new-tokens")
    if interrupted:
        raise typer.Exit(130)
    end_with_errors(result.errors)


def _schema(given: str) -> str:
    """Return a schema, which may stand in a file; raise ValueError for what is no JSON."""
    file, told = Path(given), "--json-schema"
    if not given.lstrip().startswith(("{", "true")):
        told = f"--json-schema {given}"
        try:
            given = file.read_text(encoding="utf-8")
        except (OSError, ValueError) as error:
            raise ValueError(f"{told} is neither a schema nor a file: {error}") from None
    try:
        json.loads(given)
    except ValueError as error:
        raise ValueError(f"{told} is no JSON: {error}") from None
    return given


def _compiled(pattern: str) -> re.Pattern[str]:
    """Return a regular expression; raise ValueError for one that cannot end a text."""
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise ValueError(f"--stop-regex {pattern!r}: {error}") from None
    if compiled.search(""):
        raise ValueError(f"--stop-regex {pattern!r} matches an empty text, so it would end any")
    return compiled
