"""What tells a model from others, so that a folder does not mix their texts."""

import hashlib
import json
from contextlib import suppress
from typing import Any

import numpy as np

from logit_sampling.models.as_model import as_model, given_to, model_and_tokenizer
from logit_sampling.models.described import Described
from logit_sampling.models.function import CallableModel
from logit_sampling.models.model import Model, Tokenizer
from logit_sampling.models.tokenizers import AnyTokenizer, token_count

# What changes no text; and the preprocessor, which is looked at as a tokenizer: in its config are
# sets, in another order in each process.
_LEFT_OUT = {"build_config", "compile_config", "trainable", "preprocessor"}
_PROBE = 10_000  # characters
_FEW = 256  # ids, where nobody tells how many there are


def identity(model: Any, tokenizer: Any = None) -> dict[str, str | None]:
    """Return hashes of what a text depends on, None for what has none that is known.

    Args:
        model: as for `generate`.
        tokenizer: in place of the model's.

    Returns:
        `weights`; `config`: layers and dtypes, the tokens there are and those that end a text, the
        context; `tokenizer`: the text of each id, and the ids of that text.
    """
    runner, chosen = model_and_tokenizer(model, tokenizer)
    inner = given_to(as_model(model))
    return {
        "weights": _weights(inner),
        "config": _config(runner, inner),
        "tokenizer": None if chosen is None else _tokenizer(chosen, runner.vocab_size),
    }


def is_nameless(model: Any) -> bool:
    """Whether a model is a function that nobody named: nothing tells it from another one."""
    made = as_model(model)
    told = made.given if isinstance(made, Described) else {}
    base = made.model if isinstance(made, Described) else made
    return type(base) is CallableModel and "name" not in told


def _weights(inner: Any) -> str | None:
    weights = getattr(inner, "weights", None)
    if not isinstance(weights, list):
        return None
    found = hashlib.blake2b(digest_size=16)
    for weight in weights:
        array = np.ascontiguousarray(weight.numpy())
        found.update(f"{array.dtype}{array.shape}".encode())
        found.update(array.view(np.uint8).data if array.ndim else array.tobytes())
    return found.hexdigest()


def _config(runner: Model, inner: Any) -> str:
    told: Any = None
    with suppress(AttributeError, NotImplementedError, TypeError, ValueError):
        told = inner.get_config()  # of a function or a layer of one's own there may be none
    ends = sorted(runner.end_ids)
    kind = type(inner).__qualname__
    return _hash([kind, runner.vocab_size, runner.context_length, ends, _nameless(told)])


def _nameless(config: Any) -> Any:
    """Return a Keras config with numbers for names, which count up in a process."""
    numbers: dict[str, str] = {}

    def collect(node: Any) -> None:
        if isinstance(node, dict):
            if len(node) > 1 and isinstance(node.get("name"), str):  # alone, that of a dtype
                numbers.setdefault(node["name"], f"#{len(numbers)}")
            node = list(node.values())
        if isinstance(node, list | tuple):
            for own in node:
                collect(own)

    def renamed(node: Any) -> Any:
        if isinstance(node, dict):
            return {str(k): renamed(v) for k, v in node.items() if k not in _LEFT_OUT}
        if isinstance(node, list | tuple):
            return [renamed(own) for own in node]
        return numbers.get(node, node) if isinstance(node, str) else node

    collect(config)
    return renamed(config)


def _tokenizer(tokenizer: Tokenizer, vocab_size: int | None) -> str:
    own = tokenizer.tokenizer if isinstance(tokenizer, AnyTokenizer) else tokenizer
    count = token_count(tokenizer) or vocab_size
    ids: list[int] = []

    def decoded(some: list[int]) -> str:
        with suppress(Exception):  # one's own may refuse what it never saw, with any error
            return tokenizer.decode(some)
        return ""

    text = decoded(list(range(count))) if count else "".join(decoded([i]) for i in range(_FEW))
    with suppress(Exception):
        ids = [int(i) for i in tokenizer.encode(text[:_PROBE])]
    return _hash([type(own).__qualname__, text, ids])


def _hash(value: Any) -> str:
    def plain(other: Any) -> Any:
        return other.hex() if isinstance(other, bytes) else type(other).__qualname__

    told = json.dumps(value, sort_keys=True, default=plain)
    return hashlib.blake2b(told.encode(), digest_size=16).hexdigest()
