"""Mirostat sampling, versions 1 and 2."""

import itertools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from logit_sampling.distribution.checks import (
    Numbers,
    check_choice,
    check_count,
    check_flag,
    number,
)
from logit_sampling.distribution.intake import batch_of
from logit_sampling.distribution.protocol import Distribution
from logit_sampling.strategies._feedback import drawn
from logit_sampling.strategies._formula import Row, in_order, keep, softmax
from logit_sampling.strategies.transform import Strategy
from logit_sampling.types import ArrayLike


@dataclass(frozen=True)
class Mirostat(Strategy):
    """Hold the surprise of the text at `tau` bits, by a limit that each draw corrects.

    The limit mu starts at 2 tau; after a token of surprise S, in bits under the distribution that
    came in, it falls by `eta * (S - tau)`. Version 2 keeps the tokens whose surprise is at most
    mu; version 1 estimates from the first `m` ranks how many tokens to keep. One always stays.

    Args:
        tau: the surprise to hold, bits, above 0, or one for each row.
        eta: the rate of correction, at least 0, or one for each row.
        version: 1 or 2.
        m: how many ranks version 1 looks at, at least 2.
        after_cut: whether S is taken under the distribution that is left, as in llama.cpp; a cut
            that leaves one token then has no surprise at all, and the limit rises.

    Raises:
        ValueError: a value is out of range; a call with tokens that were generated (the state has
            to be carried by `init` and `step`).

    Source:
        Basu et al., Mirostat: A Neural Text Decoding Algorithm that Directly Controls Perplexity,
        2020, arXiv 2007.14966.

    Example:
        >>> import numpy as np, logit_sampling as ls
        >>> ls.Mirostat(tau=1, eta=0.1)(np.log([0.5, 0.3, 0.2])).round(2)
        array([-0.69, -1.2 ,  -inf])
    """

    tau: Numbers = number(gt=0, default=5.0)
    eta: Numbers = number(ge=0, default=0.1)
    version: int = 2
    m: int = 100
    after_cut: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        check_choice(self, "version", (1, 2))
        check_count(self, "m", least=2)
        check_flag(self, "after_cut")

    def formula(self, x: Row, mu: float | None = None) -> Row:
        mu = 2 * self.tau if mu is None else mu  # at the first step
        p, ids = softmax(x), in_order(x)
        if self.version == 2:
            kept = [i for i in ids if p[i] > 0 and -math.log2(p[i]) <= mu]
            return keep(x, kept or ids[:1])
        first = [i for i in ids if x[i] > -math.inf][: self.m]
        if len(first) < 2:
            return x
        t = [math.log((i + 2) / (i + 1)) for i in range(len(first) - 1)]
        b = [x[i] - x[j] for i, j in itertools.pairwise(first)]  # ln of p_i / p_j
        s = math.fsum(u * v for u, v in zip(t, b, strict=True)) / math.fsum(u * u for u in t)
        e = s - 1
        log_k = math.log((e * 2**mu) / (1 - len(x) ** -e)) / s
        if log_k > math.log(len(x)):
            return x
        return keep(x, ids[: max(1, math.floor(math.exp(log_k)))])

    def init(self, history: ArrayLike, vocab_size: int) -> tuple[ArrayLike]:
        """Return the limit mu, bits, float64 [batch]."""
        return (batch_of(np.multiply(2.0, self.tau), history),)

    def apply(self, distribution: Distribution, state: Any = ()) -> Distribution:
        (limit,) = state
        if self.version == 2:
            return distribution.at_least(distribution.log_total() - limit * math.log(2))
        return distribution.top(self._count(distribution, limit))

    def _count(self, distribution: Distribution, limit: Any) -> Any:
        """Return how many tokens to keep, from the slope of the first ranks (Zipf's exponent)."""
        xp, vocabulary = distribution.xp, max(distribution.vocab_size, 2)
        log_prob = distribution.top_log_probs(min(self.m, vocabulary))
        able = log_prob[:, 1:] > -math.inf
        steps = xp.where(able, log_prob[:, :-1] - xp.where(able, log_prob[:, 1:], 0.0), 0.0)
        ranks = np.arange(1, log_prob.shape[-1], dtype=np.float64)
        ratios = xp.where(able, np.log((ranks + 1) / ranks)[None], 0.0)
        squares = xp.sum(ratios**2, axis=-1)
        slope = xp.sum(ratios * steps, axis=-1) / xp.where(squares > 0, squares, 1.0)
        excess = slope - 1
        near = xp.absolute(excess) < 1e-9
        excess = xp.where(near, 1.0, excess)
        factor = excess / (1 - float(vocabulary) ** -excess)
        factor = xp.where(near, 1 / math.log(vocabulary), factor)
        flat = slope <= 1e-9
        log_count = (xp.log(factor) + limit * math.log(2)) / xp.where(flat, 1.0, slope)
        log_count = xp.where(flat, limit * math.log(2), log_count)
        # What is an integer on paper may round to just below it.
        count = xp.floor(xp.exp(xp.minimum(log_count, math.log(vocabulary))) * (1 + 1e-9))
        count = xp.where(xp.any(able, axis=-1), xp.maximum(count, 1.0), float(vocabulary))
        return count

    def update(
        self, state: Any, ids: ArrayLike, distribution: Distribution | None = None
    ) -> tuple[ArrayLike]:
        """Return the limit, corrected by the surprise."""
        seen = self.apply(distribution, state) if self.after_cut and distribution else distribution
        known, log_prob = drawn(self, seen, ids)
        assert distribution is not None
        surprise = -log_prob / math.log(2)
        eta, tau = distribution.per_row(self.eta), distribution.per_row(self.tau)
        (limit,) = state
        return (distribution.xp.where(known, limit - eta * (surprise - tau), limit),)
