"""What runs where Keras runs on JAX or torch."""

import os
import subprocess
import sys
from importlib.util import find_spec

import pytest

CODE = """
import warnings
import numpy as np
import keras
import logit_sampling as ls

keras.utils.set_random_seed(0)
model = keras.Sequential([
    keras.Input((None,), dtype="int32"), keras.layers.Embedding(10, 8), keras.layers.Dense(10),
])
embedding, head = (layer.get_weights() for layer in model.layers)

def by_hand(ids):
    return embedding[0][ids] @ head[0] + head[1]

chain = ls.Sampler(ls.RepetitionPenalty(1.2), ls.TopK(5))
for options in ({}, {"search": ls.BeamSearch(2)}, {"draft": by_hand}):
    got, want = (
        ls.generate(each, [[1, 2], [3]], sampler=chain, max_new_tokens=5, seed=4, **options)
        for each in (model, by_hand)
    )
    assert got.token_ids == want.token_ids, options
    np.testing.assert_allclose(got.log_probs, want.log_probs, atol=1e-5)
scored, expected = (ls.score(each, [[1, 2, 3]]).totals for each in (model, by_hand))
np.testing.assert_allclose(scored, expected, atol=1e-5)

if keras.backend.backend() == "torch":
    import torch

    table = torch.nn.Embedding(10, 10)
    for kind in (torch.float32, torch.bfloat16):
        result = ls.generate(lambda ids: table(torch.from_numpy(ids)).to(kind), [[1]], seed=0,
                             max_new_tokens=3)
        assert len(result.token_ids[0]) == 3

shakespeare = ls.load_model("shakespeare")
with warnings.catch_warnings(record=True) as warned:
    warnings.simplefilter("always")
    result = ls.generate(shakespeare, "ROMEO:", sampler=chain, seed=7, max_new_tokens=2)
backend = keras.backend.backend()
assert any(f"on {backend} a KerasHub model reads the whole text" in str(w.message) for w in warned)
print(result.token_ids[0])
"""


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_models_and_functions(backend: str) -> None:
    if find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    import logit_sampling as ls

    run = subprocess.run(
        [sys.executable, "-c", CODE],
        capture_output=True,
        text=True,
        env=os.environ | {"KERAS_BACKEND": backend, "JAX_PLATFORMS": "cpu"},
    )
    assert run.returncode == 0, run.stderr[-3000:]
    chain = ls.Sampler(ls.RepetitionPenalty(1.2), ls.TopK(5))
    shakespeare = ls.load_model("shakespeare")
    here = ls.generate(shakespeare, "ROMEO:", sampler=chain, seed=7, max_new_tokens=2)
    assert run.stdout.strip().endswith(str(here.token_ids[0]))
