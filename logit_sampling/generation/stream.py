"""Streaming: texts while they grow."""

from collections.abc import Callable, Iterator, Sequence
from typing import Literal

from logit_sampling.decoding.beginnings import Beginnings, begin_alike
from logit_sampling.decoding.plan import Search
from logit_sampling.decoding.reader import Reader, follow
from logit_sampling.generation.arguments import (
    Options,
    Samplers,
    Schema,
    Stop,
    options_in,
    tells_names,
)
from logit_sampling.generation.call import Call
from logit_sampling.generation.engine import Engine, check_options
from logit_sampling.generation.prompts import Prompt
from logit_sampling.generation.requests import Requests
from logit_sampling.generation.result import GenerationResult
from logit_sampling.generation.writing import TextEvent, Writing, progress
from logit_sampling.models.model import AnyModel, AnyTokenizer
from logit_sampling.types import OnError, Overflow

_KEPT = 4096  # tokens of beginnings that prompts of a call have in common


class Stream(Iterator[TextEvent]):
    """The events of a generation, which goes on as they are asked for.

    An interruption (Ctrl-C) while the model runs ends the rows; behind the events that tell so it
    comes out as `Interrupted`. What else is raised, by the model or by
    `should_stop`, comes out as it is, with what was written as its attribute `result`. Rows that
    could not go on are told at the end by `RowError`, unless `on_error` is
    `"return"`.

    Args:
        call: what to generate.
        with_text: whether events need text.
    """

    def __init__(self, call: Call, with_text: bool = True) -> None:
        self._writing = Writing(call, with_text)
        # What prompts have in common is kept until the call ends.
        kept = Beginnings(_KEPT) if begin_alike(call.prompts) else None
        reader = Reader(call.plan.model, call.plan.slide, kept)
        self._events = follow(self._writing.run(), reader)

    def __next__(self) -> TextEvent:
        return next(self._events)

    def __repr__(self) -> str:
        model = self._writing.call.plan.model.name
        return f"<Stream of model {model!r}: {progress(self._writing.rows)}>"

    @property
    def result(self) -> GenerationResult:
        """All that was generated.

        Raises:
            ValueError: the stream has not ended.
        """
        return self._writing.result

    def close(self) -> list[TextEvent]:
        """End the rows that still grow as interrupted, and return the events that tell so."""
        self._events.close()
        return list(self._writing.end("interrupted"))

    def tell(self, error: Exception) -> None:
        """Let an exception that ends the rows have what was written, as its attribute `result`."""
        self._writing.tell(error)


def begun(
    model: AnyModel | Engine,
    prompts: Prompt | Sequence[Prompt],
    with_text: bool,
    options: Options,
) -> Stream | Requests:
    """Return the events of a call; if nobody needs the text, tokens may come several at once."""
    if isinstance(model, Engine):
        check_options(options)
        return Requests(model, Call.of(model.model, prompts, **options), with_text)
    call = Call.of(model, prompts, **options)
    return Stream(call if with_text else call.ahead(), with_text)


@tells_names()
def stream(
    model: AnyModel | Engine,
    prompts: Prompt | Sequence[Prompt],
    *,
    sampler: Samplers = None,
    max_new_tokens: int = 100,
    min_new_tokens: int = 0,
    seed: int | Sequence[int] | None = None,
    n: int = 1,
    stop_at_end: bool | Sequence[int] = True,
    stop_token_ids: Sequence[int] = (),
    stop: Stop | Sequence[Stop] = (),
    stop_loops: tuple[int, int] | None = None,
    should_stop: Callable[[int, list[int]], bool] | None = None,
    deadline: float | None = None,
    overflow: Overflow = "error",
    max_rows: int = 32,
    top_log_probs: int = 0,
    echo: bool = False,
    tokenizer: AnyTokenizer | None = None,
    search: Search | None = None,
    draft: AnyModel | Literal["lookup"] | None = None,
    num_draft: int | None = None,
    on_error: OnError = "raise",
    json_schema: Schema | None = None,
    regex: str | None = None,
) -> Stream | Requests:
    """Continue prompts, and give the text while it grows.

    Args:
        model: as for `generate`, but it needs a tokenizer. The events of an `Engine` come from
            its thread, whether they are asked for or not.
        prompts: the same.
        sampler: this and all further options are those of `generate`.

    Returns:
        an iterator of `TextEvent`, one for each new token of each row; its `result` is that
        of `generate` once it has ended. Its `close()` ends it early and frees the memory.

    Raises:
        ValueError: as `generate`.

    Example, with a model that counts:

    >>> import numpy as np
    >>> class Digits:
    ...     encode = staticmethod(lambda text: [int(digit) for digit in text])
    ...     decode = staticmethod(lambda ids: "".join(map(str, ids)))
    >>> events = stream(lambda ids: 9.0 * np.eye(5)[(ids[:, -1] + 1) % 5], "0",
    ...                 tokenizer=Digits(), max_new_tokens=3, seed=0)
    >>> [str(event) for event in events], events.result.texts
    (['1', '2', '3'], ['123'])
    """
    return begun(model, prompts, True, options_in(locals()))
