"""Train a small GPT: tokenizer, model, recipe, run and report."""

from logit_sampling.training.corpus import CORPORA, read_text, split
from logit_sampling.training.fit import train
from logit_sampling.training.model import sum_loss
from logit_sampling.training.recipe import Recipe
from logit_sampling.training.tokenizer import characters_per_token, learn_tokenizer

__all__ = [
    "CORPORA",
    "Recipe",
    "characters_per_token",
    "learn_tokenizer",
    "read_text",
    "split",
    "sum_loss",
    "train",
]
