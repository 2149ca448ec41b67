"""MAUVE against values worked out by hand, against integrals, and against the authors' package."""

import math
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.spatial.distance import cdist

from logit_sampling.evaluation.frontier import (
    clusters,
    divergence_area,
    frontier,
)

Histograms = tuple[Sequence[float], Sequence[float]]

# What mauve-text 0.4.0 (with faiss-cpu 1.15.1, scikit-learn 1.9.1, NumPy 2.4.6) made of texts:
# mauve and mauve_star of the counts in its histograms.
REDO = """To redo it, pip install mauve-text==0.4.0 faiss-cpu==1.15.1 into an environment of its
own, and there, with corners() and normal() of this file:
  mauve.compute_mauve(p_features=corners(p, 1), q_features=corners(q, 2), num_buckets=len(p))
  mauve.compute_mauve(p_features=normal()[0], q_features=normal()[1])
and read p_hist and q_hist times the texts, mauve, mauve_star and divergence_curve of what comes
back."""
CORNERS = [  # its histograms have these counts, in another order
    (
        ([40, 30, 20, 10], [10, 20, 30, 40]),
        (0.6538536633533254, 0.6721249123401759),
    ),
    (
        ([25, 25, 0, 0], [0, 0, 25, 25]),
        (0.0040720962619612555, 0.01008123788356117),
    ),
]
CURVE = {  # of the first of them: row -> point
    0: (1.0, 0.0),
    1: (1.0, 0.102062689),
    7: (0.862253981, 0.308171944),
    13: (0.587311065, 0.587311065),
    20: (0.267284125, 0.899501948),
    26: (0.0, 1.0),
}
P = "17 7 16 26 14 19 7 13 14 10 15 7 18 13 6 11 11 13 14 10 3 17 14 20 12 22 14 14 14 9"
Q = "5 20 11 4 8 1 19 7 11 10 7 14 10 10 8 22 11 6 18 7 18 4 8 8 14 10 7 8 8 6"
NORMAL = (  # its 30 clusters of normal(), and what they come to
    (
        [int(n) for n in P.split()],
        [int(n) for n in Q.split()],
    ),
    (0.7870486158251514, 0.8157248260504224),
)
# mauve with its seeds 0 to 14: mean and standard deviation of the clusters' luck.
NORMAL_OVER_SEEDS = (0.8165, 0.0320)


def corners(counts: Sequence[int], seed: int) -> np.ndarray:
    """So many texts around each corner."""
    rng = np.random.default_rng(seed)
    centres = np.repeat(np.eye(len(counts)), counts, axis=0)
    return centres + rng.normal(scale=0.01, size=centres.shape)


def normal() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    p, q = rng.normal(size=(400, 16)), rng.normal(size=(300, 16))
    q[:, 0] += 1
    return p, q


def counts_of(groups: Sequence[np.ndarray], number: int) -> list[np.ndarray]:
    return [np.bincount(group, minlength=number) for group in groups]


def integrated(p: Sequence[float], q: Sequence[float], scaling: float) -> float:
    """The area as an integral over λ, with all sums written out."""
    p, q = [x / sum(p) for x in p], [x / sum(q) for x in q]
    pairs = [(a, b) for a, b in zip(p, q, strict=True) if a + b]

    def kl(part: int, share: float) -> float:
        mixture = [share * a + (1 - share) * b for a, b in pairs]
        return math.fsum(
            x[part] * math.log(x[part] / r) for x, r in zip(pairs, mixture, strict=True) if x[part]
        )

    def slope(logit: float) -> float:  # x dy/dλ dλ, over log(λ / (1-λ)), since y may be steep in λ
        share = 1 / (1 + math.exp(-logit))
        rise = math.fsum(a * (a - b) / (share * a + (1 - share) * b) for a, b in pairs if a)
        height = math.exp(-scaling * (kl(1, share) + kl(0, share)))
        return height * scaling * rise * share * (1 - share)

    start = math.exp(-scaling * kl(0, 1 / (1 + math.exp(30))))  # up to there x is 1
    return start + quad(slope, -30, 30, epsabs=1e-11, limit=500)[0]


