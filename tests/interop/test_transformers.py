"""A sampler in the loop of transformers' `generate`, on a small model with random weights."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import logit_sampling as ls
from logit_sampling.distribution.random import row_integers

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
transformers.logging.set_verbosity_error()

END, PAD = 3, 0
ALONE = {"temperature": 1.0, "top_k": 0, "top_p": 1.0}
SEEDS = {"seed": 11, "pad_token_id": PAD, "eos_token_id": END}
PROMPTS = [[7, 9], [30, 1, 4, 1, 5], [20]]
CHAINS = [
    ls.Greedy(),
    ls.Sampler(ls.Temperature(0.8), ls.TopK(20)),
    ls.Sampler(ls.RepetitionPenalty(1.3), ls.NoRepeatNGram(2), ls.TopP(0.9)),
    ls.Sampler(ls.PresencePenalty(0.7), ls.MinNewTokens(4, END), ls.XTC(0.5, 0.05), ls.MinP(0.02)),
    ls.Sampler(ls.DRY(0.8), ls.Mirostat(tau=3.0)),
    ls.Sampler(ls.AdaptiveP(0.3)),
]


@pytest.fixture(scope="module")
def model() -> Any:
    torch.set_num_threads(1)
    torch.manual_seed(0)
    config = transformers.GPT2Config(
        vocab_size=60,
        n_positions=64,
        n_embd=16,
        n_layer=2,
        n_head=2,
        initializer_range=0.4,
        bos_token_id=1,
        eos_token_id=END,
        pad_token_id=PAD,
    )
    return transformers.GPT2LMHeadModel(config).eval()


def run(model: Any, prompts: list[list[int]], *processors: Any, **settings: Any) -> list[list[int]]:
    """Return what `generate` writes behind prompts, without what fills a row up."""
    width = max(map(len, prompts))
    ids = torch.tensor([[PAD] * (width - len(p)) + p for p in prompts])
    out = model.generate(
        input_ids=ids,
        attention_mask=(ids != PAD).long(),
        logits_processor=list(processors),
        **{"max_new_tokens": 15, **settings},
    )[:, width:]
    rows = [row.tolist() for row in out]
    return [row[: row.index(END) + 1] if END in row else row for row in rows]


def ours(model: Any, prompts: list[list[int]], sampler: ls.Sampler, **settings: Any) -> Any:
    def logits(ids: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            return model(torch.tensor(ids).long()).logits.numpy()

    rows = [
        ls.generate(
            logits, [prompt], sampler=sampler, max_new_tokens=15, stop_at_end=[END], seed=seed
        ).token_ids[0]
        for seed, prompt in zip(row_integers(11, len(prompts)), prompts, strict=True)
    ]
    return rows


def test_it_is_one_of_their_processors():
    entry = ls.Sampler(ls.TopK(2)).for_transformers()
    assert isinstance(entry, transformers.LogitsProcessor)
    scores = torch.tensor([[1.0, 3.0, 2.0, 0.0]])
    masked = entry(torch.tensor([[5]]), scores)
    assert masked.dtype == torch.float32
    assert masked.tolist() == [[-np.inf, 3.0, 2.0, -np.inf]]
    assert scores.tolist() == [[1.0, 3.0, 2.0, 0.0]]
    half = ls.Sampler(ls.TopK(2)).for_transformers()(torch.tensor([[5]]), scores.bfloat16())
    assert half.tolist() == masked.tolist()


@pytest.mark.parametrize("do_sample", [True, False])
@pytest.mark.parametrize("sampler", CHAINS, ids=repr)
def test_a_draw_of_ours_writes_what_our_generate_writes(model, sampler, do_sample):
    entry = sampler.for_transformers(draw=True, **SEEDS)
    written = run(model, PROMPTS, entry, do_sample=do_sample)
    assert written == ours(model, PROMPTS, sampler)
    assert len({len(row) for row in written}) > 1 or len(written[0]) == 15
    assert run(model, PROMPTS, entry, do_sample=do_sample) == written  # it begins anew
    other = sampler.for_transformers(draw=True, **{**SEEDS, "seed": 12})
    different = run(model, PROMPTS, other, do_sample=do_sample) != written
    assert different is not isinstance(sampler, ls.Greedy)


def test_greedy_with_masks_alone(model):
    chain = [ls.RepetitionPenalty(1.4), ls.NoRepeatNGram(3), ls.PresencePenalty(0.3)]
    masked = run(
        model, PROMPTS, ls.Sampler(*chain).for_transformers(**SEEDS), do_sample=False, **ALONE
    )
    assert masked == ours(model, PROMPTS, ls.Greedy(*chain))
    assert masked == run(
        model, PROMPTS, ls.Greedy(*chain).for_transformers(**SEEDS), do_sample=True, **ALONE
    )


def drawn_by_them(model, sampler, seed):
    """Their texts after the prompt 7, 9, 4, with the scores that they drew from."""
    torch.manual_seed(seed)
    return model.generate(
        input_ids=torch.tensor([[7, 9, 4]]),
        logits_processor=[sampler.for_transformers()],
        do_sample=True,
        max_new_tokens=12,
        return_dict_in_generate=True,
        output_scores=True,
        output_logits=True,
        **ALONE,
    )


def test_the_distribution_that_their_draw_sees(model):
    sampler = ls.Sampler(ls.FrequencyPenalty(0.5), ls.Temperature(0.7), ls.TopP(0.8))
    out = drawn_by_them(model, sampler, seed=3)
    history = out.sequences[0].tolist()
    for step, (scores, logits) in enumerate(zip(out.scores, out.logits, strict=True)):
        expected = sampler.probabilities(
            logits[0].numpy(), history=history[: 3 + step], prompt_length=3
        )
        np.testing.assert_allclose(torch.softmax(scores[0], -1), expected, atol=1e-6)
        assert 0 < (expected > 0).sum() < 60
    assert step >= 5


def test_mirostat_learns_from_the_tokens_that_they_drew(model):
    sampler = ls.Sampler(ls.Mirostat(tau=2.0, eta=0.5))
    out = drawn_by_them(model, sampler, seed=1)
    state = sampler.init([[7, 9, 4]], 60, seed=0)
    for scores, logits, token in zip(
        out.scores, out.logits, out.sequences[0, 3:].tolist(), strict=True
    ):
        pending = sampler.begin_step(logits.numpy(), state)
        np.testing.assert_allclose(scores.numpy(), pending.logits(), rtol=1e-6)
        state = pending.accept(np.array([token], np.int32))


def test_scores_may_be_overwritten_between_calls():
    # The third token comes with p = 0.2, and a limit of 2 bits then falls to 2 - (2.32 - 1).
    entry = ls.Sampler(ls.Mirostat(tau=1.0, eta=1.0)).for_transformers(seed=0)
    scores = torch.log(torch.tensor([[0.5, 0.3, 0.2]]))
    scores.sub_(entry(torch.tensor([[0]]), scores))
    second = entry(torch.tensor([[0, 2]]), torch.log(torch.tensor([[0.5, 0.3, 0.2]])))
    assert torch.isfinite(second).tolist() == [[True, False, False]]


def test_what_they_apply_behind_it(model):
    entry = ls.Sampler(ls.TopK(20)).for_transformers()
    settings = {"do_sample": True, "output_scores": True, "return_dict_in_generate": True}
    ids = torch.tensor([[7, 9, 4]])
    out = model.generate(
        input_ids=ids, logits_processor=[entry], max_new_tokens=1, top_k=5, **settings
    )
    assert (out.scores[0] > -np.inf).sum() == 5
    entry = ls.Sampler(ls.TopK(55)).for_transformers()
    out = model.generate(input_ids=ids, logits_processor=[entry], max_new_tokens=1, **settings)
    assert (out.scores[0] > -np.inf).sum() == 50  # their default


def test_beam_search_gets_the_masks(model):
    settings = {"num_beams": 3}
    chain = [ls.NoRepeatNGram(2), ls.SuppressTokens([8, 12])]
    prompts = [[7, 9, 4], [30, 1, 4]]
    theirs = run(model, prompts, no_repeat_ngram_size=2, suppress_tokens=[8, 12], **settings)
    entry = ls.Sampler(*chain).for_transformers(eos_token_id=END)
    assert run(model, prompts, entry, **settings) == theirs
    assert theirs != run(model, prompts, **settings)
    with pytest.raises(ValueError, match="Mirostat needs the probability"):
        run(model, prompts, ls.Sampler(ls.Mirostat()).for_transformers(), **settings)


@pytest.fixture(scope="module")
def drafts(model: Any) -> dict[str, dict[str, Any]]:
    """Settings of `generate` with which it takes tokens back."""
    torch.manual_seed(1)
    other = transformers.GPT2LMHeadModel(model.config).eval()
    other.load_state_dict({k: v + 0.1 * torch.randn_like(v) for k, v in model.state_dict().items()})
    return {
        "prompt lookup": {"prompt_lookup_num_tokens": 3},
        "another model": {"assistant_model": other},
        "the model itself": {"assistant_model": model},
    }


class Lengths(transformers.LogitsProcessor):
    """Takes note of how long the texts are."""

    def __init__(self) -> None:
        self.seen: list[int] = []

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        self.seen.append(input_ids.shape[1])
        return scores


NAMES = ["prompt lookup", "another model", "the model itself"]
COUNTING = [
    ls.Sampler(ls.PresencePenalty(1000.0)),
    ls.Sampler(ls.RepetitionPenalty(1.4), ls.NoRepeatNGram(2), ls.ForcedTokens({2: 17})),
    ls.Sampler(ls.DRY(0.8), ls.MinNewTokens(9, END), ls.TopK(5)),
]
REPEATING = [[7, 9, 4, 7, 9, 4, 7, 9]]


@pytest.mark.parametrize("sampler", COUNTING, ids=repr)
@pytest.mark.parametrize("name", NAMES)
def test_drafts_change_no_text(model, drafts, sampler, name):
    settings = {"do_sample": False, "max_new_tokens": 20}
    plain = run(model, REPEATING, sampler.for_transformers(eos_token_id=END), **settings)
    lengths, entry = Lengths(), sampler.for_transformers(eos_token_id=END)
    for _ in range(2):  # with the same prompt it begins anew
        assert run(model, REPEATING, lengths, entry, **settings, **drafts[name]) == plain
    assert (np.diff(lengths.seen[: len(lengths.seen) // 2]) < 1).any()
    assert plain != run(model, REPEATING, **settings)


@pytest.mark.parametrize("do_sample", [True, False])
@pytest.mark.parametrize("name", NAMES)
def test_drafts_change_no_draw_of_ours(model, drafts, do_sample, name):
    for sampler in [CHAINS[1], CHAINS[3], COUNTING[2]]:
        entry = sampler.for_transformers(draw=True, seed=11, eos_token_id=END)
        written = run(model, REPEATING, entry, do_sample=do_sample, **drafts[name])
        assert written == ours(model, REPEATING, sampler)
        assert run(model, REPEATING, entry, do_sample=do_sample) == written


@pytest.mark.parametrize("name", NAMES)
def test_the_distribution_that_drafts_are_checked_with(model, drafts, name):
    sampler = ls.Sampler(ls.FrequencyPenalty(0.5), ls.Temperature(0.7), ls.TopP(0.8))
    torch.manual_seed(2)
    out = model.generate(
        input_ids=torch.tensor(REPEATING),
        logits_processor=[sampler.for_transformers(eos_token_id=END)],
        do_sample=True,
        max_new_tokens=16,
        eos_token_id=None,
        return_dict_in_generate=True,
        output_scores=True,
        output_logits=True,
        **ALONE,
        **drafts[name],
    )
    history = out.sequences[0].tolist()
    for step, (scores, logits) in enumerate(zip(out.scores, out.logits, strict=True)):
        expected = sampler.probabilities(
            logits[0].numpy(), history=history[: 8 + step], prompt_length=8
        )
        np.testing.assert_allclose(torch.softmax(scores[0], -1), expected, atol=1e-6)
    assert step == 15


@pytest.mark.parametrize("chain", [ls.Mirostat(tau=3.0), ls.AdaptiveP(0.3)], ids=repr)
@pytest.mark.parametrize("name", NAMES)
def test_drafts_and_what_learns_from_each_draw(model, drafts, chain, name):
    sampler = ls.Sampler(ls.SuppressTokens([END]), chain)
    entry = sampler.for_transformers(draw=True, seed=11)
    torch.manual_seed(0)
    with pytest.raises(ValueError, match=r"generate took tokens back .*needs the probability"):
        run(model, REPEATING, entry, do_sample=True, max_new_tokens=30, **drafts[name])


def test_a_draft_model_with_a_tokenizer_of_its_own(model):
    tokenizers = pytest.importorskip("tokenizers")

    def of_words(words: list[str]) -> Any:
        tokenizer = tokenizers.Tokenizer(
            tokenizers.models.WordLevel({w: i for i, w in enumerate(words)}, unk_token="0")
        )
        tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
        return transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="0")

    words = [str(i) for i in range(60)]
    # Long, since transformers leaves drafts that it gave up in the text that the draft model reads.
    sizes = {"vocab_size": 62, "n_positions": 1024}
    other = transformers.GPT2Config(**{**model.config.to_dict(), **sizes})
    torch.manual_seed(0)
    drafting = {
        "assistant_model": transformers.GPT2LMHeadModel(other).eval(),
        "tokenizer": of_words(words),
        "assistant_tokenizer": of_words([*words[::-1], "x", "y"]),
    }
    sampler = ls.Sampler(ls.PresencePenalty(3.0), ls.Temperature(0.8))
    for draw in (False, True):
        entry = sampler.for_transformers(draw=draw, seed=11)
        plain = run(model, REPEATING, entry, do_sample=False)
        assert run(model, REPEATING, entry, do_sample=False, **drafting) == plain


def test_the_mask_that_the_model_gets(model):
    # 0 pads, begins each prompt, and occurs within one.
    prompts = [[0, 7, 9], [0, 30, 0, 1, 4], [0, 20]]
    ids = torch.tensor([[0] * (5 - len(prompt)) + prompt for prompt in prompts])
    mask = torch.tensor([[0] * (5 - len(prompt)) + [1] * len(prompt) for prompt in prompts])
    sampler = CHAINS[2]
    entry = sampler.for_transformers(attention_mask=mask, draw=True, seed=11, eos_token_id=END)
    out = model.generate(
        input_ids=ids, attention_mask=mask, logits_processor=[entry], max_new_tokens=15
    )[:, 5:].tolist()
    written = [row[: row.index(END) + 1] if END in row else row for row in out]
    assert written == ours(model, prompts, sampler)
    eaten = sampler.for_transformers(pad_token_id=0, draw=True, seed=11, eos_token_id=END)
    with pytest.raises(ValueError, match="every prompt begins with the pad token 0"):
        model.generate(
            input_ids=ids, attention_mask=mask, logits_processor=[eaten], max_new_tokens=1
        )
    # Two texts of each prompt.
    many = sampler.for_transformers(attention_mask=mask, draw=True, seed=11, eos_token_id=END)
    again = model.generate(
        input_ids=ids,
        attention_mask=mask,
        logits_processor=[many],
        max_new_tokens=3,
        do_sample=True,
        num_return_sequences=2,
    )
    assert again.shape == (6, 8) and again[0, 5:].tolist() == out[0][:3]


def test_a_row_with_nothing_left(model):
    nothing = ls.Sampler(ls.SuppressTokens([5]), ls.AllowTokens([5]))
    for draw in (False, True):
        with pytest.raises(ValueError, match="every token of row 0 is at -inf"):
            run(model, PROMPTS, nothing.for_transformers(draw=draw), do_sample=False)


@dataclass(frozen=True)
class NoPadding(ls.Transform):
    """Accepts every token but what fills up a row."""

    def apply(self, logits: Any, state: Any) -> Any:
        return logits

    def update(self, state: Any, ids: Any) -> Any:
        if PAD in ids:
            raise ValueError("padding")
        return state


def test_nothing_raises_behind_the_end():
    # A second token is forbidden, but the row has ended by then.
    once = ls.Sampler(NoPadding(), ls.ForcedTokens({0: END}), ls.NoRepeatNGram(1))
    entry = once.for_transformers(eos_token_id=END, seed=1)
    scores = torch.full((1, 4), -np.inf)
    scores[0, END] = 0.0
    assert entry(torch.tensor([[1]]), scores).tolist() == [[-np.inf] * 3 + [0.0]]
    assert entry(torch.tensor([[1, END]]), scores).tolist() == scores.tolist()
    assert entry(torch.tensor([[1, END, PAD]]), scores).tolist() == scores.tolist()
    unaware = once.for_transformers(seed=1)
    unaware(torch.tensor([[1]]), scores)
    with pytest.raises(ValueError, match="every token of row 0"):
        unaware(torch.tensor([[1, END]]), scores)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"eos_token_id": "end"}, "eos_token_id"),
        ({"seed": [1, 2]}, "seed has 2 values for 3 rows"),
        ({"seed": 1.5}, "seed must be an integer"),
    ],
    ids=str,
)
def test_refusals(model, settings, message):
    with pytest.raises(ValueError, match=message):
        run(model, PROMPTS, ls.Sampler().for_transformers(**settings), do_sample=True)
