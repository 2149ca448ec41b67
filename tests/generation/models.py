"""Models and tokenizers that are a few lines long."""

from collections.abc import Sequence

import numpy as np

from logit_sampling.models.function import CallableModel
from logit_sampling.models.model import Cache, Output


def counter(ids: np.ndarray) -> np.ndarray:
    """Logits whose greatest is that of the last token plus one, vocabulary 10."""
    return 9.0 * np.eye(10, dtype=np.float32)[(ids[:, -1] + 1) % 10]


class Bytes:
    """Each byte of UTF-8 is a token."""

    @staticmethod
    def encode(text: str) -> list[int]:
        return list(text.encode())

    @staticmethod
    def decode(ids: list[int]) -> str:
        return bytes(ids).decode("utf-8", errors="replace")


def writer(text: str, vocabulary: int = 256) -> "CallableModel":
    """A model of bytes that writes `text` behind a prompt of one token, again and again."""
    data = np.frombuffer(text.encode(), np.uint8)

    def function(ids: np.ndarray) -> np.ndarray:
        following = data[(ids.shape[1] - 1) % len(data)]
        return 99.0 * np.eye(vocabulary, dtype=np.float32)[np.full(len(ids), following)]

    return CallableModel(function)


class Script(CallableModel):
    """A model that writes `ids` behind a prompt of one token, and then the first of them."""

    def __init__(self, ids: Sequence[int], vocabulary: int) -> None:
        table = 99.0 * np.eye(vocabulary, dtype=np.float32)[[*ids, ids[0]]]
        super().__init__(lambda given: np.repeat(table[[given.shape[1] - 1]], len(given), axis=0))


class Letters:
    """A tokenizer of thirty letters."""

    def encode(self, text: str) -> list[int]:
        return [ord(letter) - ord("a") for letter in text]

    def decode(self, ids: list[int]) -> str:
        return "".join(chr(ord("a") + i) for i in ids)


class Windowed:
    """A model whose logits depend on all it has read and on the place of each token.

    It has a context, and fails if a row outgrows it.
    """

    name, end_ids, tokenizer = "windowed", (), None

    def __init__(self, context_length: int, vocab_size: int = 30) -> None:
        self.context_length, self.vocab_size = context_length, vocab_size
        self.prefills: list[list[int]] = []
        self.reads: list[list[int]] = []
        self.steps: list[tuple[int, ...]] = []
        self.selected: list[list[int]] = []
        self._table = np.random.default_rng(0).normal(0, 2, (64, vocab_size, vocab_size))

    def row(self, ids: Sequence[int]) -> np.ndarray:
        """Logits [vocab] after `ids`."""
        assert 0 < len(ids) <= self.context_length, f"{len(ids)} tokens in {self.context_length}"
        total = sum(self._table[place % 64, token] for place, token in enumerate(ids))
        return (np.asarray(total) / np.sqrt(len(ids))).astype(np.float32)

    def prefill(self, prompts: Sequence[Sequence[int]]) -> tuple[Output, Cache]:
        self.prefills.append([len(prompt) for prompt in prompts])
        cache = Texts(self, [list(prompt) for prompt in prompts])
        return Output(np.stack([self.row(row) for row in cache.rows])[:, None]), cache


class Texts:
    def __init__(self, model: Windowed, rows: list[list[int]]) -> None:
        self.model, self.rows = model, rows

    @property
    def lengths(self) -> np.ndarray:
        return np.array([len(row) for row in self.rows])

    def append(self, token_ids: np.ndarray) -> Output:
        self.model.steps.append(token_ids.shape)
        columns = []
        for column in np.asarray(token_ids).T:
            for row, token in zip(self.rows, column.tolist(), strict=True):
                row.append(token)
            columns.append(np.stack([self.model.row(row) for row in self.rows]))
        return Output(np.stack(columns, axis=1))

    def read(self, texts: Sequence[Sequence[int]]) -> Output:
        counts = [len(text) for text in texts]
        self.model.reads.append(counts)
        self.model.steps.append((len(texts), max(counts)))
        for row, text in zip(self.rows, texts, strict=True):
            row.extend(text)
        return Output(np.stack([self.model.row(row) for row in self.rows])[:, None])

    def drop(self, counts: np.ndarray) -> None:
        for row, count in zip(self.rows, counts, strict=True):
            del row[len(row) - count :]

    def select(self, rows: Sequence[int] | np.ndarray) -> "Texts":
        self.model.selected.append(list(rows))
        return Texts(self.model, [list(self.rows[row]) for row in rows])

    def copy(self, rows: Sequence[int]) -> "Texts":
        return Texts(self.model, [list(self.rows[row]) for row in rows])

    def join(self, *others: "Texts") -> "Texts":
        return Texts(self.model, [row for texts in (self, *others) for row in texts.rows])
