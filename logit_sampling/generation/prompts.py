"""Prompts: text or token ids of any kind, checked."""

from collections.abc import Mapping, Sequence
from reprlib import repr as brief
from typing import Any

from logit_sampling.distribution.arrays import is_symbolic, library_of, to_numpy
from logit_sampling.models.model import Model, Tokenizer, needed_tokenizer
from logit_sampling.models.tokenizers import as_text

Prompt = str | Sequence[int]


def listed(prompts: Any, name: str = "prompt") -> list[Prompt]:
    """Return a list of prompts, text as strings.

    Args:
        prompts: text, as a string, UTF-8 bytes, or an array or tensor with one string; or several
            prompts, in a sequence, an array, or a tensor, which may be ragged.
        name: what to call one.

    Raises:
        ValueError: something else; no prompt; token ids that are not in a list of their own; bytes
            that are no UTF-8.
    """
    text = as_text(prompts)
    given = _rows(prompts) if text is None else [text]
    if given is None:
        raise ValueError(
            f"{name}s must be a string or a list of {name}s, got {_described(prompts)}"
        )
    if not given:
        raise ValueError(f"{name}s is empty: give at least one {name}")
    texts = [as_text(prompt) for prompt in given]
    if any(text is None and _single(p) for text, p in zip(texts, given, strict=True)):
        raise ValueError(f"{name}s are lists of token ids: wrap a single one, [[1, 2, 3]]")
    return [prompt if text is None else text for text, prompt in zip(texts, given, strict=True)]


def _rows(prompts: Any) -> list[Any] | None:
    """Return what several prompts are; None for what cannot be several."""
    if is_symbolic(prompts) or _single(prompts):
        return None
    if hasattr(prompts, "to_list") and library_of(prompts) == "tensorflow":
        return prompts.to_list()  # a RaggedTensor
    known = isinstance(prompts, Sequence) or hasattr(prompts, "__array__")
    return list(prompts) if known or library_of(prompts) else None


def _single(x: Any) -> bool:
    return isinstance(x, int) or getattr(x, "shape", None) == ()


def _described(given: Any) -> str:
    if isinstance(given, Mapping):
        keys = ", ".join(map(str, given))
        return f"a {type(given).__name__} of {keys}: pass its token ids, without the padding"
    return " ".join(brief(given).split())


def token_ids(
    index: int, prompt: Any, model: Model, tokenizer: Tokenizer | None, name: str = "prompt"
) -> list[int]:
    """Return the ids of a prompt; an empty string is one where a start token goes before it.

    Raises:
        ValueError: it is empty, no UTF-8 text, or no ids of the model's.
    """
    if isinstance(prompt, str):
        return _encoded(index, prompt, model, needed_tokenizer(tokenizer, model.name), name)
    end = model.vocab_size or 2**31
    wanted = f"{name} {index} must be a string or a list of integers in [0, {end}), the token ids"
    try:
        ids = to_numpy(prompt)
    except ValueError:
        raise ValueError(f"{wanted}; got {_described(prompt)}") from None
    if not ids.size:
        raise ValueError(f"{name} {index} is empty: give at least one token")
    if ids.ndim != 1 or ids.dtype.kind not in "iu":
        raise ValueError(f"{wanted}; got {_described(prompt)}")
    if outside := [i for i in ids.tolist() if not 0 <= i < end]:
        raise ValueError(f"{wanted}; got {brief(outside)}")
    return ids.tolist()


def _encoded(
    index: int, text: str, model: Model, tokenizer: Tokenizer, name: str = "prompt"
) -> list[int]:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise ValueError(
            f"{name} {index} is not UTF-8 text: character {error.start} is {text[error.start]!r}"
        ) from None
    ids, end = [int(i) for i in tokenizer.encode(text)], model.vocab_size or 2**31
    if outside := [i for i in ids if not 0 <= i < end]:
        raise ValueError(
            f"{name} {index}: the tokenizer gives ids that model {model.name!r} does not have, "
            f"which are in [0, {end}): {brief(outside)}"
        )
    if not text and (not ids or name != "prompt"):  # of an empty text nothing can be told
        why = f"is empty, and model {model.name!r} has no start token to begin with"
        raise ValueError(f"{name} {index} {why}: give at least one token")
    if not ids:
        raise ValueError(f"{name} {index} has no token: the tokenizer finds none in {text!r}")
    return ids


def room(model: Model, prompts: Sequence[Any]) -> tuple[int | None, int]:
    """Return how many tokens fit behind the longest of prompts, and how long that is.

    None fits any number where the model does not tell its context.

    Raises:
        ValueError: a prompt that is none of the model's.
    """
    own = enumerate(prompts)
    longest = max(len(token_ids(i, prompt, model, model.tokenizer)) for i, prompt in own)
    context = model.context_length
    return None if context is None else context - longest, longest


def encode_prompt(
    index: int,
    prompt: Any,
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
            'overflow="slide" reads the last part of a longer one'
        )
    if len(ids) + max_new_tokens > context:
        raise ValueError(
            f"prompt {index} has {len(ids)} tokens and max_new_tokens is {max_new_tokens}, "
            f"together more than the context of model {model.name!r}, {context}: ask for at most "
            f"{context - len(ids)} new tokens or shorten the prompt; "
            'overflow="slide" goes on beyond the context'
        )
    return ids
