"""Our transforms and `order="hf"` beside transformers' processors, in the order that it gives."""

import logging
from typing import Any

import numpy as np
import pytest

import logit_sampling as ls
from tests.peers.rows import RANDOM, ROWS, SMALL, TIED, assert_same, softmax

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
from transformers.generation import GenerationConfig, GenerationMixin  # noqa: E402
from transformers.generation import logits_process as hf  # noqa: E402

logging.getLogger("transformers").setLevel(logging.ERROR)


class _Model(GenerationMixin):
    """Enough of a model for `generate`'s own choice of processors."""

    config = transformers.PretrainedConfig()
    device = torch.device("cpu")


def generate_distribution(
    logits: np.ndarray, history: Any = (0,), prompt_length: int = 1, **settings: Any
) -> np.ndarray:
    """Return the distribution of the next token in `generate(**settings)`."""
    config = GenerationConfig(**{"do_sample": True, **settings})
    ends = settings.get("eos_token_id")
    config._eos_token_tensor = None if ends is None else torch.tensor(np.atleast_1d(ends))
    processors = _Model()._get_logits_processor(config, prompt_length, device="cpu")
    ids = torch.tensor([list(history)], dtype=torch.int64)
    scores = processors(ids, torch.tensor(logits[None]))[0].numpy()
    if config.do_sample:
        return softmax(scores)
    return np.eye(len(logits))[scores.argmax()]


def processor_distribution(processor: Any, logits: np.ndarray, history: Any = (0,)) -> np.ndarray:
    ids = torch.tensor([list(history)], dtype=torch.int64)
    return softmax(processor(ids, torch.tensor(logits[None]))[0].numpy())


SINGLE = [
    (ls.Temperature(0.7), hf.TemperatureLogitsWarper(0.7)),
    (ls.TopK(3), hf.TopKLogitsWarper(3)),
    (ls.TopK(500), hf.TopKLogitsWarper(500)),
    (ls.TopP(0.7), hf.TopPLogitsWarper(0.7)),
    (ls.MinP(0.2), hf.MinPLogitsWarper(0.2)),
    (ls.Typical(0.6), hf.TypicalLogitsWarper(0.6)),
    (ls.Epsilon(0.02), hf.EpsilonLogitsWarper(0.02)),
    (ls.Eta(0.02), hf.EtaLogitsWarper(0.02)),
    (ls.TopH(0.6, renormalize=False, first=100), hf.TopHLogitsWarper(0.6)),
]


@pytest.mark.parametrize(("ours", "theirs"), SINGLE, ids=[repr(ours) for ours, _ in SINGLE])
@pytest.mark.parametrize("row", range(len(ROWS)))
def test_one_processor(ours, theirs, row):
    logits = ROWS[row]
    theirs = processor_distribution(theirs, logits)
    assert_same(ls.Sampler(ours).probabilities(logits), theirs)


SETTINGS: list[dict[str, Any]] = [
    {},
    {"temperature": 1.3, "top_k": 40, "top_p": 0.9, "min_p": 0.02},
    {"temperature": 0.6, "typical_p": 0.8, "epsilon_cutoff": 1e-3, "eta_cutoff": 1e-3},
    {"top_h": 0.7, "top_k": 20, "top_p": 0.95},
    {"top_h": 1.0},
    {"top_k": 0, "top_p": 1.0, "typical_p": 1.0, "epsilon_cutoff": 0.0, "eta_cutoff": 0.0},
    {"do_sample": False},
]


@pytest.mark.parametrize("settings", SETTINGS, ids=str)
@pytest.mark.parametrize("row", [0, 2, 3, 4])
def test_the_chain_of_generate(settings, row):
    logits = ROWS[row]
    ours = ls.Sampler.from_params(order="hf", **settings)
    assert_same(ours.probabilities(logits), generate_distribution(logits, **settings), ours)


def test_the_defaults_of_generate():
    defaults = GenerationConfig._get_default_generation_params()
    assert (defaults["do_sample"], defaults["top_k"], defaults["temperature"]) == (False, 50, 1.0)
    given = {"do_sample": True, "temperature": 0.7}
    ours = ls.Sampler.from_params(order="hf", defaults=True, **given)
    theirs = generate_distribution(RANDOM[2], top_k=defaults["top_k"], **given)
    assert_same(ours.probabilities(RANDOM[2]), theirs)


def test_a_wrong_order_would_be_seen():
    settings = {"temperature": 1.8, "top_k": 40, "top_p": 0.8, "min_p": 0.05}
    theirs = generate_distribution(RANDOM[2], **settings)
    for order in ("vllm", "llama.cpp"):
        other = ls.Sampler.from_params(order=order, **settings).probabilities(RANDOM[2])
        assert (other > 0).sum() != (theirs > 0).sum(), order


