"""The API as its own clients use it."""

import asyncio
import json
from typing import Any

import numpy as np
import pytest

import logit_sampling as ls
from tests.serving.conftest import TEMPLATE

openai = pytest.importorskip("openai")

MESSAGES = [{"role": "user", "content": "To be, or not to be?"}]


@pytest.fixture(scope="module")
def client(address: str) -> Any:
    with openai.OpenAI(base_url=f"{address}/v1", api_key="none", max_retries=0) as client:
        yield client


def test_the_model_is_listed(client):
    (listed,) = client.models.list().data
    assert listed.id == "shakespeare" and listed.max_model_len == 256
    assert client.models.retrieve("shakespeare").id == "shakespeare"
    with pytest.raises(openai.NotFoundError, match="here is 'shakespeare'"):
        client.models.retrieve("gpt-5")
    with pytest.raises(openai.NotFoundError, match="no model 'gpt-5'"):
        client.completions.create(model="gpt-5", prompt="ROMEO:")


def test_a_completion_is_what_generate_writes(client, model):
    more = {"top_k": 50, "repetition_penalty": 1.1}
    answer = client.completions.create(
        model="shakespeare",
        prompt="ROMEO:",
        max_tokens=12,
        temperature=0.8,
        seed=7,
        extra_body=more,
    )
    chain = ls.Sampler.from_params(temperature=0.8, top_k=50, repetition_penalty=1.1)
    expected = ls.generate(model, "ROMEO:", sampler=chain, max_new_tokens=12, seed=7)
    (choice,) = answer.choices
    assert answer.object == "text_completion" and choice.text == expected.texts[0]
    assert choice.finish_reason == "length" and choice.ended_by == "length"
    size = len(model.encode("ROMEO:"))
    assert answer.usage.to_dict() == {
        "prompt_tokens": size,
        "completion_tokens": 12,
        "total_tokens": size + 12,
    }
    assert ls.generate(model, "ROMEO:", **answer.settings).texts == expected.texts
    again = client.completions.create(
        model="shakespeare", prompt="ROMEO:", extra_body=answer.settings
    )
    assert again.choices[0].text == choice.text and again.settings == answer.settings


def test_a_seed_is_told_where_none_was_given(client, model):
    said = [client.completions.create(model="shakespeare", prompt="A") for _ in range(3)]
    assert len({answer.settings["seed"] for answer in said}) == 3
    for answer in said:
        assert answer.usage.completion_tokens == 16  # as the API has it
        assert ls.generate(model, "A", **answer.settings).texts[0] == answer.choices[0].text


def test_several_prompts_and_texts(client, model):
    prompts = ["ROMEO:", "JULIET:"]
    answer = client.completions.create(
        model="shakespeare", prompt=prompts, n=2, max_tokens=6, seed=3
    )
    expected = ls.generate(model, prompts, n=2, max_new_tokens=6, seed=3)
    assert [choice.text for choice in answer.choices] == expected.texts
    assert [choice.index for choice in answer.choices] == [0, 1, 2, 3]
    ids = [model.encode(prompt) for prompt in prompts]
    for given, first in ((ids, 2), (ids[0], 1)):
        told = client.completions.create(
            model="shakespeare", prompt=given, n=2, max_tokens=6, seed=3
        )
        assert [c.text for c in told.choices] == expected.texts[: 2 * first]


@pytest.mark.parametrize("chat", [False, True])
def test_a_stream_is_the_whole_in_pieces(client, chat):
    given: dict[str, Any] = {"model": "shakespeare", "max_tokens": 10, "seed": 5, "n": 2}
    given |= {"stop": ["a"]}
    if chat:
        ask, given = client.chat.completions.create, given | {"messages": MESSAGES}
    else:
        ask, given = client.completions.create, given | {"prompt": "ROMEO:"}
    whole = ask(**given)
    pieces, reasons, first = ["", ""], [None, None], {}
    chunks = list(ask(**given, stream=True, stream_options={"include_usage": True}))
    for chunk in chunks[:-1]:
        (choice,) = chunk.choices
        first.setdefault(choice.index, chunk)
        pieces[choice.index] += (choice.delta.content if chat else choice.text) or ""
        reasons[choice.index] = choice.finish_reason or reasons[choice.index]
    told = [choice.message.content if chat else choice.text for choice in whole.choices]
    assert pieces == told and reasons == [choice.finish_reason for choice in whole.choices]
    assert chunks[-1].choices == [] and chunks[-1].usage == whole.usage
    assert all(chunk.settings == whole.settings for chunk in first.values())
    assert len({chunk.id for chunk in chunks}) == 1
    if chat:
        assert first[0].choices[0].delta.role == "assistant"


