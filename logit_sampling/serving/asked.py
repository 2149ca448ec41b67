"""A request as JSON: what is to be written, in the names of the OpenAI API, of others, and ours."""

import json
import re
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from logit_sampling.generation.arguments import Options
from logit_sampling.generation.call import Call
from logit_sampling.generation.chat import as_prompt
from logit_sampling.generation.prompts import Prompt, room
from logit_sampling.models.model import Model
from logit_sampling.settings.elsewhere import IN_GENERATE, does_nothing, explained, is_known
from logit_sampling.settings.names import NAMES
from logit_sampling.settings.written import written

ORDINARY = 16  # tokens of a completion where nobody says how many, as in the OpenAI API

_OPTIONS = {  # of `generate`, which JSON can hold
    *("sampler", "max_new_tokens", "min_new_tokens", "seed", "n", "stop", "stop_at_end"),
    *("stop_token_ids", "stop_loops", "deadline", "overflow", "draft", "num_draft"),
    *("json_schema", "regex"),
}
_SHOWN = {"echo", "stream", "stream_options", "logprobs", "top_logprobs", "top_log_probs"}
_FORMS = {"response_format", "structured_outputs", "ignore_eos", "chat_template_kwargs"}
_SAYS_NOTHING = {  # what is about the caller, not about the text
    *("user", "safety_identifier", "prompt_cache_key", "prompt_cache_retention", "metadata"),
    *("service_tier", "model"),
}
_OFF: dict[str, Sequence[Any]] = {  # what is not done here, and may be said not to be wanted
    "store": [False],
    "suffix": [""],
    "best_of": [1],
    "tools": [[]],
    "functions": [[]],
    "tool_choice": ["none", "auto"],
    "function_call": ["none", "auto"],
    "parallel_tool_calls": [True, False],
    "modalities": [["text"]],
    "audio": [],
    "prediction": [],
    "reasoning_effort": [],
    "verbosity": [],
    "web_search_options": [],
    "skip_special_tokens": [],
    "include_stop_str_in_output": [False],
    "return_token_ids": [False],
    "cache_prompt": [True, False],
}
_BEAMS = 'send `sampler`, such as "beam num_beams=4"'
_FOLLOWS = 'send `json_schema`, or `regex`, such as "(yes|no)"'
_INSTEAD = {  # what other servers know -> what to send in its place
    "n_probs": "send `logprobs`",
    **dict.fromkeys(("num_beams", "use_beam_search", "length_penalty"), _BEAMS),
    "penalty_alpha": 'send `sampler`, such as "contrastive k=4 alpha=0.6"',
    **dict.fromkeys(("guided_choice", "guided_grammar", "grammar", "format"), _FOLLOWS),
    "options": "send what is in it as fields of the request",
    **dict.fromkeys(("num_ctx", "n_ctx"), 'the model has its own; send `overflow`, "slide"'),
}
_NAMES = {*NAMES, *IN_GENERATE, *_OPTIONS, *_SHOWN, *_FORMS}


class RefusedError(ValueError):
    """A request that cannot be followed.

    Attributes:
        param: the name in the request that it is about, if it is about one.
        status: of HTTP.
    """

    def __init__(self, message: str, param: str | None = None, status: int = 400) -> None:
        super().__init__(message)
        self.param, self.status = param, status


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
        call = _refusing(lambda: Call.of(model, self.prompts, **options), self.settings)
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
        raise RefusedError(f"a request is a JSON object, got {_kind(body)}")
    source = "messages" if chat else "prompt"
    given = {name: value for name, value in body.items() if name != source}
    options, chain = _sorted(given)
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
        settings["sampler"] = _refusing(lambda: written(chain), chain)
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
        _flag(given, "echo"),
        _flag(given, "stream"),
        _flag(_object(given, "stream_options"), "include_usage"),
    )
    if made.stream and made.echo and made.log_probs:
        raise RefusedError("`echo` with `logprobs` cannot be streamed: leave one out", "echo")
    return made


