"""What came of a request, in the form of the OpenAI API."""

import codecs
from collections.abc import Iterator, Sequence
from typing import Any

from logit_sampling.decoding.row import Alternatives
from logit_sampling.generation.result import GenerationResult
from logit_sampling.generation.writing import TextEvent
from logit_sampling.serving.asked import Asked
from logit_sampling.serving.refused import RefusedError
from logit_sampling.serving.spelling import Spelling

_DECODER = codecs.getincrementaldecoder("utf-8")
_LEAST = -9999.0  # the log-probability of what has none, as the API says it
_KINDS = {401: "authentication_error", 404: "not_found_error", 429: "rate_limit_error"}
_STOPPED = {"end_token", "stop_string", "loop", "callback"}


def usage(prompts: Sequence[Sequence[int]], token_ids: Sequence[Sequence[int]]) -> dict[str, int]:
    """Return how many tokens were read and written."""
    read, new = sum(map(len, prompts)), sum(map(len, token_ids))
    return {"prompt_tokens": read, "completion_tokens": new, "total_tokens": read + new}


def ended(reason: str | None) -> str | None:
    """Return a finish reason in the words of the API."""
    return reason and ("stop" if reason in _STOPPED else "length")


def check_ended(reason: str | None, error: str | None) -> None:
    """Raise RefusedError for a text that could not go on, or was cut off by the server's end."""
    if error is not None:
        raise RefusedError(error)
    if reason in ("interrupted", "cancelled"):
        raise RefusedError("the server is closing: ask again later", status=503)


def error_of(error: BaseException) -> dict[str, Any]:
    """Return an error in the API's form; what is no refusal is not told in detail."""
    if not isinstance(error, RefusedError):
        error = RefusedError("the server failed on this request; its log says why", status=500)
    kind = _KINDS.get(error.status, "invalid_request_error")
    told = {
        "message": str(error),
        "type": "server_error" if error.status >= 500 else kind,
        "param": error.param,
        "code": error.status,
    }
    return {"error": told}


def check_all_ended(result: GenerationResult) -> None:
    """Raise RefusedError if a text could not go on, or was cut off."""
    errors = result.errors or [None] * len(result.finish_reasons)
    for reason, error in zip(result.finish_reasons, errors, strict=True):
        check_ended(reason, error)


