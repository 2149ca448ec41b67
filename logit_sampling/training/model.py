"""The small GPT: KerasHub's Qwen at a small size, its optimizer, and its loss on a text."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from logit_sampling.training.recipe import Recipe

if TYPE_CHECKING:
    import keras
    import keras_hub


def build_model(
    recipe: Recipe, vocabulary_size: int, dtype: str = "float32"
) -> keras_hub.models.QwenCausalLM:
    """A `QwenCausalLM` without preprocessor; `dtype` is a Keras policy such as mixed_bfloat16."""
    import keras
    import keras_hub

    backbone = keras_hub.models.QwenBackbone(
        vocabulary_size=vocabulary_size,
        num_layers=recipe.layers,
        num_query_heads=recipe.heads,
        num_key_value_heads=key_value_heads(recipe),
        hidden_dim=recipe.width,
        intermediate_dim=intermediate(recipe),
        dropout=recipe.dropout,
        dtype=dtype,
    )
    model = keras_hub.models.QwenCausalLM(backbone=backbone)
    # Measured on a CPU: XLA takes TensorFlow 1.4 times as long as its graph. JAX is slow without.
    model.compile(jit_compile=keras.config.backend() == "jax")
    return model


def key_value_heads(recipe: Recipe) -> int:
    """Two queries share a key and a value, where their number is even."""
    return recipe.heads // 2 if recipe.heads % 2 == 0 else recipe.heads


def intermediate(recipe: Recipe) -> int:
    """The width of the gated feed-forward layer: 8/3 of the model's, up to a multiple of 64."""
    return -(-8 * recipe.width // 3 // 64) * 64


def count_parameters(recipe: Recipe, vocabulary_size: int) -> int:
    """The parameters of the model that `build_model` makes."""
    width = recipe.width
    share = key_value_heads(recipe) * width // recipe.heads
    attention = 2 * width**2 + width + 2 * share * (width + 1)  # no bias of the output
    block = attention + 3 * width * intermediate(recipe) + 2 * width
    return recipe.layers * block + vocabulary_size * width + width


def build_optimizer(recipe: Recipe, total_steps: int) -> keras.optimizers.Optimizer:
    """Muon with linear warm-up, cosine decay, clipping, and an average of the weights (EMA).

    With `recipe.ema` 0 there is no average.
    """
    import keras

    from logit_sampling.training.averaging import AveragingMuon

    warmup_steps = max(1, round(recipe.warmup * total_steps))
    schedule = keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=0.0,
        decay_steps=max(1, total_steps - warmup_steps),
        alpha=recipe.final_learning_rate,
        warmup_target=recipe.learning_rate,
        warmup_steps=warmup_steps,
    )
    optimizer = AveragingMuon(
        schedule,
        weight_decay=recipe.weight_decay,
        adam_weight_decay=recipe.weight_decay,
        adam_beta_2=recipe.beta_2,
        global_clipnorm=1.0,
        use_ema=recipe.ema > 0,
        ema_momentum=recipe.ema,
    )
    # Only matrices decay: kernels and embeddings, not biases and not the scales of a norm.
    optimizer.exclude_from_weight_decay(var_names=["bias", "scale"])
    return optimizer


def sum_loss(model: keras_hub.models.CausalLM, ids: np.ndarray, first: int, context: int) -> float:
    """The sum of -ln p over `ids[first:]`, in nats, each token scored exactly once.

    A window of `context` tokens advances by half of it and scores its second half, so that a token
    sees at least `context // 2 - 1` tokens to its left where the text has them. `ids` is int32
    `[length]` and `first` is at least 1: a token needs something to its left.
    """
    import keras

    stride = context // 2
    ends = np.minimum(np.arange(first, ids.size, stride) + stride, ids.size)
    starts = np.maximum(0, ends - context - 1)
    total = 0.0
    for batch in range(0, ends.size, 16):
        chosen = slice(batch, batch + 16)
        rows = [ids[s:e] for s, e in zip(starts[chosen], ends[chosen], strict=True)]
        # Padding goes to the right, where a causal model cannot see it from a real position, and
        # into the last batch, since all of one shape are compiled once.
        x, y, scored = (np.zeros((16, context), np.int32) for _ in range(3))
        for i, row in enumerate(rows):
            x[i, : row.size - 1], y[i, : row.size - 1] = row[:-1], row[1:]
            begin = first + (batch + i) * stride - starts[batch + i] - 1
            scored[i, begin : row.size - 1] = 1
        # KerasHub's own method would take the ids for texts, and tokenize them.
        logits = keras.Model.predict_on_batch(
            model, {"token_ids": x, "padding_mask": np.ones_like(x)}
        )
        logits -= logits.max(axis=-1, keepdims=True)
        own = np.take_along_axis(logits, y[..., None], axis=-1)[..., 0]
        losses = np.log(np.exp(logits).sum(axis=-1)) - own
        total += float(np.sum(losses * scored, dtype=np.float64))
    return total
