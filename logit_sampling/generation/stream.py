"""Streaming: texts while they grow."""

import contextlib
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Unpack

from logit_sampling.decoding.ahead import decode
from logit_sampling.decoding.row import Alternatives
from logit_sampling.generation.arguments import Options, shows_options
from logit_sampling.generation.prompts import Prompt
from logit_sampling.generation.request import Request, undecodable
from logit_sampling.generation.result import GenerationResult, Interrupted, RowError
from logit_sampling.generation.stopping import StopStrings
from logit_sampling.generation.text import GrowingText
from logit_sampling.models.model import AnyModel, needed_tokenizer


@dataclass(frozen=True, slots=True)
class TextEvent:
    """What a new token added; `str(event)` is its text.

    Attributes:
        row: the number of the row.
        text: whole characters, which may be none: a character may span tokens, and what could begin
            a stop string waits until it is known. Those of a row together are its text.
        token_id: the new token; None if the row ends without one (deadline, interrupted, error).
        log_prob: its log-probability under the model.
        sampler_log_prob: the same under the distribution that it was drawn from.
        top_log_probs: the likeliest tokens at its place, if they were asked for.
        finish_reason: why the row ends with this event, else None.
        error: why the row could not go on, if its finish reason is `"error"`.
    """

    row: int
    text: str
    token_id: int | None = None
    log_prob: float | None = None
    sampler_log_prob: float | None = None
    top_log_probs: Alternatives | None = None
    finish_reason: str | None = None
    error: str | None = None

    def __str__(self) -> str:
        return self.text


class Stream(Iterator[TextEvent]):
    """The events of a generation, which goes on as they are asked for.

    An interruption (Ctrl-C) while the model runs ends the rows; behind the events that tell so it
    comes out as `Interrupted`. What else is raised, by the model or by
    `should_stop`, comes out as it is, with what was written as its attribute `result`. Rows that
    could not go on are told at the end by `RowError`, unless `on_error` is
    `"return"`.

    Args:
        request: what to generate.
        with_text: whether events need text.
    """

    def __init__(self, request: Request, with_text: bool = True) -> None:
        if with_text and request.search and not request.search.streams:
            raise ValueError(
                f"{request.search!r} knows its texts only at its end: call generate without on_text"
            )
        self._request, self._rows = request, request.rows()
        self._told = [-1] * len(self._rows)  # tokens of which there was an event; -1: no event
        self._pieces = [""] * len(self._rows)  # text that is known but not told
        self._texts: list[GrowingText] = []
        if with_text or request.stop:
            tokenizer = needed_tokenizer(request.tokenizer, request.plan.model.name)
            stops = StopStrings(request.stop)
            self._texts = [
                GrowingText(tokenizer.decode, row.prompt, stops.another()) for row in self._rows
            ]
        self._result: GenerationResult | None = None
        self._events = self._run()

    def __next__(self) -> TextEvent:
        return next(self._events)

    @property
    def result(self) -> GenerationResult:
        """All that was generated.

        Raises:
            ValueError: the stream has not ended.
        """
        if not all(row.finish_reason for row in self._rows):
            raise ValueError("the stream has not ended: read it to its end, or close it")
        if self._result is None:
            self._result = self._request.result(self._rows)
        return self._result

    def close(self) -> list[TextEvent]:
        """End the rows that still grow as interrupted, and return the events that tell so."""
        self._events.close()
        return list(self._end("interrupted"))

    def _run(self) -> Generator[TextEvent, None, None]:
        request = self._request
        way = request.search.decode if request.search else decode
        yield from (self._event(i) for i, row in enumerate(self._rows) if row.finish_reason)
        try:
            for i in way(request.plan, self._rows, self._ended_by):
                yield self._event(i)
        except KeyboardInterrupt as error:
            yield from self._end("interrupted")
            raise Interrupted(self.result) from error
        except Exception as error:
            self.tell(error)
            raise
        yield from self._end("deadline")  # of those that it left unfinished
        if request.on_error == "raise" and self.result.errors:
            raise RowError(self.result)

    def tell(self, error: Exception) -> None:
        """Let an exception that ends the rows have what was written, as its attribute `result`."""
        deque(self._end("interrupted"), maxlen=0)
        with contextlib.suppress(AttributeError):  # of a class with slots
            error.result = self.result  # type: ignore[attr-defined]

    def _end(self, reason: str) -> Iterator[TextEvent]:
        for i, row in enumerate(self._rows):
            if not row.finish_reason:
                row.end(reason)
                yield self._event(i)

    def _ended_by(self, i: int) -> str:
        """Return why row `i` ends with its newest token, or an empty string."""
        row, request = self._rows[i], self._request
        if self._texts:
            text, look = self._texts[i], len(row.ids) > request.min_new_tokens
            try:
                self._pieces[i] += text.push(row.ids[-1], look)
            except Exception as error:  # whatever a tokenizer raises
                row.error = f"row {i}, new token {len(row.ids) - 1}: {undecodable(error)}"
                return "error"
            if text.found is not None:
                return "stop_string"
        if len(row.ids) == request.plan.max_new_tokens:
            return "length"
        if request.should_stop is not None and request.should_stop(i, list(row.ids)):
            return "callback"
        return ""

    def _event(self, i: int) -> TextEvent:
        row, request = self._rows[i], self._request
        piece, self._pieces[i] = self._pieces[i], ""
        if self._texts:
            if self._told[i] < 0 and request.echo:
                piece = request.prompt_text(i) + piece
            if row.finish_reason:
                piece += self._rest(i)
        new, self._told[i] = len(row.ids) > max(self._told[i], 0), len(row.ids)
        return TextEvent(
            row=i,
            text=piece,
            token_id=row.ids[-1] if new else None,
            log_prob=row.log_probs[-1] if new else None,
            sampler_log_prob=row.sampler_log_probs[-1] if new else None,
            top_log_probs=row.top_log_probs[-1] if new and request.plan.top_log_probs else None,
            finish_reason=row.finish_reason or None,
            error=row.error,
        )

    def _rest(self, i: int) -> str:
        """Return what was held back of the text of a row that ends; a stop string may end in it."""
        row, text = self._rows[i], self._texts[i]
        try:
            piece = text.end(row.shown) if row.error is None else ""
        except Exception as error:  # whatever a tokenizer raises
            piece = ""
            row.fail(f"row {i}: {undecodable(error)}")
        row.text, row.stop_string = text.text, text.found
        if text.found is not None:
            row.finish_reason = "stop_string"
        return piece


@shows_options
def stream(
    model: AnyModel, prompts: Prompt | Sequence[Prompt], **options: Unpack[Options]
) -> Stream:
    """Continue prompts, and give the text while it grows.

    Args:
        model: as for `generate`, but it needs a tokenizer.
        prompts: the same.
        **options: those of `generate`, all but `on_text`.

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
    return Stream(Request.of(model, prompts, **options))
