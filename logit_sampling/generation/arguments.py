"""Arguments of `generate`, checked."""

import inspect
from collections.abc import Callable, Sequence
from typing import Any, TypedDict, TypeVar

import numpy as np

from logit_sampling.decoding.plan import Group, Search
from logit_sampling.models.model import AnyModel, AnyTokenizer, Model
from logit_sampling.sampler import Sampler
from logit_sampling.strategies import MinNewTokens
from logit_sampling.types import OnError, Overflow

Samplers = Sampler | Sequence[Sampler] | None
"""One for all rows, or one for each prompt; None draws from the model's own distribution."""


_Code = TypeVar("_Code", bound=Callable)


class Options(TypedDict, total=False):
    """What `generate` and `stream` can be told; `generate` explains each."""

    sampler: Samplers
    max_new_tokens: int
    min_new_tokens: int
    seed: int | Sequence[int] | None
    n: int
    stop_at_end: bool | Sequence[int]
    stop_token_ids: Sequence[int]
    stop: str | Sequence[str]
    should_stop: Callable[[int, list[int]], bool] | None
    deadline: float | None
    overflow: Overflow
    top_log_probs: int
    echo: bool
    tokenizer: AnyTokenizer | None
    search: Search | None
    draft: AnyModel | None
    num_draft: int | None
    on_error: OnError


DEFAULTS: Options = {
    "sampler": None,
    "max_new_tokens": 100,
    "min_new_tokens": 0,
    "seed": None,
    "n": 1,
    "stop_at_end": True,
    "stop_token_ids": (),
    "stop": (),
    "should_stop": None,
    "deadline": None,
    "overflow": "error",
    "top_log_probs": 0,
    "echo": False,
    "tokenizer": None,
    "search": None,
    "draft": None,
    "num_draft": None,
    "on_error": "raise",
}


def shows_options(code: _Code) -> _Code:
    """Let `help` and `inspect.signature` list each of a function's `Options` with its default."""
    signature = inspect.signature(code)
    own = [p for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD]
    options = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=kind)
        for (name, default), kind in zip(
            DEFAULTS.items(), Options.__annotations__.values(), strict=True
        )
    ]
    shown: Any = code
    shown.__signature__ = signature.replace(parameters=[*own, *options])
    return code


def with_defaults(options: Options) -> Options:
    """Return all options; raise TypeError for one that there is not."""
    for name in options:
        if name not in DEFAULTS:
            raise TypeError(f"generate() got an unexpected keyword argument {name!r}")
    return DEFAULTS | options


def check_at_least(least: int, **numbers: Any) -> None:
    """Raise ValueError unless all of `numbers` are integers of at least `least`."""
    for name, value in numbers.items():
        whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
        if not whole or value < least:
            raise ValueError(f"{name} must be an integer of at least {least}, got {value!r}")


def check_on_error(on_error: str) -> None:
    """Raise ValueError unless it says what to do about rows that cannot go on."""
    if on_error not in ("raise", "return"):
        raise ValueError(f'on_error must be "raise" or "return", got {on_error!r}')


def groups_of(
    sampler: Samplers, prompts: int, n: int, min_new_tokens: int, end_ids: frozenset[int]
) -> list[Group]:
    """Return the samplers, each with the numbers of the rows that it draws for, `n` a prompt.

    What ends a text is `end_ids` and what the transforms of its sampler end one with. The samplers
    remove it where it comes too early.

    Raises:
        ValueError: something else than a sampler or one for each prompt, or a parameter with a
            value per row for another number of rows.
    """
    each = [Sampler() if sampler is None else sampler] * prompts
    if isinstance(sampler, Sequence) and not isinstance(sampler, str):
        each = list(sampler)
        if len(each) != prompts:
            raise ValueError(f"sampler lists {len(each)} for {prompts} prompts: give one for each")
    members: dict[int, tuple[Sampler, list[int]]] = {}
    for prompt, own in enumerate(each):
        if not isinstance(own, Sampler):
            raise ValueError(f"sampler must be a Sampler such as Sampler(TopK(50)), got {own!r}")
        members.setdefault(id(own), (own, []))[1].extend(range(prompt * n, prompt * n + n))
    groups = []
    for own, rows in members.values():
        for transform in own.transforms:
            transform.check_rows(len(rows))
        ends = end_ids.union(*(transform.end_tokens() for transform in own.transforms))
        if min_new_tokens and ends:
            least = MinNewTokens(min_new_tokens, tuple(sorted(ends)))
            own = type(own)(least, *own.transforms)
        groups.append(Group(own, rows, ends))
    return groups


def end_ids(
    stop_at_end: bool | Sequence[int], stop_token_ids: Sequence[int], model: Model
) -> frozenset[int]:
    """Return the ids that end a text; raise ValueError if they are none of the model's."""
    ends = set() if stop_at_end is False else {*model.end_ids}
    ends |= _ids_of(model, "stop_token_ids must be", stop_token_ids)
    if not isinstance(stop_at_end, bool):
        ends |= _ids_of(model, "stop_at_end must be True, False, or", stop_at_end)
    return frozenset(ends)


def _ids_of(model: Model, wanted: str, given: Any) -> set[int]:
    end, ids = model.vocab_size or np.inf, np.asarray(given)
    listed = ids.ndim == 1 and (ids.dtype.kind in "iu" or not ids.size)
    if not listed or ((ids < 0) | (ids >= end)).any():
        raise ValueError(f"{wanted} a list of token ids in [0, {end}); got {given!r}")
    return set(ids.tolist())


def stop_strings(stop: str | Sequence[str]) -> tuple[str, ...]:
    """Return the strings that end a text; raise ValueError if one is empty or no string."""
    strings = (stop,) if isinstance(stop, str) else stop
    if not isinstance(strings, Sequence) or not all(isinstance(s, str) and s for s in strings):
        raise ValueError(f"stop must be a string or a list of strings, none empty; got {stop!r}")
    return tuple(strings)


def seconds(deadline: Any) -> float:
    """Return a time in seconds; raise ValueError unless it is a number above 0."""
    real = isinstance(deadline, int | float | np.number) and not isinstance(deadline, bool)
    if not real or not deadline > 0:
        raise ValueError(f"deadline must be seconds above 0, or None; got {deadline!r}")
    return float(deadline)
