"""Every cache against the model without one: ragged rows, tokens taken back, rows moved about."""

from typing import Any

import keras
import keras_hub
import numpy as np
import pytest

from logit_sampling.distribution.arrays import to_numpy
from logit_sampling.models import key_value_cache as kvc
from logit_sampling.models.function import CallableModel
from logit_sampling.models.keras_hub import LanguageModel
from logit_sampling.models.row_caches import RowSteps
from logit_sampling.models.steps import Steps

VOCABULARY = 60
SIZES = {"vocabulary_size": VOCABULARY, "num_layers": 2, "hidden_dim": 16, "intermediate_dim": 24}
GROUPED = {"num_query_heads": 4, "num_key_value_heads": 2}
GEMMA = {**GROUPED, "head_dim": 8, "use_sliding_window_attention": True, "sliding_window_size": 5}

IN_PLACE = {
    "GPT2": {"num_heads": 2, "max_sequence_length": 64},
    "OPT": {"num_heads": 2, "max_sequence_length": 64},
    "Llama": GROUPED,
    "Mistral": {**GROUPED, "sliding_window": 5},
    "Gemma": {**GEMMA, "attention_logit_soft_cap": 2.0, "final_logit_soft_cap": 5.0},
    "Gemma3": {**GEMMA, "image_size": None, "num_layers": 6},
    "Qwen": GROUPED,
    "Qwen3": {**GROUPED, "head_dim": 8, "sliding_window_size": None},
}
TRACES = {"tensorflow": (1, 1), "jax": (8, 6), "torch": (6, 7)}
"""How many sizes `exercise` is compiled for, in place and row by row."""

ROW_BY_ROW = {
    "Bloom": {"num_heads": 2},
    "Falcon": {"num_attention_heads": 2},
    "Phi3": GROUPED,
}


def built(name: str, sizes: dict[str, Any], dtype: str = "float32") -> Any:
    backbone = getattr(keras_hub.models, f"{name}Backbone")(**{**SIZES, **sizes}, dtype=dtype)
    rng = np.random.default_rng(0)
    for variable in backbone.trainable_variables:
        if len(variable.shape) > 1:
            variable.assign(rng.normal(0, 0.3, variable.shape))
    return getattr(keras_hub.models, f"{name}CausalLM")(backbone=backbone, preprocessor=None)


class Texts:
    """What the rows of a cache should hold, and what a plain call says of them."""

    def __init__(self, causal_lm: Any, rows: list[list[int]]) -> None:
        self.causal_lm, self.rows = causal_lm, rows

    def check(self, output: Any, atol: float) -> None:
        columns = output.logits.shape[1]
        assert output.logits.dtype == output.hidden.dtype == np.float32
        # What follows a text changes nothing in it: one call, of one length, does for all of them.
        ids = np.zeros((len(self.rows), 64), np.int32)
        for own, row in zip(ids, self.rows, strict=True):
            own[: len(row)] = row
        whole = self.causal_lm({"token_ids": ids, "padding_mask": np.ones_like(ids)})
        whole = to_numpy(whole).astype(np.float32)
        for logits, plain, row in zip(output.logits, whole, self.rows, strict=True):
            plain = plain[len(row) - columns : len(row)]
            np.testing.assert_allclose(logits, plain, atol=atol)
            assert np.ptp(plain) > 0.5  # a model that tells tokens apart


def exercise(causal_lm: Any, model: Any, atol: float = 5e-5) -> None:
    """Compare a cache with plain calls while its rows grow, shrink and move."""
    rng = np.random.default_rng(1)
    texts = Texts(causal_lm, [rng.integers(0, VOCABULARY, n).tolist() for n in (9, 2, 9, 5)])
    output, cache = model.prefill(texts.rows)
    texts.check(output, atol)
    for columns, drop, select in [
        (1, None, None),
        (3, [0, 3, 1, 2], None),  # speculation: each row loses what it likes
        (1, None, [2, 2, 0, 1, 3]),
        (4, [4, 0, 2, 2, 1], [4, 1]),
        (30, None, None),  # more than there is room for
        (1, None, None),
    ]:
        ids = rng.integers(0, VOCABULARY, (len(texts.rows), columns))
        texts.rows = [row + new.tolist() for row, new in zip(texts.rows, ids, strict=True)]
        texts.check(cache.append(ids), atol)
        if drop:
            cache.drop(np.array(drop))
            texts.rows = [row[: len(row) - n] for row, n in zip(texts.rows, drop, strict=True)]
        if select:
            cache = cache.select(select)
            texts.rows = [list(texts.rows[i]) for i in select]
        assert cache.lengths.tolist() == [len(row) for row in texts.rows]