def test_a_stop_string_is_told(client):
    answer = client.completions.create(
        model="shakespeare", prompt="ROMEO:", max_tokens=100, seed=1, stop=["e", "a"]
    )
    (choice,) = answer.choices
    assert choice.finish_reason == "stop" and choice.ended_by == "stop_string"
    assert choice.stop_reason in ("e", "a") and choice.stop_reason not in choice.text
    *_, last = client.completions.create(
        model="shakespeare", prompt="ROMEO:", max_tokens=100, seed=1, stop=["e", "a"], stream=True
    )
    assert last.choices[0].stop_reason == choice.stop_reason


def test_offsets_of_tokens_that_are_parts_of_characters(client, model):
    answer = client.completions.create(
        model="shakespeare", prompt="aé𝄞b", max_tokens=1, seed=2, logprobs=0, echo=True
    )
    (choice,) = answer.choices
    assert choice.logprobs.tokens[0] == "a" and "\ufffd" in choice.logprobs.tokens[1]
    assert choice.logprobs.text_offset == [0, 1, 1, 2, 2, 2, 2, 3, 4]


def test_log_probs_of_a_completion(client, model):
    answer = client.completions.create(
        model="shakespeare", prompt="ROMEO:", max_tokens=5, seed=2, logprobs=3, echo=True
    )
    expected = ls.generate(model, "ROMEO:", max_new_tokens=5, seed=2, top_log_probs=3, echo=True)
    (choice,), read = answer.choices, len(expected.prompt_ids[0])
    assert choice.text == expected.texts[0] == "ROMEO:" + choice.text[6:]
    logs = choice.logprobs
    assert "".join(logs.tokens) == choice.text and logs.token_logprobs[0] is None
    np.testing.assert_allclose(logs.token_logprobs[1:read], expected.prompt_log_probs[0][1:])
    np.testing.assert_allclose(logs.token_logprobs[read:], expected.log_probs[0])
    for place, text in zip(logs.text_offset, logs.tokens, strict=True):
        assert choice.text[place:].startswith(text)
    tops = [{model.decode([i]): p for i, p in top} for top in expected.top_log_probs[0]]
    assert logs.top_logprobs[read:] == tops


def test_log_probs_of_a_message(client, model):
    given = {"model": "shakespeare", "messages": MESSAGES, "max_tokens": 4, "seed": 2}
    asked = given | {"logprobs": True, "top_logprobs": 2}
    (choice,) = client.chat.completions.create(**asked).choices
    expected = ls.chat(
        model, MESSAGES, template=TEMPLATE, max_new_tokens=4, seed=2, top_log_probs=2
    )
    assert choice.message.content == expected.texts[0]
    told = choice.logprobs.content
    np.testing.assert_allclose([own.logprob for own in told], expected.log_probs[0])
    assert b"".join(bytes(own.bytes) for own in told).decode() == choice.message.content
    assert [[own.logprob for own in each.top_logprobs] for each in told] == [
        [p for _, p in top] for top in expected.top_log_probs[0]
    ]
    streamed = client.chat.completions.create(**asked, stream=True)
    pieces = [c.choices[0].logprobs for c in streamed if c.choices[0].logprobs]
    assert [own.content[0].logprob for own in pieces] == [own.logprob for own in told]


