"""The options that commands share. What takes long to import is imported once they are right."""

import re
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from logit_sampling.cli.process import say
from logit_sampling.plotting.visible import counted
from logit_sampling.types import Overflow

if TYPE_CHECKING:
    from logit_sampling.decoding.written import Written
    from logit_sampling.models.model import Model
    from logit_sampling.strategies import Transform

_Made = TypeVar("_Made")


def complete_measure(written: str) -> Iterator[str]:
    """Yield how the name of a measure that is being written may go on."""
    from logit_sampling.evaluation import measure_names

    for name in measure_names:
        for n in range(1, 5) if name.endswith("_N") else [0]:
            ending = name.replace("_N", f"_{n}").replace("_", "-")
            if ending.startswith(written.replace("_", "-")):
                yield ending


def complete(written: str) -> Iterator[str]:
    """Yield how a sampler that is being written may go on."""
    from logit_sampling.settings.names import NAMES
    from logit_sampling.settings.written import KINDS

    before, space, word = written.rpartition(" ")
    endings = [*KINDS, *(f"{name}=" for name in [*NAMES, "order", "defaults"])]
    yield from (before + space + ending for ending in endings if ending.startswith(word))


_WRITTEN = (
    'A chain by the names of all settings, "temperature=0.8 typical_p=0.9" or "greedy", or a '
    'search, "beam num_beams=4"'
)
SamplerOption = Annotated[
    str | None,
    typer.Option(
        "--sampler",
        help=f"{_WRITTEN}; `logit-sampling samplers` lists the names.",
        autocompletion=complete,
    ),
]
SamplersOption = Annotated[
    list[str] | None,
    typer.Option(
        "--sampler",
        help=f'{_WRITTEN}, after "name:" if you like; may be given several times.',
        autocompletion=complete,
    ),
]

TemperatureOption = Annotated[
    float | None,
    typer.Option(
        help="Divide the logits by this: below 1 sharpens, above 1 flattens, 0 is greedy."
    ),
]
TopKOption = Annotated[int | None, typer.Option(help="Keep the k likeliest tokens.")]
TopPOption = Annotated[
    float | None,
    typer.Option(help="Keep the likeliest tokens that reach this probability, (0, 1]."),
]
MinPOption = Annotated[
    float | None, typer.Option(help="Keep tokens with this share of the greatest probability.")
]
ModelOption = Annotated[str, typer.Option(help="A shipped model, a folder, or a KerasHub preset.")]
DtypeOption = Annotated[
    str | None,
    typer.Option(help="Of the weights: float32, float16 or bfloat16; by default the model's own."),
]
OverflowOption = Annotated[
    Overflow,
    typer.Option(
        help="What to do with texts longer than the model's context: refuse them, or go on with "
        "their latest part."
    ),
]
TemplateOption = Annotated[
    Path | None,
    typer.Option(
        "--chat-template",
        help="A template of Jinja for conversations; by default the model's own.",
    ),
]
NameOption = Annotated[
    str | None,
    typer.Option(
        "--name", help="What requests call the model; by default the last part of --model."
    ),
]
RowsOption = Annotated[
    int, typer.Option("--max-rows", min=1, help="Texts that are written at once.")
]
GreedyOption = Annotated[bool, typer.Option("--greedy", help="Always take the likeliest token.")]


_SHORT = {"temperature": "Temperature", "top_k": "TopK", "top_p": "TopP", "min_p": "MinP"}


def chosen(sampler: str | None, greedy: bool = False, **short: float | None) -> "Written":
    """Return the sampler that is written, or the one that the short options ask for.

    Args:
        sampler: a line of text, or None.
        greedy: whether to take the likeliest token.
        **short: `temperature`, `top_k`, `top_p` and `min_p`, which act in this order. One that is
            None is left out: no other value turns it off.

    Raises:
        ValueError: a value out of range, a line that cannot be read, or options that do not go
            together.
    """
    given = {
        f"--{name.replace('_', '-')}": short_option(name, value)
        for name, value in short.items()
        if value is not None
    }
    if sampler is not None:
        if given or greedy:
            first = next(iter(given), "--greedy")
            raise ValueError(f"--sampler says all of the chain: write what {first} says into it")
        from logit_sampling.decoding.written import read

        return read(sampler)
    from logit_sampling.decoding.written import Written
    from logit_sampling.sampler import Greedy, Sampler

    if greedy and given:
        raise ValueError(
            f"--greedy takes the likeliest token, so {next(iter(given))} would change nothing: "
            "leave one of them out"
        )
    return Written("", Greedy() if greedy else Sampler(*given.values()))


def short_option(name: str, value: float) -> "Transform":
    """Return the transform of `temperature`, `top_k`, `top_p` or `min_p`, as `as_option` does."""
    from logit_sampling import strategies

    return as_option(name, getattr(strategies, _SHORT[name]), value)


def as_option(name: str, made: Callable[[Any], _Made], value: Any) -> _Made:
    """Return what is made of an option's value; raise ValueError that names the option.

    >>> from logit_sampling import TopK
    >>> as_option("top_k", TopK, 0)
    Traceback (most recent call last):
    ValueError: --top-k needs to be a finite integer in [1, inf); got 0; off is to leave it out
    """
    try:
        return made(value)
    except ValueError as error:
        option = f"--{name.replace('_', '-')}"
        message = str(error).partition(", or Sampler.from_params")[0]
        raise ValueError(_SUBJECT.sub(f"{option} needs", message)) from None


_SUBJECT = re.compile(r"^\w+ needs `\w+`")  # of an error about the parameter of a class


def fitting(
    model: "Model", prompts: Sequence[str], wanted: int | None, default: int, slide: bool = False
) -> int:
    """Return how many tokens to write: where nobody said how many, as many as fit, and say so.

    Args:
        model: what writes.
        prompts: what it continues.
        wanted: what was said; None for nothing.
        default: how many there are where the context is long enough, or none.
        slide: whether texts may outgrow the context.

    Raises:
        ValueError: a prompt that is none of the model's.
    """
    context = model.context_length
    if wanted is not None or context is None or slide:
        return default if wanted is None else wanted
    from logit_sampling.generation.prompts import room

    left, _ = room(model, prompts)
    if left is None or not 0 < left < default:  # one that leaves no room is told by what reads it
        return default
    say(
        f"logit-sampling: writing {counted(left, 'token')}, not {default}: more do not fit the "
        f"context of model {model.name!r}, {context}"
    )
    return left


def from_stdin(text: str) -> str:
    """Return a text as it is, or for - what stands in standard input."""
    return sys.stdin.read().removesuffix("\n") if text == "-" else text


def template_in(file: Path | None) -> str | None:
    """Return the template of conversations in a file; raise ValueError for what is none."""
    if file is None:
        return None
    from logit_sampling.generation.chat import ChatTemplate

    try:
        text = file.read_text(encoding="utf-8")
        ChatTemplate(text)
    except (OSError, ValueError) as error:
        raise ValueError(f"--chat-template {file}: {error}") from None
    return text


def end_with_errors(errors: Sequence[str | None] | None) -> None:
    """Tell which rows failed, if any did, and end with status 1."""
    for error in errors or ():
        if error is not None:
            print(f"logit-sampling: {error}", file=sys.stderr)
    if errors:
        raise typer.Exit(1)