CASES: list[Histograms] = [
    ([5, 3, 2], [2, 3, 5]),
    ([12, 7, 0, 1, 30], [3, 9, 8, 0, 20]),
    ([1, 1], [1, 0]),
    ([1, 0], [0, 1]),
    NORMAL[0],
]


@pytest.mark.parametrize(
    ("p", "q", "scaling", "expected"),
    [
        # Disjoint: x = (1-λ)^c and y = λ^c, an area of c B(c, c+1), 1 over c of 2c.
        ([1, 0], [0, 1], 5, 1 / 252),
        ([3, 4, 0, 0], [0, 0, 1, 2], 5, 1 / 252),
        ([1, 0], [0, 1], 2, 1 / 6),
        ([1, 0], [0, 1], 1, 1 / 2),
        # q half in p: x = (1-λ²)^(c/2), y = ((1+λ)/2)^c.
        ([1, 0], [1, 1], 2, 1 / 4 + 11 / 24),
        ([1, 0], [1, 1], 1, 1 / 2 + math.pi / 8),
    ],
)
def test_area_worked_by_hand(p: list[int], q: list[int], scaling: float, expected: float) -> None:
    assert divergence_area(p, q, scaling, points=20_001) == pytest.approx(expected, abs=2e-6)


@pytest.mark.parametrize("counts", [[1], [5, 5], [3, 7, 2], [0, 1, 0], range(50), range(3, 9)])
def test_equal_histograms_come_to_one(counts: Sequence[int]) -> None:
    for other in (counts, [3 * count for count in counts]):
        assert divergence_area(counts, other) == pytest.approx(1, abs=1e-12)
        assert divergence_area(counts, other) <= 1
        assert frontier(counts, other).max() <= 1


@pytest.mark.parametrize(("p", "q"), CASES)
@pytest.mark.parametrize("scaling", [1.0, 5.0])
def test_area_against_an_integral(p: Sequence[float], q: Sequence[float], scaling: float) -> None:
    exact = integrated(p, q, scaling)
    assert divergence_area(p, q, scaling, points=20_001) == pytest.approx(exact, abs=1e-6)
    assert divergence_area(p, q, scaling) == pytest.approx(exact, abs=2e-3)


@pytest.mark.parametrize(("histograms", "published"), [*CORNERS, NORMAL])
def test_the_numbers_of_mauve_text(histograms: Histograms, published: tuple[float, float]) -> None:
    p, q = (np.array(counts) for counts in histograms)
    mauve, smoothed = published
    assert divergence_area(p, q) == pytest.approx(mauve, abs=1e-12), REDO
    assert divergence_area(p + 0.5, q + 0.5) == pytest.approx(smoothed, abs=1e-12), REDO


def test_the_curve_of_mauve_text() -> None:
    curve = frontier(*CORNERS[0][0])
    assert curve.shape == (27, 2) and curve.dtype == np.float64
    np.testing.assert_allclose(curve[list(CURVE)], list(CURVE.values()), atol=1e-9, err_msg=REDO)


@pytest.mark.parametrize(("histograms", "published"), CORNERS)
@pytest.mark.parametrize("seed", range(5))
def test_the_texts_of_mauve_text(
    histograms: tuple[list[int], list[int]], published: tuple[float, ...], seed: int
) -> None:
    """Four heaps that every clustering finds: the same number from the embeddings on."""
    p, q = histograms
    found = counts_of(clusters(corners(p, 1), corners(q, 2), number=4, seed=seed), 4)
    assert sorted(zip(*map(np.ndarray.tolist, found), strict=True)) == sorted(
        zip(p, q, strict=True)
    )
    assert divergence_area(*found) == pytest.approx(published[0], abs=1e-12), REDO


