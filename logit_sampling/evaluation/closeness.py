"""How close the texts of a sampler come to human ones: the frontier of their embeddings."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from logit_sampling.evaluation.frontier import clusters, divergence_area
from logit_sampling.evaluation.intervals import leaving_out
from logit_sampling.evaluation.measures import Grid
from logit_sampling.evaluation.texts import HUMAN, Text


def clusters_of(texts: Sequence[Text]) -> dict[tuple[Any, ...], int]:
    """Return which cluster each text is in, by its key: learnt once from all, so they compare.

    Raises:
        ValueError: there are no embeddings of texts of samplers, or of human ones.
    """
    known = [t for t in texts if t.embedding is not None and not t.failed]
    groups = [[t for t in known if (t.sampler == HUMAN) == human] for human in (True, False)]
    if not all(groups):
        raise ValueError(
            "the frontier needs embeddings of texts and of human ones: compare with "
            "frontier=True (--frontier), and prompts that say how their authors went on"
        )
    ids = clusters(*(np.array([t.embedding for t in group]) for group in groups))
    return {
        text.key: int(i)
        for group, own in zip(groups, ids, strict=True)
        for text, i in zip(group, own, strict=True)
    }


def frontier_values(
    grid: Grid, places: Mapping[tuple[Any, ...], int], human: Grid
) -> tuple[np.ndarray, float]:
    """Return the values and the number of the frontier's area, as `Measure.values` does.

    Leaving out a prompt leaves out what its author and the sampler wrote.

    Args:
        grid: the texts of a sampler, [prompts][seeds].
        places: the clusters of all texts.
        human: the human texts, [prompts][1].
    """
    kinds = 1 + max(places.values())
    values, wholes = np.full((len(grid), len(grid[0])), math.nan), []
    for j in range(values.shape[1]):
        pairs = {
            i: (places[text.key], places[author.key])
            for i, (row, authors) in enumerate(zip(grid, human, strict=True))
            if (text := row[j]) is not None
            and (author := authors[0]) is not None
            and text.key in places
            and author.key in places
        }
        if not pairs:
            continue
        both = np.array(list(pairs.values())).T
        counts = np.array([np.bincount(ids, minlength=kinds) for ids in both], float)

        def area(left_out: int | None, both: Any = both, counts: Any = counts) -> float:
            fewer = counts.copy()
            if left_out is not None:
                fewer[[0, 1], both[:, left_out]] -= 1
            return divergence_area(*fewer)

        values[list(pairs), j] = leaving_out(area, len(pairs))
        wholes.append(area(None))
    return values, float(np.mean(wholes)) if wholes else math.nan
