"""Programs that write several tokens at once: the same texts as a token a step."""

import functools
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import logit_sampling as ls
from logit_sampling.decoding import ahead
from logit_sampling.generation.result import GenerationResult
from logit_sampling.models.keras_hub import LanguageModel
from logit_sampling.strategies.table import TABLE
from tests.backends import compiled_only
from tests.models.test_caches import IN_PLACE, built

VOCABULARY = 37
PROMPTS = [[1, 2, 3], [4], [5, 6, 7, 8, 9], [1, 2, 3]]

pytestmark = compiled_only


@functools.cache
def causal_lm() -> Any:
    import keras_hub

    backbone = keras_hub.models.GPT2Backbone(
        vocabulary_size=VOCABULARY,
        num_layers=1,
        num_heads=2,
        hidden_dim=16,
        intermediate_dim=32,
        max_sequence_length=64,
    )
    made = keras_hub.models.GPT2CausalLM(backbone=backbone, preprocessor=None)
    made.set_weights(random_weights(made, 0))
    return made


def random_weights(of: Any, seed: int) -> list[np.ndarray]:
    """Return weights with which a text does not repeat itself."""
    rng = np.random.default_rng(seed)
    return [rng.normal(0, 0.5, weight.shape) for weight in of.get_weights()]


def model(jit_compile: bool | None) -> Any:
    return ls.as_model(causal_lm(), jit_compile=jit_compile)


def traced_by(call: Callable[[], Any]) -> int:
    """Return how much a call traced."""
    before = model(None).traces
    call()
    return model(None).traces - before


def same(sampler: Any, prompts: Any = PROMPTS, of: Any = None, **options: Any) -> GenerationResult:
    """Return what a program writes, which a token a step writes too."""
    of = of or causal_lm()
    options = {"max_new_tokens": 9, "seed": 5, "stop_at_end": False} | options
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        one, other = (
            ls.generate(ls.as_model(of, jit_compile=way), prompts, sampler=sampler, **options)
            for way in (True, False)
        )
    assert one.token_ids == other.token_ids
    assert one.finish_reasons == other.finish_reasons
    assert one.errors == other.errors
    for ours, theirs in (
        (one.log_probs, other.log_probs),
        (one.sampler_log_probs, other.sampler_log_probs),
    ):
        np.testing.assert_allclose(np.concatenate(ours), np.concatenate(theirs), atol=1e-4)
    return one


def made(*names: str, example: int = 0) -> list[Any]:
    rows = {row.name: row for row in TABLE}
    return [getattr(ls, name)(**rows[name].arguments(example)) for name in names]


CHAINS: dict[str, Any] = {
    "greedy": ls.Greedy(),
    "constraints": made(
        *("SequenceBias", "LogitBias", "BadWords", "MinNewTokens", "LengthDecay"),
        *("AllowTokens", "SuppressTokens", "ForcedTokens", "SpanBudget"),
    ),
    "penalties": made(
        *("RepetitionPenalty", "FrequencyPenalty", "PresencePenalty", "NoRepeatNGram", "DRY"),
        "Watermark",
    ),
    "scaling": made("DynamicTemperature", "Temperature", "Quadratic", "Mirostat"),
    "truncation": made("TopH", "TopNSigma", "MinK", "TopK", "TopP", "MinP"),
    "more truncation": made("Typical", "Epsilon", "Eta", "TopA", "PLess", "XTC", "AdaptiveP"),
}


def test_the_chains_hold_all_that_can_be_traced() -> None:
    held = {type(t).__name__ for chain in CHAINS.values() if type(chain) is list for t in chain}
    assert held == {row.name for row in TABLE} - {"Grammar", "Guidance"}


@pytest.mark.parametrize("name", CHAINS)
def test_a_program_writes_what_a_token_a_step_writes(name: str) -> None:
    chain = CHAINS[name]
    same(chain if name == "greedy" else ls.Sampler(*chain))


@pytest.mark.parametrize("name", ["Mistral", "Gemma"])
def test_sliding_windows_and_soft_caps(name: str) -> None:
    texts = same(ls.Greedy(), of=built(name, IN_PLACE[name])).token_ids
    assert len({token for ids in texts for token in ids}) > 4


def test_other_numbers_prompts_and_seeds_compile_nothing() -> None:
    def chain(*numbers: Any) -> Any:
        penalty, temperature, k, p = numbers
        return ls.Sampler(
            ls.RepetitionPenalty(penalty), ls.Temperature(temperature), ls.TopK(k), ls.TopP(p)
        )

    first = same(chain(1.2, 0.8, 12, 0.95), max_new_tokens=12)
    others = []
    assert traced_by(lambda: others.append(same(chain(1.5, 1.3, 9, 0.7)))) == 0
    assert traced_by(lambda: others.append(same(chain(1.2, 0.8, 16, 0.95), PROMPTS[:3]))) == 0
    assert traced_by(lambda: same(chain(1.2, 0.8, 12, 0.95), [[7] * 8] * 4, seed=9)) == 0
    assert len({str(result.token_ids) for result in (first, *others)}) == 3
    # A number for each row is another program, which all such numbers share.
    rows = chain([1.2, 1.0, 1.5, 1.1], [0.5, 1.0, 2.0, 0.0], [1, 5, 12, 3], 0.9)
    assert traced_by(lambda: same(rows)) > 0
    other = chain([1.0, 1.1, 1.2, 1.3], [1.5, 0.4, 1.0, 0.9], [9, 2, 12, 4], 0.5)
    assert traced_by(lambda: same(other)) == 0


