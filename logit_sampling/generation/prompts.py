"""Prompts: strings or token ids, checked."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from logit_sampling.generation.model import Model, Tokenizer, needed_tokenizer

Prompt = str | Sequence[int]


def listed(prompts: Prompt | Sequence[Prompt], name: str = "prompt") -> list[Prompt]:
    """Return a list of prompts; raise ValueError if it is none, or empty."""
    if not isinstance(prompts, str | Sequence | np.ndarray):
        raise ValueError(f"{name}s must be a string or a list of {name}s, got {prompts!r}")
    given: list[Any] = [prompts] if isinstance(prompts, str) else list(prompts)
    if not given:
        raise ValueError(f"{name}s is empty: give at least one {name}")
    if any(isinstance(prompt, int | np.integer) for prompt in given):
        raise ValueError(f"{name}s are lists of token ids: wrap a single one, [[1, 2, 3]]")
    return given


def token_ids(
    index: int, prompt: Prompt, model: Model, tokenizer: Tokenizer | None, name: str = "prompt"
) -> list[int]:
    """Return the ids of a prompt; raise ValueError if it is empty or no ids of the model's."""
    if np.size(prompt) == 0 or (isinstance(prompt, str) and not prompt):
        raise ValueError(f"{name} {index} is empty: give at least one token")
    if not isinstance(prompt, str):
        given, end = np.asarray(prompt), model.vocab_size or np.inf
        if given.ndim != 1 or given.dtype.kind not in "iu" or not all(0 <= i < end for i in given):
            raise ValueError(
                f"{name} {index} must be a string or a list of integers in [0, {end}), the token "
                f"ids; got {prompt!r}"
            )
        return given.tolist()
    try:
        prompt.encode("utf-8")
    except UnicodeEncodeError as error:
        raise ValueError(
            f"{name} {index} is not UTF-8 text: character {error.start} is {prompt[error.start]!r}"
        ) from None
    return [int(i) for i in needed_tokenizer(tokenizer, model.name).encode(prompt)]


def encode_prompt(
    index: int,
    prompt: Prompt,
    model: Model,
    tokenizer: Tokenizer | None,
    max_new_tokens: int,
    slide: bool = False,
) -> list[int]:
    """Return the ids of a prompt; raise ValueError if it is empty, not in range, or too long.

    With `slide` none is too long.
    """
    ids, context = token_ids(index, prompt, model, tokenizer), model.context_length
    if context is None or slide:
        return ids
    if len(ids) >= context:
        raise ValueError(
            f"prompt {index} has {len(ids)} tokens, but the context of model {model.name!r} has "
            f"{context} and a new token needs room: shorten the prompt to {context - 1} or fewer; "
            'generate reads the last part of a longer one with overflow="slide"'
        )
    if len(ids) + max_new_tokens > context:
        raise ValueError(
            f"prompt {index} has {len(ids)} tokens and max_new_tokens is {max_new_tokens}, "
            f"together more than the context of model {model.name!r}, {context}: ask for at most "
            f"{context - len(ids)} new tokens or shorten the prompt; generate goes on beyond the "
            'context with overflow="slide"'
        )
    return ids
