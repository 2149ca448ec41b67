"""KerasHub on TensorFlow: seeds that are 2**31 - 2 apart draw the same."""

import keras_hub
import numpy as np

logits = np.zeros((100, 50), np.float32)
first, second = (
    np.asarray(
        keras_hub.samplers.RandomSampler(seed=seed)(
            lambda prompt, cache, index: (logits, None, cache),
            np.zeros((100, 2), np.int32),
            index=1,
        )
    )[:, 1]
    for seed in (1, 2**31 - 1)
)
wrong = int((first == second).all())
print(f"{int((first == second).sum())} of 100 draws of 50 are equal; about 2 should be")
