"""A call while its texts are written."""

import contextlib
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass

from logit_sampling.decoding.ahead import decode
from logit_sampling.decoding.plan import Read
from logit_sampling.decoding.reader import told
from logit_sampling.decoding.row import Alternatives, Row
from logit_sampling.generation.call import Call, undecodable
from logit_sampling.generation.result import GenerationResult, Interrupted, RowError
from logit_sampling.generation.stopping import StopStrings
from logit_sampling.generation.text import GrowingText
from logit_sampling.models.model import Output, needed_tokenizer
from logit_sampling.plotting.visible import counted


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


def progress(rows: Sequence[Row]) -> str:
    """Tell how far texts are."""
    ended, tokens = sum(bool(row.finish_reason) for row in rows), sum(len(row.ids) for row in rows)
    return f"{ended} of {counted(len(rows), 'text')} ended, {counted(tokens, 'token')} so far"


class Writing:
    """A call while its texts are written.

    Args:
        call: what to write.
        with_text: whether events need text.

    Attributes:
        call: as given.
        rows: the texts so far.
    """

    def __init__(self, call: Call, with_text: bool = True) -> None:
        if with_text and call.search and not call.search.streams:
            raise ValueError(
                f"{call.search!r} knows its texts only at its end: call generate without on_text"
            )
        self.call: Call = call
        self.rows: list[Row] = call.rows()
        self._told = [-1] * len(self.rows)  # tokens of which there was an event; -1: no event
        self._pieces = [""] * len(self.rows)  # text that is known but not told
        self._texts: list[GrowingText] = []
        if with_text or call.stop:
            tokenizer = needed_tokenizer(call.tokenizer, call.plan.model.name)
            stops = call.stop or StopStrings(())
            self._texts = [
                GrowingText(tokenizer.decode, row.prompt, stops.another()) for row in self.rows
            ]
        self._loops = [call.loops.another() for _ in self.rows] if call.loops else []
        self._result: GenerationResult | None = None

    @property
    def result(self) -> GenerationResult:
        """All that was generated.

        Raises:
            ValueError: not all texts have ended.
        """
        if not all(row.finish_reason for row in self.rows):
            raise ValueError("the stream has not ended: read it to its end, or close it")
        if self._result is None:
            self._result = self.call.result(self.rows)
        return self._result

    def run(self) -> Generator[TextEvent | Read, Output, None]:
        """Write all texts to their ends; ask for what to read, and yield what each token adds."""
        call = self.call
        way = call.search.decode if call.search else decode
        yield from (self._event(i) for i, row in enumerate(self.rows) if row.finish_reason)
        try:
            yield from told(way(call.plan, self.rows, self._ended_by), self._event)
        except KeyboardInterrupt as error:
            yield from self.end("interrupted")
            raise Interrupted(self.result) from error
        except Exception as error:
            self.tell(error)
            raise
        yield from self.end("deadline")  # of those that it left unfinished
        if call.on_error == "raise" and self.result.errors:
            raise RowError(self.result)

    def tell(self, error: Exception) -> None:
        """Let an exception that ends the texts have what was written, as its attribute `result`."""
        deque(self.end("interrupted"), maxlen=0)
        with contextlib.suppress(AttributeError):  # of a class with slots
            error.result = self.result  # type: ignore[attr-defined]

    def end(self, reason: str) -> Iterator[TextEvent]:
        """End the texts that still grow, and yield what tells so."""
        for i, row in enumerate(self.rows):
            if not row.finish_reason:
                row.end(reason)
                yield self._event(i)

    def _ended_by(self, i: int) -> str:
        """Return why row `i` ends with its newest token, or an empty string."""
        row, call = self.rows[i], self.call
        if self._texts:
            text, look = self._texts[i], len(row.ids) > call.min_new_tokens
            try:
                self._pieces[i] += text.push(row.ids[-1], look)
            except Exception as error:  # whatever a tokenizer raises
                number = call.plan.first_row + i
                row.error = f"row {number}, new token {len(row.ids) - 1}: {undecodable(error)}"
                return "error"
            if text.found is not None:
                return "stop_string"
        if self._loops and self._loops[i].push(row.ids[-1]):
            return "loop"
        if len(row.ids) == call.plan.max_new_tokens:
            return "length"
        stop = call.should_stop
        if stop is not None and stop(call.plan.first_row + i, list(row.ids)):
            return "callback"
        return ""

    def _event(self, i: int) -> TextEvent:
        row, call = self.rows[i], self.call
        if row.finish_reason == "length" and call.unfinished(i, row):
            row.finish_reason = "unfinished"
        piece, self._pieces[i] = self._pieces[i], ""
        if self._texts:
            if self._told[i] < 0 and call.echo:
                piece = call.prompt_text(i) + piece
            if row.finish_reason:
                piece += self._rest(i)
        new, self._told[i] = len(row.ids) > max(self._told[i], 0), len(row.ids)
        return TextEvent(
            row=call.plan.first_row + i,
            text=piece,
            token_id=row.ids[-1] if new else None,
            log_prob=row.log_probs[-1] if new else None,
            sampler_log_prob=row.sampler_log_probs[-1] if new else None,
            top_log_probs=row.top_log_probs[-1] if new and call.plan.top_log_probs else None,
            finish_reason=row.finish_reason or None,
            error=row.error,
        )

    def _rest(self, i: int) -> str:
        """Return what was held back of the text of a row that ends; a stop string may end in it."""
        row, text = self.rows[i], self._texts[i]
        try:
            piece = text.end(row.shown) if row.error is None else ""
        except Exception as error:  # whatever a tokenizer raises
            piece = ""
            row.fail(f"row {self.call.plan.first_row + i}: {undecodable(error)}")
        row.text, row.stop_string = text.text, text.found
        if text.found is not None:
            row.finish_reason = "stop_string"
        return piece
