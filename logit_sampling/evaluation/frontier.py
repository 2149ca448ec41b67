"""MAUVE: how close texts of a model come to texts of people, as the area under a frontier.

Pillutla et al., MAUVE: Measuring the Gap Between Neural Text and Human Text using Divergence
Frontiers, 2021, arXiv 2102.01454: `clusters` sorts the embeddings of texts into clusters, and
`divergence_area` compares how often two groups of texts fall into each.

The numbers rank the groups of one comparison; they are no grades. They depend on the embedding, the
number of texts and the clusters: hence `clusters` takes all groups at once, and groups should have
one size. Chance alone costs much: two groups of 50 texts from one normal distribution, in 20
clusters, come to about 0.6, two of 1,000 to 0.998. The authors had 5,000 texts a side, embedded by
GPT-2 large. The hidden states of a small model see less, and what that model wrote may suit them: a
low number tells of a difference that they see; a high one not that a reader would see none.
"""

import numpy as np
from numpy.typing import ArrayLike


def frontier(
    p_counts: ArrayLike, q_counts: ArrayLike, scaling: float = 5.0, points: int = 25
) -> np.ndarray:
    """Return the divergence frontier of two histograms, for a plot.

    A point is (exp(-scaling KL(q‖r)), exp(-scaling KL(p‖r))) for a mixture r = λp + (1-λ)q. Texts
    of q where p has none lower the first, texts of p where q has none the second.

    Args:
        p_counts, q_counts: int or float [clusters]: how many texts of a group are in each. Add 0.5
            to all for the smoothing of Krichevsky and Trofimov.
        scaling: the paper's c, above 0.
        points: number of λ, evenly from 1e-6 to 1 - 1e-6, at least 2.

    Returns:
        float64 [points + 2, 2], from (1, 0) by rising λ to (0, 1).

    Raises:
        ValueError: counts of wrong shapes, negative, not finite or all 0; a number out of range.

    Source:
        Pillutla et al., 2021; scaling and λ as in the authors' mauve-text 0.4.0.

    Example:
        >>> frontier([3, 1], [1, 3], points=3).round(3).tolist()
        [[1.0, 0.0], [1.0, 0.064], [0.52, 0.52], [0.064, 1.0], [0.0, 1.0]]
    """
    if not 0 < scaling < np.inf or points < 2:
        raise ValueError(f"scaling {scaling}, points {points}: give above 0, and 2 points or more")
    p, q = _histograms(p_counts, q_counts)
    share = np.linspace(1e-6, 1 - 1e-6, points)[:, None]
    log_r = np.log(share * p + (1 - share) * q)
    kl = [h @ np.log(h, where=h > 0, out=np.zeros_like(h)) - log_r @ h for h in (q, p)]
    return np.vstack([[1.0, 0.0], np.exp(-scaling * np.maximum(kl, 0)).T, [0.0, 1.0]])


def divergence_area(
    p_counts: ArrayLike, q_counts: ArrayLike, scaling: float = 5.0, points: int = 25
) -> float:
    """Return MAUVE of two histograms, the area under their frontier; of smoothed ones, MAUVE*.

    Args:
        p_counts, q_counts, scaling, points: as for `frontier`. Swapping p and q changes nothing.

    Returns:
        A float, from 0.0041 without a common cluster (1/252 with many points) to 1 for equals.

    Raises:
        ValueError: as `frontier`.

    Source:
        Pillutla et al., 2021; for MAUVE*, Pillutla et al., 2023, arXiv 2212.14578.

    Example:
        >>> round(divergence_area([5, 3, 2], [2, 3, 5]), 4)
        0.8214
    """
    return min(1.0, float(np.trapezoid(*frontier(p_counts, q_counts, scaling, points).T)))


