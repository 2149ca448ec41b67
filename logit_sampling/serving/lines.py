"""Requests that are there all at once, as lines of a file or rows of a table, and their results."""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from logit_sampling.decoding.plan import MAX_ROWS
from logit_sampling.generation.chat import ChatTemplate
from logit_sampling.generation.scheduler import Scheduler, Task
from logit_sampling.generation.writing import Writing
from logit_sampling.models.as_model import as_model, model_and_tokenizer
from logit_sampling.models.model import AnyModel, Model
from logit_sampling.plain import strict_json
from logit_sampling.serving.answers import Answer, check_all_ended, error_of, usage
from logit_sampling.serving.asked import ORDINARY, Asked, Limits, asked
from logit_sampling.serving.refused import RefusedError
from logit_sampling.serving.spelling import Spelling
from logit_sampling.types import NEW_TOKENS

_URLS = {"/v1/completions": False, "/v1/chat/completions": True}


class Writer:
    """Writes what requests ask for: each is a line's object, and so is each result.

    A request is in the batch form of the OpenAI API, with `custom_id`, `url` and `body`, or plain,
    with a `prompt` or `messages`, the settings beside it, and an `id`. The result of a plain one
    has its `id`, `texts`, `finish_reasons`, `usage`, and as `settings` what `generate` takes to
    write the texts again. What is wrong with a request is its result: an `error`.

    A request without a seed has one made of the job's and its id, so that the same requests have
    the same results, wherever and however often they are written. Requests that come together are
    one batch, whose rows do not depend on each other but for rounding.

    Args:
        model: as for `generate`, with a tokenizer.
        name: what requests call it; by default the last part of its own name.
        seed: of the job.
        template: of conversations; see `ls.chat`.
        max_rows: how many texts are written at once.
        otherwise: options of `generate` for requests that do not say them.

    Raises:
        ValueError: no model, or one without a tokenizer.

    Example, with a model that counts:

    >>> import numpy as np
    >>> class Digits:
    ...     encode = staticmethod(lambda text: [int(digit) for digit in text])
    ...     decode = staticmethod(lambda ids: "".join(map(str, ids)))
    >>> model = as_model(lambda ids: 9.0 * np.eye(5)[(ids[:, -1] + 1) % 5], tokenizer=Digits())
    >>> for result in Writer(model)([{"id": "a", "prompt": "01", "max_tokens": 2}, {"id": "b"}]):
    ...     print(result["id"], result.get("texts"), result.get("error"))
    a ['23'] None
    b None {'message': '`prompt` is missing', 'type': 'invalid_request_error', 'param': 'prompt',
    'code': 400}
    """

    def __init__(
        self,
        model: AnyModel,
        *,
        name: str | None = None,
        seed: int = 0,
        template: Any = None,
        max_rows: int = MAX_ROWS,
        otherwise: Mapping[str, Any] | None = None,
    ) -> None:
        self.model: Model = as_model(model)
        if self.model.tokenizer is None:
            raise ValueError(f"model {self.model.name!r} has no tokenizer: requests are text")
        self.name = name or Path(self.model.name).name
        self._seed, self._max_rows, self._otherwise = seed, max_rows, dict(otherwise or {})
        self._template = ChatTemplate(template) if isinstance(template, str) else template
        self.spelling = Spelling(self.model.tokenizer, tuple(self.model.end_ids))

    def __call__(
        self,
        requests: Sequence[Any],
        first: int = 0,
        tell: Callable[[], None] = lambda: None,
    ) -> list[dict[str, Any]]:
        """Return the results of requests, in their order.

        Args:
            requests: objects as JSON holds them; a RefusedError in place of one that could not be
                read.
            first: the number of the first, which is the id of a plain one that has none.
            tell: called whenever a request has ended.
        """
        runner, _ = model_and_tokenizer(self.model, None)
        scheduler = Scheduler(runner, self._max_rows, keep=4096)
        lines = [_Line(self, number, own) for number, own in enumerate(requests, first)]
        for line in lines:
            line.begin(scheduler, tell)
        while scheduler.tasks:
            scheduler.step()
        return [line.result() for line in lines]

    def read(self, body: Any, chat: bool, ordinary: int | None, id: Any) -> Asked:
        """Return what a request asks for; raise RefusedError for what is wrong."""
        if isinstance(body, Mapping) and body.get("model") not in (None, self.name):
            told = f"no model {body['model']!r}: here is {self.name!r}"[:200]
            raise RefusedError(told, "model", 404)
        if isinstance(body, Mapping) and body.get("stream"):
            raise RefusedError("`stream` is not for a job: leave it out", "stream")
        return asked(
            body,
            self.model,
            chat=chat,
            template=self._template,
            limits=Limits(None, self._max_rows, None, None, None),
            otherwise={"seed": self._seed_of(id)} | self._otherwise,
            ordinary=ordinary,
        )

    def _seed_of(self, id: Any) -> int:
        """Return the seed of a request, in 53 bits: as many as a number of JSON may have."""
        text = json.dumps([self._seed, id], sort_keys=True)
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 11


