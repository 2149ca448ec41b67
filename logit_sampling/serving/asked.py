"""A request as JSON: what is to be written, in the names of the OpenAI API, of others, and ours."""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from logit_sampling.generation.arguments import Options
from logit_sampling.generation.call import Call
from logit_sampling.generation.chat import as_prompt
from logit_sampling.generation.prompts import Prompt, room
from logit_sampling.models.model import Model
from logit_sampling.serving.fields import sorted_fields
from logit_sampling.serving.refused import RefusedError, flag, json_object, kind_of, refusing
from logit_sampling.settings.written import written

ORDINARY = 16  # tokens of a completion where nobody says how many, as in the OpenAI API


@dataclass(frozen=True)
class Asked:
    """A request that was read.

    Attributes:
        prompts: what to continue.
        settings: what `generate` takes to write the same texts again, as JSON holds it: the seed
            among them.
        log_probs: whether to tell log-probabilities of the tokens.
        top: of how many of the likeliest ones at each place.
        echo: whether texts begin with the prompt.
        stream: whether to tell the text while it grows.
        usage: whether a stream ends with the numbers of tokens.
    """

    prompts: list[Prompt]
    settings: dict[str, Any]
    log_probs: bool = False
    top: int = 0
    echo: bool = False
    stream: bool = False
    usage: bool = False

    def call(self, model: Model) -> Call:
        """Return the call of `generate` that it is; raise RefusedError for what is wrong."""
        options: Options = self.settings | {
            "top_log_probs": self.top,
            "echo": self.echo,
            "on_error": "return",
        }  # type: ignore[assignment]
        call = refusing(lambda: Call.of(model, self.prompts, **options), self.settings)
        if self.stream and call.search is not None and not call.search.streams:
            raise RefusedError("a search knows its texts only at its end: do not stream", "stream")
        return call


@dataclass(frozen=True)
class Limits:
    """What one request may ask for; None for any number.

    Attributes:
        choices: texts.
        each: texts of one prompt.
        tokens: new ones of each text.
        prompt: tokens of a prompt.
        top: log-probabilities at each place.
    """

    choices: int | None = 128
    each: int | None = None
    tokens: int | None = None
    prompt: int | None = None
    top: int | None = 20


def asked(
    body: Any,
    model: Model,
    *,
    chat: bool = False,
    template: Any = None,
    limits: Limits = Limits(),
    otherwise: Mapping[str, Any] | None = None,
    ordinary: int | None = None,
) -> Asked:
    """Read a request.

    Args:
        body: the object that JSON held.
        model: what is to write.
        chat: whether it has `messages`, or a `prompt`.
        template: as for `ls.chat`.
        limits: what it may ask for.
        otherwise: options of `generate` where it does not say them; the seed is a fresh one.
        ordinary: how many tokens a text gets where nobody says; None for as many as there is room
            for.

    Raises:
        RefusedError: what it asks for is not known, wrong, or too much.
    """
    if not isinstance(body, Mapping):
        raise RefusedError(f"a request is a JSON object, got {kind_of(body)}")
    source = "messages" if chat else "prompt"
    given = {name: value for name, value in body.items() if name != source}
    options, chain = sorted_fields(given)
    if body.get(source) is None:
        raise RefusedError(f"`{source}` is missing", source)
    prompts = _prompts(body, model, chat, template, given.get("chat_template_kwargs"))
    settings = {"seed": secrets.randbits(32)} | dict(otherwise or {}) | options
    if chain:
        if "sampler" in options:
            raise RefusedError(
                f"`sampler` says all of the chain: write what `{next(iter(chain))}` says into it",
                "sampler",
            )
        settings["sampler"] = refusing(lambda: written(chain), chain)
    _check_kinds(settings)
    _check_choices(settings.get("n", 1), len(prompts), limits)
    longest = _check_prompts(prompts, model, limits)
    settings["max_new_tokens"] = _length(settings, longest, ordinary, limits)
    top = _top(given, chat, limits)
    made = Asked(
        prompts,
        settings,
        top is not None,
        top or 0,
        flag(given, "echo"),
        flag(given, "stream"),
        flag(json_object(given, "stream_options"), "include_usage"),
    )
    if made.stream and made.echo and made.log_probs:
        raise RefusedError("`echo` with `logprobs` cannot be streamed: leave one out", "echo")
    return made


def _prompts(
    body: Mapping[str, Any], model: Model, chat: bool, template: Any, variables: Any
) -> list[Prompt]:
    if chat:
        messages = body["messages"]
        if not isinstance(messages, list):
            raise RefusedError(f"`messages` is a list, got {kind_of(messages)}", "messages")
        plain = [_message(i, message) for i, message in enumerate(messages)]
        more = json_object({"chat_template_kwargs": variables}, "chat_template_kwargs")
        return [refusing(lambda: _as_prompt(model, plain, template, more), body, "messages")]
    prompt = body["prompt"]
    if isinstance(prompt, str):
        return [prompt]
    numbers = isinstance(prompt, list) and prompt and all(type(i) is int for i in prompt)
    prompts = [prompt] if numbers else prompt
    if not isinstance(prompts, list) or not prompts:
        raise RefusedError(
            f"`prompt` is a text, token ids, or a list of these, got {kind_of(prompt)}", "prompt"
        )
    for own in prompts:
        if not isinstance(own, str | list):
            raise RefusedError(f"a prompt is a text or token ids, got {kind_of(own)}", "prompt")
    return prompts