def test_where_clusters_are_luck_the_mean_is_that_of_mauve_text() -> None:
    areas = [
        divergence_area(*counts_of(clusters(*normal(), restarts=2, seed=seed), 30))
        for seed in range(10)
    ]
    mean, spread = NORMAL_OVER_SEEDS
    error = spread * math.sqrt(1 / 10 + 1 / 15)
    assert abs(np.mean(areas) - mean) < 3 * error, REDO
    assert 0.4 < np.std(areas) / spread < 2.5, REDO


@pytest.mark.parametrize(("p", "q"), CASES)
def test_what_changes_nothing(p: Sequence[float], q: Sequence[float]) -> None:
    area = divergence_area(p, q)
    order = np.random.default_rng(0).permutation(len(p))
    for a, b in (
        (q, p),
        (np.array(p)[order], np.array(q)[order]),
        ([*p, 0, 0], [*q, 0, 0]),
        (np.array(p) * 7, np.array(q) / 3),
        (np.array(p, np.int32), np.array(q, np.float32)),
    ):
        assert divergence_area(a, b) == pytest.approx(area, abs=1e-12)
    np.testing.assert_allclose(frontier(q, p), frontier(p, q)[::-1, ::-1], atol=1e-12)


@pytest.mark.parametrize(("p", "q"), CASES)
def test_a_frontier_runs_from_corner_to_corner(p: Sequence[float], q: Sequence[float]) -> None:
    curve = frontier(p, q, points=9)
    assert curve.shape == (11, 2)
    assert curve[0].tolist() == [1, 0] and curve[-1].tolist() == [0, 1]
    assert (np.diff(curve[:, 0]) <= 0).all() and (np.diff(curve[:, 1]) >= 0).all()


def test_each_axis_tells_of_one_kind_of_error() -> None:
    """What q writes beyond p lowers the first number as r comes to be p; q lacks nothing of p."""
    curve = frontier([1, 0], [1, 1])
    assert curve[-2] == pytest.approx([0, 1], abs=1e-3)
    assert curve[1] == pytest.approx([1, 2**-5], abs=1e-3)


def test_one_text_left_out_moves_the_area_a_little() -> None:
    p, q = (np.array(counts) for counts in NORMAL[0])
    without = [divergence_area(p - one, q) for one in np.eye(len(p), dtype=int)]
    assert 0 < np.ptp(without) < 0.02
    assert np.average(without, weights=p) == pytest.approx(divergence_area(p, q), abs=1e-3)


def test_further_apart_is_lower_with_clusters_of_all_groups() -> None:
    rng = np.random.default_rng(0)
    human, *models = rng.normal(size=(6, 200, 8))
    gaps = [0, 0.5, 1, 2, 4]
    groups = clusters(human, *(model + gap for model, gap in zip(models, gaps, strict=True)))
    counts = counts_of(groups, 20)
    areas = [divergence_area(counts[0], other) for other in counts[1:]]
    assert areas == sorted(areas, reverse=True) and areas[0] > 0.9 and areas[-1] < 0.05


def test_chance_costs_what_the_module_says() -> None:
    def area(texts: int, seed: int) -> float:
        p, q = np.random.default_rng(seed).normal(size=(2, texts, 16))
        return divergence_area(*counts_of(clusters(p, q, number=20, restarts=1, seed=seed), 20))

    assert np.mean([area(50, seed) for seed in range(20)]) == pytest.approx(0.6, abs=0.1)
    assert area(1000, 0) > 0.995


def test_clusters_are_those_of_directions_whatever_the_lengths() -> None:
    p, q = normal()
    lengths = 2.0 ** np.random.default_rng(1).integers(-20, 20, (len(p) + len(q), 1))
    plain = np.concatenate(clusters(p, q, restarts=1))
    scaled = clusters(p * lengths[: len(p)], q * lengths[len(p) :], restarts=1)
    np.testing.assert_array_equal(np.concatenate(scaled), plain)
    turn = np.linalg.qr(np.random.default_rng(2).normal(size=(16, 16)))[0]
    turned = clusters(p @ turn, q @ turn, restarts=1)
    np.testing.assert_array_equal(np.concatenate(turned), plain)


