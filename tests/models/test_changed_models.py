"""A model is generated with and scored as it is, whatever was done to it since the last call."""

import gc
import threading
import time
import weakref
from typing import Any

import numpy as np
import pytest

import logit_sampling as ls
from logit_sampling.distribution.arrays import to_numpy
from logit_sampling.models import remembered
from logit_sampling.models.keras_hub import LanguageModel
from tests.backends import compiled_only


def small() -> Any:
    import keras

    keras.utils.set_random_seed(0)
    head = keras.layers.Dense(10, name="head")
    return keras.Sequential(
        [keras.Input((None,), dtype="int32"), keras.layers.Embedding(10, 8), head]
    )


def expected(model: Any) -> list[int]:
    ids = [1]
    for _ in range(6):
        ids.append(int(np.argmax(to_numpy(model(np.array([ids])))[0, -1])))
    return ids[1:]


def written(model: Any) -> list[int]:
    return ls.generate(model, [[1]], sampler=ls.Greedy(), max_new_tokens=6).token_ids[0]


def add_lora(model: Any) -> None:
    head, rng = model.get_layer("head"), np.random.default_rng(0)
    head.enable_lora(2)
    for weights in (head.lora_kernel_a, head.lora_kernel_b):
        weights.assign(3 * rng.normal(size=weights.shape))


def replace_head(model: Any) -> None:
    import keras

    model.pop()
    model.add(keras.layers.Dense(10))


def add_layer(model: Any) -> None:
    import keras

    model.add(keras.layers.Rescaling(-1.0))


def new_activation(model: Any) -> None:
    model.get_layer("head").activation = lambda x: -x


def new_weights(model: Any) -> None:
    model.set_weights([-w for w in model.get_weights()[:1]] + model.get_weights()[1:])


def new_call(model: Any) -> None:
    head = model.get_layer("head")
    before = head.call
    head.call = lambda inputs, training=None: -before(inputs)


CHANGES = [add_lora, replace_head, add_layer, new_activation, new_weights, new_call]


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_keras_model_is_seen(change: Any) -> None:
    model = small()
    before, attributes = written(model), {*vars(model)}
    scored = ls.score(model, [[1, 2, 3, 4]]).totals
    assert before == expected(model) and {*vars(model)} == attributes
    change(model)
    assert written(model) == expected(model) != before
    assert ls.score(model, [[1, 2, 3, 4]]).totals != scored


def test_an_activation_that_took_the_place_of_another() -> None:
    model = small()
    for sign in (1.0, -1.0, 1.0, -1.0):  # each function may get the address of the one before
        model.get_layer("head").activation = lambda x, sign=sign: sign * x
        assert written(model) == expected(model)
        gc.collect()


@compiled_only
def test_nothing_is_compiled_again_for_a_model_that_is_the_same(tiny_gpt2: Any) -> None:
    import keras

    model, calls = small(), []
    model.add(keras.layers.Lambda(lambda x: calls.append(x) or x))
    written(model)
    traced = len(calls)
    written(model)
    ls.score(model, [[1, 2]])
    assert len(calls) == traced
    wrapped = LanguageModel(tiny_gpt2)
    ls.generate(tiny_gpt2, "a", max_new_tokens=2, seed=0)
    graphs = wrapped.traces
    ls.generate(tiny_gpt2, "b", max_new_tokens=2, seed=0)
    tiny_gpt2(tiny_gpt2.preprocessor.generate_preprocess(["a"]))
    ls.generate(wrapped, "b", max_new_tokens=2, seed=0)
    assert wrapped.traces == graphs


def test_a_model_is_not_kept_alive() -> None:
    model = small()
    written(model)
    gone = weakref.ref(model)
    del model
    gc.collect()
    assert gone() is None


def test_another_preprocessor_is_seen(tiny_gpt2: Any) -> None:
    import keras_hub

    model, own = LanguageModel(tiny_gpt2), tiny_gpt2.preprocessor
    options: dict[str, Any] = {"sampler": ls.Greedy(), "max_new_tokens": 1, "echo": True}
    assert ls.generate(model, "the cat", **options).prompt_ids[0][0] == 260
    try:
        tiny_gpt2.preprocessor = keras_hub.models.GPT2CausalLMPreprocessor(
            own.tokenizer, sequence_length=48, add_start_token=False
        )
        assert ls.generate(model, "the cat", **options).prompt_ids[0][0] != 260
        assert ls.generate(tiny_gpt2, "the cat", **options).prompt_ids[0][0] != 260
    finally:
        tiny_gpt2.preprocessor = own


def test_an_attribute_that_a_layer_sets_when_it_is_first_called() -> None:
    """GRU layers set a dropout mask, None in inference: that is no change."""
    import keras

    model = keras.Sequential(
        [
            keras.Input((None,), dtype="int32"),
            keras.layers.Embedding(10, 8),
            keras.layers.GRU(8, return_sequences=True, dropout=0.5, recurrent_dropout=0.5),
            keras.layers.Dense(10),
        ]
    )
    written(model)
    traced = ls.as_model(model).traces  # type: ignore[attr-defined]
    written(model)
    assert ls.as_model(model).traces == traced == 1  # type: ignore[attr-defined]


def test_threads_that_begin_at_once_compile_once(
    tiny_llama: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    made, model = list[Any](), LanguageModel(tiny_llama)
    steps = LanguageModel._steps

    def slowly(self: LanguageModel) -> Any:
        made.append(threading.current_thread())
        time.sleep(0.05)  # so that all threads come to it
        return steps(self)

    monkeypatch.setattr(LanguageModel, "_steps", slowly)
    monkeypatch.delitem(remembered._MADE, tiny_llama, raising=False)
    found: list[Any] = []
    threads = [threading.Thread(target=lambda: found.append(model._stepper())) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(made) == 1
    assert found == [model._stepper()] * 4
