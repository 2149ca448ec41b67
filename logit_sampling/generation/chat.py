"""Conversations as prompts: the template that a chat model was trained with."""

import datetime
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, Self

from logit_sampling.decoding.plan import Search
from logit_sampling.generation.arguments import (
    Options,
    Samplers,
    Schema,
    Stop,
    options_in,
    tells_names,
)
from logit_sampling.generation.engine import Engine
from logit_sampling.generation.generate import generate
from logit_sampling.generation.prompts import Prompt
from logit_sampling.generation.result import GenerationResult
from logit_sampling.models.as_model import model_and_tokenizer
from logit_sampling.models.model import AnyModel, AnyTokenizer, needed_tokenizer
from logit_sampling.types import OnError, Overflow

Message = Mapping[str, object]
"""A `role` ("system", "user", "assistant") and its `content`, and whatever a template reads."""

_SPECIAL = ("bos_token", "eos_token", "pad_token", "unk_token")


class ChatTemplate:
    """How a chat model wants a conversation to be written.

    It is a template of Jinja, as checkpoints of Hugging Face have them, and is rendered in Jinja's
    sandbox: a template can read what it is given, and nothing else.

    Args:
        source: the template.
        tokens: what it may name: `bos_token`, `eos_token` and others, as text.
        encode: from the text of a conversation to token ids, its markers to one id each; None to
            leave that to the tokenizer of the model.

    Raises:
        ValueError: it is no template of Jinja.

    Example:
        >>> template = ChatTemplate(
        ...     "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}"
        ...     "{% if add_generation_prompt %}<assistant>{% endif %}"
        ... )
        >>> template.text([{"role": "user", "content": "To be?"}])
        '<user>To be?<assistant>'
    """

    def __init__(
        self,
        source: str,
        tokens: Mapping[str, str] | None = None,
        encode: Callable[[str], Sequence[int]] | None = None,
    ) -> None:
        try:
            from jinja2 import TemplateError
            from jinja2.sandbox import ImmutableSandboxedEnvironment
        except ImportError:
            raise ValueError('templates need jinja2: pip install "logit-sampling[chat]"') from None

        def refuse(message: str) -> None:
            raise TemplateError(message)

        environment = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
        )
        environment.filters["tojson"] = lambda x, **given: json.dumps(
            x, ensure_ascii=False, **given
        )
        environment.globals["raise_exception"] = refuse
        environment.globals["strftime_now"] = lambda form: datetime.datetime.now().strftime(form)
        try:
            self._template: Any = environment.from_string(source)
        except TemplateError as error:
            raise ValueError(f"no template of Jinja: {error}") from error
        self._errors, self._tokens = TemplateError, dict(tokens or {})
        self.encode: Callable[[str], Sequence[int]] | None = encode

    @classmethod
    def from_folder(cls, folder: str | Path) -> Self:
        """Return the template of a checkpoint of Hugging Face.

        It is read from `chat_template.jinja` or `tokenizer_config.json`; where there is a
        `tokenizer.json`, that makes the ids.

        Raises:
            ValueError: the folder has no template.
        """
        folder = Path(folder)
        file = folder / "tokenizer_config.json"
        config = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
        source, own = config.get("chat_template"), folder / "chat_template.jinja"
        if own.is_file():
            source = own.read_text(encoding="utf-8")
        if isinstance(source, list):  # several, by name
            source = {each["name"]: each["template"] for each in source}.get("default")
        if not isinstance(source, str):
            raise ValueError(f"{folder} has no chat template: pass template=, or a text as prompt")
        tokens = {name: _text(config[name]) for name in _SPECIAL if config.get(name) is not None}
        encode = None
        if (folder / "tokenizer.json").is_file():
            from tokenizers import Tokenizer

            made = Tokenizer.from_file(str(folder / "tokenizer.json"))

            def encode(text: str) -> Sequence[int]:
                return made.encode(text, add_special_tokens=False).ids

        return cls(source, tokens, encode)

    def text(self, messages: Sequence[Message], **variables: object) -> str:
        """Return a conversation as the model wants it, up to where its answer begins.

        Args:
            messages: what was said so far.
            **variables: what else the template reads, such as `tools` or `enable_thinking`;
                `add_generation_prompt=False` leaves out the beginning of an answer.

        Raises:
            ValueError: the template refuses the conversation.
        """
        given = {"add_generation_prompt": True} | self._tokens | variables
        try:
            return self._template.render(messages=[dict(m) for m in messages], **given)
        except (self._errors, TypeError) as error:
            raise ValueError(f"the chat template refuses the messages: {error}") from error


@tells_names()
def chat(
    model: AnyModel | Engine,
    messages: Sequence[Message],
    *,
    template: ChatTemplate | str | Callable[..., Prompt] | None = None,
    variables: Mapping[str, object] | None = None,
    on_text: Callable[[int, str], None] | None = None,
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
) -> GenerationResult:
    """Answer in a conversation.

    Args:
        model: as for `generate`. An `Engine` reads of a conversation that goes on what is new.
        messages: what was said so far: a `role` and a `content` each, the newest last.
        template: how to write it: a `ChatTemplate`, its source, or a function from the messages to
            a text or to token ids; by default that of the folder that the model was loaded from.
        variables: what else the template reads.
        on_text: this and all further options are those of `generate`.

    Returns:
        what `generate` returns for it: `texts[0]` is the answer. `prompts[0]` is the conversation
        as the model read it, a text or token ids.

    Raises:
        ValueError: as `generate`; no messages, or none that the template takes; no template is
            known.

    Example, with a model that counts:

    >>> import numpy as np
    >>> result = chat(lambda ids: 9.0 * np.eye(5)[(ids[:, -1] + 1) % 5],
    ...               [{"role": "user", "content": "1"}], max_new_tokens=2, seed=0,
    ...               template=lambda messages: [int(m["content"]) for m in messages])
    >>> result.token_ids
    [[2, 3]]
    """
    options = options_in(locals())
    prompt = as_prompt(model, messages, template, variables, options)
    return generate(model, [prompt], on_text=on_text, **options)


def as_prompt(
    model: Any,
    messages: Sequence[Message],
    template: Any = None,
    variables: Mapping[str, object] | None = None,
    options: Options | None = None,
) -> Any:
    """Return the prompt that a conversation is; see `chat`."""
    known = isinstance(messages, Sequence) and not isinstance(messages, str)
    if (
        not known
        or not messages
        or not all(isinstance(m, Mapping) and "role" in m for m in messages)
    ):
        raise ValueError(
            'messages must be a list such as [{"role": "user", "content": "To be?"}]; got '
            f"{messages!r}"
        )
    runner, tokenizer = model_and_tokenizer(model, (options or {}).get("tokenizer"))
    if template is None:
        folder = Path(runner.name)
        if not folder.is_dir():
            raise ValueError(f"no chat template is known for model {runner.name!r}: pass template=")
        template = ChatTemplate.from_folder(folder)
    if isinstance(template, str):
        template = ChatTemplate(template)
    if not isinstance(template, ChatTemplate):
        return template(messages, **(variables or {}))
    text = template.text(messages, **(variables or {}))
    if template.encode is not None:
        return list(template.encode(text))
    # The tokenizer may put a start token before it which the template has written already.
    ids = [int(i) for i in needed_tokenizer(tokenizer, runner.name).encode(text)]
    before = [int(i) for i in needed_tokenizer(tokenizer, runner.name).encode("")]
    twice = before and ids[: 2 * len(before)] == before * 2
    return ids[len(before) :] if twice else ids


def _text(token: Any) -> str:
    return token["content"] if isinstance(token, Mapping) else str(token)
