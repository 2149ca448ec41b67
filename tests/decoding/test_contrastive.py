"""Contrastive search against its formula in float64."""

from typing import Any

import numpy as np
import pytest

import logit_sampling as ls
from logit_sampling.distribution.arrays import to_numpy

VOCABULARY, WIDTH = 7, 5
PROMPTS = [[0], [3, 1, 4, 1, 5, 2, 6], [2, 2], [6, 5]]


class Toy:
    """A model whose logits and hidden states depend on the last three tokens."""

    def __init__(self, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        self.logits = rng.normal(0, 1.5, (VOCABULARY,) * 4).astype(np.float32)
        self.hidden = rng.normal(0.4, 1, (VOCABULARY,) * 3 + (WIDTH,)).astype(np.float32)
        self.calls: list[tuple[int, ...]] = []

    def __call__(self, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        self.calls.append(ids.shape)
        long = np.pad(ids, ((0, 0), (2, 0)))
        places = long[:, :-2], long[:, 1:-1], ids
        return self.logits[places], self.hidden[places]


def oracle(
    model: Any,
    prompt: list[int],
    k: int,
    alpha: float,
    length: int,
    sampler: ls.Sampler | None = None,
    ends: tuple[int, ...] = (),
) -> tuple[list[int], list[float]]:
    """The text, and how much better each of its tokens was than the next best."""
    ids, margins = list(prompt), []
    while len(ids) - len(prompt) < length:
        logits, hidden = model(np.array([ids]))
        p = (sampler or ls.Sampler()).probabilities(
            to_numpy(logits)[0, -1].astype(np.float64), history=ids, prompt_length=len(prompt)
        )
        tried = [i for i in np.argsort(-p, kind="stable")[:k].tolist() if p[i] > 0]
        seen = np.asarray(hidden[0], np.float64)
        seen /= np.linalg.norm(seen, axis=-1, keepdims=True)
        worth = []
        for token in tried:
            new = np.asarray(model(np.array([[*ids, token]]))[1][0, -1], np.float64)
            likeness = max(seen @ (new / np.linalg.norm(new)))
            worth.append((1 - alpha) * float(p[token]) - alpha * likeness)
        best = int(np.argmax(worth))
        margins.append(worth[best] - max([w for w in worth if w < worth[best]], default=-9.0))
        ids.append(tried[best])
        if ids[-1] in ends:
            break
    return ids[len(prompt) :], margins


@pytest.mark.parametrize("alpha", [0.3, 0.6, 1.0])
@pytest.mark.parametrize("k", [2, 5, 50])
def test_texts_follow_the_formula(k: int, alpha: float) -> None:
    model, ends = Toy(), (5,)
    search = ls.ContrastiveSearch(k=k, alpha=alpha)
    result = ls.generate(model, PROMPTS, search=search, max_new_tokens=12, stop_at_end=ends)
    for row, prompt in enumerate(PROMPTS):
        ids, margins = oracle(model, prompt, k, alpha, 12, ends=ends)
        assert min(margins) > 1e-6  # rounding decides nothing
        assert result.token_ids[row] == ids
    assert len(set(map(len, result.token_ids))) > 1
    assert "end_token" in result.finish_reasons
    assert result.scores is None


def test_the_chain_acts_before_and_its_state_follows_the_text() -> None:
    """At the end fewer tokens are left than are to be tried."""
    model, chain = Toy(1), ls.Sampler(ls.Temperature(1.5), ls.NoRepeatNGram(1))
    search = ls.ContrastiveSearch(k=4, alpha=0.5)
    options: dict[str, Any] = {"search": search, "sampler": chain, "max_new_tokens": 5}
    result = ls.generate(model, [[0], [6, 5]], **options)
    for row, prompt in enumerate([[0], [6, 5]]):
        assert result.token_ids[row] == oracle(model, prompt, 4, 0.5, 5, chain)[0]
        assert len({*prompt, *result.token_ids[row]}) == len(prompt) + 5
        for place, token in enumerate(result.token_ids[row]):
            text = [*prompt, *result.token_ids[row][:place]]
            logits = model(np.array([text]))[0][0, -1].astype(float)
            raw = logits - np.log(np.exp(logits).sum())
            assert result.log_probs[row][place] == pytest.approx(raw[token], abs=1e-6)
            own = chain.log_prob(logits, token, history=text, prompt_length=len(prompt))
            assert result.sampler_log_probs[row][place] == pytest.approx(own, abs=1e-6)


@pytest.mark.parametrize(("k", "alpha"), [(1, 0.6), (1, 1.0), (5, 0.0)])
@pytest.mark.parametrize("chain", [(), (ls.FrequencyPenalty(0.5),)])
def test_one_try_and_no_weight_are_greedy(
    tiny_llama: Any, k: int, alpha: float, chain: Any
) -> None:
    prompts = [[7], [3, 1, 4], [20, 21]]
    options: dict[str, Any] = {"max_new_tokens": 10, "stop_at_end": [11, 22, 33]}
    greedy = ls.generate(tiny_llama, prompts, sampler=ls.Greedy(*chain), **options)
    search = ls.ContrastiveSearch(k, alpha)
    ours = ls.generate(tiny_llama, prompts, sampler=ls.Sampler(*chain), search=search, **options)
    assert ours.token_ids == greedy.token_ids
    np.testing.assert_allclose(
        np.concatenate(ours.log_probs), np.concatenate(greedy.log_probs), atol=2e-5
    )


@pytest.mark.parametrize("name", ["tiny_gpt2", "tiny_llama"])
def test_a_cached_model_follows_the_formula(name: str, request: pytest.FixtureRequest) -> None:
    """Prompts of different lengths in a batch, one of which fills the context."""
    causal_lm = request.getfixturevalue(name)

    def plain(ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        data = {"token_ids": ids, "padding_mask": np.ones_like(ids)}
        hidden = causal_lm.backbone(data)
        logits = causal_lm.backbone.token_embedding(hidden, reverse=True)
        return to_numpy(logits), to_numpy(hidden)

    prompts = [[7], [3, 1, 4, 1, 5], list(range(44))]
    options: dict[str, Any] = {"max_new_tokens": 4, "stop_at_end": False}
    search = ls.ContrastiveSearch(k=3, alpha=0.6)
    result = ls.generate(causal_lm, prompts, search=search, **options)
    for row, prompt in enumerate(prompts):
        ids, margins = oracle(plain, prompt, 3, 0.6, 4)
        assert min(margins) > 1e-4
        assert result.token_ids[row] == ids
    greedy = ls.generate(causal_lm, prompts, sampler=ls.Greedy(), **options)
    assert result.token_ids != greedy.token_ids


def test_all_tries_of_all_rows_are_read_at_once() -> None:
    model = Toy()
    search = ls.ContrastiveSearch(k=3)
    ls.generate(model, [[1, 2, 3], [4, 5, 6]], search=search, max_new_tokens=4)
    # The first tokens, the rest of the prompts, then three tries for each of two rows.
    assert model.calls == [(2, 1), (2, 3), (6, 4), (6, 5), (6, 6), (6, 7)]


def test_long_prompts_are_read_in_parts() -> None:
    model, rng = Toy(), np.random.default_rng(5)
    prompts = [rng.integers(0, VOCABULARY, n).tolist() for n in (300, 1, 290, 40, 129)]
    search = ls.ContrastiveSearch(k=3, alpha=0.6)
    result = ls.generate(model, prompts, search=search, max_new_tokens=4)
    for prompt, ids in zip(prompts, result.token_ids, strict=True):
        assert ids == oracle(model, prompt, 3, 0.6, 4)[0]


class Letters:
    """A tokenizer: token i is the letter i."""

    def encode(self, text: str) -> list[int]:
        return ["abcdefg".index(letter) for letter in text]

    def decode(self, ids: list[int]) -> str:
        return "".join("abcdefg"[i] for i in ids)


def test_texts_stream_and_stop() -> None:
    model, pieces = Toy(), ["", ""]
    search = ls.ContrastiveSearch(k=3, alpha=0.6)
    options: dict[str, Any] = {"search": search, "max_new_tokens": 12, "tokenizer": Letters()}
    whole = ls.generate(model, ["a", "dbebfcg"], **options)
    stop = whole.texts[0][3:5]

    def on_text(row: int, piece: str) -> None:
        pieces[row] += piece

    short = ls.generate(model, ["a", "dbebfcg"], stop=stop, on_text=on_text, **options)
    assert short.texts == pieces == [text.partition(stop)[0] for text in whole.texts]
    assert short.finish_reasons[0] == "stop_string"
    timed = ls.generate(model, ["a", "d"], deadline=1e-9, **options)
    assert timed.finish_reasons == ["deadline"] * 2
    assert [len(ids) for ids in timed.token_ids] == [1, 1]


def test_refusals() -> None:
    def generate(message: str, model: Any = None, k: Any = 2, **options: Any) -> None:
        with pytest.raises(ValueError, match=message):
            ls.generate(
                model or Toy(),
                [[0], [1]],
                search=ls.ContrastiveSearch(k),
                max_new_tokens=3,
                **options,
            )

    nothing = ls.Sampler(ls.AllowTokens([0]), ls.SuppressTokens([0]))
    generate("the model tells none: let the function return a pair", lambda ids: Toy()(ids)[0])
    generate("n is 2, but ContrastiveSearch finds one text", n=2)
    generate("ContrastiveSearch compares several tokens a step, and Greedy", sampler=ls.Greedy())
    generate("ContrastiveSearch does not go together with overflow=", overflow="slide")
    generate("row 0, new token 0: every token is at -inf", sampler=nothing)
    generate("`k` to be an integer of at least 1; got 0", k=0)
    for alpha in (-0.1, 1.1, "a"):
        with pytest.raises(ValueError, match=r"`alpha` to be a finite number in \[0, 1\]; got"):
            ls.ContrastiveSearch(alpha=alpha)
