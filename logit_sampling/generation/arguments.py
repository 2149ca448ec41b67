"""Arguments of `generate`, checked."""

import contextlib
import functools
import inspect
import re
import weakref
from collections.abc import Callable, Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Literal, NamedTuple, TypedDict, TypeVar, cast

import numpy as np

from logit_sampling.decoding.plan import MAX_ROWS, Group, Search
from logit_sampling.decoding.written import read
from logit_sampling.generation.stop_patterns import StopPattern, Stops
from logit_sampling.generation.stopping import StopStrings
from logit_sampling.models.model import AnyModel, AnyTokenizer, Model
from logit_sampling.plotting.visible import brief
from logit_sampling.sampler import Sampler
from logit_sampling.settings.elsewhere import CALLED_HERE, ELSEWHERE, IN_GENERATE, NEAREST, closest
from logit_sampling.settings.names import NAMES
from logit_sampling.strategies import Grammar, MinNewTokens
from logit_sampling.strategies._vocabularies import Vocabulary, as_vocabulary
from logit_sampling.types import NEW_TOKENS, OnError, Overflow

Samplers = Sampler | str | Sequence[Sampler | str] | None
"""One for all rows, or one for each prompt, or what `Sampler.parse` reads; None draws from the
model's own distribution."""

Schema = str | bool | Mapping[str, object]
"""A JSON schema, as a dict or its text; True for any JSON."""


Stop = str | re.Pattern[str]
"""What ends a text: itself, or what it matches."""

_Code = TypeVar("_Code", bound=Callable)


class Options(TypedDict, total=False):
    """What `generate`, `stream`, `chat` and `Engine.submit` can be told; `generate` explains each.

    Their signatures list all of them, so that an editor shows them, with the values of `DEFAULTS`.
    """

    sampler: Samplers
    max_new_tokens: int
    min_new_tokens: int
    seed: int | Sequence[int] | None
    n: int
    stop_at_end: bool | Sequence[int]
    stop_token_ids: Sequence[int]
    stop: Stop | Sequence[Stop]
    stop_loops: tuple[int, int] | None
    should_stop: Callable[[int, list[int]], bool] | None
    deadline: float | None
    overflow: Overflow
    max_rows: int
    top_log_probs: int
    echo: bool
    tokenizer: AnyTokenizer | None
    search: Search | None
    draft: AnyModel | Literal["lookup"] | None
    num_draft: int | None
    on_error: OnError
    json_schema: Schema | None
    regex: str | None


DEFAULTS: Options = {
    "sampler": None,
    "max_new_tokens": NEW_TOKENS,
    "min_new_tokens": 0,
    "seed": None,
    "n": 1,
    "stop_at_end": True,
    "stop_token_ids": (),
    "stop": (),
    "stop_loops": None,
    "should_stop": None,
    "deadline": None,
    "overflow": "error",
    "max_rows": MAX_ROWS,
    "top_log_probs": 0,
    "echo": False,
    "tokenizer": None,
    "search": None,
    "draft": None,
    "num_draft": None,
    "on_error": "raise",
    "json_schema": None,
    "regex": None,
}


def options_in(arguments: Mapping[str, Any]) -> Options:
    """Return the options that a call gave, of all arguments of the function: its `locals()`."""
    given = {
        name: arguments[name]
        for name, default in DEFAULTS.items()
        if name in arguments and arguments[name] is not default
    }
    return cast(Options, given)


def with_defaults(options: Options) -> Options:
    """Return all options; raise TypeError for one that there is not."""
    for name in options:
        if name not in DEFAULTS:
            raise unexpected(name, options, DEFAULTS)
    return DEFAULTS | options


def unexpected(
    name: str,
    given: Mapping[str, Any],
    known: Collection[str],
    elsewhere: Mapping[str, str] = MappingProxyType({}),
) -> TypeError:
    """Return what to raise for an argument that a function does not have, with what it is here.

    Args:
        name: of the argument.
        given: all that were given by name.
        known: the arguments that the function has.
        elsewhere: as for `tells_names`.

    >>> unexpected("max_tokens", {"max_tokens": 5}, DEFAULTS)
    TypeError("got an unexpected keyword argument 'max_tokens': did you mean `max_new_tokens`?")
    """
    hint = elsewhere.get(name) or _hint(name, given, known)
    return TypeError(f"got an unexpected keyword argument {name!r}: {hint}")


def tells_names(elsewhere: Mapping[str, str] = MappingProxyType({})) -> Callable[[_Code], _Code]:
    """Let a function tell of an argument that it does not have what it is here.

    Args:
        elsewhere: of names that are no arguments of this function alone, what to say.
    """

    def decorate(code: _Code) -> _Code:
        known = inspect.signature(code).parameters

        @functools.wraps(code)
        def told(*args: Any, **given: Any) -> Any:
            for name in given:
                if name not in known:
                    raise unexpected(name, given, known, elsewhere)
            return code(*args, **given)

        return told  # type: ignore[return-value]

    return decorate