def _as_prompt(model: Model, *given: Any) -> Prompt:
    """Return the prompt that a conversation is; raise ValueError for what the template cannot."""
    try:
        return as_prompt(model, *given)
    except ValueError:
        raise
    except Exception as error:  # whatever a template or a tokenizer raises, for what is odd
        why = f"{type(error).__name__}: {error}"
        raise ValueError(f"the chat template refuses the messages: {why}") from error


def _message(number: int, message: Any) -> dict[str, Any]:
    """Return a message whose content is text."""
    if not isinstance(message, Mapping) or not isinstance(message.get("role"), str):
        raise RefusedError(
            f"message {number} is an object with a `role` and a `content`", "messages"
        )
    content = message.get("content")
    if isinstance(content, list):
        texts = [part.get("text") if isinstance(part, Mapping) else None for part in content]
        if not all(isinstance(text, str) for text in texts):
            raise RefusedError(f"message {number} has content that is no text", "messages")
        content = "".join(texts)  # type: ignore[arg-type]
    if not isinstance(content, str):
        raise RefusedError(f"message {number} has no text as `content`", "messages")
    # What is null says nothing; a template may ask whether it is there.
    return {name: own for name, own in message.items() if own is not None} | {"content": content}


def _check_kinds(settings: Mapping[str, Any]) -> None:
    """Raise RefusedError for what JSON can say, and `generate` cannot take or is not to."""
    kinds: dict[str, tuple[type, ...]] = {
        "sampler": (str,),
        "stop": (str, list),
        "regex": (str,),
        "stop_at_end": (bool,),
        "stop_token_ids": (list,),
        "stop_loops": (list,),
        "json_schema": (dict, str, bool),
    }
    for name, allowed in kinds.items():
        if name in settings and not isinstance(settings[name], allowed):
            raise RefusedError(f"`{name}` cannot be {kind_of(settings[name])}", name)
    if settings.get("draft", "lookup") != "lookup":
        raise RefusedError('`draft` can be "lookup" alone', "draft")
    for name in ("n", "max_new_tokens"):
        value = settings.get(name, 1)
        if type(value) is not int or value < 1:
            raise RefusedError(f"`{name}` is an integer of at least 1, got {value!r}"[:200], name)


def _check_choices(n: int, prompts: int, limits: Limits) -> None:
    """Raise RefusedError for too many texts, before there is anything for each of them."""
    if limits.each is not None and n > limits.each:
        raise RefusedError(f"`n` is {n}, more than {limits.each}: ask for fewer"[:200], "n")
    if limits.choices is not None and n * prompts > limits.choices:
        raise RefusedError(
            f"the request is for {n * prompts} texts, more than {limits.choices}: split it", "n"
        )


def _check_prompts(prompts: Sequence[Prompt], model: Model, limits: Limits) -> int | None:
    """Return how many tokens there is room for behind the longest prompt; None for any number."""
    left, longest = refusing(lambda: room(model, prompts), {}, "prompt")
    if limits.prompt is not None and longest > limits.prompt:
        raise RefusedError(
            f"the prompt has {longest} tokens, more than {limits.prompt}: shorten it", "prompt"
        )
    return left


def _length(
    settings: Mapping[str, Any], left: int | None, ordinary: int | None, limits: Limits
) -> int:
    """Return how many tokens a text gets at most."""
    most = limits.tokens
    if settings.get("overflow") == "slide":
        left = None
    if "max_new_tokens" in settings:
        wanted = int(settings["max_new_tokens"])
        if most is not None and wanted > most:
            raise RefusedError(
                f"`max_tokens` is {wanted}, more than {most}: ask for fewer", "max_tokens"
            )
        if left is not None and 0 < left < wanted:
            raise RefusedError(
                f"`max_tokens` is {wanted}, and behind the prompt there is room for {left}: ask "
                'for fewer, shorten the prompt, or say "overflow": "slide" to go on beyond it',
                "max_tokens",
            )
        return wanted
    known = [number for number in (ordinary, most, left) if number is not None and number > 0]
    return min(known, default=ORDINARY)


def _top(given: Mapping[str, Any], chat: bool, limits: Limits) -> int | None:
    """Return how many alternatives to tell; None for no log-probabilities."""
    logs, top = given.get("logprobs"), given.get("top_logprobs")
    name = "top_logprobs" if chat else "logprobs"
    others = {"echo": "leave it out", "top_log_probs": "say `logprobs` and `top_logprobs`"}
    for other, way in (others if chat else {"top_logprobs": "say `logprobs`"}).items():
        if given.get(other):
            told = "messages" if chat else "a prompt"
            raise RefusedError(f"`{other}` does not go together with {told}: {way}", other)
    if chat:
        if top is not None and not flag(given, "logprobs"):
            raise RefusedError("`top_logprobs` needs `logprobs` to be true", name)
        wanted = (top or 0) if logs else None
        if not flag(given, "logprobs"):
            return None
    else:
        wanted = given.get("top_log_probs") if logs is None else logs
        if given.get("top_log_probs") not in (None, wanted):
            raise RefusedError("`logprobs` and `top_log_probs` say the same: give one", name)
    if wanted is None:
        return None
    most = float("inf") if limits.top is None else limits.top
    if type(wanted) is not int or not 0 <= wanted <= most:
        raise RefusedError(f"`{name}` is an integer in [0, {most}], got {wanted!r}"[:200], name)
    return wanted
