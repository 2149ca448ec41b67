"""A model whose next token depends on the last one alone, with probabilities to reckon by hand."""

import numpy as np
import pytest

from logit_sampling.models.function import CallableModel

CHARACTERS = "ab \n$"
# Row: the last character; column: the next one. Its likeliest loop is a -> b -> space -> a.
PROBABILITIES = np.array(
    [
        [1 / 4, 1 / 2, 1 / 8, 1 / 16, 1 / 16],
        [1 / 4, 1 / 8, 1 / 2, 1 / 16, 1 / 16],
        [1 / 2, 1 / 8, 1 / 16, 1 / 16, 1 / 4],
        [1 / 16, 1 / 8, 1 / 4, 1 / 16, 1 / 2],
        [1 / 16, 1 / 8, 1 / 4, 1 / 2, 1 / 16],
    ]
)


class Characters:
    """A token is a character of CHARACTERS."""

    def encode(self, text: str) -> list[int]:
        return [CHARACTERS.index(c) for c in text]

    def decode(self, ids: list[int]) -> str:
        return "".join(CHARACTERS[i] for i in ids)


class ToyModel(CallableModel):
    """What load_model returns, as far as evaluation goes; a space ends a text."""

    name = "toy"
    context_length = 40
    vocab_size = 5
    end_ids = (2,)
    tokenizer = Characters()
    encode, decode = tokenizer.encode, tokenizer.decode

    def __init__(self) -> None:
        super().__init__(self.logits)

    def logits(self, token_ids: object) -> np.ndarray:
        return np.log(PROBABILITIES, dtype=np.float32)[np.asarray(token_ids)]


@pytest.fixture
def toy() -> ToyModel:
    return ToyModel()
