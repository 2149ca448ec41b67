"""Any function from token ids to logits, as a model."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from logit_sampling.distribution.arrays import logits_of, to_numpy
from logit_sampling.models.model import Cache, Output, Tokenizer, in_a_line


class CallableModel:
    """Any function from token ids to logits, without a cache: it sees the whole text each time.

    Rows of equal length are given to the function together.

    Args:
        function: int32 [batch, length] -> logits [batch, length, vocab], or those of the last
            position, [batch, vocab]: an array of any library, an object or a dict that has them as
            `logits`, or a tuple that begins with them. No row is padded. In a pair the second may
            be the hidden states [batch, length, width], which contrastive search needs.

    Attributes:
        function: the same.
    """

    name = "callable"
    context_length: int | None = None
    vocab_size: int | None = None
    end_ids: tuple[int, ...] = ()
    tokenizer: Tokenizer | None = None

    def __init__(self, function: Callable[[np.ndarray], Any]) -> None:
        self.function = function

    def __repr__(self) -> str:
        return in_a_line(self, "CallableModel")

    def prefill(self, prompts: Sequence[Sequence[int]]) -> tuple[Output, Cache]:
        """Read prompts; return what follows the last token of each, and the cache."""
        texts = Texts(self.read, [[] for _ in prompts])
        return texts.read(prompts), texts

    def read(self, rows: list[list[int]], columns: int) -> Output:
        """Read whole texts; return what follows each of their last `columns` tokens."""
        lengths = np.array([len(row) for row in rows])
        parts: dict[int, Any] = {}
        for length in sorted(set(lengths.tolist())):
            members = np.flatnonzero(lengths == length)
            ids = np.array([rows[row] for row in members], np.int32)
            for row, part in zip(
                members.tolist(), zip(*self._call(ids, columns), strict=True), strict=True
            ):
                parts[row] = part
        logits, hidden = zip(*(parts[row] for row in range(len(lengths))), strict=True)
        return Output(np.stack(logits), None if hidden[0] is None else np.stack(hidden))

    def _call(self, ids: np.ndarray, columns: int) -> tuple[Any, Any]:
        try:
            result = self.function(ids)
        except Exception as error:  # whatever a model raises for a length that it does not take
            error.add_note(
                f"The model failed on token ids of shape {ids.shape}. If {ids.shape[1]} tokens are "
                "more than it takes, say how many it does: ls.as_model(model, context_length=...)."
            )
            raise
        hidden = hidden_of(result)
        logits = to_numpy(logits_of(result))
        check_shape(logits, ids)
        if logits.ndim == 2:  # the last position alone: one call for each
            before = [self._call(ids[:, :-1], columns - 1)[0]] if columns > 1 else []
            return np.concatenate([*before, logits[:, None]], axis=1), [None] * len(ids)
        if getattr(hidden, "shape", ())[:-1] != ids.shape:  # none, or a cache
            return logits[:, -columns:], [None] * len(ids)
        return logits[:, -columns:], to_numpy(hidden).astype(np.float32)[:, -columns:]


def hidden_of(result: Any) -> Any:
    """Return what may be the hidden states in what a model returned; None if nothing is."""
    return result[1] if isinstance(result, tuple) and len(result) == 2 else None


def check_shape(logits: Any, ids: np.ndarray) -> None:
    """Raise ValueError unless there are logits for each token, or for what follows the last."""
    if tuple(logits.shape[:-1]) not in (ids.shape, ids.shape[:1]):
        raise ValueError(
            f"the model returned shape {tuple(logits.shape)} for token ids of shape {ids.shape}; "
            "generate needs logits [batch, length, vocab] or [batch, vocab]"
        )


class Texts:
    """The cache of what keeps none: the texts themselves.

    Args:
        read: is given whole texts and a number of columns, and tells what follows each of the last
            so many tokens.
        rows: the texts.
    """

    def __init__(self, read: Callable[[list[list[int]], int], Output], rows: list[list[int]]):
        self._read = read
        self._rows = rows

    @property
    def lengths(self) -> np.ndarray:
        return np.array([len(row) for row in self._rows])

    def append(self, token_ids: np.ndarray) -> Output:
        for row, ids in zip(self._rows, np.asarray(token_ids), strict=True):
            row.extend(ids.tolist())
        return self._read(self._rows, np.shape(token_ids)[1])

    def read(self, texts: Sequence[Sequence[int]]) -> Output:
        for row, text in zip(self._rows, texts, strict=True):
            row.extend(text)
        return self._read(self._rows, 1)

    def drop(self, counts: np.ndarray) -> None:
        for row, count in zip(self._rows, counts, strict=True):
            del row[len(row) - count :]

    def select(self, rows: Sequence[int] | np.ndarray) -> "Texts":
        return Texts(self._read, [list(self._rows[row]) for row in rows])

    def copy(self, rows: Sequence[int]) -> "Texts":
        return self.select(rows)

    def join(self, *others: "Texts") -> "Texts":
        return Texts(self._read, [row for texts in (self, *others) for row in texts._rows])