def test_clusters_are_the_same_for_a_seed_and_leave_what_they_were_given() -> None:
    p, q = normal()
    before = p.copy(), q.copy()
    first, again, other = (np.concatenate(clusters(p, q, seed=seed)) for seed in (3, 3, 4))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    np.testing.assert_array_equal(before[0], p)
    np.testing.assert_array_equal(before[1], q)


def test_clusters_come_group_by_group() -> None:
    groups = [corners(counts, 0) for counts in ([4, 0, 0], [0, 5, 0], [0, 0, 3])]
    found = clusters(*groups, number=3)
    assert [len(ids) for ids in found] == [4, 5, 3]
    assert all(ids.dtype == np.int64 and len(set(ids.tolist())) == 1 for ids in found)
    assert {int(ids[0]) for ids in found} == {0, 1, 2}
    from_lists = clusters(*(group.tolist() for group in groups), number=3)
    from_halves = clusters(*(group.astype(np.float16) for group in groups), number=3)
    for other in (from_lists, from_halves):
        np.testing.assert_array_equal(np.concatenate(other), np.concatenate(found))


def test_every_text_is_in_the_cluster_whose_mean_is_nearest() -> None:
    texts = np.concatenate(normal())
    (ids,) = clusters(texts, number=30, variance=1.0)
    directions = texts / np.linalg.norm(texts, axis=1, keepdims=True)
    means = np.array([directions[ids == cluster].mean(axis=0) for cluster in range(30)])
    np.testing.assert_array_equal(cdist(directions, means).argmin(axis=1), ids)


def scatter(texts: np.ndarray, ids: np.ndarray) -> float:
    directions = texts / np.linalg.norm(texts, axis=1, keepdims=True)
    groups = [directions[ids == cluster] for cluster in np.unique(ids)]
    return sum(float(((group - group.mean(axis=0)) ** 2).sum()) for group in groups)


def test_of_several_runs_the_tightest_counts() -> None:
    texts, _ = normal()
    gains = []
    for seed in range(5):
        one, five = (
            scatter(texts, *clusters(texts, variance=1.0, restarts=n, seed=seed)) for n in (1, 5)
        )
        gains.append(one - five)
    assert min(gains) >= 0 and max(gains) > 0


def test_components_are_left_out_beyond_their_share_of_the_variance() -> None:
    """Two tight heaps, apart in a direction of 8 % of the variance; wide and even in another."""
    wide = np.linspace(-1, 1, 100)
    heaps = [np.stack([wide, np.full(100, side), np.full(100, 100)], axis=1) for side in (-1, 1)]
    variance = np.square(wide).mean()
    heaps = [heap * [math.sqrt(11 / variance), 1, 1] for heap in heaps]  # 11 to 1
    kept = clusters(*heaps, number=20, variance=1.0)
    left = clusters(*heaps, number=20)
    np.testing.assert_array_equal(*left)
    assert left[0][0] != left[0][-1]
    assert not set(kept[0].tolist()) & set(kept[1].tolist())


@pytest.mark.parametrize(
    ("texts", "number"), [((70, 45), 4), ((44, 70), 4), ((5, 9), 2), ((200, 200, 61), 6)]
)
def test_default_number_is_a_tenth_of_the_smallest_group(
    texts: tuple[int, ...], number: int
) -> None:
    rng = np.random.default_rng(0)
    found = np.concatenate(clusters(*(rng.normal(size=(n, 3)) for n in texts)))
    assert set(found.tolist()) == set(range(number))


def test_default_number_stops_at_500() -> None:
    (ids,) = clusters(np.random.default_rng(0).normal(size=(5_200, 3)), restarts=1, iterations=2)
    assert len(set(ids.tolist())) > 490 and ids.max() == 499


class Unlucky:
    """Draws the first text, then again and again the last one."""

    def integers(self, high: int) -> int:
        return 0

    def random(self) -> float:
        return 1.0


