"""The fields of a request: of the OpenAI API, of other servers, of `generate` and of samplers."""

from collections.abc import Mapping, Sequence
from typing import Any

from logit_sampling.serving.refused import RefusedError, flag, kind_of
from logit_sampling.settings.elsewhere import IN_GENERATE, does_nothing, explained, is_known
from logit_sampling.settings.names import NAMES

OPTIONS = {  # of `generate`, which JSON can hold
    *("sampler", "max_new_tokens", "min_new_tokens", "seed", "n", "stop", "stop_at_end"),
    *("stop_token_ids", "stop_loops", "deadline", "overflow", "draft", "num_draft"),
    *("json_schema", "regex"),
}
SHOWN = {"echo", "stream", "stream_options", "logprobs", "top_logprobs", "top_log_probs"}
FORMS = {"response_format", "structured_outputs", "ignore_eos", "chat_template_kwargs"}
SAYS_NOTHING = {  # what is about the caller, not about the text
    *("user", "safety_identifier", "prompt_cache_key", "prompt_cache_retention", "metadata"),
    *("service_tier", "model"),
}
OFF: dict[str, Sequence[Any]] = {  # what is not done here, and may be said not to be wanted
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
_NAMES = {*NAMES, *IN_GENERATE, *OPTIONS, *SHOWN, *FORMS}


def sorted_fields(given: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the options of `generate`, and the parameters of its sampler."""
    options: dict[str, Any] = {}
    chain: dict[str, Any] = {}
    spelled: dict[str, str] = {}
    for name, value in given.items():
        own = IN_GENERATE.get(name, name)
        if name in NAMES and name not in OPTIONS:
            own = NAMES[name].name
        known = own in OPTIONS or name in (*SHOWN, *FORMS, *SAYS_NOTHING, *OFF, *_INSTEAD)
        if not known and name not in ("order", "defaults", *NAMES) and not is_known(name):
            raise RefusedError(
                explained(name, _NAMES, f"unknown parameter `{name}`: leave it out"), name
            )
        if value is None or name in (*SHOWN, *SAYS_NOTHING):
            continue
        if name in _INSTEAD and not does_nothing(name, value):
            raise RefusedError(f"`{name}` is not known here: {_INSTEAD[name]}", name)
        if name in OFF:
            if value not in OFF[name]:
                raise RefusedError(f"`{name}` is not known here: leave it out", name)
            continue
        found = _form(name, value) if name in FORMS else {}
        if name not in FORMS and own in OPTIONS:
            found = {own: value}
        for option, said in found.items():
            if option in options:
                raise RefusedError(f"`{spelled[option]}` and `{name}` say the same: give one", name)
            options[option], spelled[option] = said, name
        if name not in FORMS and own not in OPTIONS:
            chain[name] = value
    return options, chain


def _form(name: str, value: Any) -> dict[str, Any]:
    """Return the options that the form of an answer is."""
    if name == "ignore_eos":
        return {"stop_at_end": False} if flag({name: value}, name) else {}
    if not isinstance(value, Mapping):
        raise RefusedError(f"`{name}` is an object, got {kind_of(value)}", name)
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


def _names(value: Mapping[str, Any]) -> str:
    return ", ".join(f"`{name}`" for name in value) or "nothing"
