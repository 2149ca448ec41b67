"""What the generation loop and the searches need of a model.

A model reads prompts of any lengths (`prefill`) and gives a `Cache`, which holds what it
knows of the rows of a batch. Each row stands at its own position, so nothing is ever padded.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol, TypeAlias

import numpy as np

from logit_sampling.plotting.visible import counted
from logit_sampling.types import ArrayLike


class Tokenizer(Protocol):
    """Text to token ids and back."""

    def encode(self, text: str) -> Sequence[int]:
        """Return the token ids of a prompt, with the start token if the model wants one."""

    def decode(self, ids: list[int]) -> str:
        """Return the text of ids; bytes that are no UTF-8 become U+FFFD."""


class Output(NamedTuple):
    """What a model says after tokens.

    Attributes:
        logits: float32 [rows, columns, vocab]; entry `[i, j]` holds the scores of what follows
            token `j` of those that row `i` was given.
        hidden: the last hidden states, float32 [rows, columns, width], or None if the model tells
            none.
    """

    logits: np.ndarray
    hidden: np.ndarray | None = None


class Cache(Protocol):
    """The texts that a model has read so far, one a row."""

    @property
    def lengths(self) -> np.ndarray:
        """How many tokens each row holds, int [rows]."""

    def append(self, token_ids: np.ndarray) -> Output:
        """Feed the next tokens of each row, int32 [rows, columns]; return what follows each."""

    def read(self, texts: Sequence[Sequence[int]]) -> Output:
        """Feed a text to each row, of at least one token; return what follows the last of each."""

    def drop(self, counts: np.ndarray) -> None:
        """Forget the last `counts[i]` tokens of row `i`, int [rows]."""

    def select(self, rows: Sequence[int] | np.ndarray) -> "Cache":
        """Return a cache whose row `i` is row `rows[i]` of this one, which must not be used again.

        Rows may be repeated, reordered and left out.
        """

    def copy(self, rows: Sequence[int]) -> "Cache":
        """Return a cache of its own with some rows; this one stays as it is."""

    def join(self, *others: Any) -> "Cache":
        """Return a cache with the rows of others behind its own; none of them is used again."""


class Model(Protocol):
    """What `generate` runs.

    It may have three attributes more. `stride` is how many tokens a text that outgrows the context
    loses at once with `overflow="slide"`: half the context if it is None or missing. `traces` is
    how often the model was traced, to be compiled. `state` equals another one as long as the
    weights are what they are: if it is missing, an `Engine` takes them to stay so.
    """

    @property
    def name(self) -> str:
        """What to call it."""

    @property
    def context_length(self) -> int | None:
        """How many tokens a text may have, None if there is no limit."""

    @property
    def vocab_size(self) -> int | None:
        """How many tokens there are, None if unknown."""

    @property
    def end_ids(self) -> tuple[int, ...]:
        """The ids that end a text."""

    @property
    def tokenizer(self) -> Tokenizer | None:
        """None if the model has none."""

    def prefill(self, prompts: Sequence[Sequence[int]]) -> tuple[Output, Cache]:
        """Read prompts, each a list of at least one token id.

        Returns:
            what follows the last token of each (one column), and the cache.
        """


AnyModel: TypeAlias = Model | Callable[..., ArrayLike]
"""A model of ours, or a Keras model or function from token ids to logits."""

AnyTokenizer: TypeAlias = object
"""What has encode(text) and decode(ids), of whatever library; it is looked at when it is used."""


def in_a_line(model: Model, kind: str, parameters: int | None = None) -> str:
    """Return the repr of a model.

    Args:
        model: which.
        kind: its class, or what it was made of.
        parameters: how many it has, if that is known.
    """
    facts = [] if parameters is None else [counted(parameters, "parameter")]
    for name, value in (("vocabulary", model.vocab_size), ("context", model.context_length)):
        facts += [] if value is None else [f"{name} {value:,}"]
    facts += [f"ends at {', '.join(map(str, model.end_ids))}"] if model.end_ids else []
    facts += [] if model.tokenizer is not None else ["no tokenizer"]
    return f"<{kind} {model.name!r}: {', '.join(facts)}>"


def needed_tokenizer(tokenizer: Tokenizer | None, name: str) -> Tokenizer:
    """Return `tokenizer`; raise ValueError if there is none."""
    if tokenizer is None:
        raise ValueError(
            f"model {name!r} has no tokenizer: give prompts as lists of token ids, or pass "
            "tokenizer=, an object with encode(text) and decode(ids)"
        )
    return tokenizer
