"""KerasHub on TensorFlow: a row draws other tokens in a batch that is cut at other places."""

import keras_hub
import numpy as np

logits = np.zeros((100, 100), np.float32)


def draw(rows: int) -> np.ndarray:
    sampler = keras_hub.samplers.RandomSampler(seed=1)
    return np.asarray(sampler.get_next_token(sampler.compute_probabilities(logits[:rows])))


whole = draw(100)
wrong = sum(int((draw(rows) != whole[:rows]).sum()) for rows in range(10, 100, 10))
print(f"{wrong} of 450 rows drew another token in a smaller batch, with the same seed")