def clusters(
    human: ArrayLike,
    *models: ArrayLike,
    number: int | None = None,
    variance: float = 0.9,
    restarts: int = 5,
    iterations: int = 500,
    seed: int = 0,
) -> list[np.ndarray]:
    """Sort texts into clusters, learnt once, by k-means on all embeddings together.

    These are brought to length 1 before, and reduced to their first principal components.

    Args:
        human, models: float [texts, dimensions], an embedding a text, at least 2 texts each.
        number: clusters, at least 2; default: a tenth of the smallest group, 2 to 500.
        variance: share of the variance that the components keep, in (0, 1].
        restarts, iterations: runs of k-means, of which the best counts, and steps of each at most.
        seed: of k-means; one seed gives the same clusters again, on the same machine.

    Returns:
        int64 [texts] for each group, human first: clusters, from 0 to number - 1.

    Raises:
        ValueError: too few texts, other dimensions, a value not finite, an option out of range.

    Source:
        Defaults of mauve-text 0.4.0, but for 500, the paper's number, which its documentation
        advises only; clusters of all groups at once: its issue 13. The start is k-means++.

    Example:
        >>> ids = clusters([[1, 0], [9, 1], [0, 1]], [[0, 5], [1, 7], [0, 2]])
        >>> p, q = (np.bincount(group, minlength=2) for group in ids)
        >>> sorted(p.tolist()), sorted(q.tolist()), round(divergence_area(p, q), 2)
        ([1, 2], [0, 3], 0.12)
    """
    groups = [_embeddings("human", human)]
    groups += [_embeddings(f"models[{i}]", m, groups[0].shape[1]) for i, m in enumerate(models)]
    texts, sizes = np.concatenate(groups), [len(group) for group in groups]
    number = min(500, max(2, round(min(sizes) / 10))) if number is None else number
    if not 2 <= number <= len(texts):
        raise ValueError(f"number is {number}: give from 2 to {len(texts)}, as there are texts")
    for name, value in ("variance", variance), ("restarts", restarts), ("iterations", iterations):
        if not 0 < value <= (1 if name == "variance" else np.inf):
            raise ValueError(f"{name} is {value}: give a variance in (0, 1], others of at least 1")
    texts /= np.maximum(np.linalg.norm(texts, axis=1, keepdims=True), np.finfo(float).tiny)
    texts -= texts.mean(axis=0)
    _, deviations, axes = np.linalg.svd(texts, full_matrices=False)
    held = np.cumsum(deviations**2)
    texts = texts @ axes[: np.searchsorted(held, variance * held[-1]) + 1].T
    runs = [_k_means(texts, number, iterations, [seed, run]) for run in range(restarts)]
    return np.split(min(runs, key=lambda run: run[0])[1], np.cumsum(sizes)[:-1])


def _histograms(p_counts: ArrayLike, q_counts: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    p, q = np.asarray(p_counts, np.float64), np.asarray(q_counts, np.float64)
    if p.ndim != 1 or p.shape != q.shape or not p.size:
        raise ValueError(f"counts have shapes {p.shape} and {q.shape}: give [clusters] for both")
    for name, counts in (("p_counts", p), ("q_counts", q)):
        if not (counts.min() >= 0 and 0 < counts.sum() < np.inf):
            raise ValueError(f"{name} is {counts}: give numbers from 0 on, and not only 0")
    used = p + q > 0
    return p[used] / p.sum(), q[used] / q.sum()


def _embeddings(name: str, group: ArrayLike, dimensions: int | None = None) -> np.ndarray:
    texts = np.asarray(group, np.float64)
    if texts.ndim != 2 or len(texts) < 2 or not texts.shape[1]:
        raise ValueError(f"{name} has shape {texts.shape}: give [2 texts or more, dimensions]")
    if texts.shape[1] != (dimensions or texts.shape[1]):
        raise ValueError(f"{name} has {texts.shape[1]} dimensions, human {dimensions}: embed alike")
    for row, column in np.argwhere(~np.isfinite(texts)):
        raise ValueError(f"{name}[{row}] holds {texts[row, column]}: leave out that text")
    return texts


def _k_means(texts: np.ndarray, k: int, steps: int, seed: list[int]) -> tuple[float, np.ndarray]:
    """The sum of squared distances that one run comes to, and its clusters."""
    rng, nearest = np.random.default_rng(seed), np.full(len(texts), np.inf)
    chosen = [rng.integers(len(texts))]
    while len(chosen) < k:  # k-means++: a text, by its squared distance from those chosen
        nearest = np.minimum(nearest, ((texts - texts[chosen[-1]]) ** 2).sum(axis=1))
        held = np.cumsum(nearest)
        chosen.append(np.searchsorted(held[:-1], rng.random() * held[-1], side="right"))
    centres, squares, ids = texts[chosen], (texts**2).sum(axis=1), np.full(len(texts), -1)
    for _ in range(steps):
        distances = squares[:, None] - 2 * texts @ centres.T + (centres**2).sum(axis=1)
        before, ids, nearest = ids, distances.argmin(axis=1), distances.min(axis=1)
        if (ids == before).all():
            break
        member = ids == np.arange(k)[:, None]
        size = member.sum(axis=1)
        centres = member @ texts / np.maximum(size, 1)[:, None]
        centres[size == 0] = texts[np.argsort(-nearest)[: np.sum(size == 0)]]  # the farthest off
    return nearest.sum(), ids