def test_a_window_for_each_of_three_rows() -> None:
    """A program has four: what a row has of its own is repeated, whatever it is."""
    rows = [ls.RepetitionPenalty(9.0, window=[1, 2, 9]), ls.Temperature([0.5, 1.0, 2.0])]
    same(ls.Sampler(*rows), PROMPTS[:3])


def test_rows_that_end_and_rows_that_fail() -> None:
    once = ls.Sampler(ls.AllowTokens([2, 3, 4]), ls.NoRepeatNGram(1))
    result = same(once, [[0], [1], [2, 3, 4]], on_error="return")
    assert [len(ids) for ids in result.token_ids] == [3, 3, 0]
    assert result.finish_reasons == ["error"] * 3
    assert "row 1, new token 3: every token" in str(result.errors)
    with pytest.raises(ls.RowError, match="row 0, new token 3: every token"):
        ls.generate(model(True), [[0]], sampler=once, max_new_tokens=9, seed=5)

    ends = same(ls.Sampler(), stop_at_end=True, stop_token_ids=list(range(0, VOCABULARY, 5)))
    assert "end_token" in ends.finish_reasons
    assert len({len(ids) for ids in ends.token_ids}) > 1


def test_logits_of_one_row_that_hold_nan() -> None:
    other = built("GPT2", IN_PLACE["GPT2"])
    weights = random_weights(other, 0)
    (positions,) = (i for i, weight in enumerate(other.weights) if "position" in weight.path)
    weights[positions][12] = np.nan
    other.set_weights(weights)
    result = same(ls.Greedy(), [[1] * 10, [4]], of=other, on_error="return")
    assert result.finish_reasons == ["error", "length"]
    assert len(result.token_ids[0]) == 3
    assert result.errors is not None
    assert "row 0, new token 3: " in str(result.errors[0]) and "NaN" in str(result.errors[0])


def test_an_adapted_and_quantised_model() -> None:
    other = built("GPT2", IN_PLACE["GPT2"])
    other.set_weights(random_weights(other, 0))
    before = same(ls.Greedy(), of=other).token_ids
    other.backbone.enable_lora(2)
    for weight in other.backbone.trainable_variables:
        if "lora" in weight.path:
            weight.assign(np.random.default_rng(1).normal(0, 0.5, weight.shape))
    other.quantize("int8")
    assert same(ls.Greedy(), of=other).token_ids != before


def test_a_block_ends_where_a_text_does(monkeypatch: pytest.MonkeyPatch) -> None:
    """And the cache grows where it must."""
    monkeypatch.setattr(ahead, "_ROOM", 8)
    long = same(ls.Greedy(), [[1, 2], [3]], max_new_tokens=58)
    assert [len(ids) for ids in long.token_ids] == [58, 58]
    assert same(ls.Greedy(), [[1, 2], [3]], max_new_tokens=33).token_ids == [
        ids[:33] for ids in long.token_ids
    ]


def test_a_chain_is_compiled_once_it_pays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ahead, "PAYS", 15)
    sampler, options = ls.Sampler(ls.TopA(0.3)), {"max_new_tokens": 8, "stop_at_end": False}
    write = functools.partial(ls.generate, causal_lm(), [[1], [2]], **options)
    result = write(sampler=sampler, seed=1)
    assert [traced_by(lambda: write(sampler=sampler, seed=1)) for _ in range(3)] == [0, 2, 0]
    assert write(sampler=sampler, seed=1).token_ids == result.token_ids


def test_what_needs_each_token_goes_a_token_a_step() -> None:
    """Nothing is compiled for who looks at tokens while a text grows, or for code of one's own."""

    class Mine(ls.TopK):
        """A strategy of one's own."""

    asked: list[int] = []

    def never(row: int, ids: list[int]) -> bool:
        return asked.append(len(ids)) is not None

    def write(**options: Any) -> GenerationResult:
        settings = {"sampler": ls.Sampler(ls.TopA(0.2), ls.TopK(3)), "seed": 1} | options
        return ls.generate(model(True), [[1], [2]], max_new_tokens=5, stop_at_end=False, **settings)

    def nothing() -> None:
        write(should_stop=never)
        write(top_log_probs=2)
        write(deadline=60.0)
        write(sampler=ls.Sampler(Mine(3)))
        write(sampler=[ls.Sampler(ls.TopA(0.2)), ls.Sampler(ls.TopK(5), ls.TopA(0.2))])

    assert traced_by(nothing) == 0
    assert asked == [1, 1, 2, 2, 3, 3, 4, 4]


def test_new_weights_count() -> None:
    before, after = same(ls.Greedy()), []
    causal_lm().set_weights(random_weights(causal_lm(), 1))
    assert traced_by(lambda: after.append(same(ls.Greedy()))) == 0
    causal_lm().set_weights(random_weights(causal_lm(), 0))
    assert after[0].token_ids != before.token_ids
    assert same(ls.Greedy()).token_ids == before.token_ids


def test_what_can_be_told() -> None:
    assert isinstance(model(True), LanguageModel)
    assert LanguageModel(causal_lm()).jit_compile is None
    assert ls.as_model(model(True), vocab_size=30).writer.vocab_size == 30
    for wrong in ("xla", 1):
        with pytest.raises(ValueError, match="jit_compile must be True, False or None"):
            ls.as_model(causal_lm(), jit_compile=wrong)
        with pytest.raises(ValueError, match="jit_compile must be True, False or None"):
            ls.load_model("shakespeare", jit_compile=wrong)
    with pytest.raises(ValueError, match="only a KerasHub model is compiled with its sampler"):
        ls.as_model(lambda ids: np.zeros((*ids.shape, 5)), jit_compile=True)
