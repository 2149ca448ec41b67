"""The samplers of a comparison, by name."""

from collections.abc import Iterable, Mapping

from logit_sampling.decoding.beam import BeamSearch
from logit_sampling.decoding.contrastive import ContrastiveSearch
from logit_sampling.decoding.written import Written, read
from logit_sampling.sampler import Greedy, Sampler
from logit_sampling.strategies import Temperature, TopK, TopP


def default_samplers(
    temperature: float = 1.0, top_k: int = 50, top_p: float = 0.9
) -> dict[str, Sampler]:
    """Greedy, top-k, top-p and pure sampling, by name; the temperature comes before each cut.

    >>> list(default_samplers(top_k=5))
    ['greedy', 'top-k 5', 'top-p 0.9', 'pure sampling']
    """
    heat = () if temperature == 1 else (Temperature(temperature),)
    return {
        "greedy": Greedy(),
        f"top-k {top_k}": Sampler(*heat, TopK(top_k)),
        f"top-p {top_p:g}": Sampler(*heat, TopP(top_p)),
        "pure sampling": Sampler(*heat),
    }


Chosen = Sampler | BeamSearch | ContrastiveSearch | str
"""What may be compared; a string is one as `Sampler.parse` takes it, or a search."""


def named(samplers: Mapping[str, Chosen] | Iterable[str]) -> dict[str, Written]:
    """Return samplers and searches by name: lines of text have their own.

    Raises:
        ValueError: a line that cannot be read, a value for each row, two of one name, or none at
            all.
    """
    found: dict[str, Written] = {}
    samplers = [samplers] if isinstance(samplers, str) else samplers
    pairs = samplers.items() if isinstance(samplers, Mapping) else [(None, s) for s in samplers]
    for name, sampler in pairs:
        if isinstance(sampler, str):
            own = read(sampler)
        elif name is None:
            raise ValueError(f'a list of samplers holds lines such as "top_k=50"; got {sampler!r}')
        elif isinstance(sampler, BeamSearch | ContrastiveSearch):
            own = Written(name, Sampler(), sampler)
        else:
            own = Written(name, sampler)
        name = own.name if name is None else name
        # Batches and calls that go on would give a prompt another row's value.
        for transform in getattr(own.sampler, "transforms", ()):
            for parameter, values in transform.per_row().items():
                raise ValueError(
                    f"sampler {name!r}: {type(transform).__name__} has {len(values)} values of "
                    f"`{parameter}`, one for each row; here a sampler is the same for all prompts: "
                    "give one for each value"
                )
        if name in found:
            raise ValueError(f"two samplers are called {name!r}; write a name before one: 'a: ...'")
        found[name] = own
    if not found:
        raise ValueError("samplers is empty: give at least one")
    return found