def test_a_cluster_that_comes_out_empty_begins_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    heaps = [corners(counts, 0) for counts in np.diag([5, 2, 4, 3, 6]).tolist()]
    monkeypatch.setattr(np.random, "default_rng", lambda seed: Unlucky())
    found = [set(ids.tolist()) for ids in clusters(*heaps, number=5, variance=1.0)]
    assert sorted(map(sorted, found)) == [[0], [1], [2], [3], [4]]


def test_more_clusters_than_different_texts_leave_some_empty() -> None:
    texts = np.repeat(np.eye(3), 4, axis=0)
    p, q = clusters(texts, texts, number=7)
    np.testing.assert_array_equal(p, q)
    assert len(set(p.tolist())) == 3 and all(
        len(set(p[i : i + 4].tolist())) == 1 for i in (0, 4, 8)
    )
    assert divergence_area(*counts_of((p, q), 7)) == pytest.approx(1)
    assert {*clusters(np.ones((5, 2)), number=3)[0].tolist()} == {0}
    assert len(set(clusters(np.zeros((5, 2)), number=2)[0].tolist())) == 1  # without any direction


def with_nan() -> np.ndarray:
    texts = np.ones((4, 3))
    texts[2, 1] = np.nan
    return texts


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: clusters(np.ones((1, 3))),
            r"human has shape \(1, 3\): give \[2 texts or more, dimensions",
        ),
        (lambda: clusters(np.ones((3, 3)), np.ones((0, 3))), r"models\[0\] has shape \(0, 3\)"),
        (lambda: clusters(np.ones(3)), r"human has shape \(3,\): give \[2 texts"),
        (lambda: clusters(np.ones((3, 0))), r"human has shape \(3, 0\)"),
        (
            lambda: clusters(np.ones((3, 4)), np.ones((3, 4)), np.ones((3, 5))),
            r"models\[1\] has 5 dimensions, human 4: embed alike",
        ),
        (lambda: clusters(np.ones((3, 3)), with_nan()), r"models\[0\]\[2\] holds nan: leave out"),
        (lambda: clusters([[1, 2], [3, np.inf]]), r"human\[1\] holds inf"),
        (lambda: clusters(np.ones((3, 3)), number=1), "number is 1: give from 2 to 3"),
        (lambda: clusters(np.ones((3, 3)), number=4), "number is 4: give from 2 to 3"),
        (lambda: clusters(np.ones((3, 3)), variance=0), r"variance is 0: .* \(0, 1\]"),
        (lambda: clusters(np.ones((3, 3)), variance=1.1), "variance is 1.1"),
        (lambda: clusters(np.ones((3, 3)), variance=np.nan), "variance is nan"),
        (lambda: clusters(np.ones((3, 3)), restarts=0), "restarts is 0: .* at least 1"),
        (lambda: clusters(np.ones((3, 3)), iterations=0), "iterations is 0"),
        (lambda: divergence_area([1, 2], [1, 2, 3]), r"shapes \(2,\) and \(3,\): give"),
        (lambda: divergence_area([[1, 2]], [[1, 2]]), r"shapes \(1, 2\)"),
        (lambda: divergence_area([], []), r"shapes \(0,\)"),
        (lambda: divergence_area([1, -1], [1, 2]), r"p_counts is \[ 1. -1.\]: give numbers from 0"),
        (lambda: divergence_area([1, 1], [0, 0]), r"q_counts is \[0. 0.\]: .* not only 0"),
        (lambda: frontier([1, np.nan], [1, 2]), r"p_counts is \[ 1. nan\]"),
        (lambda: divergence_area([1, 2], [np.inf, 1]), r"q_counts is \[inf +1.\]"),
        (
            lambda: divergence_area([1], [1], scaling=0),
            "scaling 0, points 25: give above 0",
        ),
        (lambda: divergence_area([1], [1], scaling=np.nan), "scaling nan"),
        (lambda: divergence_area([1], [1], points=1), "scaling 5.0, points 1: .* 2 points or more"),
    ],
)
def test_errors_say_what_was_wrong(call: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
