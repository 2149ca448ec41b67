"""Perplexity and bits per character: every token counts once, padding does not."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import logit_sampling as ls
from logit_sampling.training import characters_per_token, learn_tokenizer

RNG = np.random.default_rng(0)
LOGITS = RNG.normal(size=(3, 6, 5)).astype(np.float32) * 2
TOKENS = RNG.integers(1, 5, (3, 6))
TOKENS[1, 2:] = TOKENS[2, 5:] = 0  # rows of 6, 2 and 5 tokens
REAL = TOKENS != 0
LENGTHS = np.array([9, 1, 2, 3, 0])
NATS = -np.take_along_axis(
    LOGITS.astype(np.float64) - np.log(np.exp(LOGITS.astype(np.float64)).sum(-1, keepdims=True)),
    TOKENS[..., None],
    -1,
)[..., 0]
PERPLEXITY = np.exp(NATS[REAL].mean())
BITS = NATS[REAL].sum() / np.log(2) / LENGTHS[TOKENS[REAL]].sum()
SOFTMAX = np.exp(LOGITS) / np.exp(LOGITS).sum(-1, keepdims=True)


def masked() -> Any:
    """The logits as a layer gives them, with a mask."""
    return keras.layers.Masking()(np.where(REAL[..., None], LOGITS, 0.0).astype(np.float32))


def test_no_other_mean_gives_these_numbers() -> None:
    rows = [NATS[i][REAL[i]].mean() for i in range(3)]
    for other in (np.exp(np.mean(rows)), np.mean(np.exp(rows)), np.exp(NATS.mean())):
        assert abs(PERPLEXITY - other) > 0.1


BOTH = [(ls.Perplexity, PERPLEXITY), (lambda **k: ls.BitsPerCharacter(LENGTHS, **k), BITS)]


@pytest.mark.parametrize(("make", "expected"), BOTH)
def test_padding_by_label_weight_or_mask(make: Any, expected: float) -> None:
    by_label = make(ignore_class=0)
    by_label.update_state(TOKENS, LOGITS)
    by_weight = make()
    by_weight.update_state(TOKENS, LOGITS, REAL)
    by_mask = make()
    by_mask.update_state(TOKENS, masked())
    of_probabilities = make(from_logits=False, ignore_class=0)
    of_probabilities.update_state(TOKENS, SOFTMAX)
    in_batches = make(ignore_class=0)
    for rows in (slice(0, 1), slice(1, 3)):
        in_batches.update_state(TOKENS[rows], LOGITS[rows])
    for metric in (by_label, by_weight, by_mask, of_probabilities, in_batches):
        assert float(metric.result()) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("weights", [np.array([1.0, 0.0, 3.0]), np.array([[1.0], [0.0], [3.0]])])
def test_a_weight_for_each_row(weights: np.ndarray) -> None:
    metric = ls.Perplexity()
    metric.update_state(TOKENS, LOGITS, weights)
    spread = np.repeat(weights.reshape(3, 1), 6, 1)
    assert float(metric.result()) == pytest.approx(
        np.exp((NATS * spread).sum() / spread.sum()), 1e-5
    )


def test_padding_may_hold_anything() -> None:
    spoiled = np.where(REAL[..., None], LOGITS, np.nan)
    metric = ls.Perplexity(ignore_class=-100)
    metric.update_state(np.where(REAL, TOKENS, -100), spoiled)
    assert float(metric.result()) == pytest.approx(PERPLEXITY, rel=1e-5)


def test_what_the_docs_say_of_keras_hub() -> None:
    import keras_hub

    def theirs(y_pred: Any, weights: Any = None, **settings: Any) -> float:
        metric = keras_hub.metrics.Perplexity(from_logits=True, **settings)
        metric.update_state(TOKENS, y_pred, weights)
        return float(metric.result())

    assert theirs(LOGITS, mask_token_id=0) == pytest.approx(PERPLEXITY, rel=1e-5)
    assert theirs(LOGITS, REAL) == pytest.approx(PERPLEXITY, rel=1e-5)
    assert abs(theirs(masked()) - PERPLEXITY) > 1
    assert theirs(LOGITS, np.ones((3, 1))) > 100 * np.exp(NATS.mean())


def test_nothing_yet_is_nan_and_reset_forgets() -> None:
    metric = ls.Perplexity()
    assert np.isnan(float(metric.result()))
    metric.update_state(TOKENS, LOGITS)
    metric.reset_state()
    metric.update_state(TOKENS, LOGITS, REAL)
    assert float(metric.result()) == pytest.approx(PERPLEXITY, rel=1e-5)


def test_one_label_a_row() -> None:
    for labels in (TOKENS[:, 0], TOKENS[:, :1]):
        metric = ls.Perplexity()
        metric.update_state(labels, LOGITS[:, 0])
        assert float(metric.result()) == pytest.approx(np.exp(NATS[:, 0].mean()), rel=1e-5)


@pytest.mark.parametrize("settings", [{}, {"jit_compile": True}])
def test_in_a_model(settings: dict) -> None:
    if settings and keras.config.backend() == "torch":
        pytest.skip("torch.compile takes a minute")
    x = keras.Input((6, 5))
    model = keras.Model(x, keras.layers.Activation("linear")(x))
    model.compile(
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=[ls.Perplexity(ignore_class=0)],
        weighted_metrics=[ls.BitsPerCharacter(LENGTHS)],
        **settings,
    )
    weights = REAL.astype(np.float32)
    logs = model.evaluate(
        LOGITS, TOKENS, sample_weight=weights, batch_size=2, verbose=0, return_dict=True
    )
    assert logs["perplexity"] == pytest.approx(PERPLEXITY, rel=1e-5)
    assert logs["bits_per_character"] == pytest.approx(BITS, rel=1e-5)


@pytest.mark.parametrize("settings", [{}, {"run_eagerly": True}])
def test_a_mask_in_a_model(settings: dict) -> None:
    x = keras.Input((6, 5))
    model = keras.Model(x, keras.layers.Activation("linear")(keras.layers.Masking()(x)))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(loss=loss, metrics=[ls.Perplexity(), ls.BitsPerCharacter(LENGTHS)], **settings)
    x = np.where(REAL[..., None], LOGITS, 0)
    logs = model.evaluate(x, TOKENS, batch_size=2, verbose=0, return_dict=True)
    assert logs["perplexity"] == pytest.approx(PERPLEXITY, rel=1e-5)
    assert logs["bits_per_character"] == pytest.approx(BITS, rel=1e-5)


def test_the_configuration_makes_an_equal_metric() -> None:
    for metric in (
        ls.Perplexity(from_logits=False, ignore_class=3, name="p"),
        ls.BitsPerCharacter(LENGTHS, ignore_class=1),
    ):
        again = type(metric).from_config(metric.get_config())
        assert again.get_config() == metric.get_config()


def test_a_model_that_has_them_is_saved_loaded_and_cloned(tmp_path: Path) -> None:
    model = keras.Sequential([keras.Input((6, 5)), keras.layers.Dense(5)])
    metrics = [ls.Perplexity(ignore_class=0), ls.BitsPerCharacter(LENGTHS)]
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(True), metrics=metrics)
    model.evaluate(LOGITS, TOKENS, verbose=0)
    expected = model.evaluate(LOGITS, TOKENS, verbose=0)
    model.save(tmp_path / "model.keras")
    for again in (
        keras.models.load_model(tmp_path / "model.keras"),
        keras.models.clone_model(model),
    ):
        again.set_weights(model.get_weights())
        found = again.evaluate(LOGITS, TOKENS, verbose=0)
        assert found == pytest.approx(expected, rel=1e-5)


def test_the_characters_of_the_tokens_of_a_text_are_those_of_the_text() -> None:
    text = "Grüße, «Wörld»! \x00\x7f 你好 🎉\n" + "the cat and the dog " * 9 + "<|endoftext|>"
    tokenizer = learn_tokenizer(text, 290)
    characters = characters_per_token(tokenizer)
    assert characters.shape == (tokenizer.vocabulary_size(),)
    assert characters[np.asarray(tokenizer(text))].sum() == len(text)
    assert set(characters) > {0, 1, 2}