class Answer:
    """How the texts of one request are told.

    Args:
        asked: the request.
        chat: whether they are messages.
        spelling: of the model's tokens.
        head: what each object begins with: `id`, `created`, `model`.
    """

    def __init__(self, asked: Asked, chat: bool, spelling: Spelling, head: dict[str, Any]) -> None:
        self._asked, self._chat, self._spelling, self._head = asked, chat, spelling, head
        self._begun: set[int] = set()  # rows of a stream that were told of
        self._offsets: dict[int, int] = {}  # characters of their tokens so far
        self._characters: dict[int, Any] = {}  # what makes these of bytes

    def whole(self, result: GenerationResult, prompts: Sequence[Sequence[int]]) -> dict[str, Any]:
        """Return the object for texts that have ended.

        Raises:
            RefusedError: one of them could not go on.
        """
        check_all_ended(result)
        stops = result.stop_strings or [None] * len(result.texts)
        choices = []
        for i, text in enumerate(result.texts):
            reason = result.finish_reasons[i]
            shown = {"message": _message(text)} if self._chat else {"text": text}
            choices.append({"index": i, **shown, **self._ending(reason, stops[i])})
            choices[-1]["logprobs"] = self._log_probs(i, *_tokens(result, i))
        kind = "chat.completion" if self._chat else "text_completion"
        return {
            **self._headed(kind, choices),
            "usage": usage(prompts, result.token_ids),
            "settings": self._asked.settings,
        }

    def chunks(self, event: TextEvent, stop: str | None = None) -> Iterator[dict[str, Any]]:
        """Yield the objects of a stream that tell of an event, and of the stop string that it has.

        Raises:
            RefusedError: the text could not go on.
        """
        check_ended(event.finish_reason, event.error)
        new = event.row not in self._begun
        self._begun.add(event.row)
        if self._chat and new:
            role = {"role": "assistant", "content": ""}
            yield {**self._chunk(event.row, role), "settings": self._asked.settings}
        if not (new or event.text or event.token_id is not None or event.finish_reason):
            return
        told: tuple[Any, ...] = ([], [], [])
        if event.token_id is not None:
            told = ([event.token_id], [event.log_prob], [event.top_log_probs])
        chunk = self._chunk(
            event.row,
            {"content": event.text},
            self._log_probs(event.row, *told) if event.token_id is not None else None,
            event.finish_reason,
            stop,
        )
        yield chunk if self._chat or not new else {**chunk, "settings": self._asked.settings}

    def total(self, used: dict[str, int]) -> dict[str, Any]:
        """Return the last object of a stream, with the numbers of tokens."""
        kind = "chat.completion.chunk" if self._chat else "text_completion"
        return {**self._headed(kind, []), "usage": used}

    def _chunk(
        self,
        row: int,
        delta: dict[str, Any],
        log_probs: Any = None,
        reason: str | None = None,
        stop: str | None = None,
    ) -> dict[str, Any]:
        shown = {"delta": delta} if self._chat else {"text": delta["content"]}
        choice = {"index": row, **shown, **self._ending(reason, stop), "logprobs": log_probs}
        kind = "chat.completion.chunk" if self._chat else "text_completion"
        return self._headed(kind, [choice])

    def _headed(self, kind: str, choices: list[Any]) -> dict[str, Any]:
        return {**self._head, "object": kind, "choices": choices}

    def _ending(self, reason: str | None, stop: str | None) -> dict[str, Any]:
        """What ended a text: the API's word, ours, and the stop string as vLLM has it."""
        return {"finish_reason": ended(reason), "ended_by": reason, "stop_reason": stop}

    def _log_probs(
        self,
        row: int,
        tokens: Sequence[int],
        log_probs: Sequence[float | None],
        tops: Sequence[Alternatives | None],
    ) -> dict[str, Any] | None:
        if not self._asked.log_probs:
            return None
        if self._chat:
            return {
                "content": [
                    {
                        **self._token(token, own),
                        "top_logprobs": [self._token(*t) for t in top or ()],
                    }
                    for token, own, top in zip(tokens, log_probs, tops, strict=True)
                ],
                "refusal": None,
            }
        texts = [self._spelling.text(token) for token in tokens]
        offsets, place = [], self._offsets.get(row, 0)
        # A token that is part of a character begins where that begins.
        characters = self._characters.setdefault(row, _DECODER(errors="replace"))
        for token, text in zip(tokens, texts, strict=True):
            offsets.append(place)
            own = self._spelling.bytes(token)
            place += len(characters.decode(text.encode() if own is None else own))
        self._offsets[row] = place
        return {
            "tokens": texts,
            "token_logprobs": [None if own is None else _number(own) for own in log_probs],
            "top_logprobs": [self._by_text(top) for top in tops] if self._asked.top else None,
            "text_offset": offsets,
        }

    def _token(self, token: int, log_prob: float | None) -> dict[str, Any]:
        own = self._spelling.bytes(token)
        return {
            "token": self._spelling.text(token),
            "logprob": _LEAST if log_prob is None else _number(log_prob),
            "bytes": None if own is None else list(own),
        }

    def _by_text(self, top: Alternatives | None) -> dict[str, float] | None:
        """Of tokens that look alike, the likeliest stands for all."""
        if top is None:
            return None
        return {self._spelling.text(token): _number(own) for token, own in reversed(top)}


def _tokens(
    result: GenerationResult, row: int
) -> tuple[list[int], list[float | None], list[Alternatives | None]]:
    """Return the tokens of a row with their log-probabilities; with echo, after the prompt's."""
    ids, own = list(result.token_ids[row]), list[float | None](result.log_probs[row])
    tops = list[Alternatives | None]((result.top_log_probs or [[]] * (row + 1))[row])
    tops += [None] * (len(ids) - len(tops))
    if result.prompt_ids is not None and result.prompt_log_probs is not None:
        before = result.prompt_ids[row]
        return before + ids, result.prompt_log_probs[row] + own, [None] * len(before) + tops
    return ids, own, tops


def _message(text: str) -> dict[str, Any]:
    return {"role": "assistant", "content": text, "refusal": None}


def _number(value: float) -> float:
    return max(value, _LEAST)
