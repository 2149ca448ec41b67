"""KerasHub: SpeculativeSampler drafts the likeliest token, and accepts it as if it were drawn."""

import keras_hub
import numpy as np

logits = np.log(np.tile([0.4, 0.3, 0.3], (100, 1))).astype(np.float32)
sampler = keras_hub.samplers.SpeculativeSampler(
    num_speculative_tokens=1, base_sampler=keras_hub.samplers.RandomSampler(), seed=3
)
same = lambda prompt, cache, index: (logits, None, cache)  # noqa: E731  # draft and target are one model
ids = sampler(same, np.zeros((100, 2), np.int32), index=1, draft_next=same)
drawn = int((np.asarray(ids)[:, 1] == 0).sum())
wrong = drawn - 40 if drawn > 80 else 0
print(f"token 0, of probability 0.4, came {drawn} times of 100; it should come about 40 times")
