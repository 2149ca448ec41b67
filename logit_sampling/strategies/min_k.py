"""Min-k sampling."""

import itertools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from logit_sampling.distribution.checks import Numbers, number
from logit_sampling.distribution.protocol import Distribution
from logit_sampling.strategies._formula import Row, in_order, keep
from logit_sampling.strategies.transform import Strategy

_ALIKE = 1e-12  # so far do drops differ that are equal on paper


@dataclass(frozen=True)
class MinK(Strategy):
    """Keep the tokens above the steepest drop, where the tail begins.

    With the logits in order, the drop behind rank i is divided by i, so that those among the first
    tokens count for more. The cut is at the greatest, whatever the temperature is. A row whose
    logits lie within `tau` is too flat to have a tail: it keeps at least `tau` divided by their
    range (which a temperature before it does change), and equal logits stay all.

    Args:
        tau: a number above 0, or one for each row; the distance of logits below which a row is
            flat.

    Raises:
        ValueError: `tau` is not above 0.

    Source:
        Ding et al., Min-k Sampling: Decoupling Truncation from Temperature Scaling via Relative
        Logit Dynamics, 2026, arXiv 2604.11012.

    Example:
        >>> import numpy as np, logit_sampling as ls
        >>> ls.MinK(3)(np.array([0.5, 4.0, 3.5, 0.0, 1.0], np.float32))
        array([-inf,  4. ,  3.5, -inf, -inf], dtype=float32)
    """

    tau: Numbers = number(gt=0)

    def formula(self, x: Row) -> Row:
        ids = [i for i in in_order(x) if x[i] > -math.inf]
        spread = x[ids[0]] - x[ids[-1]]
        if spread == 0:
            return x
        drops = [(x[i] - x[j]) / (1 + n) for n, (i, j) in enumerate(itertools.pairwise(ids))]
        greatest = max(drops) * (1 - 1e-12)  # equal on paper is equal here
        steepest = 1 + next(n for n, drop in enumerate(drops) if drop >= greatest)
        return keep(x, ids[: max(steepest, math.floor(self.tau / spread))])

    def apply(self, distribution: Distribution, state: object = ()) -> Distribution:
        xp, least = distribution.xp, distribution.least_log_weight()

        def steepest(log_weights: Any, least: Any) -> tuple[Any, Any]:
            ranks = np.arange(1, log_weights.shape[-1] + 1, dtype=np.float64)
            able = xp.maximum(log_weights, least)  # what was removed drops no further
            following = xp.concatenate([able[..., 1:], able[..., -1:]], axis=-1)
            drops = xp.where(able > following, able - following, 0.0) / ranks
            greatest = xp.max(drops, axis=-1)
            steep = drops >= greatest[..., None] * (1 - _ALIKE)
            rank = xp.min(xp.where(steep, ranks, np.inf), axis=-1)
            left = (able - least)[..., -1] / ranks[-1]  # no drop behind them can be greater
            return rank, left <= greatest

        cut = distribution.of_first(steepest, least)
        flat = distribution.per_row(self.tau) / xp.where(least < 0, -least, 1.0)
        flat = xp.where(least < 0, xp.floor(flat), distribution.vocab_size)
        return distribution.top(xp.minimum(xp.maximum(cut, flat), distribution.vocab_size))
