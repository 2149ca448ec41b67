"""A sampler or a search that is written as one line of text."""

import dataclasses
from typing import TYPE_CHECKING, Any, NamedTuple, Union

from logit_sampling.settings.elsewhere import closest
from logit_sampling.settings.written import parse

if TYPE_CHECKING:  # what is imported once a line has been read
    from logit_sampling.decoding.beam import BeamSearch
    from logit_sampling.decoding.contrastive import ContrastiveSearch
    from logit_sampling.sampler import Sampler


class Written(NamedTuple):
    """What one line says.

    Attributes:
        name: what to call it: what stands before a colon, or the line itself.
        sampler: the chain.
        search: what looks for texts instead of drawing them, if the line asks for that.
    """

    name: str
    sampler: "Sampler"
    search: Union["BeamSearch", "ContrastiveSearch", None] = None


def read(text: str) -> Written:
    """Return what a line of text says; see `Sampler.parse` for how a chain is written.

    `beam` and `contrastive`, with the fields of `BeamSearch` and `ContrastiveSearch`, are searches.

    Raises:
        ValueError: it cannot be read, or has no such meaning.

    Example:
        >>> read("mine: order=llama.cpp temp=0.7 top_k=40")
        Written(name='mine', sampler=Sampler(TopK(k=40), Temperature(temperature=0.7)), search=None)
        >>> read("beam num_beams=3").search.num_beams
        3
    """
    line = parse(text)
    from logit_sampling.decoding.beam import BeamSearch
    from logit_sampling.decoding.contrastive import ContrastiveSearch
    from logit_sampling.sampler import Sampler

    searches: dict[str, Any] = {"beam": BeamSearch, "contrastive": ContrastiveSearch}
    if line.kind not in searches:
        return Written(line.name, Sampler.parse(text))
    chosen = searches[line.kind]
    known = [field.name for field in dataclasses.fields(chosen)]
    try:
        for name in line.fields:
            if name not in known:
                guess = closest(name, known, cutoff=0.6)
                hint = f"; did you mean `{guess}`?" if guess else ""
                raise ValueError(f"`{line.kind}` has {', '.join(known)}, and no `{name}`{hint}")
        return Written(line.name, Sampler(), chosen(**line.fields))
    except ValueError as error:
        raise ValueError(f"sampler {text!r}: {error}") from None
