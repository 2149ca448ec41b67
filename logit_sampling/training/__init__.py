"""Train a small GPT: tokenizer, model, recipe, run and report."""

from .corpus import CORPORA, read_text, split
from .fit import train
from .model import sum_loss
from .recipe import Recipe
from .tokenizer import characters_per_token, learn_tokenizer

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
