"""The command `logit-sampling explain`."""

import contextlib
import json
import sys
from pathlib import Path
from typing import Annotated

import typer

from logit_sampling.cli.options import (
    DtypeOption,
    GreedyOption,
    MinPOption,
    ModelOption,
    SamplerOption,
    TemperatureOption,
    TopKOption,
    TopPOption,
    chosen,
)
from logit_sampling.cli.process import catch_interrupts, say


def explain(
    prompt: Annotated[str, typer.Argument(metavar="PROMPT", help="The text before the token.")],
    model: ModelOption = "shakespeare",
    dtype: DtypeOption = None,
    sampler: SamplerOption = None,
    temperature: TemperatureOption = None,
    top_k: TopKOption = None,
    top_p: TopPOption = None,
    min_p: MinPOption = None,
    greedy: GreedyOption = False,
    seed: Annotated[
        int | None, typer.Option(help="Also show the token that `generate` draws with this seed.")
    ] = None,
    top: Annotated[
        int, typer.Option(min=1, help="Show so many of the likeliest tokens before and after.")
    ] = 10,
    plot: Annotated[Path | None, typer.Option(help="Draw it into this file too.")] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object instead; its stages count from 0.")
    ] = False,
) -> None:
    """Show what each stage of a sampler does to a model's distribution of the next token."""
    from logit_sampling.plotting.figures import check_plot_path

    _, chain, search = chosen(
        sampler, greedy, temperature=temperature, top_k=top_k, top_p=top_p, min_p=min_p
    )
    if search is not None:
        raise ValueError(f"explain shows what a chain does to one distribution, and no {search!r}")
    if plot is not None:
        check_plot_path(plot)
    from logit_sampling.generation.prompts import encode_prompt
    from logit_sampling.generation.text import continuation
    from logit_sampling.models.loading import load_model

    with contextlib.redirect_stdout(sys.stderr):  # what a library prints is no result
        loaded = load_model(model, dtype=dtype)
        past = encode_prompt(0, prompt, loaded, loaded.tokenizer, 1)
        logits = loaded.logits([past])[0, -1]
    explanation = chain.explain(
        logits,
        history=past,
        prompt_length=len(past),
        seed=seed,
        step=len(past),
        top=top,
        decode=lambda ids: continuation(loaded.decode, past, ids),
    )
    if as_json:
        about = {"model": loaded.name, "prompt": prompt, "sampler": repr(chain)}
        print(json.dumps(about | explanation.to_dict()))
    else:
        from rich.console import Console

        Console().print(explanation)
    if plot is not None:
        shown = prompt if len(prompt) <= 60 else f"…{prompt[-59:]}"
        catch_interrupts()  # and leave no half of a file
        explanation.plot(plot, f"Next token after “{shown}”")
        say(f"logit-sampling: the picture is {plot}")
