"""What a second model is given to read: text where tokenizers differ, and what fits."""

import math
import warnings
from typing import Any

import numpy as np
import pytest

import logit_sampling as ls
from logit_sampling.evaluation import Prompt
from logit_sampling.evaluation.reading import Reader

from .conftest import CHARACTERS, PROBABILITIES


class Reversed:
    """The same characters by other ids, behind a start token if there is one."""

    def __init__(self, start: int | None = None) -> None:
        self.start = [] if start is None else [start]

    def encode(self, text: str) -> list[int]:
        return self.start + [4 - CHARACTERS.index(c) for c in text]

    def decode(self, ids: list[int]) -> str:
        return "".join(CHARACTERS[4 - i] for i in ids if i < 5)


def judging(**given: Any) -> Any:
    """What the toy says, by the reversed ids."""
    table = np.log(PROBABILITIES, dtype=np.float32)[::-1, ::-1]
    options: dict[str, Any] = {"name": "other", "tokenizer": Reversed(), **given}
    return ls.as_model(lambda ids: table[ids], **options)


def test_a_prompt_of_token_ids_is_read_as_the_text_that_it_is(toy: Any) -> None:
    """Ids 0 1 are "ab" for the writer; for the judge that text is 4 3."""
    own = ls.compare(toy, [[0, 1], [3]], ["sample"], [0], 8, judge=judging()).results[0]
    for text in own.texts:
        assert text.judge == pytest.approx(text.log_prob, abs=1e-5)


def test_ids_are_read_as_they_are_where_no_model_has_a_tokenizer(toy: Any) -> None:
    bare = ls.as_model(toy.logits, name="bare")
    own = ls.compare(toy.logits, [[0, 1]], ["sample"], [0], 8, judge=bare).results[0]
    assert own.texts[0].judge == pytest.approx(own.texts[0].log_prob, abs=1e-5)


def test_a_model_without_a_tokenizer_and_one_with_it_do_not_read_each_other(toy: Any) -> None:
    bare = ls.as_model(toy.logits, name="bare")
    runs: list[Any] = []
    for writer, judge in ((bare, toy), (toy, bare)):
        with pytest.raises(ValueError, match=r"cannot read what .* 'bare' has no tokenizer"):
            ls.compare(
                writer, [[0]], ["greedy"], [0], 4, judge=judge, on_run=lambda *run: runs.append(run)
            )
    assert not runs  # nothing was written in vain


@pytest.mark.parametrize("length", [6, 2])
def test_what_a_context_has_no_room_for_is_told_once(toy: Any, length: int) -> None:
    """Three prompts of two tokens, and eight written: four of them are read, or none."""
    with pytest.warns(UserWarning, match=rf"'other' read 3 texts in part: .* {length}; ") as told:
        own = ls.compare(
            toy, ["ab"] * 3, ["greedy"], [0], 8, judge=judging(context_length=length)
        ).results[0]
    assert len(told) == 1
    for text in own.texts:
        read = text.log_probs[: length - 2]
        expected = np.mean(read) if read else math.nan
        assert text.judge == pytest.approx(expected, abs=1e-5, nan_ok=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        ls.compare(toy, ["ab"], ["greedy"], [0], 8, judge=judging(context_length=10))


def test_a_text_behind_token_ids_has_no_start_token() -> None:
    """As one has that begins a prompt."""
    model = ls.as_model(lambda ids: np.zeros((*ids.shape, 6), np.float32), name="own")
    reader = Reader("own", model, Reversed(start=5))
    assert reader.human(Prompt("x", (4, 3), "ba"), 9).token_ids == (3, 4)
    assert reader.parts("ab", "ba") == ([5, 4, 3], [3, 4])


def test_a_model_that_embeds_what_it_wrote_keeps_the_ids_of_the_prompt() -> None:
    """Hidden states tell which ids were read; token 5 is none that text has."""

    def tells(ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return np.zeros((*ids.shape, 6), np.float32), np.cumsum(10.0 ** ids[..., None], 1)

    reader, other = (
        Reader(name, ls.as_model(tells, name=name), Reversed()) for name in ("own", "other")
    )
    text = ls.evaluation.Text("own", "s", "0", (5, 4), None, None, "a", (4,), (-1.0,))
    model = Reader("f", ls.as_model(lambda ids: tells(ids % 4), name="f"), Reversed())
    assert model.embedding(text, model)[0] == 10 + 1 + 1
    assert reader.embedding(text, other)[0] == 2e4
