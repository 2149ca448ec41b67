"""What a comparison has to write, in batches, and what it has to find out about texts."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import repeat
from typing import Any

from logit_sampling.decoding.written import Written
from logit_sampling.distribution.random import row_integers
from logit_sampling.evaluation.reading import Reader
from logit_sampling.evaluation.record import Record
from logit_sampling.evaluation.texts import HUMAN, Prompt, Text
from logit_sampling.generation.engine import Engine
from logit_sampling.generation.generate import generate
from logit_sampling.sampler import Greedy


@dataclass(frozen=True)
class Notes:
    """What is found out about each text by reading it.

    Attributes:
        judge: reads how likely it is, or None.
        embedder: reads where it is, or None.
        steps: whether to find what the sampler left at each step.
    """

    judge: Reader | None
    embedder: Reader | None
    steps: bool

    def missing(self, text: Text, sampler: Written | None) -> list[str]:
        """Return the fields of a text that are to be found out."""
        wanted = {
            "judge": self.judge is not None,
            "embedding": self.embedder is not None,
            "kept": self.steps and sampler is not None and sampler.search is None,
        }
        if text.failed:
            return []
        return [name for name, asked in wanted.items() if asked and getattr(text, name) is None]

    def added(self, text: Text, reader: Reader, sampler: Written | None) -> Text:
        """Return a text with what was missing; `reader` is the model that wrote it."""
        for name in self.missing(text, sampler):
            if name == "judge" and self.judge is not None:
                text = replace(text, judge=round(self.judge.judged(text, reader), 6))
            elif name == "embedding" and self.embedder is not None:
                text = replace(text, embedding=self.embedder.embedding(text, reader))
            elif sampler is not None:
                text = reader.stepped(text, sampler.sampler)
        return text


@dataclass(frozen=True)
class Job:
    """A batch of texts.

    Attributes:
        name: of the sampler.
        sampler: None for what the authors of the prompts wrote.
        model: the name of the model.
        run: the seed, None where none changes anything.
        prompts: their places.
        seeds: theirs, None likewise.
    """

    name: str
    sampler: Written | None
    model: str
    run: int | None
    prompts: list[int]
    seeds: dict[int, int | None]

    def key(self, prompts: Sequence[Prompt], place: int) -> tuple[Any, ...]:
        """Return the key of one of its texts."""
        return self.model, self.name, prompts[place].id, self.seeds[place]


def jobs_of(
    prompts: Sequence[Prompt],
    models: Iterable[str],
    samplers: Mapping[str, Written],
    seeds: Sequence[int],
    batch_size: int,
    record: Record,
    notes: Notes,
) -> Iterator[Job]:
    """Yield what is missing in a record, all of some prompts first, so that they compare."""
    # A prompt draws by its place among all that the record knows, whatever the order of this call.
    places = {name: i for i, name in enumerate(record.about["setting"]["prompts"])}
    numbered = {run: row_integers(run, len(places)) for run in seeds}
    for first in range(0, len(prompts), batch_size):
        chunk = range(first, min(first + batch_size, len(prompts)))
        for model in models:
            authors = [i for i in chunk if prompts[i].human is not None]
            job = Job(HUMAN, None, model, None, authors, dict.fromkeys(authors))
            yield from _missing(job, prompts, record, notes)
            for name, own in samplers.items():
                for run in seeds if draws(own) else [None]:
                    numbers = {
                        i: None if run is None else int(numbered[run][places[prompts[i].id]])
                        for i in chunk
                    }
                    job = Job(name, own, model, run, list(chunk), numbers)
                    yield from _missing(job, prompts, record, notes)


def _missing(job: Job, prompts: Sequence[Prompt], record: Record, notes: Notes) -> Iterator[Job]:
    """Yield the texts of a job that are not there, and those about which something is not known."""
    old = {i: record.texts.get(job.key(prompts, i)) for i in job.prompts}
    for wanted in (
        [i for i, text in old.items() if text is None],
        [i for i, text in old.items() if text is not None and notes.missing(text, job.sampler)],
    ):
        if wanted:
            yield replace(job, prompts=wanted)


def draws(own: Written) -> bool:
    """Whether a seed changes its texts."""
    return own.search is None and not isinstance(own.sampler, Greedy)


def writer(
    model: Any, prompts: Sequence[Prompt], job: Job, setting: Mapping[str, Any], tokenizer: Any
) -> Callable[[], list[Text]]:
    """Return what writes the texts of a job."""
    own = job.sampler
    assert own is not None
    given = [prompts[i].text for i in job.prompts]

    at_once: dict[str, Any] = {} if isinstance(model, Engine) else {"max_rows": len(given)}

    def write() -> list[Text]:
        result = generate(
            model,
            [text if isinstance(text, str) else list(text) for text in given],
            sampler=own.sampler,
            search=own.search,
            max_new_tokens=setting["max_new_tokens"],
            seed=[job.seeds[i] or 0 for i in job.prompts],
            stop_at_end=setting["stop_at_end"],
            overflow=setting["overflow"],
            tokenizer=tokenizer,
            **at_once,
            # So it goes a token a step: a chain that is compiled halfway would spoil the times.
            should_stop=None if own.search else lambda row, ids: False,
            on_error="return",
        )
        seconds = result.seconds / max(1, sum(map(len, result.token_ids)))
        texts = result.texts or repeat(None)
        return [
            Text(
                model=job.model,
                sampler=job.name,
                prompt_id=prompts[place].id,
                prompt=prompts[place].text,
                run=job.run,
                seed=job.seeds[place],
                text=text,
                token_ids=tuple(result.token_ids[i]),
                log_probs=tuple(result.log_probs[i]),
                sampler_log_probs=tuple(result.sampler_log_probs[i]),
                finish_reason=result.finish_reasons[i],
                error=result.errors[i] if result.errors else None,
                seconds=round(seconds, 9),
            )
            for i, (place, text) in enumerate(zip(job.prompts, texts, strict=False))
        ]

    return write
