"""A grammar in one line, and the name of a text that it does not take as whole."""

import json
import re

import numpy as np
import pytest

import logit_sampling as ls
from logit_sampling.generation.arguments import grammar_of
from tests.strategies.grammars import END, TOKENS

pytest.importorskip("llguidance")

SCHEMA = {
    "type": "object",
    "properties": {"name": {"enum": ["Romeo", "Juliet"]}, "old": {"type": "boolean"}},
    "required": ["name", "old"],
    "additionalProperties": False,
}


@pytest.fixture(scope="module")
def model():
    return ls.load_model("shakespeare")


@pytest.mark.parametrize("schema", [SCHEMA, json.dumps(SCHEMA)])
def test_all_texts_follow_a_schema_and_are_compact(model, schema):
    result = ls.generate(model, ["ROMEO:"] * 6, json_schema=schema, seed=1)
    assert set(result.finish_reasons) == {"end_token"}
    for text in result.texts:
        said = json.loads(text)
        assert said["name"] in ("Romeo", "Juliet") and said["old"] in (True, False)
        assert text == json.dumps(said, separators=(",", ":"))


def test_a_grammar_goes_before_the_chain(model):
    # What the model likes best is no number: a cut after the grammar leaves nothing else.
    sampler = ls.Sampler(ls.TopK(1))
    result = ls.generate(model, "ROMEO:", regex="[0-9]{3}", sampler=sampler, seed=0)
    assert re.fullmatch("[0-9]{3}", result.texts[0])
    other = ls.Sampler(ls.Grammar.regex("[0-9]{3}", model), ls.TopK(1))
    assert ls.generate(model, "ROMEO:", sampler=other, seed=0).token_ids == result.token_ids


@pytest.mark.parametrize("search", [None, ls.BeamSearch(2)])
def test_what_is_not_whole_at_the_limit_is_unfinished(model, search):
    cut = ls.generate(model, "ROMEO:", json_schema=SCHEMA, max_new_tokens=4, search=search)
    assert cut.finish_reasons == ["unfinished"]
    whole = ls.generate(model, "ROMEO:", regex="[a-z]+", max_new_tokens=1, search=search)
    assert whole.finish_reasons in (["length"], ["end_token"])
    assert ls.generate(model, "ROMEO:", max_new_tokens=4, search=search).finish_reasons == [
        "length"
    ]


def test_events_and_engines_tell_it_too(model):
    given = {"json_schema": SCHEMA, "max_new_tokens": 4, "seed": 3}
    assert [*ls.stream(model, "ROMEO:", **given)][-1].finish_reason == "unfinished"
    with ls.Engine(model) as engine:
        result = ls.generate(engine, ["ROMEO:", "JULIET:"], **given)
    assert result.finish_reasons == ["unfinished"] * 2
    assert result.texts == ls.generate(model, ["ROMEO:", "JULIET:"], **given).texts


def test_accepts():
    vocabulary = ls.Grammar.regex("ab|1+", _tiny())
    a, b, ab, one = (TOKENS.index(token) for token in ("a", "b", "ab", "1"))
    for ids in ([a, b], [ab], [one], [one, one], [ab, END]):
        assert vocabulary.accepts(ids)
    for ids in ([], [a], [b], [one, a], [ab, ab]):
        assert not vocabulary.accepts(ids)


def _tiny():
    from logit_sampling.strategies._vocabularies import Vocabulary

    return Vocabulary(tuple(token.encode() for token in TOKENS), (END,), (END,))


def test_the_tokens_of_a_model_are_read_once(model):
    first, second = (grammar_of(None, "a|b", model.tokenizer, model.end_ids) for _ in range(2))
    assert first._vocabulary is second._vocabulary
    other = grammar_of(None, "a|b", model.tokenizer, [5])
    assert other.end_ids == (5,)  # the ids that end a text are the model's


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"json_schema": {}, "regex": "a"}, "leave one of them out"),
        ({"json_schema": '{"type"'}, "the schema is no JSON"),
        ({"json_schema": {"type": "nonsense"}}, "no valid grammar"),
        ({"regex": "(a"}, "no valid grammar|regex"),
    ],
)
def test_refusals(model, given, says):
    with pytest.raises(ValueError, match=says):
        ls.generate(model, "ROMEO:", **given)


def test_a_model_without_a_tokenizer_is_told():
    with pytest.raises(ValueError, match="tokenizer"):
        ls.generate(lambda ids: np.zeros((len(ids), 5)), [[1]], regex="a")


def test_a_sampler_may_be_a_text(model):
    chain = ls.Sampler(ls.Temperature(0.5), ls.TopK(5))
    given = {"max_new_tokens": 5, "seed": 1}
    texts = ls.generate(model, ["ROMEO:"] * 2, sampler=chain, **given).texts
    line = "temperature=0.5 top_k=5"
    assert ls.generate(model, ["ROMEO:"] * 2, sampler=line, **given).texts == texts
    assert ls.generate(model, ["ROMEO:"] * 2, sampler=[line, chain], **given).texts == texts
    beams = ls.generate(model, "ROMEO:", search=ls.BeamSearch(3), **given)
    assert ls.generate(model, "ROMEO:", sampler="beam num_beams=3", **given).texts == beams.texts
    with pytest.raises(ValueError, match="give one"):
        ls.generate(model, "ROMEO:", sampler="beam", search=ls.BeamSearch(3))
    with pytest.raises(ValueError, match="top_kk"):
        ls.generate(model, "ROMEO:", sampler="top_kk=5")
    with pytest.raises(ValueError, match="is a search and no chain"):
        ls.generate(model, "ROMEO:", sampler=["beam"])
