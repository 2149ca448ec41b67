"""What public functions take and return, by name.

Logits come in as an array or a tensor of any library, and results go out as arrays of the same one;
from lists of numbers they are NumPy's.
"""

from collections.abc import Sequence
from typing import Any, Literal, Protocol, TypeAlias, TypedDict, TypeVar


class ArrayLike(Protocol):
    """An array or a tensor: of NumPy, TensorFlow, Keras, JAX, torch or another library."""

    @property
    def shape(self) -> Any: ...

    @property
    def dtype(self) -> Any: ...

    def __getitem__(self, key: Any, /) -> Any: ...

    def __len__(self) -> int: ...


Array = TypeVar("Array", bound=ArrayLike)
"""The kind of array that a caller holds."""

Lists: TypeAlias = Sequence[float] | Sequence[Sequence[float]]
"""Logits as lists of numbers, [vocab] or [batch, vocab]."""

Logits: TypeAlias = ArrayLike | Lists
"""Logits, floating point, [vocab] or [batch, vocab]."""

TokenIds: TypeAlias = ArrayLike | Sequence[int] | Sequence[Sequence[int]]
"""Token ids, [length] or [batch, length]; -1 is padding."""

Tokens: TypeAlias = ArrayLike | int | Sequence[int]
"""One token id for each row, [] or [batch]."""

Seed: TypeAlias = ArrayLike | int | Sequence[int] | None
"""An integer for all rows, one for each, or None for a random one."""

Integers: TypeAlias = ArrayLike | int | Sequence[int]
"""One integer for all rows, or one for each."""

PerRow: TypeAlias = ArrayLike | float | Sequence[float]
"""One number for all rows, or one for each."""

NEW_TOKENS = 100
"""Tokens of a text, where nobody says how many."""

Overflow: TypeAlias = Literal["error", "slide"]
"""What to do with a text that is longer than a model's context."""

OnError: TypeAlias = Literal["raise", "return"]
"""What to do about rows that cannot go on."""

Order: TypeAlias = Literal["default", "hf", "vllm", "llama.cpp", "keras_hub", "written"]
"""Whose chain settings are."""


class Given(TypedDict, total=False):
    """What a call of a sampler or of a transform takes besides logits."""

    history: TokenIds | None
    prompt_length: Integers
    seed: Seed
    step: Integers
