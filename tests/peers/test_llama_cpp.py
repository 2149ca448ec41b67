"""Our transforms and `order="llama.cpp"` beside llama.cpp's own, run through its bindings."""

import ctypes
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import logit_sampling as ls
from logit_sampling.distribution.intake import take_in
from tests.peers.rows import MASKED, RANDOM, ROWS, SMALL, assert_same

llama = pytest.importorskip("llama_cpp")
from tests.peers.llama import apply  # noqa: E402

INF = float("inf")

INIT: dict[str, Callable[..., Any]] = {
    "top_n_sigma": lambda p: llama.llama_sampler_init_top_n_sigma(p["top_n_sigma"]),
    "top_k": lambda p: llama.llama_sampler_init_top_k(p["top_k"]),
    "typical_p": lambda p: llama.llama_sampler_init_typical(p["typical_p"], 0),
    "top_p": lambda p: llama.llama_sampler_init_top_p(p["top_p"], 0),
    "min_p": lambda p: llama.llama_sampler_init_min_p(p["min_p"], 0),
    "xtc_probability": lambda p: llama.llama_sampler_init_xtc(
        p["xtc_probability"], p["xtc_threshold"], 0, 1
    ),
    "temp": lambda p: llama.llama_sampler_init_temp_ext(
        p["temp"], p["dynatemp_range"], p["dynatemp_exponent"]
    ),
}
DEFAULTS = {
    "top_n_sigma": -1.0,
    "top_k": 40,
    "typical_p": 1.0,
    "top_p": 0.95,
    "min_p": 0.05,
    "xtc_probability": 0.0,
    "xtc_threshold": 0.1,
    "temp": 0.8,
    "dynatemp_range": 0.0,
    "dynatemp_exponent": 1.0,
}


def common_chain(**params: Any) -> list[Any]:
    """Return llama.cpp's samplers in the order of its common/sampling.cpp, with its defaults."""
    settings = DEFAULTS | params
    return [init(settings) for init in INIT.values()]


SINGLE = [
    (ls.TopK(3), lambda: llama.llama_sampler_init_top_k(3)),
    (ls.TopK(500), lambda: llama.llama_sampler_init_top_k(500)),
    (ls.TopP(0.7), lambda: llama.llama_sampler_init_top_p(0.7, 0)),
    (ls.TopP(1e-9), lambda: llama.llama_sampler_init_top_p(1e-9, 0)),
    (ls.MinP(0.2), lambda: llama.llama_sampler_init_min_p(0.2, 0)),
    (ls.TopNSigma(1.0), lambda: llama.llama_sampler_init_top_n_sigma(1.0)),
    (ls.XTC(1, 0.1), lambda: llama.llama_sampler_init_xtc(1.0, 0.1, 0, 7)),
    (ls.Temperature(0.6), lambda: llama.llama_sampler_init_temp(0.6)),
    (ls.Temperature(0), lambda: llama.llama_sampler_init_temp(0.0)),
    (ls.Mirostat(2.0, 0.1), lambda: llama.llama_sampler_init_mirostat_v2(7, 2.0, 0.1)),
    (ls.AdaptiveP(0.3), lambda: llama.llama_sampler_init_adaptive_p(0.3, 0.9, 7)),
]


@pytest.mark.parametrize(("ours", "theirs"), SINGLE, ids=[repr(ours) for ours, _ in SINGLE])
@pytest.mark.parametrize("row", range(len(ROWS)))
def test_one_sampler(ours, theirs, row):
    logits = ROWS[row]
    assert_same(ls.Sampler(ours).probabilities(logits), apply([theirs()], logits)[0])


FINITE = [
    (ls.Typical(0.6), lambda: llama.llama_sampler_init_typical(0.6, 0)),
    (
        ls.DynamicTemperature(1.0, 0.6, 1.5),
        lambda: llama.llama_sampler_init_temp_ext(1.0, 0.6, 1.5),
    ),
    (ls.DynamicTemperature(0.4, 0.9), lambda: llama.llama_sampler_init_temp_ext(0.4, 0.9, 1.0)),
    (
        ls.Mirostat(2.0, 0.1, version=1),
        lambda: llama.llama_sampler_init_mirostat(200, 7, 2.0, 0.1, 100),
    ),
]


@pytest.mark.parametrize(("ours", "theirs"), FINITE, ids=[repr(ours) for ours, _ in FINITE])
@pytest.mark.parametrize("row", range(len(RANDOM)))
def test_one_sampler_on_finite_rows(ours, theirs, row):
    logits = RANDOM[row]
    assert_same(ls.Sampler(ours).probabilities(logits), apply([theirs()], logits)[0])


