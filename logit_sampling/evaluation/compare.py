"""Run several samplers on the same prompts and seeds, and measure their texts."""

import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import chain, repeat
from statistics import fmean
from typing import Any

from logit_sampling.decoding.beam import BeamSearch
from logit_sampling.decoding.contrastive import ContrastiveSearch
from logit_sampling.decoding.written import Written, read
from logit_sampling.distribution.random import row_integers
from logit_sampling.evaluation.metrics import Estimate, distinct_n, seq_rep_n
from logit_sampling.generation.arguments import groups_of
from logit_sampling.generation.engine import Engine
from logit_sampling.generation.generate import generate
from logit_sampling.generation.result import GenerationResult, Interrupted
from logit_sampling.models.model import AnyModel, AnyTokenizer
from logit_sampling.plain import strict_json
from logit_sampling.sampler import Greedy, Sampler
from logit_sampling.strategies import Temperature, TopK, TopP


@dataclass(frozen=True)
class Text:
    """One continuation of one prompt.

    Attributes:
        prompt: the prompt as it was given.
        seed: seed of this text, or None for greedy and searches, which no seed changes.
        text: the continuation, without the prompt; None if there is no tokenizer.
        token_ids: the generated ids.
        log_prob: mean log-probability of a token under the model itself, in nats.
        seq_rep_4: share of its 4-grams that repeat an earlier one (`seq_rep_n`).
    """

    prompt: str | tuple[int, ...]
    seed: int | None
    text: str | None
    token_ids: tuple[int, ...]
    log_prob: float
    seq_rep_4: float


@dataclass(frozen=True)
class Result:
    """What one sampler wrote, and its numbers: each an `Estimate` over the seeds.

    Attributes:
        name: the name of the sampler in this comparison.
        sampler: its chain, or the search, as `repr` shows it.
        texts: seed by seed, and in each the prompts in order.
        seq_rep_4: seq-rep-4, mean over the prompts.
        distinct_1, distinct_2: distinct n-grams over the texts that one seed gives for all prompts.
        log_prob: mean log-probability per token under the model, in nats.
        seconds_per_token: wall time of a batch of all prompts, divided by all of its tokens.
    """

    name: str
    sampler: str
    texts: tuple[Text, ...]
    seq_rep_4: Estimate
    distinct_1: Estimate
    distinct_2: Estimate
    log_prob: Estimate
    seconds_per_token: Estimate


