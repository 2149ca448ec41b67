"""What runs: KerasHub's language models, plain Keras models, functions."""
