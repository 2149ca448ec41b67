"""KerasHub: TopPSampler keeps one token more where the mass is exactly p."""

import keras_hub
import numpy as np

probabilities = np.tile(np.array([0.5, 0.25, 0.25, 0.0], np.float32), (1000, 1))
sampler = keras_hub.samplers.TopPSampler(p=0.5, seed=1)
ids = np.asarray(sampler.get_next_token(probabilities))
wrong = int((ids != 0).sum())
print(f"{wrong} of 1000 tokens are not token 0, which has half of the mass; all should be")
