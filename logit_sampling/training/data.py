"""The stream of training batches: a function of the recipe's seed and the epoch, nothing else."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from logit_sampling.training.corpus import split
from logit_sampling.training.recipe import Recipe

Batch = tuple[dict[str, np.ndarray], np.ndarray]


def batches(ids: np.ndarray, recipe: Recipe, epoch: int) -> Iterator[Batch]:
    """Endless batches from `epoch` on: inputs and targets, int32 `[batch_size, context]`.

    Each epoch cuts the training text `ids` into windows from another random offset and shuffles
    them, so that a token is seen once an epoch and each time with another context.
    """
    windows = (ids.size - 1) // recipe.context
    spare = ids.size - 1 - windows * recipe.context
    shape = steps_per_epoch(ids, recipe), recipe.batch_size, 1
    while True:
        rng = np.random.default_rng([recipe.seed, epoch])
        starts = rng.integers(0, spare + 1) + recipe.context * rng.permutation(windows)
        for rows in starts[: shape[0] * shape[1]].reshape(shape) + np.arange(recipe.context + 1):
            x, y = ids[rows[:, :-1]], ids[rows[:, 1:]]
            yield {"token_ids": x, "padding_mask": np.ones_like(x)}, y
        epoch += 1


def steps_per_epoch(ids: np.ndarray, recipe: Recipe) -> int:
    """How many whole batches the text fills."""
    return (ids.size - 1) // recipe.context // recipe.batch_size


def check_length(text: str, recipe: Recipe, tokens: int | None = None) -> None:
    """Raise `ValueError` if the training part of `text` does not fill a batch.

    `tokens` are those of the training part; as long as they are not known, it has as many as bytes.
    """
    if tokens is None:
        tokens = len(split(text)[0].encode())
    needed = recipe.batch_size * recipe.context + 1
    if tokens < needed:
        characters = math.ceil(len(text) * needed / max(1, tokens)) or needed
        raise ValueError(
            f"the text is too short to train on: its {len(text)} characters make at most {tokens} "
            f"training tokens, and a batch of {recipe.batch_size} windows (`batch_size`) of "
            f"{recipe.context} tokens (`context`) needs {needed}; use a text of at least about "
            f"{characters} characters, or a smaller `batch_size` or `context`"
        )