def _sorted(given: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the options of `generate`, and the parameters of its sampler."""
    options: dict[str, Any] = {}
    chain: dict[str, Any] = {}
    spelled: dict[str, str] = {}
    for name, value in given.items():
        own = IN_GENERATE.get(name, name)
        if name in NAMES and name not in _OPTIONS:
            own = NAMES[name].name
        known = own in _OPTIONS or name in (*_SHOWN, *_FORMS, *_SAYS_NOTHING, *_OFF, *_INSTEAD)
        if not known and name not in ("order", "defaults", *NAMES) and not is_known(name):
            raise RefusedError(
                explained(name, _NAMES, f"unknown parameter `{name}`: leave it out"), name
            )
        if value is None or name in (*_SHOWN, *_SAYS_NOTHING):
            continue
        if name in _INSTEAD and not does_nothing(name, value):
            raise RefusedError(f"`{name}` is not known here: {_INSTEAD[name]}", name)
        if name in _OFF:
            if value not in _OFF[name]:
                raise RefusedError(f"`{name}` is not known here: leave it out", name)
            continue
        found = _form(name, value) if name in _FORMS else {}
        if name not in _FORMS and own in _OPTIONS:
            found = {own: value}
        for option, said in found.items():
            if option in options:
                raise RefusedError(f"`{spelled[option]}` and `{name}` say the same: give one", name)
            options[option], spelled[option] = said, name
        if name not in _FORMS and own not in _OPTIONS:
            chain[name] = value
    return options, chain


def _form(name: str, value: Any) -> dict[str, Any]:
    """Return the options that the form of an answer is."""
    if name == "ignore_eos":
        return {"stop_at_end": False} if _flag({name: value}, name) else {}
    if not isinstance(value, Mapping):
        raise RefusedError(f"`{name}` is an object, got {_kind(value)}", name)
    if name == "structured_outputs":
        kinds = {"json": "json_schema", "regex": "regex"}
        if set(value) - set(kinds) or not value:
            told = f"`{name}` has `json` or `regex`, got {_names(value)}"
            hint = '; write a choice as `regex`, such as "(yes|no)"' if "choice" in value else ""
            raise RefusedError(told + hint, name)
        return {kinds[kind]: own for kind, own in value.items()}
    if name != "response_format":
        return {}
    kind = value.get("type")
    if kind == "text":
        return {}
    if kind == "json_object":
        return {"json_schema": {"type": "object"}}
    if kind != "json_schema":
        raise RefusedError(f'`{name}` has a type "text", "json_object" or "json_schema"', name)
    schema = value.get("json_schema")
    if not isinstance(schema, Mapping) or not isinstance(schema.get("schema"), Mapping | bool):
        raise RefusedError(f"`{name}` needs a `json_schema` with a `schema` in it", name)
    return {"json_schema": schema["schema"]}


def _prompts(
    body: Mapping[str, Any], model: Model, chat: bool, template: Any, variables: Any
) -> list[Prompt]:
    if chat:
        messages = body["messages"]
        if not isinstance(messages, list):
            raise RefusedError(f"`messages` is a list, got {_kind(messages)}", "messages")
        plain = [_message(i, message) for i, message in enumerate(messages)]
        more = _object({"chat_template_kwargs": variables}, "chat_template_kwargs")
        return [_refusing(lambda: _as_prompt(model, plain, template, more), body, "messages")]
    prompt = body["prompt"]
    if isinstance(prompt, str):
        return [prompt]
    numbers = isinstance(prompt, list) and prompt and all(type(i) is int for i in prompt)
    prompts = [prompt] if numbers else prompt
    if not isinstance(prompts, list) or not prompts:
        raise RefusedError(
            f"`prompt` is a text, token ids, or a list of these, got {_kind(prompt)}", "prompt"
        )
    for own in prompts:
        if not isinstance(own, str | list):
            raise RefusedError(f"a prompt is a text or token ids, got {_kind(own)}", "prompt")
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
            raise RefusedError(f"`{name}` cannot be {_kind(settings[name])}", name)
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
    left, longest = _refusing(lambda: room(model, prompts), {}, "prompt")
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
    if "max_new_tokens" in settings:
        wanted = int(settings["max_new_tokens"])
        if most is not None and wanted > most:
            raise RefusedError(
                f"`max_tokens` is {wanted}, more than {most}: ask for fewer", "max_tokens"
            )
        return wanted
    if settings.get("overflow") == "slide":
        left = None
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
        if top is not None and not _flag(given, "logprobs"):
            raise RefusedError("`top_logprobs` needs `logprobs` to be true", name)
        wanted = (top or 0) if logs else None
        if not _flag(given, "logprobs"):
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


def _flag(given: Mapping[str, Any], name: str) -> bool:
    value = given.get(name)
    if value is not None and not isinstance(value, bool):
        raise RefusedError(f"`{name}` is true or false, got {_kind(value)}", name)
    return bool(value)


def _object(given: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = given.get(name)
    if value is not None and not isinstance(value, Mapping):
        raise RefusedError(f"`{name}` is an object, got {_kind(value)}", name)
    return value or {}


_NAMED = re.compile(r"`(\w+)`|^(\w+)")


def _refusing(make: Callable[[], Any], given: Mapping[str, Any], name: str | None = None) -> Any:
    """Return what is made, or raise RefusedError for what is wrong with a value in it."""
    try:
        return make()
    except RefusedError:
        raise
    except (ValueError, OverflowError, RecursionError) as error:
        found = [a or b for a, b in _NAMED.findall(str(error))]
        about = next((own for own in found if own in given), name)
        raise RefusedError(str(error), about) from error


def _kind(value: Any) -> str:
    """Return what a value of JSON is, and the value if it is short."""
    kinds = {
        dict: "an object",
        list: "a list",
        str: "a text",
        bool: "a boolean",
        type(None): "null",
    }
    shown = json.dumps(value)
    kind = kinds.get(type(value), "a number")
    return f"{kind}, {shown}" if len(shown) <= 60 and value is not None else kind


def _names(value: Mapping[str, Any]) -> str:
    return ", ".join(f"`{name}`" for name in value) or "nothing"
