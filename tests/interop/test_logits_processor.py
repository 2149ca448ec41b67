"""A sampler as an entry of transformers' `generate`, called as its loops call it, with arrays."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import logit_sampling as ls

VOCABULARY, END, PAD = 8, 6, 7
LOGITS = np.random.default_rng(4).normal(0, 1, (1, VOCABULARY)).astype(np.float32)
PROMPT = [1, 2, 1]
DRAFTED = ls.Sampler(
    ls.RepetitionPenalty(1.5),
    ls.PresencePenalty(2.0),
    ls.NoRepeatNGram(2),
    ls.DRY(0.8),
    ls.MinNewTokens(4, END),
    ls.XTC(0.5, 0.05),
    ls.TopP(0.9),
)
"""A chain that counts prompts, generated tokens, their order and their positions."""


def processed(entry: Any, *texts: list[int], logits: np.ndarray = LOGITS) -> list[list[float]]:
    return entry(np.array(texts, np.int64), np.repeat(logits, len(texts), axis=0)).tolist()


def expected(sampler: ls.Sampler, text: list[int], prompt: list[int], seed: int = 0) -> list[float]:
    """What a chain makes of a text that comes token by token behind its prompt."""
    state = sampler.init([prompt], VOCABULARY, seed=seed)
    for token in text[len(prompt) :]:
        state = sampler.begin_step(LOGITS, state).accept(np.array([token], np.int32))
    return sampler.begin_step(LOGITS, state).logits()[0].tolist()


ROUNDS = [
    # A draft model: its tokens, the same texts for the large model, and on from what it accepted.
    [
        [],
        [3],
        [3, 4],
        [],
        [3],
        [3, 4],
        [3, 4, 5],
        [3, 5],
        [3, 5, 0],
        [3, 5],
        [3, 5, 0],
        [3, 5, 0, 2],
    ],
    # Prompt lookup: a text is tried before the model gets it, and may be given up at once.
    [[], [], [4], [4], [4, 1], [4, 1, 2], [4, 3], [4, 3, 1], [4, 3], [4, 3, 1], [4, 5], [4, 5, 5]],
    # None accepted, and all.
    [[], [0], [0, 0], [1], [1, 0], [1], [2], [2, 3], [2, 3, 4], [2, 3, 4, 5], [2, 3, 4, 5, 0]],
]


@pytest.mark.parametrize("texts", ROUNDS, ids=str)
@pytest.mark.parametrize("draw", [False, True])
def test_drafts_that_are_given_up_leave_no_trace(texts, draw):
    entry = DRAFTED.for_transformers(seed=5, draw=draw)
    for generated in texts:
        text = PROMPT + generated
        row = expected(DRAFTED, text, PROMPT, seed=5)
        if draw:
            drawn = DRAFTED(LOGITS, seed=5, step=len(text), history=text, prompt_length=3)[0]
            row = [0.0 if token == drawn else -np.inf for token in range(VOCABULARY)]
        assert processed(entry, text) == [row]
    masked = np.isneginf(expected(DRAFTED, [*PROMPT, 3, 4], PROMPT)).sum()
    assert 0 < masked < VOCABULARY


def test_a_text_that_goes_on_by_a_token_is_not_read_anew():
    read = []

    @dataclass(frozen=True)
    class Reader(ls.Transform):
        def init(self, history: Any, vocab_size: int) -> Any:
            read.append(history.tolist())
            return ()

        def apply(self, logits: Any, state: Any) -> Any:
            return logits

    entry = ls.Sampler(Reader()).for_transformers()
    for length in range(3, 9):
        processed(entry, [1, 2, 1, 5, 4, 3, 2, 1][:length])
    assert read == [[PROMPT]]


def test_beams_change_places():
    entry = DRAFTED.for_transformers(seed=[5, 5])
    for texts in ([[], []], [[3], [4]], [[4, 0], [3, 1]], [[4, 0, 5], [4, 0, 3]]):
        rows = [PROMPT + text for text in texts]
        assert processed(entry, *rows) == [expected(DRAFTED, row, PROMPT, 5) for row in rows]


def test_groups_of_beams_take_turns():
    entry = DRAFTED.for_transformers(seed=5)
    for text in ([], [], [3], [4], [3, 0], [4, 1], [3, 0, 2], [4, 1, 5]):
        assert processed(entry, PROMPT + text) == [expected(DRAFTED, PROMPT + text, PROMPT, 5)]


def test_the_texts_of_a_draft_model_with_a_tokenizer_of_its_own():
    entry = DRAFTED.for_transformers(seed=5)
    other = np.zeros((1, VOCABULARY + 1), np.float32)
    for text in ([], [3], [3, 4], [5], [5, 0], [5, 0, 2]):
        assert processed(entry, PROMPT + text) == [expected(DRAFTED, PROMPT + text, PROMPT, 5)]
        for length in (1, 2):  # several tokens more at a time, and their vocabulary is another
            processed(entry, [0] * (1 + 2 * len(text)) + [2] * length, logits=other)


@pytest.mark.parametrize("chain", [ls.Mirostat(tau=1.0), ls.AdaptiveP(0.3)], ids=str)
def test_what_learns_from_each_draw_takes_no_token_back(chain):
    sampler = ls.Sampler(chain)
    entry = sampler.for_transformers(seed=5)
    for text in ([], [3], [], [0], [0, 4]):  # the draft is given up before anything is accepted
        assert processed(entry, PROMPT + text) == [expected(sampler, PROMPT + text, PROMPT)]
    for text in ([0], [0, 4], [1]):
        with pytest.raises(ValueError, match=f"generate took tokens back.*{type(chain).__name__}"):
            processed(entry, PROMPT + text)


def test_an_entry_that_is_used_again():
    entry = DRAFTED.for_transformers(seed=5)
    other = [4, 4, 5]
    for prompt in (PROMPT, PROMPT, other, [2], PROMPT):
        for text in ([], [3], [3, 4]):
            row = expected(DRAFTED, prompt + text, prompt, 5)
            assert processed(entry, prompt + text) == [row]
    both = [expected(DRAFTED, PROMPT, PROMPT, 5), expected(DRAFTED, other, other, 5)]
    assert processed(DRAFTED.for_transformers(seed=[5, 5]), PROMPT, other) == both


def test_what_may_be_prompt_or_generated_raises():
    entry = DRAFTED.for_transformers(seed=5)
    for text in ([], [3], [3, 4]):
        processed(entry, PROMPT + text)
    for text in (
        [3, 4, 5, 0],
        [0, 1],
    ):  # the next prompt of a dialogue, or tokens that were skipped
        with pytest.raises(ValueError, match=f"texts of {3 + len(text)} tokens begin as those of"):
            processed(entry, PROMPT + text)
    row = expected(DRAFTED, [*PROMPT, 3, 4, 5], PROMPT, 5)
    assert processed(entry, [*PROMPT, 3, 4, 5]) == [row]
    processed(entry, PROMPT)
    with pytest.raises(ValueError, match="texts of 5 tokens begin"):  # seen before it began anew
        processed(entry, [*PROMPT, 3, 4])


COUNTED = ls.Sampler(ls.FrequencyPenalty(1.0, prompt=True))


def counts(entry: Any, *texts: list[int]) -> list[list[int]]:
    """How often each token counts as history."""
    return np.round(-np.array(processed(entry, *texts, logits=np.zeros_like(LOGITS)))).tolist()


@pytest.mark.parametrize("pad", [{}, {"pad_token_id": 0}])
def test_padding_that_is_the_start_token(pad):
    # The tokenizer pads with 0 and begins each prompt with 0.
    texts, mask = [[0, 0, 0, 5], [0, 3, 0, 4]], [[0, 0, 1, 1], [1, 1, 1, 1]]
    entry = COUNTED.for_transformers(attention_mask=np.array(mask), **pad)
    first = [[1, 0, 0, 0, 0, 1, 0, 0], [2, 0, 0, 1, 1, 0, 0, 0]]
    assert counts(entry, *texts) == first
    longer = [[*text, 0] for text in texts]
    assert counts(entry, *longer) == [[row[0] + 1, *row[1:]] for row in first]
    other = [[*text, 7] for text in texts]
    assert counts(entry, *other) == [[*row[:7], 1] for row in first]
    assert counts(entry, *texts) == first
    # Several texts of each prompt, or beams.
    twice = [texts[0], texts[0], texts[1], texts[1]]
    entry = COUNTED.for_transformers(attention_mask=mask, **pad)
    assert counts(entry, *twice) == [first[0], first[0], first[1], first[1]]


def test_the_draw_after_a_start_token_that_is_padding_elsewhere():
    mask = [[0, 0, 1, 1], [1, 1, 1, 1]]
    entry = ls.Sampler().for_transformers(attention_mask=mask, draw=True, seed=[5, 9])
    drawn = np.argmax(processed(entry, [0, 0, 0, 5], [0, 3, 0, 4]), axis=1)
    drawn_by_hand = [int(ls.Sampler()(LOGITS[0], seed=s, step=n)) for s, n in ((5, 2), (9, 4))]
    assert drawn.tolist() == drawn_by_hand
    assert drawn_by_hand[0] != int(
        ls.Sampler()(LOGITS[0], seed=5, step=1)
    )  # with its start token eaten


def test_padding_by_its_token_alone():
    entry = COUNTED.for_transformers(pad_token_id=PAD)
    assert counts(entry, [PAD, PAD, 5, PAD], [3, PAD, 5, 5]) == [
        [0, 0, 0, 0, 0, 1, 0, 1],
        [0, 0, 0, 1, 0, 2, 0, 1],
    ]
    for prompts in ([[PAD, 5, 3]], [[PAD, PAD, 3], [PAD, 1, 2]], [[PAD]]):
        with pytest.raises(ValueError, match="every prompt begins with the pad token 7, which may"):
            counts(COUNTED.for_transformers(pad_token_id=PAD), *prompts)
    assert counts(COUNTED.for_transformers(), [PAD, 5, PAD]) == [[0, 0, 0, 0, 0, 1, 0, 2]]
    assert counts(COUNTED.for_transformers(pad_token_id=PAD), []) == [[0] * VOCABULARY]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"attention_mask": [1, 1]}, r"attention_mask must be \[batch, length\], 1 where"),
        ({"attention_mask": [[1, 2]]}, r"attention_mask must be .*got \[\[1, 2\]\]"),
        ({"attention_mask": np.ones((0, 2))}, "attention_mask must be"),
        ({"pad_token_id": "<pad>"}, "pad_token_id must be a token id or None; got '<pad>'"),
    ],
    ids=str,
)
def test_refusals(settings, message):
    with pytest.raises(ValueError, match=message):
        ls.Sampler().for_transformers(**settings)


@pytest.mark.parametrize(
    ("mask", "texts"),
    [
        ([[1, 1, 1]], [[1, 2]]),
        ([[1, 1], [1, 1]], [[1, 2]]),
        ([[1, 1], [1, 1]], [[1, 2]] * 3),
        ([[1, 1]], [[1, 2], [1, 3]]),
    ],
    ids=str,
)
def test_a_mask_of_other_prompts(mask, texts):
    entry = ls.Sampler().for_transformers(attention_mask=mask)
    with pytest.raises(ValueError, match=r"attention_mask \[.* does not belong to prompts"):
        processed(entry, *texts)


def test_a_mask_belongs_to_the_prompts_of_the_first_call():
    entry = COUNTED.for_transformers(attention_mask=[[0, 1]])
    assert counts(entry, [1, 2]) == counts(entry, [1, 2]) == [[0, 0, 1, 0, 0, 0, 0, 0]]
    with pytest.raises(ValueError, match=r"attention_mask \[1, 2\] does not belong to prompts"):
        counts(entry, [3, 4])
    entry = COUNTED.for_transformers(attention_mask=[[0, 1]], pad_token_id=PAD)
    with pytest.raises(ValueError, match=r"leaves out \[1\], which are not all the pad token 7"):
        counts(entry, [1, 2])


@dataclass(frozen=True)
class NoPadding(ls.Transform):
    """Accepts every token but what fills up a row."""

    def apply(self, logits: Any, state: Any) -> Any:
        return logits

    def update(self, state: Any, ids: Any) -> Any:
        if PAD in ids:
            raise ValueError("padding")
        return state


def test_what_fills_up_a_row_is_not_read_anew_either():
    entry = ls.Sampler(NoPadding()).for_transformers(eos_token_id=END)
    # In the last call the second row takes a token back.
    texts = [[1], [2]], [[1, END], [2, 4]], [[1, END, PAD], [2, 4, 5]], [[1, END, PAD], [2, 4, 3]]
    for rows in texts:
        assert processed(entry, *rows) == np.repeat(LOGITS, 2, axis=0).tolist()