SETTINGS: list[dict[str, Any]] = [
    {},
    {"temp": 1.3},
    {"top_k": 0, "top_p": 1.0, "min_p": 0.0, "temp": 1.0},
    {"top_k": -1, "top_p": 0.5},
    {"top_n_sigma": 1.0, "min_p": 0.2},
    {"xtc_probability": 1.0, "xtc_threshold": 0.05},
    {"temp": 0.0, "xtc_probability": 1.0, "xtc_threshold": 0.05},
    {"temp": -1.0, "xtc_probability": 1.0},
    {"typical_p": 0.7},
    {"temp": 0.5, "dynatemp_range": 0.4, "dynatemp_exponent": 1.5},
    {"dynatemp_range": 0.4},
]


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
@pytest.mark.parametrize("row", range(len(ROWS)))
def test_the_chain_with_its_defaults(settings, row):
    logits = ROWS[row]
    ours = ls.Sampler.from_params(order="llama.cpp", defaults=True, **settings)
    if not settings.get("xtc_probability") and row == 0:
        assert "XTC" not in repr(ours)
    assert_same(ours.probabilities(logits), apply(common_chain(**settings), logits)[0], ours)


def test_a_wrong_order_would_be_seen():
    logits = ROWS[3]
    settings = {"temp": 1.8, "top_k": 40, "top_p": 0.8, "min_p": 0.05}
    theirs = apply(common_chain(**settings), logits)[0]
    assert_same(ls.Sampler.from_params(order="llama.cpp", **settings).probabilities(logits), theirs)
    for order in ("default", "hf", "vllm"):
        other = ls.Sampler.from_params(order=order, **settings).probabilities(logits)
        assert (other > 0).sum() != (theirs > 0).sum()


@pytest.mark.parametrize("version", [1, 2])
def test_mirostat_replaces_the_chain(version):
    sampler = ls.Sampler.from_params(
        order="llama.cpp", defaults=True, mirostat=version, mirostat_tau=2.0, temp=0.7
    )
    mirostat = ls.Mirostat(2.0, 0.1, version=version, after_cut=True)
    assert sampler == ls.Sampler(ls.Temperature(0.7), mirostat)


def mirostat_steps(version: int, logits: np.ndarray, steps: int) -> list[tuple[int, int]]:
    """Return how many tokens llama.cpp's Mirostat kept at each step, and which it drew."""
    if version == 1:
        handle = llama.llama_sampler_init_mirostat(len(logits), 7, 2.0, 0.5, 100)
    else:
        handle = llama.llama_sampler_init_mirostat_v2(7, 2.0, 0.5)
    data, made = (llama.llama_token_data * len(logits))(), []
    for _ in range(steps):
        for i, x in enumerate(logits.tolist()):
            data[i] = llama.llama_token_data(i, x, 0.0)
        array = llama.llama_token_data_array(data, len(logits), -1, False)
        llama.llama_sampler_apply(handle, ctypes.byref(array))
        made.append((array.size, array.data[array.selected].id))
    llama.llama_sampler_free(handle)
    return made


def our_steps(transform: ls.Mirostat, logits: np.ndarray, drawn: list[int]) -> list[int]:
    """Return how many tokens ours keeps at each step, if the tokens `drawn` are drawn."""
    sampler, kept = ls.Sampler(transform), []
    state = sampler.init([[]], len(logits), seed=0)
    for token in drawn:
        scores = take_in(logits).distribution
        (own,) = state.transforms
        kept.append(int((transform.apply(scores, own).probabilities() > 0).sum()))
        own = transform.update(own, np.array([token]), scores)
        state = state._replace(transforms=(own,))
    return kept


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("row", range(len(RANDOM)))
def test_mirostat_over_steps(version, row):
    made = mirostat_steps(version, RANDOM[row], 12)
    sampler = ls.Sampler.from_params(
        order="llama.cpp", mirostat=version, mirostat_tau=2.0, mirostat_eta=0.5
    )
    (ours,) = sampler.transforms
    kept = our_steps(ours, RANDOM[row], [token for _, token in made])
    assert kept == [size for size, _ in made] and len(set(kept)) > 1


def test_difference_mirostat_measures_after_the_cut():
    made = mirostat_steps(2, RANDOM[1], 3)
    assert [size for size, _ in made] == [1, 2, 7]
    assert our_steps(ls.Mirostat(2.0, 0.5), RANDOM[1], [token for _, token in made]) == [1, 1, 1]


# What follows are differences; docs/peers.md explains each.


def test_difference_equals_are_cut_in_the_order_of_an_unstable_sort():
    equals = np.zeros(8, np.float32)
    theirs = apply([llama.llama_sampler_init_top_p(0.5, 0)], equals)[0]
    ours = np.flatnonzero(ls.Sampler(ls.TopP(0.5)).probabilities(equals)).tolist()
    assert (theirs > 0).sum() == 4 and ours == [0, 1, 2, 3]
    assert np.flatnonzero(theirs).tolist() != ours


