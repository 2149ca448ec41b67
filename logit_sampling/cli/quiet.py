"""Importing TensorFlow without its messages, before a command needs it."""

from logit_sampling.models.quiet import import_tensorflow as import_tensorflow
