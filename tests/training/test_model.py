import keras
import numpy as np
import pytest
from keras.ops import convert_to_numpy

from logit_sampling.models.keras_hub_bridge import dropout_of_outputs_alone
from logit_sampling.training import Recipe, sum_loss
from logit_sampling.training.model import build_model, build_optimizer, count_parameters


def log_probability(model, ids):
    """ln p of the last of `ids` after the others, in float64, from the model's logits."""
    x = np.asarray(ids[:-1], np.int32)[None]
    inputs = {"token_ids": x, "padding_mask": np.ones_like(x)}
    logits = keras.Model.predict_on_batch(model, inputs)[0, -1].astype(np.float64)
    return logits[ids[-1]] - logits.max() - np.log(np.exp(logits - logits.max()).sum())


@pytest.mark.parametrize(("first", "length"), [(1, 40), (3, 9), (8, 30), (17, 34), (5, 6)])
def test_each_token_is_scored_once_with_the_context_that_the_window_gives(first, length):
    recipe = Recipe(context=8, layers=1, heads=1, width=16)
    model = build_model(recipe, 20)
    for weights in model.trainable_variables:  # the small initial weights would hide a shift
        weights.assign(8 * weights)
    ids = np.random.default_rng(0).integers(0, 20, length).astype(np.int32)
    expected = 0.0
    for position in range(first, length):
        end = min(first + 4 * ((position - first) // 4 + 1), length)
        start = max(0, end - 9)
        expected -= log_probability(model, ids[start : position + 1])
    assert sum_loss(model, ids, first, 8) == pytest.approx(expected, rel=1e-5)


def test_the_default_model_has_at_most_four_million_parameters():
    recipe = Recipe()
    model = build_model(recipe, recipe.vocabulary_size)
    # Per layer queries and output, keys and values of half as many heads, three biases, three
    # matrices of the feed-forward part, 704 wide, and two norms.
    block = 3 * recipe.width**2 + 2 * recipe.width + 3 * 704 * recipe.width + 2 * recipe.width
    embeddings = recipe.vocabulary_size * recipe.width
    assert model.count_params() == recipe.layers * block + embeddings + recipe.width
    assert model.count_params() <= 4_000_000


@pytest.mark.parametrize(("heads", "width"), [(1, 16), (2, 16), (3, 48), (4, 256)])
def test_the_parameters_are_counted_without_a_model(heads, width):
    recipe = Recipe(context=8, layers=2, heads=heads, width=width)
    assert build_model(recipe, 20).count_params() == count_parameters(recipe, 20)


def test_dropout_is_of_both_outputs_of_a_block_and_of_no_attention_weight():
    model = build_model(Recipe(context=8, layers=1, heads=1, width=16, dropout=0.5), 20)
    (block,) = model.backbone.transformer_layers
    dropout_of_outputs_alone(block)
    assert block._self_attention_layer._dropout_layer.rate == 0
    last, x = block._feedforward_output_dense, np.ones((1, 50, block.intermediate_dim), np.float32)
    for training, dropped in ((True, 0.5), (False, 0.0)):
        share = (convert_to_numpy(last(x, training=training)) == 0).mean()
        assert share == pytest.approx(dropped, abs=0.1)


def test_dropout_changes_training_and_not_inference():
    recipe = Recipe(context=8, layers=1, heads=1, width=16)
    model = build_model(recipe, 20)
    x = np.arange(8, dtype=np.int32)[None]
    inputs = {"token_ids": x, "padding_mask": np.ones_like(x)}
    quiet = [convert_to_numpy(model(inputs, training=False)) for _ in range(2)]
    noisy = [convert_to_numpy(model(inputs, training=True)) for _ in range(2)]
    np.testing.assert_array_equal(*quiet)
    assert np.abs(noisy[0] - noisy[1]).max() > 1e-3


def test_the_learning_rate_warms_up_to_its_peak_and_decays_to_its_end():
    recipe = Recipe(learning_rate=0.002, warmup=0.1, final_learning_rate=0.05)
    rate = build_optimizer(recipe, 1000)._learning_rate
    steps = [0, 50, 100, 550, 1000]
    # Half way through the decay the cosine is zero: the mean of peak and end.
    expected = [0.0, 0.001, 0.002, 0.002 * (0.05 + 0.95 / 2), 0.0001]
    np.testing.assert_allclose([float(rate(s)) for s in steps], expected, rtol=1e-5, atol=1e-9)


def test_the_average_follows_the_weights_closely_at_first():
    """And in a long run with the momentum of the recipe: here 0.4, from the sixth step on."""
    optimizer = build_optimizer(Recipe(learning_rate=0.1, weight_decay=0.0, ema=0.4), 100)
    weight = keras.Variable(np.zeros(3, np.float32))
    optimizer.build([weight])
    gradients = np.random.default_rng(0).normal(size=(10, 3)).astype(np.float32)
    expected, average = np.zeros(3), keras.Variable(np.zeros(3, np.float32))
    for step, gradient in enumerate(gradients):
        optimizer.apply([keras.ops.convert_to_tensor(gradient)])
        momentum = min(0.4, (1 + step) / (10 + step)) if step else 0.0
        expected = momentum * expected + (1 - momentum) * np.asarray(weight, np.float64)
        optimizer.finalize_variable_values([average])
        np.testing.assert_allclose(average, expected, rtol=1e-5)
    assert np.abs(np.asarray(weight) - expected).max() > 1e-4


def test_without_momentum_there_is_no_average():
    assert build_optimizer(Recipe(ema=1e-5), 100).use_ema
    assert not build_optimizer(Recipe(ema=0.0), 100).use_ema


def test_only_matrices_decay():
    recipe = Recipe(context=8, layers=1, heads=2, width=16)
    model = build_model(recipe, 20)
    optimizer = build_optimizer(recipe, 10)
    optimizer.build(model.trainable_variables)
    decays = {v.path: optimizer._use_weight_decay(v) for v in model.trainable_variables}
    matrices = [p for p in decays if p.endswith(("kernel", "embeddings"))]
    assert len(matrices) == 8  # the embedding, four of attention, three of the feed-forward part
    assert [path for path, decay in decays.items() if decay] == matrices