def draws(handle: Any, count: int) -> list[int]:
    """Return tokens that a sampler of llama.cpp draws from 50 equal ones."""
    drawn = []
    for _ in range(count):
        data = (llama.llama_token_data * 50)(*(llama.llama_token_data(i, 0, 0) for i in range(50)))
        array = llama.llama_token_data_array(data, 50, -1, False)
        llama.llama_sampler_apply(handle, ctypes.byref(array))
        drawn.append(array.data[array.selected].id)
    return drawn


def test_difference_a_clone_of_adaptive_p_starts_again():
    for init, again in (
        (lambda: llama.llama_sampler_init_adaptive_p(0.3, 0.9, 7), True),
        (lambda: llama.llama_sampler_init_dist(7), False),
    ):
        original = init()
        draws(original, 5)
        clone = llama.llama_sampler_clone(original)
        drawn = draws(clone, 4)
        assert (drawn == draws(init(), 4)) == again != (drawn == draws(original, 4))


def test_difference_typical_needs_more_than_the_mass():
    # Entropy ln 4 and every distance 0: half the mass is two tokens on paper.
    flat = np.zeros(4, np.float32)
    assert (ls.Sampler(ls.Typical(0.5)).probabilities(flat) > 0).sum() == 2
    assert (apply([llama.llama_sampler_init_typical(0.5, 0)], flat)[0] > 0).sum() == 3


def test_difference_top_p_adds_in_float32():
    # 0.5 and 0.3 reach 0.8 on paper; a float32 sum of float32 softmax values is a little less.
    ours = ls.Sampler(ls.TopP(0.8)).probabilities(SMALL)
    theirs = apply([llama.llama_sampler_init_top_p(0.8, 0)], SMALL)[0]
    assert np.flatnonzero(ours).tolist() == [1, 3]
    assert np.flatnonzero(theirs).tolist() == [0, 1, 3]


def test_difference_xtc_with_a_threshold_of_0_leaves_only_a_masked_token():
    with np.errstate(invalid="ignore"):
        theirs = apply([llama.llama_sampler_init_xtc(1.0, 0.0, 0, 7)], MASKED)[0]
    assert np.isnan(theirs).all()
    ours = ls.Sampler(ls.XTC(1, 0)).probabilities(MASKED)
    assert ours[np.where(np.isneginf(MASKED), np.inf, MASKED).argmin()] == 1


def test_difference_typical_on_a_masked_row():
    theirs = apply([llama.llama_sampler_init_typical(0.6, 0)], MASKED)[0]
    ours = ls.Sampler(ls.Typical(0.6)).probabilities(MASKED)
    assert (ours[np.isneginf(MASKED)] == 0).all()
    assert np.flatnonzero(ours).tolist() != np.flatnonzero(theirs > 0).tolist()


def test_difference_dynamic_temperature_counts_masked_tokens():
    # The entropy is 0.84 of that of two equal tokens, which are all there are, and 0.42 of four's.
    row = np.array([1, 0, -INF, -INF], np.float32)
    theirs = apply([llama.llama_sampler_init_temp_ext(1.0, 0.5, 1.0)], row)[0]
    ours = ls.Sampler(ls.DynamicTemperature(1.0, 0.5)).probabilities(row)
    np.testing.assert_allclose(ours[:2], [0.6783, 0.3217], atol=1e-4)
    np.testing.assert_allclose(theirs[:2], [0.7479, 0.2521], atol=1e-4)


def test_difference_top_n_sigma_leaves_masked_candidates():
    # They make the entropy of what follows NaN, or count as possible tokens.
    row = np.array([3, 2.5, 2, 1, 0, -1], np.float32)
    sigma = llama.llama_sampler_init_top_n_sigma
    theirs = apply([sigma(1.0), llama.llama_sampler_init_typical(0.5, 0)], row)[0]
    ours = ls.Sampler(ls.TopNSigma(1), ls.Typical(0.5)).probabilities(row)
    assert (theirs > 0).sum() == 1 and (ours > 0).sum() == 2
    theirs = apply([sigma(1.0), llama.llama_sampler_init_temp_ext(1.0, 0.5, 1.0)], row)[0]
    ours = ls.Sampler(ls.TopNSigma(1), ls.DynamicTemperature(1, 0.5)).probabilities(row)
    np.testing.assert_allclose([theirs[0], ours[0]], [0.4953, 0.4543], atol=1e-4)


def test_difference_a_row_without_a_token_left():
    with np.errstate(invalid="ignore"):
        selected = apply([llama.llama_sampler_init_dist(3)], np.full(4, -INF, np.float32))[1]
    assert selected == 3
    with pytest.raises(ValueError, match="nothing is left to draw from"):
        ls.Sampler()(np.full(4, -INF, np.float32))