# What follows are differences; docs/peers.md explains each.


def test_difference_top_k_keeps_every_tie():
    theirs = processor_distribution(hf.TopKLogitsWarper(2), TIED)
    assert np.flatnonzero(theirs).tolist() == [1, 2, 3, 4]
    assert np.flatnonzero(ls.Sampler(ls.TopK(2)).probabilities(TIED)).tolist() == [1, 2]


def test_difference_top_p_sums_from_the_bottom():
    # Of equal tokens it keeps the last ones in the order of an ascending sort.
    flat = np.zeros(4, np.float32)
    theirs = processor_distribution(hf.TopPLogitsWarper(0.5), flat)
    ours = ls.Sampler(ls.TopP(0.5)).probabilities(flat)
    assert (theirs > 0).sum() == (ours > 0).sum() == 2
    assert np.flatnonzero(ours).tolist() == [0, 1] != np.flatnonzero(theirs).tolist()


def test_difference_top_p_compares_with_one_minus_p_in_float32():
    # The first token alone is 0.65 on paper; there the others have to be at most 1 - 0.65.
    row = np.log(np.array([0.15, 0.2, 0.65], np.float32))
    theirs = processor_distribution(hf.TopPLogitsWarper(0.65), row)
    assert np.flatnonzero(theirs).tolist() == [1, 2]
    assert np.flatnonzero(ls.Sampler(ls.TopP(0.65)).probabilities(row)).tolist() == [2]


def test_top_p_agrees_on_a_large_vocabulary():
    logits = np.random.default_rng(3).normal(size=32000).astype(np.float32)
    for p in (0.5, 0.9, 0.99, 0.999):
        theirs = processor_distribution(hf.TopPLogitsWarper(p), logits)
        assert_same(ls.Sampler(ls.TopP(p)).probabilities(logits), theirs)


def test_difference_typical_keeps_equal_distances():
    flat = np.zeros(4, np.float32)
    theirs = processor_distribution(hf.TypicalLogitsWarper(0.5), flat)
    assert (theirs > 0).sum() == 4
    ours = ls.Sampler(ls.Typical(0.5)).probabilities(flat)
    assert np.flatnonzero(ours).tolist() == [0, 1]


def test_difference_top_h():
    row = np.log(np.array([0.5, 0.3, 0.15, 0.05], np.float32))
    theirs = processor_distribution(hf.TopHLogitsWarper(0.6), row)
    assert (theirs > 0).sum() == 1
    assert (ls.Sampler(ls.TopH(0.6)).probabilities(row) > 0).sum() == 2
    wide = np.zeros(300, np.float32)
    assert (processor_distribution(hf.TopHLogitsWarper(1.0), wide) > 0).sum() <= 100
    assert (ls.Sampler(ls.TopH(1.0)).probabilities(wide) > 0).all()


def test_difference_rows_without_a_token_left():
    row = np.full(4, -np.inf, np.float32)
    for processor in (hf.EtaLogitsWarper(0.1), hf.TopHLogitsWarper(0.5)):
        with pytest.raises(ValueError, match="Expected parameter logits"):
            processor(None, torch.tensor(row[None]))
    for transform in (ls.Eta(0.1), ls.TopH(0.5)):
        np.testing.assert_array_equal(transform(row), row)
    removed = hf.InfNanRemoveLogitsProcessor()(None, torch.tensor([[-3.0, np.nan, -1.0]]))
    assert removed.argmax() == 1  # NaN became the likeliest
    prefix = hf.PrefixConstrainedLogitsProcessor(lambda *_: [1, 2], 1)
    revived = prefix(torch.tensor([[0]]), torch.tensor([[3, -np.inf, -np.inf, 1]]))
    assert revived.tolist() == [[-np.inf, 0, 0, -np.inf]]


def test_difference_a_watermark_of_the_last_token_whatever_the_context():
    history, zeros = torch.tensor([[5, 6, 7, 8]]), torch.zeros(1, 50)
    one, three = (
        hf.WatermarkLogitsProcessor(50, "cpu", context_width=width)(history, zeros)
        for width in (1, 3)
    )
    assert (one == three).all() and (one > 0).sum() == 12


def test_difference_a_temperature_of_0_or_an_integer():
    for temperature in (0.0, 1):
        with pytest.raises(ValueError, match="strictly positive float"):
            hf.TemperatureLogitsWarper(temperature)
    with pytest.raises(ValueError, match="do_sample=False"):
        ls.Sampler.from_params(order="hf", temperature=0.0)
    assert ls.Sampler.from_params(order="hf", temperature=2) == ls.Sampler(ls.Temperature(2))


def test_small_numbers_by_hand():
    np.testing.assert_allclose(
        generate_distribution(SMALL, top_k=2), [0, 0.625, 0, 0.375], rtol=1e-6
    )
