"""What `generate` makes of a model that it is given, and what its owner can tell of it."""

import copy
import dataclasses
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from logit_sampling.distribution.arrays import to_list
from logit_sampling.models.described import Described
from logit_sampling.models.function import CallableModel
from logit_sampling.models.keras_hub import LanguageModel, checked_jit_compile
from logit_sampling.models.keras_model import KerasModel
from logit_sampling.models.model import AnyModel, AnyTokenizer, Model, Tokenizer
from logit_sampling.models.tokenizers import as_tokenizer, token_count


def as_model(
    model: AnyModel,
    *,
    name: str | None = None,
    context_length: int | None = None,
    vocab_size: int | None = None,
    end_ids: int | Sequence[int] | None = None,
    tokenizer: AnyTokenizer | None = None,
    left_pad_id: int | None = None,
    jit_compile: bool | None = None,
) -> Model:
    """Tell what a model of one's own does not tell: its context, end tokens and tokenizer.

    `generate`, `stream`, `score`, `compare`, `draft=` and `check_logits` take the result as they
    take any model. It is the same model: new weights and layers count from then on.

    A Keras model whose input has a fixed length has it as its context. Shorter texts are padded
    behind, which changes nothing where a model is causal; whether it is, is measured once, with the
    weights that it has and with random ones. A model that is not, or that gives only the logits of
    what follows its last token, reads full inputs alone: with `overflow="slide"` the last tokens of
    a text, as many as it has inputs.

    On JAX a causal Keras model is compiled for a few lengths, powers of two from 32 on up to the
    context, and another one for each length. Where the context is not told, and a model cannot read
    the next power of two, it is compiled for each length too.

    Args:
        model: as for `generate`: a Keras model or a function from token ids to logits, a KerasHub
            `CausalLM`, or a model of ours.
        name: what messages call it.
        context_length: how many tokens a text may have: not more than a fixed input has.
        vocab_size: how many tokens there are. Ids from there on are neither accepted nor drawn.
        end_ids: the ids that end a text, in place of those that the model tells.
        tokenizer: as for `generate`, which needs no `tokenizer=` then.
        left_pad_id: for a Keras model with a fixed input that was trained on texts padded in front:
            the id of the padding, which fills up shorter texts.
        jit_compile: of a KerasHub model; see `load_model`.

    Returns:
        a `Model`.

    Raises:
        ValueError: no model, a value out of range, or one that does not fit the model.

    Example, with a model that counts:

    >>> import numpy as np
    >>> from logit_sampling import generate
    >>> counter = lambda ids: 9.0 * np.eye(9)[(ids[:, -1] + 1) % 9]
    >>> model = as_model(counter, name="counter", context_length=8, end_ids=4)
    >>> generate(model, [[1]], max_new_tokens=7, seed=0).token_ids
    [[2, 3, 4]]
    >>> generate(model, [[1, 2, 3]], max_new_tokens=7)
    Traceback (most recent call last):
    ValueError: prompt 0 has 3 tokens and max_new_tokens is 7, together more than the context of
    model 'counter', 8: ...
    """
    if hasattr(model, "submit") and hasattr(model, "model"):  # an Engine, whose module needs this
        model = model.model
    told: Mapping[str, Any] = model.given if isinstance(model, Described) else {}
    base = model.model if isinstance(model, Described) else _base(model)
    shown = name or told.get("name") or base.name
    given: dict[str, Any] = {
        "name": None if name is None else _name(name),
        "context_length": _whole("context_length", context_length, 1, _longest(base), shown),
        "vocab_size": _whole("vocab_size", vocab_size, 1, base.vocab_size, shown),
        "end_ids": None if end_ids is None else _ids(end_ids),
        "tokenizer": as_tokenizer(tokenizer),
    }
    given = {**told, **{key: value for key, value in given.items() if value is not None}}
    padding = _whole("left_pad_id", left_pad_id, 0)
    if padding is not None and getattr(base, "input_length", None) is None:
        raise ValueError(
            f"left_pad_id is {padding}, and only a Keras model whose input has a fixed length is "
            f"padded; that of model {shown!r} has none: leave it out"
        )
    if jit_compile is not None:
        if not isinstance(base, LanguageModel):
            raise ValueError(
                f"jit_compile is {jit_compile!r}, and only a KerasHub model is compiled with its "
                f"sampler, which model {shown!r} is not: leave it out"
            )
        base = copy.copy(base)
        base.jit_compile = checked_jit_compile(jit_compile)
    if isinstance(base, KerasModel):
        base = dataclasses.replace(
            base,
            called=given.get("name"),
            context=given.get("context_length"),
            left_pad_id=base.left_pad_id if padding is None else padding,
        )
    if not given:
        return base
    made = Described(base, given.get("vocab_size"), given)
    counts = [n for n in (made.vocab_size, token_count(made.tokenizer)) if n is not None]
    if outside := [i for i in given.get("end_ids", ()) if i >= min(counts, default=i + 1)]:
        raise ValueError(
            f"end_ids must be in [0, {min(counts)}), the tokens of model {shown!r}; got {outside}"
        )
    return made


