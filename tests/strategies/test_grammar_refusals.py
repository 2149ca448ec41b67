"""What a grammar refuses, and that it tells why."""

import re
import sys

import numpy as np
import pytest

import logit_sampling as ls
from tests.strategies.grammars import END, VOCABULARY, kept

llguidance = pytest.importorskip("llguidance")


@pytest.mark.parametrize(("id", "name"), [(1, "'b'"), (END, "'<end>'"), (99, "'unknown'")])
def test_a_token_that_the_grammar_refuses(tiny, id, name):
    grammar = ls.Grammar.regex("(ab)+", tiny)
    with pytest.raises(ValueError, match=rf"refuses token {id} \(.*{name[1:-1]}.*\) in row 0"):
        grammar(np.zeros(VOCABULARY), history=[id])


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        (
            [0, 0],
            "refuses token 0 .* row 0: Parser Error: token .* doesn't satisfy the grammar; byte",
        ),
        ([0, 99], "refuses token 99 .* row 0: the tokenizer has 18 tokens"),
        ([0, 1, END], None),
        ([0, 1, 0, 1, END, 1], "refuses token 1 .* row 0: the text has ended"),
    ],
)
def test_a_refusal_tells_why(tiny, ids, message):
    grammar = ls.Grammar.regex("(ab){1,2}", tiny)
    if message is None:
        assert kept(grammar, ids) == [END]
        return
    with pytest.raises(ValueError, match=message) as caught:
        kept(grammar, ids)
    assert "\n" not in str(caught.value)


def test_a_text_that_no_token_can_go_on(tiny):
    grammar = ls.Grammar.regex("axyz", tiny)
    message = (
        "no token can continue row 0 in this grammar behind 'ax': the tokenizer has no token for "
        "what must follow (NoExtensionBias)"
    )
    with pytest.raises(ValueError, match=re.escape(message)):
        kept(grammar, [0, 14])
    message = "row 0 in this grammar at its beginning: those that could are not among the 12 that"
    with pytest.raises(ValueError, match=message):
        kept(ls.Grammar.regex("xy", tiny), [], vocabulary=12)


@pytest.mark.parametrize(
    ("limits", "ids", "message"),
    [
        ({"max_grammar_size": 2}, [], "no valid grammar: .*grammar size .* too big"),
        ({"initial_lexer_fuel": 10}, [], "no valid grammar: .*initial lexer configuration .* too"),
        ({"step_max_items": 2}, [], "at its beginning: parser error: Too many items .limit 2"),
        ({"max_lexer_states": 2}, [], "at its beginning: lexer error: too many states"),
        ({"max_items_in_row": 1}, [0], "refuses token 0 .*: Parser Error: Current row has 7 items"),
        ({"step_lexer_fuel": 10}, [0, 0, 0], "behind 'aaa': lexer error: too many expressions"),
    ],
)
def test_a_limit_of_llguidance_is_told(tiny, monkeypatch, limits, ids, message):
    made = llguidance.LLMatcher

    class Limited:
        grammar_from_lark = made.grammar_from_lark

        def __new__(cls, *args, **options):
            return made(*args, limits=llguidance.LLParserLimits(**limits), **options)

    monkeypatch.setattr(llguidance, "LLMatcher", Limited)
    with pytest.raises(ValueError, match=f"(?s){message}"):
        kept(
            ls.Grammar.lark('start: (a|b)+\na: /a[ab]{2,50}1/\nb: "b" (a|b)+ "x" | "ab"', tiny), ids
        )


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda t: ls.Grammar.regex("(", t), "no valid grammar.*unclosed group"),
        (lambda t: ls.Grammar.lark("start: x", t), "no valid grammar: unknown name: .x.$"),
        (lambda t: ls.Grammar.lark("start: b\nb: x", t), "at 2.4.: unknown name.* 2 . b: x\n"),
        (lambda t: ls.Grammar.json_schema({"type": "nope"}, t), "schema: Invalid type: nope$"),
        (lambda t: ls.Grammar.json_schema("{", t), "the schema is no JSON"),
        (lambda t: ls.Grammar.regex("a", "gpt2"), "takes a KerasHub tokenizer.*got 'gpt2'"),
        (lambda t: ls.Grammar.regex("a", t, end_id=18), r"end token 18 is not in \[0, 18\)"),
        (lambda t: ls.Grammar.regex("a", t, end_id=-1), r"end token -1 is not in"),
        (lambda t: ls.Grammar.regex("a", t).get_config(), "JSON cannot hold its tokenizer"),
    ],
)
def test_bad_input(tiny, make, message):
    with pytest.raises(ValueError, match=f"(?s){message}"):
        make(tiny)


def test_without_the_package_the_extra_is_named(tiny, monkeypatch):
    monkeypatch.setitem(sys.modules, "llguidance", None)
    with pytest.raises(ValueError, match=r"pip install 'logit-sampling\[grammar\]'"):
        ls.Grammar.regex("a", tiny)