def test_a_schema_is_followed_or_flagged(client):
    pytest.importorskip("llguidance")
    schema = {
        "type": "object",
        "properties": {"name": {"enum": ["Romeo", "Juliet"]}},
        "required": ["name"],
        "additionalProperties": False,
    }
    form = {"type": "json_schema", "json_schema": {"name": "who", "schema": schema, "strict": True}}
    for seed in range(3):
        answer = client.chat.completions.create(
            model="shakespeare", messages=MESSAGES, response_format=form, seed=seed
        )
        (choice,) = answer.choices
        said = json.loads(choice.message.content)
        assert said["name"] in ("Romeo", "Juliet") and choice.finish_reason == "stop"
        assert choice.message.content == json.dumps(said, separators=(",", ":"))
    (choice,) = client.completions.create(
        model="shakespeare", prompt="A", max_tokens=2, extra_body={"response_format": form}
    ).choices
    assert (choice.finish_reason, choice.ended_by) == ("length", "unfinished")
    for more in ({"structured_outputs": {"regex": "(yes|no)"}}, {"guided_regex": "(yes|no)"}):
        answer = client.completions.create(model="shakespeare", prompt="A", extra_body=more)
        assert answer.choices[0].text in ("yes", "no")


def test_a_search_and_the_order_of_a_system(client, model):
    answer = client.completions.create(
        model="shakespeare", prompt="A", max_tokens=6, extra_body={"sampler": "beam num_beams=3"}
    )
    beams = ls.generate(model, "A", max_new_tokens=6, search=ls.BeamSearch(3))
    assert answer.choices[0].text == beams.texts[0]
    named = {"order": "llama.cpp", "temp": 0.7, "top_k": 20, "seed": 4}
    answer = client.completions.create(
        model="shakespeare", prompt="A", max_tokens=6, extra_body=named
    )
    chain = ls.Sampler.from_params(order="llama.cpp", temp=0.7, top_k=20)
    expected = ls.generate(model, "A", max_new_tokens=6, sampler=chain, seed=4)
    assert answer.choices[0].text == expected.texts[0]


def test_errors_have_the_form_of_the_api(client):
    for given, param, says in (
        ({"temprature": 1}, "temprature", "did you mean `temperature`"),
        ({"temperature": -1}, "temperature", "got -1.0"),
        ({"tools": [{"type": "function"}]}, "tools", "not known here"),
        ({"num_beams": 4}, "num_beams", "send `sampler`, such as"),
        ({"max_tokens": 10_000}, "max_tokens", "behind the prompt there is room for"),
    ):
        with pytest.raises(openai.BadRequestError, match=says) as raised:
            client.completions.create(model="shakespeare", prompt="A", extra_body=given)
        assert raised.value.type == "invalid_request_error" and raised.value.param == param
    with pytest.raises(openai.BadRequestError, match="no text as `content`"):
        client.chat.completions.create(model="shakespeare", messages=[{"role": "user"}])


def test_a_row_that_cannot_go_on_is_the_request_s_fault(client):
    nothing = {"allowed_token_ids": [3], "suppress_tokens": [3]}
    with pytest.raises(openai.BadRequestError, match="row 0"):
        client.completions.create(model="shakespeare", prompt="A", extra_body=nothing)
    with pytest.raises(openai.BadRequestError, match="row 0"):  # before the stream has begun
        client.completions.create(model="shakespeare", prompt="A", extra_body=nothing, stream=True)


def test_asynchronous_clients(address, model):
    async def ask() -> list[str]:
        async with openai.AsyncOpenAI(base_url=f"{address}/v1", api_key="none") as client:
            own = [
                client.completions.create(
                    model="shakespeare", prompt="ROMEO:", max_tokens=8, seed=seed
                )
                for seed in range(4)
            ]
            texts = [answer.choices[0].text for answer in await asyncio.gather(*own)]
            stream = await client.chat.completions.create(
                model="shakespeare", messages=MESSAGES, max_tokens=8, seed=9, stream=True
            )
            return [*texts, "".join([c.choices[0].delta.content or "" async for c in stream])]

    expected = [
        ls.generate(model, "ROMEO:", max_new_tokens=8, seed=seed).texts[0] for seed in range(4)
    ]
    message = ls.chat(model, MESSAGES, template=TEMPLATE, max_new_tokens=8, seed=9).texts[0]
    assert asyncio.run(ask()) == [*expected, message]
