"""KerasHub's samplers: the probabilities that they compute, then the token that they draw."""

from collections.abc import Iterator
from typing import Any

import keras_hub
import numpy as np
import tensorflow as tf
from keras import ops

import logit_sampling as ls
from logit_sampling.testing.peers.case import Case, joint_law, one_draw


def cases() -> Iterator[Case]:
    """Yield single draws, then drafts."""
    yield _one("GreedySampler", ls.Greedy(), seeded=False)
    yield _one("RandomSampler", ls.Sampler())
    yield _one("RandomSampler", ls.Temperature(0.7), temperature=0.7)
    yield _one("TopKSampler", ls.TopK(10), k=10)
    yield _one("TopPSampler", ls.TopP(0.9), p=0.9)
    yield _one("TopPSampler", ls.TopP(0.5), p=0.5)
    yield _one("TopPSampler", ls.Sampler(ls.TopK(20), ls.TopP(0.9)), p=0.9, k=20)
    yield _one("TopPSampler", _joint, ", against what both keep", p=0.9, k=20)
    samplers = keras_hub.samplers
    yield _speculative("RandomSampler()", samplers.RandomSampler(), ls.Sampler())
    yield _speculative("TopKSampler(k=1)", samplers.TopKSampler(k=1), ls.TopK(1))
    yield _speculative("None", None, ls.Greedy())


def _one(name: str, expected: Any, note: str = "", *, seeded: bool = True, **given: Any) -> Case:
    kind = getattr(keras_hub.samplers, name)

    def draw(logits: np.ndarray, seed: int = 0) -> Any:
        sampler = kind(**given, **({"seed": seed} if seeded else {}))
        return sampler.get_next_token(sampler.compute_probabilities(tf.constant(logits)))

    shown = ", ".join(f"{key}={value}" for key, value in given.items())
    return one_draw(f"{name}({shown}){note}", draw, expected, seeded=seeded)


def _joint(logits: np.ndarray) -> np.ndarray:
    """What both keep, the mass measured before the cut to k."""
    kept = np.isfinite(ls.TopK(20)(logits)) & np.isfinite(ls.TopP(0.9)(logits))
    return ls.Sampler().probabilities(np.where(kept, logits, -np.inf))


def _speculative(shown: str, base_sampler: Any, expected: Any) -> Case:
    def write(draft: Any, target: Any, batch: int, length: int, seed: int) -> Any:
        sampler = keras_hub.samplers.SpeculativeSampler(
            num_speculative_tokens=2, base_sampler=base_sampler, seed=seed
        )

        def following(model: Any) -> Any:
            def after(prompt: Any, cache: Any, index: Any) -> tuple[Any, None, Any]:
                logits = model(ops.convert_to_numpy(prompt)[:, 1 : int(index)])
                return ops.convert_to_tensor(logits), None, cache

            return after

        start = np.zeros((batch, 1 + length), np.int32)  # a token before the text, as it wants
        ids = sampler(following(target), start, index=1, draft_next=following(draft))
        return ops.convert_to_numpy(ids)[:, 1:]

    return joint_law(f"SpeculativeSampler(base_sampler={shown})", write, expected, length=3)
