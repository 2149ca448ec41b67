"""The same texts wherever Keras runs, of one process for each backend."""

import json
import re
import subprocess
import sys
from collections import Counter
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.backends import BACKEND
from tests.processes import on

CODE = """
import json, sys, warnings
import numpy as np
import keras
import logit_sampling as ls
from logit_sampling.evaluation import compare

warnings.simplefilter("error", UserWarning)
told = {}

def tell(name, result):
    told[name] = {"token_ids": result.token_ids, "log_probs": result.log_probs}

chain = ls.Sampler(ls.RepetitionPenalty(1.2), ls.TopK(50), ls.TopP(0.95))
prompts = ["ROMEO:", "To be", "What, ho! who comes"]
shakespeare = ls.load_model("shakespeare")
settings = {"max_new_tokens": 30, "seed": 7}
for name, options in {
    "greedy": {"sampler": ls.Greedy()},
    "chain": {"sampler": chain},
    "samples": {"sampler": chain, "n": 2},
    "a grammar": {"sampler": ls.Sampler(ls.Grammar.regex("[A-Z]{3,9}", shakespeare))},
    "beams": {"search": ls.BeamSearch(3)},
    "contrastive": {"search": ls.ContrastiveSearch(k=4, alpha=0.6)},
    "speculative": {"sampler": chain, "draft": shakespeare, "num_draft": 3},
    "lookup": {"sampler": chain, "draft": "lookup"},
}.items():
    tell(name, ls.generate(shakespeare, prompts, **settings | options))
beginning = "Now is the winter of our discontent made glorious summer by this sun of York; "
begun = [beginning + end for end in ("ROMEO:", "", "And all the clouds", "No", "Grim-visaged war")]
options = [{"sampler": chain, "max_new_tokens": 6 + 4 * i, "seed": i} for i in range(5)]
with ls.Engine(shakespeare, max_rows=3) as engine:  # rows come and go, the beginning is read once
    requests = [engine.submit(text, **own) for text, own in zip(begun, options)]
    for i, request in enumerate(requests):
        tell(f"request {i}", request.result())
if keras.config.backend() == "tensorflow":
    for i, (text, own) in enumerate(zip(begun, options)):
        alone = ls.generate(shakespeare, text, **own).token_ids
        assert alone == told[f"request {i}"]["token_ids"], i
tell("score", ls.score(shakespeare, prompts))
told["stream"] = "".join(map(str, ls.stream(shakespeare, "ROMEO:", sampler=chain, **settings)))
compared = compare(shakespeare, ["ROMEO:"], seeds=[1], max_new_tokens=8)
told["compare"] = [[text.text for text in result.texts] for result in compared.results]
explained = chain.explain(shakespeare.logits([[1, 2]])[0, -1], history=[1, 2])
told["explain"] = [stage.removed for stage in explained.stages]

tiny = keras.Sequential([
    keras.Input((None,), dtype="int32"), keras.layers.Embedding(10, 8), keras.layers.Dense(10),
])
tiny.set_weights([np.random.default_rng(0).normal(size=w.shape) for w in tiny.get_weights()])
embedding, head = (layer.get_weights() for layer in tiny.layers)

def by_hand(ids):
    return embedding[0][ids] @ head[0] + head[1]

for name, options in {
    "plain": {}, "beams": {"search": ls.BeamSearch(2)}, "draft": {"draft": by_hand}
}.items():
    for kind, model in (("layers", tiny), ("function", by_hand)):
        options = {"sampler": ls.Sampler(ls.TopK(5))} | options
        result = ls.generate(model, [[1, 2], [3]], max_new_tokens=5, seed=4, **options)
        tell(f"{name}, {kind}", result)
tell("slide", ls.generate(ls.as_model(tiny, context_length=4), [[1, 2]], overflow="slide",
                          max_new_tokens=12, seed=2))
told["check"] = ls.check_logits(tiny).output

if keras.config.backend() == "torch":
    import torch

    table = torch.nn.Embedding(10, 10)
    for kind in (torch.float32, torch.bfloat16):
        result = ls.generate(lambda ids: table(torch.from_numpy(ids)).to(kind), [[1]], seed=0,
                             max_new_tokens=3)
        assert len(result.token_ids[0]) == 3
print(json.dumps(told))
"""


CACHES = "(test_caches and (Mistral or gaps or memory or reads_each))"
"""Of the tests of caches; `KERAS_BACKEND=jax pytest tests/models tests/generation` runs all."""
COMPILED = {
    "jax": ("decoding/test_ahead.py", "(test_ahead and not quantised and not Gemma)"),
    "torch": ("models/test_torch_calls.py", "test_torch_calls"),
}
"""What a backend compiles, and which of its tests."""


def written(backend: str) -> dict[str, Any]:
    run = subprocess.run(
        [sys.executable, "-c", CODE],
        capture_output=True,
        text=True,
        env=on(backend),
    )
    assert run.returncode == 0, run.stderr[-3000:]
    return json.loads(run.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def expected() -> dict[str, Any]:
    return written("tensorflow")


@pytest.mark.skipif(BACKEND != "tensorflow", reason="the process itself is on another backend")
@pytest.mark.parametrize("backend", COMPILED)
def test_caches_and_what_is_compiled(backend: str) -> None:
    """In one process for each backend: starting one takes ten seconds."""
    if find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    name, chosen = COMPILED[backend]
    tests = (Path(__file__).parents[1] / file for file in ("models/test_caches.py", name))
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-v", "-n0", *tests, "-k", f"{CACHES} or {chosen}"],
        capture_output=True,
        text=True,
        env=on(backend),
    )
    passed = Counter(re.findall(r"(test_\w+)\.py::.* PASSED", run.stdout))
    assert run.returncode == 0 and passed["test_caches"] == 5, run.stdout[-3000:]
    assert passed[Path(name).stem] > 2, run.stdout[-3000:]


@pytest.mark.parametrize("backend", ["jax", "torch"])
def test_the_texts_are_those_of_tensorflow(backend: str, expected: dict[str, Any]) -> None:
    if find_spec(backend) is None:
        pytest.skip(f"{backend} is not installed")
    found = written(backend)
    assert found.keys() == expected.keys()
    for name, result in found.items():
        if not isinstance(result, dict):
            assert result == expected[name], name
            continue
        assert result["token_ids"] == expected[name]["token_ids"], name
        for own, others in zip(result["log_probs"], expected[name]["log_probs"], strict=True):
            # What remains is the rounding of matrix products.
            np.testing.assert_allclose(
                np.array(own, float), np.array(others, float), atol=2e-4, err_msg=name
            )
    for name in ("plain", "beams", "draft"):
        assert found[f"{name}, layers"]["token_ids"] == found[f"{name}, function"]["token_ids"]
