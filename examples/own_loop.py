"""Samplers in a loop of your own, over a plain Keras model that returns logits.

The model is a small character model, trained here in a few seconds. Its last layer has no softmax,
and the loss knows: from_logits=True.
"""

import keras
import numpy as np

import logit_sampling as ls

TEXT = "the cat sat on the mat. the dog sat on the log. the cat saw the dog on the mat. " * 8
CONTEXT = 8


def train(ids: np.ndarray, vocab_size: int) -> keras.Model:
    model = keras.Sequential(
        [
            keras.Input((CONTEXT,), dtype="int32"),
            keras.layers.Embedding(vocab_size, 16),
            keras.layers.Flatten(),
            keras.layers.Dense(64, activation="relu"),
            keras.layers.Dense(vocab_size),  # logits
        ]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer=keras.optimizers.Adam(0.01), loss=loss)
    windows = np.lib.stride_tricks.sliding_window_view(ids, CONTEXT + 1)
    model.fit(windows[:, :-1], windows[:, -1], epochs=15, batch_size=64, verbose=0)
    return model


def main() -> None:
    keras.utils.set_random_seed(0)
    letters = sorted(set(TEXT))
    model = train(np.array([letters.index(c) for c in TEXT], np.int32), len(letters))

    prompts = ["the cat ", "the dog "]
    samplers = (ls.Greedy(), ls.Sampler(ls.TopK(3)), ls.Sampler(ls.Temperature(2.0)))
    for sampler in samplers:
        ids = np.array([[letters.index(c) for c in prompt] for prompt in prompts], np.int32)
        state = sampler.init(ids, vocab_size=len(letters), seed=7)
        for _ in range(40):
            logits = model(ids[:, -CONTEXT:])  # a tensor, [batch, vocab]
            new, state = sampler.step(np.asarray(logits), state)
            ids = np.concatenate([ids, new[:, None]], axis=1)
        print(sampler)
        for row in ids:
            print("   ", "".join(letters[i] for i in row))


if __name__ == "__main__":
    main()