@dataclass(frozen=True)
class Comparison:
    """Samplers on the same prompts, seeds and number of tokens.

    Attributes:
        prompts: the prompts.
        seeds: the seeds of every sampler that draws.
        tokens: length of every text in tokens.
        results: one `Result` per sampler, in the order given; after an interruption, of
            those whose texts were all written.
    """

    prompts: tuple[str | tuple[int, ...], ...]
    seeds: tuple[int, ...]
    tokens: int
    results: tuple[Result, ...]

    def to_dict(self) -> dict[str, Any]:
        """All of it as dicts, lists, strings and numbers, as JSON has them: null is -inf."""
        return strict_json(asdict(self))


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
        ValueError: a line that cannot be read, two of one name, or none at all.
    """
    found: dict[str, Written] = {}
    pairs = samplers.items() if isinstance(samplers, Mapping) else [(None, s) for s in samplers]
    for name, sampler in pairs:
        if isinstance(sampler, str):
            own = read(sampler)
        elif isinstance(sampler, BeamSearch | ContrastiveSearch):
            own = Written(str(name), Sampler(), sampler)
        elif name is None:
            raise ValueError(f'a list of samplers holds lines such as "top_k=50"; got {sampler!r}')
        else:
            own = Written(name, sampler)
        name = own.name if name is None else name
        if name in found:
            raise ValueError(f"two samplers are called {name!r}; write a name before one: 'a: ...'")
        found[name] = own
    if not found:
        raise ValueError("samplers is empty: give at least one")
    return found


def compare(
    model: AnyModel | Engine,
    prompts: str | Sequence[str | Sequence[int]],
    samplers: Mapping[str, Chosen] | Iterable[str] | None = None,
    seeds: Sequence[int] = (0, 1, 2),
    max_new_tokens: int = 100,
    tokenizer: AnyTokenizer | None = None,
    on_run: Callable[[str, int, int], None] | None = None,
) -> Comparison:
    """Continue every prompt with every sampler and seed, and measure the texts.

    All texts have `max_new_tokens` tokens: an end token does not stop them, so that repetition and
    diversity compare. The texts of a seed are those that `generate` gives for all prompts with this
    seed: prompts draw independent numbers, and samplers the same ones, so that differences between
    samplers are not those between draws. `Text.seed` is what `generate` takes for a prompt alone.
    The first run is made twice and timed the second time, so that the
    time per token is free of tracing and compiling. Greedy and searches run once instead of once a
    seed, and have no spread.

    Args:
        model: what `load_model` returns, or any other model that `generate` accepts.
        prompts: a string, a list of strings, or a list of lists of token ids.
        samplers: name -> sampler, search or a line as `Sampler.parse` takes it; or a list of lines,
            whose names are what stands before a colon, or else they themselves. Searches are
            `BeamSearch` and `ContrastiveSearch`, written "beam num_beams=4" and "contrastive k=5".
            Default: greedy, top-k 50, top-p 0.9 and pure sampling.
        seeds: distinct integers, at least one.
        max_new_tokens: tokens of each text, at least 4 (seq-rep-4 counts 4-grams).
        tokenizer: as `generate` takes it, for a model that has none.
        on_run: called before each run with the name of the sampler, the runs done, and all runs.

    Returns:
        A `Comparison`.

    Raises:
        ValueError: no sampler or seed, a seed twice, too few tokens, or what `generate` rejects,
            such as an empty prompt or one that is too long for the model's context.
        Interrupted: Ctrl-C, a KeyboardInterrupt whose `result` has the samplers that were complete;
            so has what the model or a sampler raises.

    Example, with a model that counts in a circle:

    >>> import numpy as np
    >>> comparison = compare(lambda ids: 9.0 * np.eye(3)[(ids[:, -1] + 1) % 3], [[0]],
    ...                      {"greedy": Greedy()}, max_new_tokens=8)
    >>> greedy = comparison.results[0]
    >>> greedy.texts[0].token_ids, greedy.seq_rep_4.mean     # 1201 2012 0120 1201 2012
    ((1, 2, 0, 1, 2, 0, 1, 2), 0.4)
    """
    chosen = named(default_samplers() if samplers is None else samplers)
    prompts = [prompts] if isinstance(prompts, str) else list(prompts)
    if isinstance(seeds, int) or not 0 < len(set(seeds)) == len(seeds):
        raise ValueError(f"seeds must be a list of different integers, at least one; got {seeds!r}")
    if max_new_tokens < 4:
        raise ValueError(f"max_new_tokens must be at least 4 for 4-grams, got {max_new_tokens!r}")
    row_integers(list(seeds), len(seeds))
    for name, own in chosen.items():  # now, not when its turn comes
        try:
            groups_of(own.sampler, len(prompts), 1, 0, frozenset())
        except ValueError as error:
            raise ValueError(f"sampler {name!r}: {error}") from None

    def run(own: Written, seed: int | None, tokens: int) -> GenerationResult:
        return generate(
            model,
            prompts,
            sampler=own.sampler,
            search=own.search,
            max_new_tokens=tokens,
            seed=seed or 0,
            stop_at_end=False,
            tokenizer=tokenizer,
            # So it goes a token a step: a chain that is compiled halfway would spoil the times.
            should_stop=None if own.search else lambda row, ids: False,
        )

    plan = {
        name: (None,) if own.search or isinstance(own.sampler, Greedy) else tuple(seeds)
        for name, own in chosen.items()
    }
    done, total = 0, sum(map(len, plan.values()))
    results: list[Result] = []

    def comparison() -> Comparison:
        shown = tuple(p if isinstance(p, str) else tuple(map(int, p)) for p in prompts)
        return Comparison(shown, tuple(seeds), max_new_tokens, tuple(results))

    try:
        for name, own in chosen.items():
            runs: dict[int | None, GenerationResult] = {}
            for seed in plan[name]:
                if on_run:
                    on_run(name, done, total)
                if not done:  # a cache of another length is compiled for again
                    run(own, seed, max_new_tokens)
                runs[seed] = run(own, seed, max_new_tokens)
                done += 1
            results.append(_summarise(name, own, runs))
    except KeyboardInterrupt as interruption:  # a text that was cut counts for nothing
        raise Interrupted(comparison()) from interruption
    except Exception as error:
        with contextlib.suppress(AttributeError):  # of a class with slots
            error.result = comparison()  # type: ignore[attr-defined]
        raise
    return comparison()


def _summarise(name: str, own: Written, runs: Mapping[int | None, GenerationResult]) -> Result:
    def over_seeds(measure: Callable[[GenerationResult], float]) -> Estimate:
        return Estimate.of([measure(run) for run in runs.values()])

    return Result(
        name=name,
        sampler=repr(own.search or own.sampler),
        texts=tuple(text for seed, run in runs.items() for text in _texts(seed, run)),
        seq_rep_4=over_seeds(lambda run: fmean(seq_rep_n(ids) for ids in run.token_ids)),
        distinct_1=over_seeds(lambda run: distinct_n(run.token_ids, 1)),
        distinct_2=over_seeds(lambda run: distinct_n(run.token_ids, 2)),
        log_prob=over_seeds(lambda run: fmean(chain.from_iterable(run.log_probs))),
        seconds_per_token=over_seeds(lambda run: run.seconds / sum(map(len, run.token_ids))),
    )


def _texts(seed: int | None, run: GenerationResult) -> list[Text]:
    return [
        Text(
            prompt=prompt if isinstance(prompt, str) else tuple(prompt),
            seed=None if seed is None else own,
            text=text,
            token_ids=tuple(ids),
            log_prob=fmean(log_probs),
            seq_rep_4=seq_rep_n(ids),
        )
        for prompt, own, text, ids, log_probs in zip(
            *(run.prompts, run.seeds, run.texts or repeat(None), run.token_ids, run.log_probs),
            strict=False,
        )
    ]