def model_and_tokenizer(model: Any, tokenizer: Any) -> tuple[Model, Tokenizer | None]:
    """Return a model without the logits that no token of its tokenizer has, and the tokenizer.

    Args:
        model: as for `generate`.
        tokenizer: one in place of the model's, or None.
    """
    runner = as_model(model)
    chosen = as_tokenizer(runner.tokenizer if tokenizer is None else tokenizer)
    count = token_count(chosen)
    return runner if count is None else Described(runner, count), chosen


def given_to(model: Any) -> Any:
    """Return the Keras model or function that `as_model` or `load_model` made a model of."""
    inner = model.model if isinstance(model, Described) else model
    for kind, attribute in (
        (KerasModel, "keras_model"),
        (LanguageModel, "causal_lm"),
        (CallableModel, "function"),
    ):
        if isinstance(inner, kind):
            return getattr(inner, attribute)
    return inner


def _base(model: Any) -> Any:
    """Return a model as it tells itself."""
    if hasattr(model, "prefill"):  # as ours have, and whoever writes a Model
        return model
    if hasattr(model, "call_with_cache"):
        return LanguageModel(model)
    if "keras" in sys.modules and isinstance(model, sys.modules["keras"].Model):
        return KerasModel(model)
    if callable(model):
        return CallableModel(model)
    if isinstance(model, str | os.PathLike):
        raise ValueError(
            f"a model comes first, before the prompts, and {str(model)!r} is none: if that is its "
            f"name, pass load_model({str(model)!r})"
        )
    raise ValueError(
        "a model is what load_model returns, a KerasHub CausalLM, a Keras model, or a function "
        f"from token ids to logits; got {model!r}"
    )


def _longest(model: Any) -> int | None:
    """Return how many tokens a model can read, None if that is not known to have a limit."""
    if isinstance(model, KerasModel):
        return model.input_length
    if isinstance(model, LanguageModel):  # its context may be the preprocessor's, no limit
        return getattr(model.causal_lm.backbone, "max_sequence_length", None)
    return model.context_length


def _name(name: Any) -> str:
    if not isinstance(name, str) or not name:
        raise ValueError(f"name must be a string that is not empty, got {name!r}")
    return name


def _whole(name: str, value: Any, least: int, most: int | None = None, of: str = "") -> int | None:
    """Return a whole number or None; raise ValueError if it is neither, or out of range."""
    if value is None:
        return None
    if not isinstance(value, int | np.integer) or isinstance(value, bool) or value < least:
        raise ValueError(f"{name} must be an integer of at least {least}, got {value!r}")
    if most is not None and value > most:
        raise ValueError(f"{name} is {value}, and model {of!r} has {most}: give at most that")
    return int(value)


def _ids(given: Any) -> tuple[int, ...]:
    ids = to_list(given)
    ids = ids if isinstance(ids, list | tuple | set | frozenset | range) else [ids]
    whole = all(isinstance(i, int | np.integer) and not isinstance(i, bool) for i in ids)
    if not whole or any(i < 0 for i in ids):
        raise ValueError(
            f"end_ids must be a token id or several, integers from 0 on; got {given!r}"
        )
    return tuple(int(i) for i in ids)
