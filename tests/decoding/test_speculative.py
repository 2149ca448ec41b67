"""Speculative decoding has the distribution of the target, whatever the draft model says."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from scipy.stats import chisquare

import logit_sampling as ls
from logit_sampling.decoding import lookup, speculative
from logit_sampling.decoding.batch import Step
from logit_sampling.decoding.reader import Reader
from logit_sampling.distribution import random
from logit_sampling.models.function import CallableModel
from tests.models.test_known_tokens import Few

VOCABULARY, LENGTH = 4, 3
TABLE = np.random.default_rng(3).normal(0, 1.2, (VOCABULARY,) * 3).astype(np.float32)
PROMPTS = [[0, 1], [2]]


def target(ids: np.ndarray) -> np.ndarray:
    """Logits that depend on the last two tokens."""
    return TABLE[np.pad(ids, ((0, 0), (1, 0)))[:, :-1], ids]


def uniform(ids: np.ndarray) -> np.ndarray:
    return np.zeros((*ids.shape, VOCABULARY), np.float32)


def wrong(ids: np.ndarray) -> np.ndarray:
    """Logits of a model that is nearly sure of what the target likes least."""
    return 3.0 * np.eye(VOCABULARY, dtype=np.float32)[target(ids).argmin(-1)]


def by_history(sampler: ls.Sampler, prompt: list[int]) -> dict[tuple[int, ...], float]:
    """The exact distribution of the first tokens, from that of one token after each history."""
    found = {(): 1.0}
    for _ in range(LENGTH):
        texts = np.array([[*prompt, *ids] for ids in found])
        rows = sampler.probabilities(
            target(texts)[:, -1], history=texts, prompt_length=len(prompt)
        ).astype(np.float64)
        found = {
            (*ids, token): chance * row[token]
            for (ids, chance), row in zip(found.items(), rows, strict=True)
            for token in range(VOCABULARY)
        }
    return found


def by_state(sampler: ls.Sampler, prompt: list[int]) -> dict[tuple[int, ...], float]:
    """The same for samplers whose state depends on how likely the tokens were."""
    found, states = {(): 1.0}, {(): sampler.init([prompt], VOCABULARY, seed=0)}
    for _ in range(LENGTH):
        for ids in list(found):
            pending = sampler.begin_step(target(np.array([[*prompt, *ids]]))[:, -1], states[ids])
            chance, row = found.pop(ids), pending.stages[-1].probabilities()[0].astype(float)
            for token in np.flatnonzero(row).tolist():
                found[(*ids, token)] = chance * row[token]
                states[(*ids, token)] = pending.accept(np.array([token], np.int32))
    return found


def p_values(
    sampler: ls.Sampler,
    draft: Any,
    num_draft: int,
    rows: int = 1200,
    oracle: Any = by_history,
    prompts: Any = PROMPTS,
) -> list[float]:
    """How likely counts as far from the target's distribution are, for each prompt.

    Impossible texts have a p-value of 0.
    """
    result = ls.generate(
        target,
        prompts,
        sampler=sampler,
        n=rows,
        max_rows=2 * rows,
        max_new_tokens=LENGTH,
        seed=11,
        draft=draft,
        num_draft=num_draft,
    )
    values = []
    for i, prompt in enumerate(prompts):
        exact = oracle(sampler, prompt)
        assert sum(exact.values()) == pytest.approx(1, abs=1e-6)
        counts = Counter(map(tuple, result.token_ids[i * rows : (i + 1) * rows]))
        if any(not exact.get(ids) for ids in counts):
            values.append(0.0)
            continue
        often = {ids for ids, chance in exact.items() if rows * chance >= 5}
        expected = np.array([rows * exact[ids] for ids in sorted(often)])
        observed = np.array([counts[ids] for ids in sorted(often)])
        rest = [rows - expected.sum()], [rows - observed.sum()]
        if rest[0][0] > 1e-6 * rows:
            expected, observed = np.append(expected, rest[0]), np.append(observed, rest[1])
        expected *= observed.sum() / expected.sum()
        values.append(float(chisquare(observed, expected).pvalue))
    return values


CASES: list[tuple[ls.Sampler, Callable, int]] = [
    (ls.Sampler(), uniform, 1),
    (ls.Sampler(), wrong, 2),
    (ls.Sampler(), target, 4),
    (ls.Sampler(ls.Temperature(0.7), ls.TopK(3)), wrong, 2),
    (ls.Sampler(ls.TopP(0.8)), uniform, 3),
    (ls.Sampler(ls.TopP(0.8)), wrong, 1),
    (ls.Sampler(ls.RepetitionPenalty(2.0)), wrong, 2),
    (ls.Sampler(ls.FrequencyPenalty(1.5), ls.MinP(0.2)), uniform, 2),
    (ls.Sampler(ls.XTC(0.5, 0.2)), wrong, 2),
]


@pytest.mark.parametrize(
    ("sampler", "draft", "num_draft"),
    CASES,
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_texts_have_the_distribution_of_the_target(
    sampler: ls.Sampler, draft: Callable, num_draft: int
) -> None:
    assert min(p_values(sampler, draft, num_draft)) > 1e-3


@pytest.mark.parametrize("draft", [uniform, wrong])
def test_a_sampler_that_learns_from_its_draws_goes_back_with_the_text(draft: Callable) -> None:
    sampler = ls.Sampler(ls.Mirostat(tau=1.5, eta=0.9))
    assert min(p_values(sampler, draft, 2, oracle=by_state)) > 1e-3


def test_no_stream_of_random_numbers_has_two_uses() -> None:
    drafts = [stream for size in range(50) for stream in speculative._streams(size)]
    others = [speculative.CHECK, speculative.REPLACE, random._ROWS, *range(50)]
    assert len({*drafts, *others}) == len(drafts) + len(others)


def accept_always(patch: pytest.MonkeyPatch) -> None:
    uniform_of = Step.uniform
    checks = {speculative.CHECK, *(speculative._streams(size)[1] for size in range(9))}
    patch.setattr(
        Step,
        "uniform",
        lambda self, row, stream: -1.0 if stream in checks else uniform_of(self, row, stream),
    )


def subtract_nothing(patch: pytest.MonkeyPatch) -> None:
    for module, name in ((speculative, "_replacement"), (lookup, "_another")):
        patch.setattr(module, name, lambda p, *others: p.draw(others[-1]))


def ignore_the_chain_in_q(patch: pytest.MonkeyPatch) -> None:
    draft = speculative.Speculation._draft

    def raw(self: Any, *arguments: Any) -> Any:
        drafts, guesses = draft(self, *arguments)
        for guess in guesses:
            first = {i: part.pending.stages[0].rows[own] for i, (part, own) in guess._where.items()}
            guess.sampler = first.__getitem__  # type: ignore[method-assign]
        return drafts, guesses

    patch.setattr(speculative.Speculation, "_draft", raw)


def draw_the_bonus_from_q(patch: pytest.MonkeyPatch) -> None:
    read = Reader.read

    def swapped(self: Any, texts: Any, *others: Any) -> Any:
        output = read(self, texts, *others)
        if output.logits.shape[1] == 2:  # the target, for one drafted token
            output.logits[:, -1] = [uniform(np.array([text]))[0, -1] for text in texts.values()]
        return output

    patch.setattr(Reader, "read", swapped)


def forget_the_drafted_tokens(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(Step, "accept", lambda self, tokens: [part._state for part in self._parts])


FAULTS = [
    (accept_always, ls.Sampler(), wrong),
    (subtract_nothing, ls.Sampler(), uniform),
    (ignore_the_chain_in_q, ls.Sampler(ls.TopK(2)), uniform),
    (draw_the_bonus_from_q, ls.Sampler(), uniform),
    (forget_the_drafted_tokens, ls.Sampler(ls.RepetitionPenalty(2.0)), uniform),
]


@pytest.mark.parametrize(("fault", "sampler", "draft"), FAULTS)
def test_the_test_of_the_distribution_sees_faults(
    fault: Callable, sampler: ls.Sampler, draft: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    fault(monkeypatch)
    assert max(p_values(sampler, draft, 1)) < 1e-6


def test_what_is_left_of_p_over_q_by_hand() -> None:
    """p = (.5, .3, .2, 0), q = (.2, .6, 0, .2): the excess (.3, 0, .2, 0) is drawn from."""
    chain = ls.Sampler()
    state = chain.init([[0]], 4, seed=0)
    with np.errstate(divide="ignore"):
        p, q = (
            chain.begin_step(np.log(np.array([row])), state).stages[-1].rows[0]
            for row in ([0.5, 0.3, 0.2, 0.0], [0.2, 0.6, 0.0, 0.2])
        )
    drawn = [speculative._replacement(p, q, 1.0, 4, u) for u in (0.0, 0.59, 0.61, 0.999)]
    assert drawn == [0, 0, 2, 2]
    drawn = [speculative._replacement(p, p, 1.0, 4, u) for u in (0.0, 0.49, 0.51, 0.79, 0.81)]
    assert drawn == [0, 0, 1, 1, 2]  # nothing is in excess: from p
    drawn = [lookup._another(p, 0, u) for u in (0.0, 0.59, 0.61, 0.999)]
    assert drawn == [1, 1, 2, 2]  # of a draft that was sure of token 0


def disturbed(causal_lm: Any, by: float) -> Any:
    """A model that nearly says what another one says."""
    other = type(causal_lm).from_config(causal_lm.get_config())
    rng = np.random.default_rng(1)
    for mine, theirs in zip(other.variables, causal_lm.variables, strict=True):
        mine.assign(theirs + rng.normal(0, by, theirs.shape))
    return other


@pytest.mark.parametrize("transforms", [(), (ls.RepetitionPenalty(3.0), ls.NoRepeatNGram(3))])
@pytest.mark.parametrize("num_draft", [1, 4])
def test_greedy_is_greedy(tiny_llama: Any, transforms: Any, num_draft: int) -> None:
    """With a draft model that is often right, and rows that get ahead of others."""
    prompts = [[7], [3, 1, 4, 1, 5, 9, 2, 6], [20, 21], [30, 31, 32]]
    draft = disturbed(tiny_llama, 0.03)
    options: dict[str, Any] = {"sampler": ls.Greedy(*transforms), "max_new_tokens": 14}
    plain = ls.generate(tiny_llama, prompts, **options)
    ours = ls.generate(tiny_llama, prompts, **options, draft=draft, num_draft=num_draft)
    assert ours.token_ids == plain.token_ids
    np.testing.assert_allclose(ours.log_probs, plain.log_probs, atol=5e-5)
    np.testing.assert_array_equal(ours.sampler_log_probs, 0)
    assert ours.accepted is not None
    assert len(set(ours.accepted)) > 1 and 0 < np.mean(ours.accepted) < num_draft


def test_two_cached_models_at_the_end_of_their_context(tiny_gpt2: Any) -> None:
    """Rows that fill the context to its last token, beside shorter ones."""
    prompts = [list(range(40)), [1, 2], list(range(36)), [9]]
    options: dict[str, Any] = {"sampler": ls.Greedy(), "max_new_tokens": 8, "stop_at_end": False}
    other = disturbed(tiny_gpt2, 0.03)
    plain = ls.generate(tiny_gpt2, prompts, **options)
    ours = ls.generate(tiny_gpt2, prompts, **options, draft=other, num_draft=3)
    assert ours.token_ids == plain.token_ids
    assert ours.accepted is not None and 0 < np.mean(ours.accepted) < 3


def test_all_of_a_draft_by_the_target_itself_is_kept() -> None:
    sampler = ls.Sampler(ls.Temperature(0.9), ls.FrequencyPenalty(0.3), ls.TopP(0.95))
    options: dict[str, Any] = {"sampler": sampler, "max_new_tokens": 16, "seed": 5, "n": 4}
    sizes = []

    def counted(ids: np.ndarray) -> np.ndarray:
        sizes.append(ids.shape[1])
        return target(ids)

    ours = ls.generate(counted, PROMPTS, **options, draft=target, num_draft=4)
    assert ours.accepted == [4.0] * 8  # after the first token three rounds of five
    # Once for each length of prompt.
    assert sizes == [1, 2, 6, 7, 11, 12, 16, 17]


def of_two_tokens(n: int, length: int) -> Any:
    """Texts of the example of the paper, where p = (1/3, 2/3) and q = (2/3, 1/3)."""
    p, q = (np.log(np.array(row, np.float32) / 3) for row in ([1, 2], [2, 1]))
    return ls.generate(
        lambda ids: np.broadcast_to(p, (*ids.shape, 2)),
        [[0]],
        n=n,
        max_new_tokens=length,
        max_rows=n,
        seed=0,
        draft=lambda ids: np.broadcast_to(q, (*ids.shape, 2)),
        num_draft=2,
    )


def test_a_block_is_verified_as_a_whole() -> None:
    """Of two drafted tokens 11 / 9 are kept on average; by each alone 10 / 9 would be."""
    assert np.mean(of_two_tokens(100, 80).accepted) == pytest.approx(11 / 9, abs=0.03)


def p_value_of_two_tokens() -> float:
    """How likely counts of texts of four tokens are as far from the target's distribution."""
    codes = np.array(of_two_tokens(4000, 4).token_ids) @ [8, 4, 2, 1]
    ones = np.array([code.bit_count() for code in range(16)])
    return float(chisquare(np.bincount(codes, minlength=16), 4000 * 2.0**ones / 81).pvalue)


