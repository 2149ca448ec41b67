"""Run several samplers on the same prompts and seeds, and measure their texts."""

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from logit_sampling.decoding.written import Written
from logit_sampling.distribution.random import row_integers
from logit_sampling.evaluation.comparison import Comparison
from logit_sampling.evaluation.grid import Swept
from logit_sampling.evaluation.jobs import Notes, draws, jobs_of, writer
from logit_sampling.evaluation.measures import DEFAULT, Metric, measure
from logit_sampling.evaluation.reading import Reader
from logit_sampling.evaluation.record import Record
from logit_sampling.evaluation.samplers import Chosen, default_samplers, named
from logit_sampling.evaluation.texts import HUMAN, Prompt, as_prompts
from logit_sampling.generation.arguments import check_at_least, groups_of, tells_names
from logit_sampling.generation.engine import Engine
from logit_sampling.generation.result import Interrupted
from logit_sampling.models.as_model import as_model
from logit_sampling.models.identity import identity, is_nameless
from logit_sampling.models.model import AnyModel, AnyTokenizer
from logit_sampling.types import NEW_TOKENS, Overflow


@tells_names()
def compare(
    model: AnyModel | Engine | Mapping[str, AnyModel | Engine],
    prompts: str | Prompt | Sequence[str | Sequence[int] | Prompt],
    samplers: Mapping[str, Chosen] | Iterable[str] | None = None,
    seeds: Sequence[int] = (0, 1, 2),
    max_new_tokens: int = NEW_TOKENS,
    tokenizer: AnyTokenizer | None = None,
    on_run: Callable[[str, int, int], None] | None = None,
    *,
    stop_at_end: bool = False,
    overflow: Overflow = "error",
    batch_size: int = 32,
    measures: Sequence[str] = DEFAULT,
    metrics: Mapping[str, Metric] | None = None,
    baseline: str | None = None,
    judge: AnyModel | None = None,
    frontier: bool = False,
    steps: bool = False,
    out: str | os.PathLike[str] | None = None,
    command: str = "",
) -> Comparison:
    """Continue every prompt with every sampler and seed, and measure the texts.

    Prompts draw independent random numbers, and samplers the same ones for a prompt and a seed, so
    that differences between samplers are paired, and not those between draws. The texts of a seed
    are those that `generate` gives for all prompts with this seed; `Text.seed` is what it takes for
    a prompt alone. Greedy and searches, which no seed changes, write one text a prompt.

    All texts have `max_new_tokens` tokens, and an end token does not stop them unless
    `stop_at_end`, so that repetition and diversity compare. The first batch is written twice and
    timed the second time, so that the time of a token is free of tracing and compiling.

    A number comes with its 95 % interval where there are enough prompts (or texts): see
    `Estimate`. `Comparison.differences` compares with a baseline, prompt by prompt.

    Args:
        model: what `load_model` returns, or any other model that `generate` accepts; or several by
            name.
        prompts: a string, a list of strings, or of lists of token ids; or of `Prompt`s, which
            `read_prompts` reads from a file and which may say how their authors went on:
            `Comparison.human` has their numbers.
        samplers: name -> sampler, search or a line as `Sampler.parse` takes it; or a list of lines,
            whose names are what stands before a colon, or else they themselves. Searches are
            `BeamSearch` and `ContrastiveSearch`, written "beam num_beams=4" and "contrastive k=5".
            `swept` writes the lines of a grid. Default: greedy, top-k 50, top-p 0.9 and pure
            sampling.
        seeds: distinct integers, at least one: so many texts a prompt.
        max_new_tokens: tokens of each text, at least 4 (seq-rep-4 counts 4-grams).
        tokenizer: as `generate` takes it, for a model that has none.
        on_run: called before each batch with the name of the sampler, the texts done, and all of
            them.
        stop_at_end: whether an end token ends a text.
        overflow: as for `generate`.
        batch_size: prompts that are written at once, which bounds the memory; it changes no text.
        measures: the names of the numbers to show. `measure_names` lists them, and a result has
            others as its attributes.
        metrics: measures of one's own: name -> function of a text (None without a tokenizer) and
            its token ids; shown behind `measures`.
        baseline: the name of the sampler that others are compared with; by default the first.
        judge: a second model that reads all texts, for `judge_log_prob` and `judge_perplexity`.
        frontier: whether to embed the texts, for the measure `"frontier"`; by the judge, or else
            the first model.
        steps: whether to find how many tokens each sampler left at each step, and the entropy of
            what it left (`kept`, `step_entropy`): each text is read once more. Not for searches.
        out: a folder to which texts are written as soon as they are there. A second call with it
            writes what is missing, also for further samplers, prompts, seeds and models. A model
            that is a function needs a name for it: `as_model(function, name="mine")`.
        command: what the record says made it.

    Returns:
        A `Comparison`.

    Raises:
        ValueError: no sampler or seed, a seed twice, too few tokens, no such measure or baseline,
            `out` with another comparison or a function without a name, or what `generate` rejects,
            such as an empty prompt or one that is too long for the model's context.
        Interrupted: Ctrl-C, a KeyboardInterrupt whose `result` is the comparison of what is whole:
            the prompts whose texts are there for all samplers, or else the samplers that have them.
            So has what the model or a sampler raises.

    Example, with a model that counts in a circle:

    >>> import numpy as np
    >>> comparison = compare(lambda ids: 9.0 * np.eye(3)[(ids[:, -1] + 1) % 3], [[0]],
    ...                      ["greedy"], max_new_tokens=8)
    >>> greedy = comparison.results[0]
    >>> greedy.texts[0].token_ids, greedy.seq_rep_4.mean     # 1201 2012 0120 1201 2012
    ((1, 2, 0, 1, 2, 0, 1, 2), 0.4)
    """
    chosen = named(default_samplers() if samplers is None else samplers)
    asked = as_prompts(prompts)
    if isinstance(seeds, int) or not 0 < len(set(seeds)) == len(seeds):
        raise ValueError(f"seeds must be a list of different integers, at least one; got {seeds!r}")
    if not isinstance(max_new_tokens, int) or max_new_tokens < 4:
        raise ValueError(
            f"max_new_tokens must be an integer of at least 4 for 4-grams, got {max_new_tokens!r}"
        )
    check_at_least(1, batch_size=batch_size)
    row_integers(list(seeds), len(seeds))
    for name, own in chosen.items():  # now, not when its turn comes
        if name == HUMAN:
            raise ValueError(f"{HUMAN!r} is what authors wrote: give that sampler another name")
        try:
            groups_of(own.sampler, len(asked), 1, 0, frozenset())
        except ValueError as error:
            raise ValueError(f"sampler {name!r}: {error}") from None
    models: dict[str, Any] = (
        dict(model) if isinstance(model, Mapping) else {as_model(model).name: model}  # type: ignore[arg-type]
    )
    if not models:
        raise ValueError("model is empty: give at least one")
    several = [measures] if isinstance(measures, str) else measures
    shown = tuple(dict.fromkeys(name.replace("-", "_") for name in [*several, *(metrics or {})]))
    if judge is not None and not any(name.startswith("judge_") for name in shown):
        shown = (*shown, "judge_perplexity")
    shown = (*shown, *(["frontier"] if frontier and "frontier" not in shown else []))
    shown = (*shown, *(["kept"] if steps and not {"kept", "step_entropy"} & {*shown} else []))
    frontier, steps = "frontier" in shown, bool({"kept", "step_entropy"} & {*shown})
    if out is not None:
        unnamed: list[Any] = [] if isinstance(model, Mapping) else [model]
        for given in filter(None, (*unnamed, judge)):
            if is_nameless(given):
                raise ValueError(
                    f"model {as_model(given).name!r} is a function, and nothing tells its texts "
                    f"in {out} from another's: name it, as_model(function, name=...), and give "
                    "a function that writes other texts another name"
                )
    told = {name: identity(own, tokenizer) for name, own in models.items()}
    first = next(iter(told))
    reading = None if judge is None else {"name": as_model(judge).name, **identity(judge)}
    setting = {
        "prompts": {p.id: {"text": p.text, "human": p.human} for p in _listed(asked)},
        "samplers": {name: _about(own, samplers) for name, own in chosen.items()},
        "models": told,
        "judge": reading,
        "embedder": (reading or {"name": first, **told[first]}) if frontier else None,
        "seeds": [int(seed) for seed in seeds],
        "max_new_tokens": int(max_new_tokens),
        "stop_at_end": stop_at_end,
        "overflow": overflow,
    }
    for name in shown:
        measure(name, metrics)
    if frontier and not any(prompt.human is not None for prompt in asked):
        raise ValueError(
            "the frontier is to human texts: give prompts that say how their authors went on"
        )
    if judge is None and any(name.startswith("judge_") for name in shown):
        raise ValueError("judge_perplexity and judge_log_prob need a judge: pass judge=")
    names = [*chosen, *([HUMAN] if any(prompt.human is not None for prompt in asked) else [])]
    if len(models) > 1:
        names = [f"{own}: {name}" for own in models for name in names]
    if baseline not in (None, *names):
        raise ValueError(f"no sampler is called {baseline!r} (baseline); there are {names}")
    record = Record(setting, out, command)

    def comparison() -> Comparison:
        texts = tuple(record.texts.values())
        calls = tuple(record.about["calls"])
        return Comparison(setting, calls, texts, shown, baseline, metrics or {})

    slide = overflow == "slide"
    readers = {name: Reader(name, own, tokenizer, slide) for name, own in models.items()}
    judging = None if judge is None else Reader(as_model(judge).name, judge, None, slide)
    notes = Notes(judging, (judging or next(iter(readers.values()))) if frontier else None, steps)
    others = {own for own in (judging, notes.embedder) if own is not None}
    for other in others:
        for writing in readers.values():
            other.check_reads(writing)

    def work() -> None:
        jobs = list(jobs_of(asked, models, chosen, seeds, batch_size, record, notes))
        total = sum(len(job.prompts) for job in jobs)
        done, warm = 0, set[str]()
        for job in jobs:
            if on_run:
                on_run(job.name, done, total)
            old = [record.texts.get(job.key(asked, i)) for i in job.prompts]
            if all(old):
                texts = [text for text in old if text is not None]
            elif job.sampler is None:
                texts = [readers[job.model].human(asked[i], max_new_tokens) for i in job.prompts]
            else:
                write = writer(models[job.model], asked, job, setting, tokenizer)
                if job.model not in warm:  # a cache of another length is compiled for again
                    write()
                    warm.add(job.model)
                texts = write()
            record.add(notes.added(t, readers[job.model], job.sampler) for t in texts)
            done += len(job.prompts)

    try:
        with record.opened():
            work()
    except KeyboardInterrupt as interruption:  # a text that was cut counts for nothing
        raise Interrupted(comparison()) from interruption
    except Exception as error:
        with contextlib.suppress(AttributeError):  # of a class with slots
            error.result = comparison()  # type: ignore[attr-defined]
        raise
    finally:
        for other in others:
            other.warn_of_cuts()
    return comparison()


def _listed(prompts: Iterable[Prompt]) -> Iterator[Prompt]:
    """Yield prompts as JSON has them."""
    for prompt in prompts:
        text, human = (
            list(told) if isinstance(told, tuple) else told for told in (prompt.text, prompt.human)
        )
        yield Prompt(prompt.id, text, human)  # type: ignore[arg-type]


def _about(own: Written, samplers: Any) -> dict[str, Any]:
    settings = {}
    if isinstance(samplers, Swept):
        settings = samplers.settings.get(own.name, {})
    return {
        "chain": repr(own.search or own.sampler),
        "draws": draws(own),
        "settings": settings,
    }
