"""The stream of training batches: a function of the recipe's seed and the epoch, nothing else."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from logit_sampling.training.bpe_dropout import BPEDropout
from logit_sampling.training.corpus import split
from logit_sampling.training.recipe import Recipe

REPEATED = 20  # characters that a token has on average in no text but one that repeats itself
LARGEST, STEPS = 32, 10  # windows of a batch at most, and steps of an epoch at least, by default
DROPPED = 0.7  # the share of windows with BPE dropout
DROPPING = 0.75  # the share of epochs that have them: the last learn the tokenizer's own cut alone

Batch = tuple[dict[str, np.ndarray], np.ndarray]


def batches(
    ids: np.ndarray, recipe: Recipe, epoch: int, dropped: BPEDropout | None = None
) -> Iterator[Batch]:
    """Endless batches from `epoch` on: inputs and targets, int32 `[batch_size, context]`.

    Each epoch cuts the training text `ids` into windows from another random offset and shuffles
    them: a token is seen once, each time with another context. Until the last quarter of the
    epochs, most windows come from what BPE dropout makes of the text, `dropped`: a window is of one
    kind, so that the model can tell from what it read which kind goes on. The places of the two
    kinds are drawn apart: such an epoch has some of the text twice, and some not at all.
    """
    recipe = sized(recipe, ids.size)
    steps, size = steps_per_epoch(ids, recipe), recipe.batch_size or 1
    while True:
        rng = np.random.default_rng([recipe.seed, epoch])
        needed = steps * size
        rows = []
        if dropped and recipe.bpe_dropout and epoch < int(DROPPING * recipe.epochs):
            other = dropped(recipe.bpe_dropout, int(rng.integers(2**31)))
            rows.append(_windows(other, recipe.context, rng)[: round(DROPPED * needed)])
            needed -= len(rows[0])
        rows.append(_windows(ids, recipe.context, rng)[:needed])
        windows = rng.permutation(np.concatenate(rows))
        for batch in windows.reshape(steps, size, recipe.context + 1):
            x, y = batch[:, :-1], batch[:, 1:]
            yield {"token_ids": x, "padding_mask": np.ones_like(x)}, y
        epoch += 1


def _windows(ids: np.ndarray, context: int, rng: np.random.Generator) -> np.ndarray:
    """The windows of a text from a random offset on, in random order: `[windows, context + 1]`."""
    count = (ids.size - 1) // context
    offset = rng.integers(0, ids.size - count * context)
    starts = offset + context * rng.permutation(count)
    return ids[starts[:, None] + np.arange(context + 1)]


def sized(recipe: Recipe, tokens: int) -> Recipe:
    """The recipe with its `batch_size`, or the one that a text of so many `tokens` calls for."""
    if recipe.batch_size is not None:
        return recipe
    windows = (tokens - 1) // recipe.context
    return replace(recipe, batch_size=min(LARGEST, max(1, windows // STEPS)))


def steps_per_epoch(ids: np.ndarray, recipe: Recipe) -> int:
    """How many whole batches the text fills."""
    return (ids.size - 1) // recipe.context // (recipe.batch_size or 1)


def check_length(text: str, recipe: Recipe, tokens: int | None = None) -> None:
    """Raise `ValueError` if the training part of `text` does not fill a batch.

    `tokens` are those of the training part; as long as they are not known, it has as many as bytes.
    """
    if tokens is None:
        tokens = len(split(text)[0].encode())
    size = recipe.batch_size or 1
    needed = size * recipe.context + 1
    if tokens < needed:
        characters = math.ceil(len(text) * needed / max(1, tokens)) or needed
        longer = f"of at least about {characters} characters"
        if len(text) > REPEATED * max(1, tokens):
            longer = "that repeats itself less: of this one, more would be as few tokens"
        raise ValueError(
            f"the text is too short to train on: its {len(text)} characters make at most {tokens} "
            f"training tokens, and a batch of {size} window{'s' * (size > 1)} (`batch_size`) of "
            f"{recipe.context} tokens (`context`) needs {needed}; use a text {longer}, or a "
            "smaller `batch_size` or `context`"
        )