@pytest.mark.parametrize("name", IN_PLACE)
def test_in_place(name: str) -> None:
    causal_lm = built(name, IN_PLACE[name])
    model = LanguageModel(causal_lm)
    assert isinstance(model._stepper(), Steps)
    exercise(causal_lm, model)
    assert model.traces == TRACES[keras.config.backend()][0]
    exercise(causal_lm, model)
    assert model.traces == TRACES[keras.config.backend()][0]


@pytest.mark.parametrize("name", ROW_BY_ROW)
def test_row_by_row(name: str) -> None:
    causal_lm = built(name, ROW_BY_ROW[name])
    model = LanguageModel(causal_lm)
    assert isinstance(model._stepper(), RowSteps)
    exercise(causal_lm, model)
    assert model.traces == TRACES[keras.config.backend()][1]


@pytest.mark.parametrize("name", ["Mistral", "Bloom"])
def test_rows_come_and_go(name: str) -> None:
    """A row that leaves gives its slot to one that joins; a copy of some goes its own way."""
    causal_lm, rng = built(name, {**ROW_BY_ROW, **IN_PLACE}[name]), np.random.default_rng(4)
    model, texts = LanguageModel(causal_lm), Texts(causal_lm, [[1, 2, 3, 4], [5], [6, 7, 8]])
    cache = model.prefill(texts.rows)[1]

    def grow(texts: Texts, cache: Any) -> None:
        ids = rng.integers(0, VOCABULARY, (len(texts.rows), 1))
        texts.rows = [row + new.tolist() for row, new in zip(texts.rows, ids, strict=True)]
        texts.check(cache.append(ids), 5e-5)
        assert cache.lengths.tolist() == [len(row) for row in texts.rows]

    for select, join in [
        ([2, 0], [4]),  # one leaves, and another one gets its slot
        (None, [4, 1]),  # more than there are slots for
        ([4, 1, 2, 3, 1], None),  # one leaves, and one is there twice
        (None, [35]),  # longer than there are columns
        ([3], None),
    ]:
        if select:
            cache, texts.rows = cache.select(select), [list(texts.rows[i]) for i in select]
        if join:
            more = Texts(causal_lm, [rng.integers(0, VOCABULARY, n).tolist() for n in join])
            output, other = model.prefill(more.rows)
            more.check(output, 5e-5)
            cache, texts.rows = cache.join(other), texts.rows + more.rows
        copied, copy = Texts(causal_lm, [list(texts.rows[-1])]), cache.copy([-1])
        grow(texts, cache)
    grow(copied, copy)
    grow(texts, cache)


def test_a_cache_that_is_wrong_is_not_used() -> None:
    causal_lm = built("GPTNeoX", {"num_heads": 2})  # of KerasHub 0.32: forgets the position
    model = LanguageModel(causal_lm)
    with pytest.warns(UserWarning, match=r"with its cache .* by up to \d\.\d+ from"):
        assert isinstance(model._stepper(), CallableModel)
    output, cache = model.prefill([[1, 2], [3]])
    logits = cache.append(np.array([[4, 5], [6, 7]])).logits
    plain = to_numpy(
        causal_lm({"token_ids": np.array([[1, 2, 4, 5]]), "padding_mask": np.ones((1, 4))})
    )
    np.testing.assert_allclose(output.logits[0, 0], plain[0, 1], atol=5e-5)
    np.testing.assert_allclose(logits[0], plain[0, 2:], atol=5e-5)


def test_a_function() -> None:
    causal_lm = built("GPT2", IN_PLACE["GPT2"])

    def function(ids: np.ndarray) -> tuple[Any, Any]:
        inputs = {"token_ids": ids, "padding_mask": np.ones_like(ids)}
        return causal_lm(inputs), causal_lm.backbone(inputs)

    exercise(causal_lm, CallableModel(function))


def test_hidden_states_are_those_before_the_vocabulary() -> None:
    causal_lm = built("GPT2", IN_PLACE["GPT2"])
    output, cache = LanguageModel(causal_lm).prefill([[1, 2, 3]])
    ids = np.array([[1, 2, 3, 4, 5]])
    plain = to_numpy(causal_lm.backbone({"token_ids": ids, "padding_mask": np.ones_like(ids)}))
    np.testing.assert_allclose(output.hidden[0], plain[0, 2:3], atol=1e-5)
    np.testing.assert_allclose(cache.append(ids[:, 3:]).hidden[0], plain[0, 3:], atol=1e-5)


def test_half_precision() -> None:
    exercise(causal_lm := built("Llama", GROUPED, "bfloat16"), LanguageModel(causal_lm), atol=0.3)


def test_a_long_prompt_is_read_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kvc, "_TOKENS", 6)
    exercise(causal_lm := built("GPT2", IN_PLACE["GPT2"]), LanguageModel(causal_lm))


def test_caches_of_unlike_room_are_joined() -> None:
    causal_lm = built("GPT2", IN_PLACE["GPT2"])
    texts = Texts(causal_lm, [[1, 2], list(range(40)), [5]])
    output, cache = LanguageModel(causal_lm).prefill(texts.rows)
    texts.check(output, 5e-5)
    texts.rows = [[*row, 7] for row in texts.rows]
    texts.check(cache.append(np.full((3, 1), 7)), 5e-5)


