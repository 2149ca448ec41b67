"""The logits that the benchmarks run on."""

from pathlib import Path

import numpy as np

KINDS = ("language", "flat", "real")

_TEXTS = (
    "The history of the Roman Empire begins with the founding of the city, which legend places",
    "def fibonacci(n):\n    if n < 2:\n        return n\n    return fibonacci(n - 1) +",
    "Once upon a time, in a small village near the sea, there lived an old fisherman who",
    "In the first stage of photosynthesis, the light reactions, chlorophyll absorbs the energy of",
)


def language(count: int, vocabulary: int, seed: int = 0) -> np.ndarray:
    """Return rows that resemble those of a language model, float32 [count, vocabulary].

    A logit is the sum of a normal number (the bulk: standard deviation 2.5), an exponential one
    (the tail: its mean is about 1.4, another for each row), and a lead of -1.2 ln(id / vocabulary)
    for low ids, which byte-pair encoding gives to frequent tokens. An exponential tail makes the
    sorted probabilities a power law, as Zipf's.

    The numbers were chosen to agree with rows of SmolLM2-135M. Medians of the 83 rows that `real`
    returns for it, and of 1,000 of these rows at its vocabulary: entropy 2.1 and 2.4 nats; the
    likeliest token 0.52 and 0.44; tokens that hold 0.9 of the mass 15 and 19; the fall of the logit
    from the first rank to the tenth, hundredth and thousandth 4.4, 7.9, 11.6 and 4.2, 7.7, 11.3.
    From the tenth to the ninetieth percentile the entropies go from 0.5 to 5.1 and 0.5 to 4.4.
    """
    rng = np.random.default_rng(seed)
    tail = 1.4 * np.exp(0.3 * rng.standard_normal((count, 1), np.float32))
    lead = -1.2 * np.log((np.arange(vocabulary, dtype=np.float32) + 0.5) / vocabulary)
    rows = 2.5 * rng.standard_normal((count, vocabulary), np.float32)
    rows += tail * rng.standard_exponential((count, vocabulary), np.float32)
    return rows + lead


def flat(count: int, vocabulary: int, seed: int = 0) -> np.ndarray:
    """Return nearly flat rows, as before training: normal, standard deviation 0.1, float32."""
    rng = np.random.default_rng(seed)
    return 0.1 * rng.standard_normal((count, vocabulary), np.float32)


def real(folder: Path) -> np.ndarray:
    """Return float32 rows, one for each token of four texts, from the preset in `folder`."""
    import logit_sampling as ls

    model = ls.load_model(folder)
    return np.concatenate([model.logits([model.encode(text)])[0] for text in _TEXTS])


def batches(rows: np.ndarray, batch: int, count: int) -> np.ndarray:
    """Return `rows` [n, vocabulary] as float32 [count, batch, vocabulary], repeated if few."""
    return np.resize(rows, (count, batch, rows.shape[1]))
