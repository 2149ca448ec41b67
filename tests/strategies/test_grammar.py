"""Grammars: what is valid, what ends, and that every text written under one parses."""

import json
import re

import numpy as np
import pytest
import tensorflow as tf

import logit_sampling as ls
from logit_sampling.strategies._vocabularies import Vocabulary
from tests.strategies.grammars import END, TOKENS, VOCABULARY, Tiny, kept, write

llguidance = pytest.importorskip("llguidance")


PATTERNS = {
    # a pattern, and what a prefix of a match of it matches
    "(ab)+": "(ab)*a?",
    "a?b{2,3}": "a?b{0,3}",
    "é|x1": "é|x?|x1",
    "[ab]*12|-1": "[ab]*1?|[ab]*12|-1?",
}


@pytest.mark.parametrize("pattern", PATTERNS)
def test_support_is_what_brute_force_finds(tiny, pattern):
    grammar, prefix = ls.Grammar.regex(pattern, tiny), PATTERNS[pattern]
    level, checked = [[]], 0
    for _ in range(4):
        following = []
        for ids in level:
            text = "".join(TOKENS[i] for i in ids)
            expected = [i for i in range(END) if re.fullmatch(prefix, text + TOKENS[i])]
            expected += [END] if re.fullmatch(pattern, text) else []
            assert kept(grammar, ids) == expected, text
            following += [[*ids, i] for i in expected if i != END]
            checked += 1
        level = following[:40]
    assert checked >= 3


@pytest.mark.parametrize("pattern", PATTERNS)
def test_every_text_matches(tiny, pattern):
    texts = [write(ls.Grammar.regex(pattern, tiny), seed) for seed in range(25)]
    assert all(re.fullmatch(pattern, text) for text in texts) and len(set(texts)) > 1


def test_every_text_follows_the_schema(tiny):
    schema = {
        "type": "object",
        "properties": {
            "a": {"type": "array", "items": {"type": "integer", "minimum": 0}, "maxItems": 2},
            "b": {"enum": ["a", "1"]},
        },
        "required": ["a"],
        "additionalProperties": False,
    }
    for given in (schema, json.dumps(schema)):
        grammar = ls.Grammar.json_schema(given, tiny)
        found = [json.loads(write(grammar, seed)) for seed in range(25)]
        for value in found:
            assert set(value) <= {"a", "b"} and len(value["a"]) <= 2
            assert all(isinstance(item, int) and item >= 0 for item in value["a"])
            assert value.get("b", "a") in ("a", "1")
        assert len({json.dumps(value) for value in found}) > 3


SPACED = {
    # a value of `whitespace`, what it stands in the schema for, and how often it can follow
    None: (None, 0),
    " ?": (None, 1),
    r"[ \t\r\n]*": (None, 20),
    " ": ({"whitespace_flexible": False}, 1),  # the argument goes before the schema
}


@pytest.mark.parametrize("whitespace", SPACED)
def test_white_space_does_not_run_on(whitespace):
    """As it does in llguidance's own default, and in small models to the limit of length."""
    tokens = [*TOKENS[:-1], " ", "{", "<end>"]
    space, brace, end = (tokens.index(token) for token in (" ", "{", "<end>"))
    vocabulary = Vocabulary(tuple(token.encode() for token in tokens), (end,), (end,))
    own, most = SPACED[whitespace]
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
    schema |= {} if own is None else {"x-guidance": own}
    grammar = ls.Grammar.json_schema(json.dumps(schema), vocabulary, whitespace=whitespace)
    for start in ([brace], [*(tokens.index(t) for t in ('{"', "a", '":'))]):
        spaces = 0
        while spaces < 20 and space in kept(grammar, start + [space] * spaces, len(tokens)):
            spaces += 1
        assert spaces == most
    ids = [brace, *[space] * most, *(tokens.index(t) for t in ('"', "a", '":', "1"))]
    assert tokens.index("}") in kept(grammar, ids, len(tokens))


def test_what_a_schema_says_of_white_space_stays(tiny):
    for own in ({"whitespace_flexible": False}, {"whitespace_pattern": "  "}):
        schema = {"type": "integer", "x-guidance": own}
        assert json.dumps(own) in ls.Grammar.json_schema(schema, tiny).grammar
    schema["x-guidance"] = {"item_separator": ", "}
    said = ls.Grammar.json_schema(schema, tiny).grammar
    assert '{"item_separator": ", ", "whitespace_pattern": ""}' in said
    assert schema["x-guidance"] == {"item_separator": ", "}  # it is not changed
    assert "[" in [TOKENS[i] for i in kept(ls.Grammar.json_schema(True, tiny), [])]


def test_a_context_free_grammar(tiny):
    grammar = ls.Grammar.lark('start: "a" | "[" start "]" | "[" start "," start "]"', tiny)
    texts = [write(grammar, seed) for seed in range(25)]
    deepest = 0
    for text in texts:
        assert text is not None
        deepest = max(deepest, text.count("["))
        while text != "a":
            shorter = text.replace("[a]", "a").replace("[a,a]", "a")
            assert shorter != text
            text = shorter
    assert deepest > 1