def test_gaps_are_closed_before_a_cache_grows(monkeypatch: pytest.MonkeyPatch) -> None:
    closed, close = [], kvc.KeyValueCache._close_gaps
    monkeypatch.setattr(
        kvc.KeyValueCache, "_close_gaps", lambda self: closed.append(1) or close(self)
    )
    causal_lm, rng = built("GPT2", IN_PLACE["GPT2"]), np.random.default_rng(2)
    texts = Texts(causal_lm, [[1, 2], [3, 4]])
    _, cache = LanguageModel(causal_lm).prefill(texts.rows)
    room = cache.positions.shape[1]
    for turn in range(room * 5 // 4):  # each turn leaves a gap in one of the rows
        ids = rng.integers(0, VOCABULARY, (2, 2))
        output = cache.append(ids)
        texts.rows = [row + new.tolist() for row, new in zip(texts.rows, ids, strict=True)]
        if turn % 10 == 9:
            texts.check(output, 5e-5)
        drop = np.array([2 - turn % 2, 1 + turn % 2])
        cache.drop(drop)
        texts.rows = [row[: len(row) - n] for row, n in zip(texts.rows, drop, strict=True)]
    assert cache.positions.shape[1] == room
    assert closed


def address(array: Any) -> int:
    """Where in memory the numbers of an array begin."""
    if keras.config.backend() == "jax":
        return array.unsafe_buffer_pointer()
    if keras.config.backend() == "torch":
        return array.data_ptr()
    return np.asarray(memoryview(array)).ctypes.data


def test_a_step_writes_into_the_memory_of_its_arrays() -> None:
    _, cache = LanguageModel(built("GPT2", IN_PLACE["GPT2"])).prefill([[1, 2], [3, 4]])
    cache.append(np.array([[5], [6]]))  # the first of a size may lay them out anew
    addresses = [address(array) for array in cache.keys + cache.values]
    before = [np.array(to_numpy(array)) for array in cache.keys + cache.values]
    cache.append(np.array([[7], [8]]))
    assert [address(array) for array in cache.keys + cache.values] == addresses
    for array, old in zip(cache.keys + cache.values, before, strict=True):
        changed = np.moveaxis(to_numpy(array) != old, -2, 0)
        assert [i for i, column in enumerate(changed) if column.any()] == [3]
        assert changed[3].all()


def test_a_prefill_reads_each_prompt_once_and_those_of_similar_lengths_together() -> None:
    steps = LanguageModel(built("GPT2", IN_PLACE["GPT2"]))._stepper()
    compiled, read = steps.compiled, []

    def counting(tokens_and_places: Any, seen: Any, *rest: Any) -> Any:
        read.append(tokens_and_places[0].reshape(len(seen), -1).tolist())
        return compiled(tokens_and_places, seen, *rest)

    steps.compiled = counting
    long = [1 + i % 9 for i in range(40)]
    steps.prefill([[1, 2, 3], long, [4], [5, 6, 7]])
    if steps.sizes.few:  # filled up to a power of two
        assert read == [[[4]], [[1, 2, 3, 0], [5, 6, 7, 0]], [[*long, *[0] * 24]]]
    else:
        assert read == [[[4, 0, 0], [1, 2, 3], [5, 6, 7]], [long]]


@pytest.mark.parametrize("wrong", ["a stale column", "an unmasked gap"])
def test_the_checks_see_a_fault(monkeypatch: pytest.MonkeyPatch, wrong: str) -> None:
    causal_lm = built("GPT2", IN_PLACE["GPT2"])
    if wrong == "a stale column":
        monkeypatch.setattr(kvc.KeyValueCache, "drop", lambda self, counts: None)
    else:
        monkeypatch.setattr(
            kvc.KeyValueCache,
            "lengths",
            property(lambda self: np.full(len(self.slots), self.column)),
        )
    with pytest.raises(AssertionError):
        exercise(causal_lm, LanguageModel(causal_lm))


def test_a_quantised_model() -> None:
    causal_lm = built("GPT2", IN_PLACE["GPT2"])
    model = LanguageModel(causal_lm)
    exercise(causal_lm, model)
    causal_lm.quantize("int8")
    exercise(causal_lm, model, atol=0.5)  # its numbers depend on the rows beside them


def test_an_adapted_model() -> None:
    causal_lm = built("Llama", GROUPED)
    model = LanguageModel(causal_lm)
    exercise(causal_lm, model)
    causal_lm.backbone.enable_lora(2)
    for variable in causal_lm.backbone.trainable_variables:
        if "lora" in variable.path:
            variable.assign(0.3 * np.ones(variable.shape))
    exercise(causal_lm, model)
