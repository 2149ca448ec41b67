"""Parameters that name tokens: sequences of them, biases on them, steps that want them."""

import dataclasses
import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from logit_sampling.distribution.arrays import to_list
from logit_sampling.distribution.checks import concrete


def parameter(**default: Any) -> Any:
    """Declare a field of a transform that is no number, for type checkers with `Kept`."""
    return dataclasses.field(**default)


def is_id(value: Any) -> bool:
    """Tell whether `value` can be a token id."""
    whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    return whole and 0 <= value < 2**31


def sequence(owner: Any, name: str, value: Any) -> tuple[int, ...]:
    """Return a sequence of token ids, or one id, as a tuple; raise ValueError if it is none."""
    ids = to_list(value)
    ids = [ids] if is_id(ids) else ids
    if not isinstance(ids, list | tuple | range) or not ids or not all(map(is_id, ids)):
        raise ValueError(
            f"{type(owner).__name__} needs `{name}` to hold token ids (integers of at least 0), or "
            f"sequences of at least one of them; got {value!r}"
        )
    return tuple(int(i) for i in ids)


def sequences_of(owner: Any, name: str) -> tuple[tuple[int, ...], ...]:
    """Return a field that lists sequences of token ids as tuples, each of them once."""
    value = concrete(owner, name)
    listed = isinstance(value, Iterable) and getattr(value, "ndim", 1) > 0
    if isinstance(value, str | Mapping) or not listed:
        raise ValueError(
            f"{type(owner).__name__} needs `{name}` to be a list of token ids or of sequences of "
            f"them; got {value!r}"
        )
    return tuple(dict.fromkeys(sequence(owner, name, v) for v in value))


def pairs_of(owner: Any, name: str) -> tuple[tuple[Any, Any], ...]:
    """Return a field that maps keys to values, or lists pairs, as pairs."""
    value = concrete(owner, name)
    pairs = tuple(value.items()) if isinstance(value, Mapping) else value
    if not isinstance(pairs, list | tuple) or not all(
        isinstance(pair, list | tuple) and len(pair) == 2 for pair in pairs
    ):
        raise ValueError(
            f"{type(owner).__name__} needs `{name}` to be a mapping, or pairs; got {value!r}"
        )
    return tuple((key, own) for key, own in pairs)


def biases_of(
    owner: Any, name: str, *, single: bool = False
) -> tuple[tuple[tuple[int, ...], float], ...]:
    """Return a field that maps tokens or sequences of them to biases as pairs, sorted.

    With `single` each must be one token. A bias None is -inf and "inf" is +inf, as in JSON.
    """
    concrete(owner, name, "add a bias that is a tensor to the logits, before the sampler sees them")
    biases: dict[tuple[int, ...], float] = {}
    for key, bias in pairs_of(owner, name):
        ids = sequence(owner, name, key)
        if single and len(ids) > 1:
            raise ValueError(
                f"{type(owner).__name__} biases single tokens, got {key!r} in `{name}`; "
                "SequenceBias takes sequences"
            )
        if bias is None or (isinstance(bias, str) and bias == "inf"):
            bias = -math.inf if bias is None else math.inf
        real = isinstance(bias, int | float | np.integer | np.floating)
        if not real or isinstance(bias, bool) or math.isnan(bias):
            raise ValueError(
                f"{type(owner).__name__} needs each bias in `{name}` to be a number; got {bias!r} "
                f"for {key!r}"
            )
        if ids in biases:
            raise ValueError(f"{type(owner).__name__} got two biases for {key!r} in `{name}`")
        biases[ids] = float(bias)
    return tuple(sorted(biases.items()))


def steps_of(owner: Any, name: str) -> tuple[tuple[int, int], ...]:
    """Return a field that maps steps to token ids, or lists the ids, as pairs, sorted."""
    value = to_list(concrete(owner, name))
    listed = isinstance(value, list | tuple) and all(map(is_id, value))
    pairs = tuple(enumerate(value)) if listed else pairs_of(owner, name)
    for step, token in pairs:
        if not is_id(step) or not is_id(token):
            raise ValueError(
                f"{type(owner).__name__} needs `{name}` to map steps to token ids, both integers "
                f"of at least 0; got {step!r}: {token!r}"
            )
    if len(dict(pairs)) < len(pairs):
        raise ValueError(f"{type(owner).__name__} got two tokens for one step in {value!r}")
    return tuple(sorted((int(step), int(token)) for step, token in pairs))


def biased(xp: Any, x: Any, bias: Any) -> Any:
    """Return `x + bias`; -inf beats +inf, and two finite numbers have a finite sum."""
    total = xp.add(x, bias)
    total = xp.where(xp.isinf(x) | xp.isinf(bias), total, _finite(xp, total))
    return xp.where((x == -np.inf) | (bias == -np.inf), -np.inf, total)


def steady(xp: Any, x: Any, new: Any) -> Any:
    """Return the `new` logits of tokens; an infinite one stays, and no other becomes infinite."""
    return xp.where(xp.isinf(x), x, _finite(xp, new))


def _finite(xp: Any, x: Any) -> Any:
    most = float(np.finfo(x.dtype.name).max)
    return xp.clip(x, -most, most)