def _hint(name: str, given: Mapping[str, Any], known: Collection[str]) -> str:
    alike = IN_GENERATE.get(name) or closest(name, known, cutoff=0.85)
    if alike in known:
        return f"did you mean `{alike}`?"
    settings = {
        CALLED_HERE.get(own, own): value
        for own, value in given.items()
        if own not in known and own not in IN_GENERATE and (own in NAMES or own in CALLED_HERE)
    }
    if CALLED_HERE.get(name, name) in settings:
        written = ", ".join(f"{own}={brief(value)}" for own, value in settings.items())
        sampler = f"Sampler.from_params({written})"
        where = f"sampler={sampler}" if "sampler" in known else f"samplers={{'mine': {sampler}}}"
        return f"it is a setting of a sampler: pass {where}"
    if name in ELSEWHERE:
        return ELSEWHERE[name]
    if name in NEAREST:
        return f"nothing here does that; nearest come {NEAREST[name]}"
    names = [*known, *IN_GENERATE, *NAMES, *CALLED_HERE, *ELSEWHERE, *NEAREST]
    guess = closest(name, names, cutoff=0.75)
    if guess is None:
        return f"known are {', '.join(sorted(known))}"
    return (
        f"did you mean `{guess}`?" if guess in known else _hint(guess, {guess: given[name]}, known)
    )


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


def sampler_and_search(
    sampler: Samplers, search: Search | None
) -> tuple[Sampler | Sequence[Sampler] | None, Search | None]:
    """Return samplers for what is written as text, and the search if that is one.

    Raises:
        ValueError: a text that cannot be read, or a search beside `search`.
    """
    if isinstance(sampler, str):
        line = read(sampler)
        if line.search is not None and search is not None:
            raise ValueError(f"sampler={sampler!r} is a search, and there is search= too: give one")
        return line.sampler, line.search or search
    if isinstance(sampler, Sequence):
        return [Sampler.parse(own) if isinstance(own, str) else own for own in sampler], search
    return sampler, search


_VOCABULARIES: weakref.WeakKeyDictionary[Any, Vocabulary] = weakref.WeakKeyDictionary()


def grammar_of(
    json_schema: Schema | None, regex: str | None, tokenizer: Any, ends: Sequence[int]
) -> Grammar:
    """Return the grammar of what texts are to be.

    Args:
        json_schema: of the texts, or None.
        regex: what they match, or None.
        tokenizer: of the model.
        ends: the ids that end a text of it.

    Raises:
        ValueError: both are given, one that cannot be read, or a tokenizer that does not tell its
            tokens.
    """
    if json_schema is not None and regex is not None:
        raise ValueError("json_schema= and regex= are both given: leave one of them out")
    known = vocabulary_of(tokenizer, tuple(ends))
    if json_schema is not None:
        return Grammar.json_schema(json_schema, known)
    return Grammar.regex(str(regex), known)


class _Ending(NamedTuple):
    """A tokenizer, and the ids that end a text for its model."""

    tokenizer: Any
    end_ids: tuple[int, ...]


def vocabulary_of(tokenizer: Any, ends: tuple[int, ...]) -> Vocabulary:
    """Return the tokens of a tokenizer; those of a large one take a while, and are kept."""
    inner = getattr(tokenizer, "tokenizer", tokenizer)
    with contextlib.suppress(TypeError):  # one that no weak reference can be made of
        known = _VOCABULARIES.get(inner)
        if known is None or known.end_ids != ends:
            known = as_vocabulary(_Ending(inner, ends), None)
            _VOCABULARIES[inner] = known
        return known
    return as_vocabulary(_Ending(inner, ends), None)


def groups_of(
    sampler: Sampler | Sequence[Sampler] | None,
    prompts: int,
    n: int,
    min_new_tokens: int,
    end_ids: frozenset[int],
    grammar: Grammar | None = None,
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
            hint = ": it is a search, give it as search=" if hasattr(own, "decode") else ""
            raise ValueError(
                f"sampler must be a Sampler such as Sampler(TopK(50)), got {own!r}{hint}"
            )
        members.setdefault(id(own), (own, []))[1].extend(range(prompt * n, prompt * n + n))
    groups = []
    for own, rows in members.values():
        if grammar is not None:  # so that a cut by rank or mass is made among valid tokens
            own = type(own)(grammar, *own.transforms)
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


def stops_of(stop: Stop | Sequence[Stop]) -> Stops | StopStrings | None:
    """Return what ends a text, None for nothing.

    Raises:
        ValueError: something else than strings and regular expressions, an empty string, an
            expression of bytes, or one that matches an empty string.
    """
    given = (stop,) if isinstance(stop, str | re.Pattern) else stop
    if not isinstance(given, Sequence) or not all(
        isinstance(own, re.Pattern) or (isinstance(own, str) and own) for own in given
    ):
        raise ValueError(
            "stop must be a string, a regular expression (re.compile), or a list of them, none "
            f"empty; got {stop!r}"
        )
    strings = tuple(own for own in given if isinstance(own, str))
    patterns = [own for own in given if isinstance(own, re.Pattern)]
    for pattern in patterns:
        if not isinstance(pattern.pattern, str) or pattern.search(""):
            raise ValueError(
                "a regular expression in stop is one of strings, and matches no empty string; got "
                f"{pattern!r}"
            )
    if not patterns:
        return StopStrings(strings) if strings else None
    return Stops([*([StopStrings(strings)] if strings else ()), *map(StopPattern, patterns)])


def seconds(deadline: Any) -> float:
    """Return a time in seconds; raise ValueError unless it is a number above 0."""
    real = isinstance(deadline, int | float | np.number) and not isinstance(deadline, bool)
    if not real or not deadline > 0:
        raise ValueError(f"deadline must be seconds above 0, or None; got {deadline!r}")
    return float(deadline)
