"""KerasHub: SpeculativeSampler passes over the top-k of its base sampler."""

import keras_hub
import numpy as np

logits = np.zeros((64, 16), np.float32)
logits[:, 5] = 1.0  # a top-k of 1 leaves token 5 alone
sampler = keras_hub.samplers.SpeculativeSampler(
    num_speculative_tokens=1, base_sampler=keras_hub.samplers.TopKSampler(k=1), seed=2
)
model = lambda prompt, cache, index: (logits, None, cache)  # noqa: E731
ids = np.asarray(sampler(model, np.zeros((64, 16), np.int32), index=1, draft_next=model))[:, 1:]
wrong = int((ids != 5).sum())
print(f"{wrong} of {ids.size} tokens are not the one that a top-k of 1 leaves; all should be")
