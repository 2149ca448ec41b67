"""The sampling options that commands share."""

import re
import sys
from collections.abc import Iterator, Sequence
from typing import Annotated

import typer

from logit_sampling.decoding.written import Written, read
from logit_sampling.sampler import Greedy, Sampler
from logit_sampling.strategies import MinP, Temperature, TopK, TopP


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
    str,
    typer.Option(
        help="What to do with texts longer than the model's context: error, or slide on with the "
        "latest part."
    ),
]
GreedyOption = Annotated[bool, typer.Option("--greedy", help="Always take the likeliest token.")]


def chosen(
    sampler: str | None,
    temperature: float | None = None,
    top_k: int | None = None,
    top_p: float | None = None,
    min_p: float | None = None,
    greedy: bool = False,
) -> Written:
    """Return the sampler that is written, or the one that the short options ask for.

    Raises:
        ValueError: as `read` or `build_sampler`, or there are both.
    """
    if sampler is None:
        return Written("", build_sampler(temperature, top_k, top_p, min_p, greedy))
    short = {"--temperature": temperature, "--top-k": top_k, "--top-p": top_p, "--min-p": min_p}
    given = [
        name for name, value in (short | {"--greedy": greedy or None}).items() if value is not None
    ]
    if given:
        raise ValueError(f"--sampler says all of the chain: write what {given[0]} says into it")
    return read(sampler)


def build_sampler(
    temperature: float | None = None,
    top_k: int | None = None,
    top_p: float | None = None,
    min_p: float | None = None,
    greedy: bool = False,
) -> Sampler:
    """Return the sampler that the options ask for, in the order of the arguments.

    An option that is None is left out: no other value turns it off.

    Raises:
        ValueError: a value out of range, or `greedy` together with another option.
    """
    options = ((Temperature, temperature), (TopK, top_k), (TopP, top_p), (MinP, min_p))
    transforms = [transform(value) for transform, value in options if value is not None]
    if greedy and transforms:
        raise ValueError(
            f"--greedy takes the likeliest token, so {transforms[0]!r} would change nothing: "
            "leave one of them out"
        )
    return Greedy() if greedy else Sampler(*transforms)


def unescaped(text: str) -> str:
    r"""Return a text of a shell with its \n, \t and \\ as what they stand for."""
    return re.sub(r"\\([nt\\])", lambda found: {"n": "\n", "t": "\t"}.get(found[1], "\\"), text)


def end_with_errors(errors: Sequence[str | None] | None) -> None:
    """Tell which rows failed, if any did, and end with status 1."""
    for error in errors or ():
        if error is not None:
            print(f"logit-sampling: {error}", file=sys.stderr)
    if errors:
        raise typer.Exit(1)
