"""BPE dropout: the training text cut into tokens in another way each time."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from random import Random
from typing import TYPE_CHECKING

import numpy as np

from logit_sampling.training.tokenizer import END, pieces_of

if TYPE_CHECKING:
    import keras_hub

VARIANTS = 8  # ways at most to cut a piece of text that comes often, each time the text is cut
LONGEST = 100  # letters of a piece at most: the time of a cut grows with the square of its length


class BPEDropout:
    """Cuts a text as BPE does, but leaves out each merge that it could make with a probability.

    Provilkov, Emelianenko and Voita 2020, arXiv:1910.13267: a small text is never twice the same
    tokens, which keeps a model from learning it by heart. No merge goes across the border of every
    `LONGEST` bytes of a piece, which no word reaches, but a line of DNA or base64 does.

    Args:
        text: the text.
        tokenizer: the byte-level BPE whose merges are made or left out.
    """

    def __init__(self, text: str, tokenizer: keras_hub.models.BytePairTokenizer) -> None:
        numbers: dict[str, int] = {}
        pieces = []
        for n, part in enumerate(text.split(END)):
            words = [END] * (n > 0)
            for piece in pieces_of(part):
                words += [piece[i : i + LONGEST] for i in range(0, len(piece), LONGEST)]
            pieces += [numbers.setdefault(word, len(numbers)) for word in words]
        self._end = tokenizer.token_to_id(END)
        self._words = list(numbers)
        self._pieces = np.array(pieces)
        self._counts = np.bincount(self._pieces, minlength=len(self._words)).tolist()
        self._id = {token: n for n, token in enumerate(tokenizer.get_vocabulary())}
        self._rank = {tuple(m.split(" ")): n for n, m in enumerate(tokenizer.merges)}

    def __call__(self, rate: float, seed: int) -> np.ndarray:
        """Cut the text, each possible merge left out at each turn with the probability `rate`.

        Returns int32 `[tokens]`, a function of the text, the tokenizer, `rate` and `seed`; with a
        rate of 0 what the tokenizer makes of each piece that is no longer than `LONGEST`.
        """
        draw = Random(seed).random
        first: list[int] = []
        cuts: list[list[int]] = []
        for word, count in zip(self._words, self._counts, strict=True):
            first.append(len(cuts))
            for _ in range(min(count, VARIANTS if rate else 1)):
                cuts.append([self._end] if word == END else self._cut(word, rate, draw))
        first.append(len(cuts))
        starts = np.array(first)
        room = np.diff(starts)[self._pieces]
        chosen = np.random.default_rng(seed).integers(0, room) + starts[self._pieces]
        lengths = np.array([len(cut) for cut in cuts])
        flat = np.concatenate([np.array(cut, np.int32) for cut in cuts])
        ends = np.cumsum(lengths)
        # All tokens of all chosen cuts, without a loop over the pieces of the text.
        sizes = lengths[chosen]
        offset = np.arange(sizes.sum()) - np.repeat(np.cumsum(sizes) - sizes, sizes)
        return flat[np.repeat((ends - lengths)[chosen], sizes) + offset]

    def _cut(self, word: str, rate: float, draw: Callable[[], float]) -> list[int]:
        """The ids of a piece: of the merges that stay, the first learned one is made, and again."""
        tokens = list(word)
        while True:
            best = min(
                (
                    (rank, i)
                    for i, pair in enumerate(pairwise(tokens))
                    if (rank := self._rank.get(pair)) is not None and draw() >= rate
                ),
                default=None,
            )
            if best is None:
                return [self._id[token] for token in tokens]
            _, i = best
            tokens[i : i + 2] = [tokens[i] + tokens[i + 1]]
