"""Beam search, contrastive search, and a draft that speeds up sampling.

python examples/search.py [MODEL]     MODEL: a shipped name, a folder, or a KerasHub preset
"""

import argparse
import functools
from collections.abc import Callable
from typing import Any

import numpy as np

import logit_sampling as ls


def bigrams(model: Any) -> Callable[[np.ndarray], np.ndarray]:
    """A cheap draft: what the model says after the last token alone, remembered."""

    @functools.cache
    def after(token: int) -> np.ndarray:
        return model.logits([[token]])[0, 0]

    return lambda ids: np.stack([after(token) for token in ids[:, -1].tolist()])


def main(name: str = "shakespeare") -> None:
    model = ls.load_model(name)
    prompt = "ROMEO:"

    print("The likeliest texts of four beams, and of two pairs that avoid each other's tokens:")
    for search in (ls.BeamSearch(4), ls.BeamSearch(4, num_groups=2, diversity_penalty=1.0)):
        result = ls.generate(model, prompt, search=search, n=4, max_new_tokens=20)
        for score, text in zip(result.scores or [], result.texts, strict=True):
            print(f"  {score:6.2f}  {text!r}")

    print("Likely tokens that say something new:")
    contrastive = ls.ContrastiveSearch(k=5, alpha=0.6)
    print(f"  {ls.generate(model, prompt, search=contrastive, max_new_tokens=20).texts[0]!r}")

    sampler = ls.Sampler(ls.Temperature(0.7), ls.TopP(0.9))
    options: dict[str, Any] = {"draft": bigrams(model), "num_draft": 2, "seed": 7}
    result = ls.generate(model, prompt, sampler=sampler, n=8, max_new_tokens=40, **options)
    accepted = np.mean(result.accepted or 0)
    print(f"With a draft of bigrams: {1 + accepted:.2f} tokens for each call of the model")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("model", nargs="?", default="shakespeare")
    main(parser.parse_args().model)
