"""The command ``logit-sampling generate``."""

import contextlib
import json
import secrets
import sys
from typing import Annotated

import typer

from logit_sampling.cli.options import (
    GreedyOption,
    MinPOption,
    TemperatureOption,
    TopKOption,
    TopPOption,
    build_sampler,
)
from logit_sampling.cli.quiet import import_tensorflow


def generate(
    prompts: Annotated[list[str], typer.Argument(help="The texts to continue.")],
    model: Annotated[
        str, typer.Option(help="A shipped model, a folder, or a KerasHub preset.")
    ] = "shakespeare",
    temperature: TemperatureOption = None,
    top_k: TopKOption = None,
    top_p: TopPOption = None,
    min_p: MinPOption = None,
    greedy: GreedyOption = False,
    max_new_tokens: Annotated[int, typer.Option(help="Tokens that a text gets at most.")] = 100,
    n: Annotated[int, typer.Option("--n", "-n", help="Texts for each prompt.")] = 1,
    seed: Annotated[
        int | None, typer.Option(help="The same seed gives the same texts; text i uses seed + i.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Print one JSON object instead, with log-probabilities.")
    ] = False,
) -> None:
    """Continue prompts with a language model, and print the text as it is made."""
    sampler = build_sampler(temperature, top_k, top_p, min_p, greedy)
    seed = secrets.randbits(32) if seed is None else seed
    import_tensorflow()
    from logit_sampling.generation import generate, load_model

    # What a library prints while it loads or downloads must not end up in the text.
    with contextlib.redirect_stdout(sys.stderr):
        loaded = load_model(model)
    begun = False

    def begin(row: int) -> None:
        if n * len(prompts) > 1:
            print(f"--- prompt {row // n}, sample {row % n}, seed {seed + row} ---")
        print(prompts[row // n], end="")

    def show(row: int, piece: str) -> None:
        """Show the first text while it grows; the others grow beside it and follow whole."""
        nonlocal begun
        if row == 0:
            if not begun:
                begin(row)
            begun = True
            print(piece, end="", flush=True)

    result = generate(
        loaded,
        prompts,
        sampler=sampler,
        max_new_tokens=max_new_tokens,
        seed=seed,
        n=n,
        on_text=None if as_json else show,
    )
    if as_json:
        print(json.dumps({"model": loaded.name, "sampler": repr(sampler), **result.to_dict()}))
        return
    for row, text in enumerate(result.texts):
        if row or not begun:
            begin(row)
            print(text, end="")
        print()
