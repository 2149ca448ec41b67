"""The private parts of KerasHub: they are as expected, and nothing on them stays changed."""

import threading
from typing import Any

import keras
import numpy as np
import pytest

from logit_sampling.distribution.arrays import to_numpy
from logit_sampling.models import keras_hub, keras_hub_bridge
from logit_sampling.models.keras_hub import LanguageModel
from logit_sampling.models.row_caches import RowSteps
from tests.backends import tensorflow_only
from tests.models.test_caches import IN_PLACE, built, exercise


def changed(model: Any) -> list[str]:
    layers = keras_hub_bridge.layers_of(model.backbone)
    return [name for x in layers for name in vars(x) if name in ("call", "_compute_vllm_attention")]


def test_this_release_is_known_and_as_expected() -> None:
    """A release that fails here: run the tests of the caches with it, then widen `SUPPORTED`."""
    assert keras_hub_bridge.trouble() is None


@pytest.mark.parametrize("name", IN_PLACE)
def test_attention_layers_hand_on(name: str) -> None:
    model = built(name, IN_PLACE[name])
    assert keras_hub_bridge.hands_on(model)
    layers = keras_hub_bridge.layers_of(model.backbone)
    attending = next(layer for layer in layers if hasattr(layer, "_compute_vllm_attention"))
    vars(attending)["_compute_vllm_attention"] = lambda *given: None  # which calls something else
    assert not keras_hub_bridge.hands_on(model)


def test_layers_are_as_they_were_once_a_model_is_traced() -> None:
    model = built("GPT2", IN_PLACE["GPT2"])
    LanguageModel(model).prefill([[1, 2]])
    assert not changed(model)

    def attend(*given: Any, **options: Any) -> None:
        raise KeyError("no attention")

    ids = np.array([[1]], np.int32)
    with (
        pytest.raises(KeyError, match="no attention"),
        keras_hub_bridge.attending_by(attend, model.backbone, np.array([0], np.int32)),
    ):
        model.backbone({"token_ids": ids, "padding_mask": np.ones_like(ids)})
    assert not changed(model)


@tensorflow_only
def test_dense_layers_multiply_matrices() -> None:
    graph = LanguageModel(built("GPT2", IN_PLACE["GPT2"]))._stepper().compiled.concrete.graph
    kinds = {operation.type for operation in graph.get_operations()}
    assert "Einsum" not in kinds and "MatMul" in kinds


def test_other_threads_and_models_see_nothing_of_a_model_that_is_traced() -> None:
    traced, other = (built("GPT2", IN_PLACE["GPT2"]) for _ in range(2))
    ids = np.array([[1, 2, 3]], np.int32)
    inputs = {"token_ids": ids, "padding_mask": np.ones_like(ids)}
    expected = [to_numpy(model(inputs)) for model in (traced, other)]
    einsum, seen = keras.src.ops.einsum, []

    def call() -> None:
        seen.extend(to_numpy(model(inputs)) for model in (traced, other))

    with keras_hub_bridge.attending_by(lambda *given: None, traced.backbone, ids[0]):
        assert keras.src.ops.einsum is einsum
        thread = threading.Thread(target=call)
        thread.start()
        thread.join()
    for found, wanted in zip(seen, expected, strict=True):
        np.testing.assert_allclose(found, wanted, atol=1e-5)


def test_models_traced_at_once_in_threads() -> None:
    models = [LanguageModel(built("GPT2", IN_PLACE["GPT2"])) for _ in range(2)]
    threads = [threading.Thread(target=model._stepper) for model in models for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for model in models:
        exercise(model.causal_lm, model)


@pytest.mark.parametrize("fault", ["version", "arguments", "no such function"])
def test_an_unknown_release_is_warned_about_once(
    monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    from keras_hub.src.vllm import attention

    why = keras_hub_bridge.trouble.__wrapped__
    if fault == "version":
        monkeypatch.setattr(keras_hub_bridge, "SUPPORTED", ((0, 1), (0, 2)))
        message = r"KerasHub is .*known are the releases from 0.1 and below 0.2"
    elif fault == "arguments":
        monkeypatch.setattr(attention, "vllm_paged_attention", lambda query, key: None)
        message = r"takes \(query, key\) in place of \(query, key, value, scale, "
    else:
        monkeypatch.delattr(attention, "vllm_paged_attention")
        message = "cannot import name 'vllm_paged_attention'"
    monkeypatch.setattr(keras_hub, "trouble", why)
    model = LanguageModel(built("GPT2", IN_PLACE["GPT2"]))
    with pytest.warns(UserWarning, match=f"no cache is kept in place.*{message}") as warned:
        exercise(model.causal_lm, model)
    assert len([w for w in warned if "no cache" in str(w.message)]) == 1
    assert isinstance(model._stepper(), RowSteps)
