"""KerasHub: SpeculativeSampler writes tokens of probability 0."""

import keras_hub
import numpy as np

target = np.full((8, 262_144), -60.0, np.float32)
target[:, 7] = 60.0  # certain of token 7: any other has the probability e^-120
draft = np.roll(target, -4, axis=1)  # proposes token 3, which is rejected
sampler = keras_hub.samplers.SpeculativeSampler(
    num_speculative_tokens=1, base_sampler=keras_hub.samplers.RandomSampler(), seed=1
)
next_token = lambda prompt, cache, index: (target, None, cache)  # noqa: E731
proposed = lambda prompt, cache, index: (draft, None, cache)  # noqa: E731
prompts, wrong = np.zeros((8, 2), np.int32), 0
for _ in range(60):
    ids = sampler(next_token, prompts, index=1, draft_next=proposed)
    wrong += int((np.asarray(ids)[:, 1] != 7).sum())
print(f"{wrong} of 480 tokens have probability 0; there should be none")