def test_values_of_valid_tokens_stay_and_ids_beyond_the_tokenizer_go(tiny):
    grammar = ls.Grammar.regex("(ab)+", tiny)
    x = np.random.default_rng(0).normal(size=(2, VOCABULARY + 9)).astype(np.float32)
    new = grammar(x, history=[[0], [2]])
    expected = np.full_like(x, -np.inf)
    expected[0, [1]] = x[0, [1]]
    expected[1, [0, 2, END]] = x[1, [0, 2, END]]
    np.testing.assert_array_equal(new, expected)
    assert new.dtype == np.float32
    assert kept(grammar, [2], vocabulary=3) == [0, 2]  # fewer logits than tokens


def test_a_prompt_is_no_part_of_the_text(tiny):
    grammar = ls.Grammar.regex("ab", tiny)
    x = np.zeros((1, VOCABULARY), np.float32)
    new = grammar(x, history=[[5, 5, 5, 0]], prompt_length=3)
    assert np.flatnonzero(new[0] > -np.inf).tolist() == [1]


def test_an_old_state_stays_valid(tiny):
    grammar = ls.Grammar.regex("(ab)+", tiny)
    x = np.zeros((2, VOCABULARY), np.float32)
    state = grammar.init(np.empty((2, 0), np.int32), VOCABULARY)
    first = grammar.apply(x, state)
    new = grammar.update(state, np.array([0, -1]))
    assert new[1] is state[1]
    with pytest.raises(ValueError, match="refuses"):
        grammar.update(state, np.array([0, 1]))
    np.testing.assert_array_equal(grammar.apply(x, state), first)
    np.testing.assert_array_equal(grammar.apply(x, new)[1], first[1])
    assert np.flatnonzero(grammar.apply(x, new)[0] > -np.inf).tolist() == [1]


def test_an_ended_row_goes_on_ending_while_others_write(tiny):
    grammar = ls.Grammar.regex("ab|aba", tiny)
    state = grammar.init(np.empty((2, 0), np.int32), VOCABULARY)
    x = np.zeros((2, VOCABULARY), np.float32)
    for ids, left in (
        ([2, 0], [[0, END], [1, 2][:1]]),
        ([END, 1], [[END], [0, END]]),
        ([END, 0], [[END], [END]]),
        ([END, END], [[END], [END]]),
        ([-1, END], [[END], [END]]),
    ):
        state = grammar.update(state, np.array(ids))
        new = grammar.apply(x, state)
        assert [np.flatnonzero(row > -np.inf).tolist() for row in new] == left
    with pytest.raises(ValueError, match=r"refuses token 0 \('a'\) in row 0"):
        grammar.update(state, np.array([0, -1]))


def test_steps_equal_calls_and_generate_stops(tiny):
    sampler = ls.Sampler(ls.Grammar.regex("[ab]{2,6}", tiny))
    model = lambda ids: np.zeros((len(ids), VOCABULARY))  # noqa: E731
    result = ls.generate(
        model, [[14, 14]] * 4, sampler=sampler, max_new_tokens=20, seed=3, stop_at_end=[END]
    )
    for row, ids in enumerate(result.token_ids):
        assert result.finish_reasons[row] == "end_token" and ids[-1] == END
        assert re.fullmatch("[ab]{2,6}", "".join(TOKENS[i] for i in ids[:-1]))
        for place, id in enumerate(ids):
            again = sampler(
                np.zeros(VOCABULARY),
                seed=result.seeds[row],
                step=2 + place,
                history=[14, 14, *ids[:place]],
                prompt_length=2,
            )
            assert again == id


def test_its_end_tokens_are_told(tiny):
    assert ls.Grammar.regex("ab", tiny).end_ids == (END,)
    several = llguidance.LLTokenizer(llguidance.TokenizerWrapper(Tiny()), eos_token=[END, 14])
    for grammar, ends in (
        (ls.Grammar.regex("ab", tiny, end_id=14), (14,)),
        (ls.Grammar.regex("ab", several), (END, 14)),
    ):
        assert grammar.end_tokens() == grammar.end_ids == ends
        assert kept(grammar, [2]) == sorted(ends)
    assert ls.MinNewTokens(2, end_ids=5).end_tokens() == ls.TopK(2).end_tokens() == ()


def test_a_graph_is_refused(tiny):
    sampler = ls.Sampler(ls.Grammar.regex("ab", tiny))
    with pytest.raises(ValueError, match="cannot be part of a graph: call the sampler outside"):
        tf.function(lambda x: sampler(x, seed=1))(tf.zeros((1, VOCABULARY)))
    ids = sampler(tf.zeros((1, VOCABULARY)), seed=1)  # eager tensors are fine
    assert isinstance(ids, tf.Tensor) and int(ids[0]) in (0, 2)


def test_rows_of_a_batch_that_end_at_different_steps_stay_valid(tiny):
    grammar = ls.Grammar.regex("(ab|b){1,6}1", tiny)
    sampler = ls.Sampler(grammar)

    def flat(ids):
        return np.zeros((len(ids), VOCABULARY), np.float32)

    options = {"sampler": sampler, "max_new_tokens": 20, "stop_at_end": [END]}
    batch = ls.generate(flat, [[0]] * 8, seed=3, **options)
    assert len({len(ids) for ids in batch.token_ids}) > 2
    for row, ids in enumerate(batch.token_ids):
        text = "".join(TOKENS[i] for i in ids[:-1])
        assert re.fullmatch("(ab|b){1,6}1", text) and ids[-1] == END
        assert ids == ls.generate(flat, [[0]], seed=batch.seeds[row], **options).token_ids[0]