def test_texts_of_two_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    """Numbers that a draft was rejected by must not draw what is drafted in its place."""
    assert p_value_of_two_tokens() > 1e-3
    monkeypatch.setattr(speculative, "_streams", lambda size: (0, 1))
    assert p_value_of_two_tokens() < 1e-6


def test_no_model_reads_more_than_a_text_can_have() -> None:
    sizes: dict[str, list[int]] = {"target": [], "draft": []}

    def counted(name: str, model: Callable) -> Callable:
        def function(ids: np.ndarray) -> np.ndarray:
            sizes[name].append(ids.shape[1])
            return model(ids)

        return function

    models = (
        ls.as_model(counted(name, model), context_length=length)
        for name, model, length in (("target", target, 10), ("draft", wrong, 9))
    )
    target_model, draft = models
    ls.generate(target_model, [[0]], n=9, max_new_tokens=8, seed=0, draft=draft, num_draft=5)
    assert max(sizes["target"]) == 9  # drafts end where the shorter context does
    assert max(sizes["draft"]) == 9  # a row that waits for others is read to its end


@pytest.mark.parametrize("draft", [uniform, wrong])
def test_a_text_depends_on_prompt_and_seed_alone(draft: Callable) -> None:
    sampler = ls.Sampler(ls.RepetitionPenalty(1.3), ls.TopP(0.9))
    options: dict[str, Any] = {"sampler": sampler, "draft": draft, "num_draft": 3}
    batch = ls.generate(target, PROMPTS * 3, n=2, max_new_tokens=11, seed=20, **options)
    assert batch.accepted is not None
    for row in range(12):
        alone = ls.generate(
            target, [PROMPTS[row // 2 % 2]], max_new_tokens=11, seed=[batch.seeds[row]], **options
        )
        assert alone.token_ids == [batch.token_ids[row]]
        assert alone.accepted == [batch.accepted[row]]
    for length in range(1, 11):  # and a shorter one is its beginning
        shorter = ls.generate(target, PROMPTS * 3, n=2, max_new_tokens=length, seed=20, **options)
        assert shorter.token_ids == [ids[:length] for ids in batch.token_ids]
        assert shorter.finish_reasons == ["length"] * 12


def test_a_sampler_for_each_prompt_and_numbers_for_each_row() -> None:
    hot, cold = ls.Sampler(ls.Temperature(3.0)), ls.Sampler(ls.Temperature([0.5, 0.0]))
    batch = ls.generate(
        target, PROMPTS, sampler=[hot, cold], n=2, max_new_tokens=9, seed=1, draft=uniform
    )
    for row, heat in enumerate((3.0, 3.0, 0.5, 0.0)):
        alone = ls.generate(
            target,
            [PROMPTS[row // 2]],
            sampler=ls.Sampler(ls.Temperature(heat)),
            max_new_tokens=9,
            seed=[batch.seeds[row]],
            draft=uniform,
        )
        assert alone.token_ids[0] == batch.token_ids[row]
    greedy = ls.generate(target, [PROMPTS[1]], sampler=ls.Greedy(), max_new_tokens=9)
    assert batch.token_ids[3] == greedy.token_ids[0]


def test_an_end_token_ends_a_text_wherever_it_comes_from() -> None:
    options: dict[str, Any] = {"max_new_tokens": 12, "stop_at_end": [3], "seed": 2, "n": 20}
    for draft in (uniform, wrong, target):
        result = ls.generate(target, PROMPTS, draft=draft, num_draft=4, **options)
        for ids, reason in zip(result.token_ids, result.finish_reasons, strict=True):
            assert 3 not in ids[:-1]
            assert reason == ("end_token" if ids[-1] == 3 else "length")
            assert len(ids) == 12 or ids[-1] == 3
        assert len({len(ids) for ids in result.token_ids}) > 3


class Letters:
    """A tokenizer: token i is the letter i."""

    def encode(self, text: str) -> list[int]:
        return ["abcd".index(letter) for letter in text]

    def decode(self, ids: list[int]) -> str:
        return "".join("abcd"[i] for i in ids)


def test_texts_stream_and_stop() -> None:
    options: dict[str, Any] = {"tokenizer": Letters(), "max_new_tokens": 20, "seed": 3, "n": 5}
    options |= {"draft": target, "num_draft": 4, "stop": ["cad", "bbb"], "top_log_probs": 2}
    pieces = [""] * 10

    def on_text(row: int, piece: str) -> None:
        pieces[row] += piece

    ours = ls.generate(target, ["ab", "c"], on_text=on_text, **options)
    assert ours.texts == pieces
    assert set(ours.finish_reasons) == {"stop_string", "length"}
    assert ours.stop_strings is not None and ours.top_log_probs is not None
    for row, ids in enumerate(ours.token_ids):
        assert Letters().decode(ids) == ours.texts[row] + (ours.stop_strings[row] or "")
        text = [*Letters().encode(["ab", "c"][row // 5]), *ids]
        logits = target(np.array([text]))[0, -1 - len(ids) : -1]
        told = [[i for i, _ in place] for place in ours.top_log_probs[row]]
        np.testing.assert_array_equal(told, np.argsort(-logits, axis=1)[:, :2])


def test_where_the_chain_leaves_the_draft_nothing_the_target_goes_on() -> None:
    """The draft can but repeat the last token, which the chain forbids."""
    chain = ls.Sampler(ls.NoRepeatNGram(1))
    options: dict[str, Any] = {"sampler": chain, "max_new_tokens": 3, "n": 8, "seed": 4}
    with np.errstate(divide="ignore"):
        repeat = np.log(np.eye(4, dtype=np.float32))
    plain = ls.generate(target, [[0]], **options)
    result = ls.generate(target, [[0]], draft=lambda ids: repeat[ids], num_draft=2, **options)
    assert result.token_ids == plain.token_ids
    assert len(set(map(tuple, result.token_ids))) > 1
    assert result.accepted == [0.0] * 8
    with pytest.raises(ValueError, match=r"row 0, new token 3: every token is at -inf"):
        options["max_new_tokens"] = 4
        ls.generate(target, [[0]], draft=lambda ids: repeat[ids], **options)


def test_nothing_is_drafted_behind_an_end_token() -> None:
    sizes = []

    def draft(ids: np.ndarray) -> np.ndarray:
        sizes.append(ids.shape[1])
        return 30.0 * np.eye(4, dtype=np.float32)[np.full_like(ids, 3)]

    def never(ids: np.ndarray) -> np.ndarray:
        return np.where(np.arange(4) == 3, -np.inf, uniform(ids))

    options: dict[str, Any] = {"max_new_tokens": 4, "stop_at_end": [3], "num_draft": 4}
    result = ls.generate(never, [[0]], seed=0, draft=draft, **options)
    assert result.finish_reasons == ["length"]
    assert sizes == [1, 2, 3, 4]  # the prompt, and one token a round


class Named(Letters):
    """Tells its tokens, as a tokenizer of Hugging Face does."""

    def __init__(self, letters: str) -> None:
        self.letters = letters

    def get_vocab(self) -> dict[str, int]:
        return {letter: i for i, letter in enumerate(self.letters)}


def test_refusals(tiny_gpt2: Any, tiny_llama: Any) -> None:
    def nan(ids: np.ndarray) -> np.ndarray:
        return np.where(ids[:, :1, None] == 3, np.nan, uniform(ids)).astype(np.float32)

    def generate(message: str, model: Any = target, **options: Any) -> None:
        with pytest.raises(ValueError, match=message):
            ls.generate(model, [[0], [3]], **{"max_new_tokens": 3, "seed": 0, **options})

    other = CallableModel(uniform)
    other.tokenizer = Few()
    generate(
        "tokenizer of the draft model has 40 tokens and that of the target 261",
        tiny_gpt2,
        draft=other,
    )
    swapped = CallableModel(uniform)
    swapped.tokenizer = Named("bacd")
    generate(
        "2 of 4 tokens are others for the tokenizer of the draft model: token 0 is 'b' and for the "
        "target 'a'",
        tokenizer=Named("abcd"),
        draft=swapped,
    )
    letters = "".join(map(chr, range(200, 400)))
    renamed = CallableModel(uniform)
    renamed.tokenizer = Named(letters[:-1] + "!")  # as in a family that uses a token it reserved
    ls.generate(target, [[0]], max_new_tokens=1, tokenizer=Named(letters), draft=renamed)
    generate("num_draft must be an integer of at least 1, got 0", draft=uniform, num_draft=0)
    generate("num_draft is 2, but there is no draft=", num_draft=2)
    generate("got 7", draft=7)
    generate("draft= speeds up drawing", draft=uniform, search=ls.BeamSearch())
    generate("overflow", draft=uniform, overflow="slide")
    generate("row 1, new token 1: draft model: logits hold NaN in this row", draft=nan)
    generate("row 1, new token 0: logits hold NaN in this row", nan, draft=uniform)
    table = np.zeros((261, 261), np.float32)
    generate(
        "a prompt has 1 tokens and max_new_tokens is 48, together more than the context of the "
        "draft model '.*', 48",
        lambda ids: table[ids],
        draft=tiny_gpt2,
        max_new_tokens=48,
    )
