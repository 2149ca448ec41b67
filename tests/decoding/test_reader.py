"""Reading texts that grow and shrink: what follows each is what a reading from scratch says."""

from typing import Any

import numpy as np
import pytest

from logit_sampling.decoding.reader import Reader
from logit_sampling.models.as_model import as_model

A, B = [7, 3, 1, 4, 1, 5], [2, 6]


@pytest.mark.parametrize("name", ["tiny_llama", "function"])
def test_texts_that_grow_and_shrink(name: str, request: pytest.FixtureRequest) -> None:
    if name == "function":
        table = np.random.default_rng(0).normal(size=(50, 50)).astype(np.float32)
        # Logits that depend on the whole text, hidden states that show the last token.
        model: Any = as_model(lambda ids: (np.cumsum(table[ids], axis=1), table[ids]))
    else:
        model = as_model(request.getfixturevalue(name))

    def check(output: Any, texts: list[list[int]], columns: int) -> None:
        assert output.logits.shape[1] >= columns
        for row, text in enumerate(texts):
            for back in range(min(columns, len(text))):
                fresh, _ = model.prefill([text[: len(text) - back]])
                np.testing.assert_allclose(
                    output.logits[row, -1 - back], fresh.logits[0, 0], atol=1e-4
                )
                np.testing.assert_allclose(
                    output.hidden[row, -1 - back], fresh.hidden[0, 0], atol=1e-4
                )

    reader = Reader(model)
    check(reader.read(dict(enumerate([A, B, A]))), [A, B, A], 1)
    for texts, columns in [
        ([[*A, 9], [*B, 8, 8], [*A, 10]], 1),  # two columns: the last of A is read again
        ([[*A, 9, 11, 12, 13, 14], [*B, 8, 8], [*A, 10, 1]], 1),  # more than B has
        ([[*A, 9, 11, 12, 13, 14, 15], [*B, 8, 8, 1, 2, 3, 4, 5], [*A, 10, 1]], 1),
        ([[*A, 9, 20], [*B, 21, 22], A[:2]], 9),  # other tokens, and a text of two
        ([[*A, 9, 20, 30], [*B, 21, 22, 30, 31], [*A[:2], 30]], 1),
    ]:
        check(reader.read(dict(enumerate(texts)), columns), texts, columns)
    origins = {7: 1, 8: 1, 9: 0}
    texts = [[*B, 21, 22, 30, 31, 40], [*B, 21, 22, 30, 31, 41], [*A, 9, 20, 30, 42]]
    check(reader.read(dict(zip(origins, texts, strict=True)), origins=origins), texts, 1)
    # One leaves, another one comes, and the others change places.
    texts = [[*texts[2], 2, 3, 4], [5, 6, 7], [*texts[0], 1]]
    check(reader.read({9: texts[0], 4: texts[1], 7: texts[2]}), texts, 1)
    texts = [[*texts[1], 2], [*texts[2], 3]]
    check(reader.read({4: texts[0], 7: texts[1]}, 2), texts, 2)
    # One that left is read from its beginning, and all others leave.
    check(reader.read({8: [*B, 21, 22, 30, 31, 41, 5]}), [[*B, 21, 22, 30, 31, 41, 5]], 1)


def test_a_new_text_is_read_in_parts(tiny_llama: Any) -> None:
    model = as_model(tiny_llama)
    reader, long = Reader(model), [*A, *B, *A, 8]
    reader.read({0: B})
    lefts = []
    for _ in range(3):
        lefts.append(reader.unread(1, long))
        reader.read_on(1, long, 5)
    assert (lefts, reader.unread(1, long)) == ([15, 10, 5], 1)
    output = reader.read({0: [*B, 3], 1: long})
    expected, _ = model.prefill([[*B, 3], long])
    np.testing.assert_allclose(output.logits[:, -1], expected.logits[:, -1], atol=1e-4)
    reader.read_on(2, long, 5)
    reader.forget(2)
    assert reader.unread(2, long) == 15