class _Line:
    """One request, and what came of it."""

    def __init__(self, writer: Writer, number: int, given: Any) -> None:
        self._writer, self._given = writer, given
        fields = given if isinstance(given, Mapping) else {}
        self._api = "custom_id" in fields
        own = fields.get("custom_id" if self._api else "id")
        self._id = number if own is None else own
        self._error: RefusedError | None = None
        self._writings: list[Writing] = []

    def begin(self, scheduler: Scheduler, tell: Callable[[], None]) -> None:
        """Let the texts be written."""
        try:
            body, self._chat = self._body()
            ordinary = NEW_TOKENS if not self._api else None if self._chat else ORDINARY
            self._asked = self._writer.read(body, self._chat, ordinary, self._id)
            self._call = self._asked.call(self._writer.model)
            self._writings = [Writing(part, with_text=False) for part in self._call.parts()]
            self._left = len(self._writings)
            tasks = [
                Task(writing, lambda _: None, lambda error: self._ended(error, tell))
                for writing in self._writings
            ]
            for task in tasks:
                scheduler.check(task)
            for task in tasks:
                scheduler.add(task)
        except ValueError as error:
            self._error = error if isinstance(error, RefusedError) else RefusedError(str(error))
            tell()
        except Exception as error:  # one request ends no job
            self._error = _failure(error)
            tell()

    def _body(self) -> tuple[Any, bool]:
        """Return the request itself, and whether it is of a conversation."""
        given = self._given
        if isinstance(given, RefusedError):
            raise given
        if not isinstance(given, Mapping):
            return given, False
        if not self._api:
            return {n: own for n, own in given.items() if n != "id"}, "messages" in given
        if given.get("method", "POST") != "POST":
            raise RefusedError("`method` is POST", "method")
        if given.get("url") not in list(_URLS):  # which may be no key
            raise RefusedError(f"`url` is one of {', '.join(_URLS)}", "url", 404)
        return given.get("body"), _URLS[given["url"]]

    def _ended(self, error: BaseException | None, tell: Callable[[], None]) -> None:
        if isinstance(error, ValueError):
            self._error = RefusedError(str(error))
        elif error is not None:
            self._error = _failure(error)
        self._left -= 1
        if not self._left:
            tell()

    def result(self) -> dict[str, Any]:
        """Return what came of it."""
        try:
            if self._error is not None:
                raise self._error
            told, status = self._told(), 200
        except RefusedError as error:
            told, status = error_of(error), error.status
        told = strict_json(told)
        if not self._api:
            return {"id": self._id, **told}
        response = {"status_code": status, "request_id": self._id, "body": told}
        return {"id": self._id, "custom_id": self._id, "response": response, "error": None}

    def _told(self) -> dict[str, Any]:
        """Return the texts and what is known of them, without what is by chance: times, names."""
        wanted, call = self._asked, self._call
        result = call.result([row for own in self._writings for row in own.rows])
        if self._api:
            head = {"id": self._id, "created": 0, "model": self._writer.name}
            answer = Answer(wanted, self._chat, self._writer.spelling, head)
            return answer.whole(result, call.prompts)
        check_all_ended(result)
        told: dict[str, Any] = {
            "texts": result.texts,
            "finish_reasons": result.finish_reasons,
            "usage": usage(call.prompts, result.token_ids),
            "settings": wanted.settings,
        }
        if wanted.log_probs:
            told |= {"token_ids": result.token_ids, "log_probs": result.log_probs}
        if wanted.top:
            told["top_log_probs"] = result.top_log_probs
        return told


def _failure(error: BaseException) -> RefusedError:
    return RefusedError(f"{type(error).__name__}: {error}", status=500)
