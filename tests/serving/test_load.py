"""Many at once, and what is malformed."""

import asyncio

import pytest

import logit_sampling as ls

openai = pytest.importorskip("openai")


def test_two_hundred_clients_get_their_own_texts(address, model):
    """Each text is `generate`'s for its prompt and seed, whoever shares the batch."""
    prompts = ["ROMEO:", "JULIET:", "First Citizen:", "To be, or not to be", "KING"]

    async def one(number: int) -> tuple[int, str]:
        async with openai.AsyncOpenAI(base_url=f"{address}/v1", api_key="none") as client:
            given = {"prompt": prompts[number % 5], "max_tokens": 4 + number % 7, "seed": number}
            more = {"top_k": 5 + number, "temperature": 0.5 + number / 200}
            if number % 2:
                answer = await client.completions.create(
                    model="shakespeare", **given, extra_body=more
                )
                return number, answer.choices[0].text
            stream = await client.completions.create(
                model="shakespeare", **given, extra_body=more, stream=True
            )
            return number, "".join([chunk.choices[0].text async for chunk in stream])

    async def all_of_them() -> list[tuple[int, str]]:
        return await asyncio.gather(*map(one, range(200)))

    answers = asyncio.run(all_of_them())
    chains = [ls.Sampler.from_params(temperature=0.5 + n / 200, top_k=5 + n) for n in range(200)]
    for length in range(4, 11):
        own = [n for n in range(200) if 4 + n % 7 == length]
        expected = ls.generate(
            model,
            [prompts[n % 5] for n in own],
            sampler=[chains[n] for n in own],
            max_new_tokens=length,
            seed=own,
        )
        assert [answers[n] for n in own] == list(zip(own, expected.texts, strict=True))


def test_malformed_requests_do_not_fail_the_server(model):
    pytest.importorskip("httpx")
    from tests.serving.malformed import send

    with ls.Engine(model) as engine:
        statuses, failed = asyncio.run(send(engine, 1000, seed=1))
    assert failed == []
    assert statuses[200] > 20 and statuses[400] > 500
