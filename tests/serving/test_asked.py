"""Requests as JSON: names, kinds, limits, and that what they say comes out as it went in."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

import logit_sampling as ls
from logit_sampling.serving.asked import Limits, asked
from logit_sampling.serving.refused import RefusedError
from logit_sampling.serving.running import Running
from logit_sampling.settings.written import parse, written
from tests.serving.test_job import Letters, flat

MODEL = ls.as_model(flat, name="letters", tokenizer=Letters(), context_length=64, vocab_size=26)


def settings(body, **more):
    return asked({"prompt": "ab", "seed": 1} | body, MODEL, ordinary=16, **more).settings


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        ({}, {"max_new_tokens": 16}),
        ({"max_completion_tokens": 3, "user": "me", "store": False}, {"max_new_tokens": 3}),
        ({"n_predict": 3, "min_tokens": 2}, {"max_new_tokens": 3, "min_new_tokens": 2}),
        ({"temperature": 1.0, "top_p": None}, {"sampler": "temperature=1.0"}),
        ({"order": "hf", "top_k": 5}, {"sampler": "order=hf top_k=5"}),
        ({"stop": ["a"], "ignore_eos": True}, {"stop": ["a"], "stop_at_end": False}),
        ({"response_format": {"type": "text"}, "ignore_eos": False}, {}),
        ({"response_format": {"type": "json_object"}}, {"json_schema": {"type": "object"}}),
        ({"structured_outputs": {"regex": "a"}}, {"regex": "a"}),
        ({"guided_json": {"type": "null"}}, {"json_schema": {"type": "null"}}),
        ({"stop_token_ids": [5], "top_k": 3}, {"stop_token_ids": [5], "sampler": "top_k=3"}),
        ({"include_stop_str_in_output": False, "cache_prompt": True}, {}),
        ({"tools": [], "tool_choice": "none", "n": 2, "num_beams": None}, {"n": 2}),
    ],
)
def test_what_names_become(body, expected):
    assert settings(body) == {"seed": 1, "max_new_tokens": 16} | expected


@pytest.mark.parametrize(
    ("body", "param", "says"),
    [
        ({"temprature": None}, "temprature", "did you mean `temperature`"),
        ({"max_token": 3}, "max_token", r"did you mean `max_tokens`\?$"),
        ({"bogus": 3}, "bogus", "unknown parameter `bogus`: leave it out$"),
        ({"n_probs": 3}, "n_probs", "send `logprobs`"),
        ({"num_beams": 4}, "num_beams", "beam num_beams=4"),
        ({"guided_choice": ["a"]}, "guided_choice", r"`regex`, such as .\(yes\|no\)"),
        ({"skip_special_tokens": True}, "skip_special_tokens", "not known here: leave it out"),
        ({"max_tokens": 3, "max_new_tokens": 3}, "max_new_tokens", "say the same"),
        ({"max_tokens": 2.0}, "max_new_tokens", "integer of at least 1"),
        ({"max_tokens": True}, "max_new_tokens", "integer of at least 1"),
        ({"n": 0}, "n", "integer of at least 1, got 0"),
        ({"sampler": "greedy", "top_k": 5}, "sampler", "write what `top_k` says into it"),
        ({"sampler": 5}, "sampler", "cannot be a number, 5"),
        ({"stop": {"a": 1}}, "stop", "cannot be an object"),
        ({"draft": "gpt"}, "draft", "can be"),
        ({"store": True}, "store", "is not known here"),
        ({"best_of": 3}, "best_of", "is not known here"),
        ({"echo": "yes"}, "echo", 'is true or false, got a text, "yes"'),
        ({"stream_options": 5}, "stream_options", "is an object"),
        ({"logprobs": -1}, "logprobs", r"in \[0, 20\], got -1"),
        ({"logprobs": True}, "logprobs", r"in \[0, 20\], got True"),
        ({"stream": True, "echo": True, "logprobs": 1}, "echo", "cannot be streamed"),
        ({"top_logprobs": 2}, "top_logprobs", "say `logprobs`"),
        ({"top_log_probs": 2, "logprobs": 3}, "logprobs", "say the same"),
        ({"n": 10**9}, "n", "for 1000000000 texts"),
        ({"sampler": "top_k=" + "[" * 100_000}, None, "recursion"),
        ({"logit_bias": {"1": 10**400}}, None, "too large"),
        ({"deadline": 10**400}, None, "too large"),
        *(
            ({"stream": True, "sampler": beam}, "stream", "only at its end")
            for beam in ("beam", " beam", "num_beams=2 beam", "mine: beam")
        ),
        ({"response_format": {"type": "xml"}}, "response_format", "has a type"),
        ({"response_format": {"type": "json_schema"}}, "response_format", "needs a `json_schema`"),
        (
            {"structured_outputs": {"choice": ["a"]}},
            "structured_outputs",
            "got `choice`; write a choice as `regex`",
        ),
        ({"prompt": []}, "prompt", "a text, token ids, or a list of these"),
        ({"prompt": [[1], 5]}, "prompt", "a prompt is a text or token ids"),
        ({"prompt": ""}, "prompt", "prompt 0"),
        ({"prompt": [99]}, "prompt", r"in \[0, 26\)"),
        ({"prompt": None}, "prompt", "`prompt` is missing"),
    ],
)
def test_what_is_refused(body, param, says):
    with pytest.raises(RefusedError, match=says) as raised:
        asked({"prompt": "ab", "seed": 1} | body, MODEL, ordinary=16).call(MODEL)
    assert (raised.value.param, raised.value.status) == (param, 400)


@pytest.mark.parametrize(
    ("messages", "says"),
    [
        ("hi", "is a list"),
        ([5], "a `role` and a `content`"),
        ([{"role": "user", "content": [{"type": "image_url"}]}], "content that is no text"),
        ([{"role": "user", "content": 5}], "has no text"),
        ([], "messages must be a list"),
    ],
)
def test_messages_that_are_refused(messages, says):
    with pytest.raises(RefusedError, match=says) as raised:
        asked({"messages": messages}, MODEL, chat=True, template=lambda m: "ab")
    assert raised.value.param == "messages"


@pytest.mark.parametrize("more", [{"echo": True}, {"top_log_probs": 2}])
def test_what_messages_do_not_have_is_refused(more):
    body = {"messages": [{"role": "user", "content": "a"}]} | more
    with pytest.raises(RefusedError, match="does not go together with messages") as raised:
        asked(body, MODEL, chat=True, template=lambda m: "ab")
    assert raised.value.param in more


def test_parts_of_a_message_are_joined():
    parts = [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]
    seen = []
    template = lambda messages, **more: seen.append((messages, more)) or "ab"  # noqa: E731
    body = {"messages": [{"role": "user", "content": parts}]}
    body |= {"chat_template_kwargs": {"thinking": False}}
    made = asked(body, MODEL, chat=True, template=template)
    assert seen == [([{"role": "user", "content": "ab"}], {"thinking": False})]
    assert made.settings["max_new_tokens"] == 62  # all that the context has room for


def test_what_a_template_raises_is_refused():
    messages = [{"role": "user", "content": "a", "tool_calls": None}]
    for template, variables in (
        ("{{ messages[0].content }}", {"messages": []}),
        ("{{ messages[0].content }}", {"self": 1}),
        ("{{ 1 / messages | length - 1 }}{{ 1 // zero }}", {"zero": 0}),
        (lambda messages: "ab", {"thinking": True}),
    ):
        body = {"messages": messages, "chat_template_kwargs": variables}
        with pytest.raises(RefusedError, match="the chat template refuses"):
            asked(body, MODEL, chat=True, template=template)
    # What is null is not there: a client sends the fields of an answer back as they were.
    template = "{% for m in messages %}{{ m.content }}{{ 'b' if 'tool_calls' in m }}{% endfor %}"
    assert asked({"messages": messages}, MODEL, chat=True, template=template).prompts == [[0]]


def test_too_many_texts_are_refused_before_they_are_read():
    read = []
    tokenizer = Letters()
    tokenizer.encode = lambda text: read.append(text) or [0]
    model = ls.as_model(flat, name="letters", tokenizer=tokenizer)
    with pytest.raises(RefusedError, match="for 1000 texts"):
        asked({"prompt": ["a"] * 1000}, model)
    assert not read


def test_the_longest_period_takes_no_memory():
    made = asked({"prompt": "ab", "seed": 1, "stop_loops": [10**30, 2]}, MODEL, ordinary=16)
    assert made.call(MODEL).loops is not None


def test_a_line_is_read_in_a_time_of_its_length():
    with pytest.raises(ValueError, match="has no value"):
        parse(" " * 300_000 + "x")


def test_the_length_where_nobody_says_it():
    assert settings({"prompt": "a" * 60})["max_new_tokens"] == 4
    assert settings({}, limits=Limits(tokens=5))["max_new_tokens"] == 5
    assert settings({"overflow": "slide", "prompt": "a" * 60})["max_new_tokens"] == 16


def test_more_tokens_than_there_is_room_for():
    with pytest.raises(RefusedError, match=r'room for 4: .* "overflow": "slide"') as raised:
        settings({"prompt": "a" * 60, "max_tokens": 5})
    assert raised.value.param == "max_tokens"
    assert settings({"prompt": "a" * 60, "max_tokens": 4})["max_new_tokens"] == 4
    assert settings({"prompt": "a" * 60, "max_tokens": 5, "overflow": "slide"})


VALUES = st.one_of(
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(),
    st.lists(st.integers()),
    st.dictionaries(st.text(), st.floats(allow_nan=False, allow_infinity=False)),
)


@given(st.dictionaries(st.sampled_from(["a", "top_k", "logit_bias"]), VALUES, min_size=1))
def test_a_line_says_what_settings_say(given_settings):
    from logit_sampling.settings.written import _as_word, _words

    line = " ".join(f"{name}={_as_word(value)}" for name, value in given_settings.items())
    assert dict(_words(line)) == given_settings


def test_a_line_is_the_chain_of_from_params():
    params = {"temperature": 0.7, "logit_bias": {"3": -1.5}, "suppress_tokens": [1, 2]}
    params |= {"order": "default", "top_k": 5}
    line = written(params)
    assert ls.Sampler.parse(line) == ls.Sampler.from_params(**params)
    assert parse(line).kind == "sample"
    with pytest.raises(ValueError, match="top_k"):
        written({"top_k": math.pi})


def test_running_without_a_loop_ends_what_it_began():
    """A request that the engine has no room for takes none of the others' with it."""
    import asyncio

    async def run() -> None:
        with ls.Engine(MODEL, max_rows=2) as engine:
            wanted = asked({"prompt": ["ab", "cd"], "n": 3, "seed": 1}, MODEL, ordinary=4)
            with pytest.raises(ValueError, match="takes 3 rows"):
                Running(engine, wanted.call(MODEL), with_text=True)
            wanted = asked({"prompt": ["ab", "cd"], "seed": 1}, MODEL, ordinary=4)
            with Running(engine, wanted.call(MODEL), with_text=True) as running:
                events = [event async for event in running]
            texts = ls.generate(MODEL, ["ab", "cd"], max_new_tokens=4, seed=1).texts
            for row in range(2):
                assert "".join(e.text for e in events if e.row == row) == texts[row]

    asyncio.run(run())
