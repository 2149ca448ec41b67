"""Selectors with feedback: what was drawn moves the next cut. They come last in a chain."""

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
from logit_sampling.distribution.intake import batch_of, quietly, take_in
from logit_sampling.strategies.transform import Transform


@dataclass(frozen=True)
class Feedback(Transform):
    """A transform that learns from the probability which each drawn token had."""

    def narrow(self, scores: Any, state: Any) -> Any:
        """Return the scores of an engine, cut or mapped."""
        raise NotImplementedError(f"{type(self).__name__} does not write `narrow`")

    def learn(self, scores: Any, state: Any, log_prob: Any) -> Any:
        """Return the state after a token of that log-probability, float32 [batch]."""
        raise NotImplementedError(f"{type(self).__name__} does not write `learn`")

    def measured(self, scores: Any, state: Any) -> Any:
        """Return the scores whose probabilities it learns from: those that came in."""
        return scores

    def act(self, scores: Any, state: Any) -> Any:
        """Apply to the scores of an engine: what a sampler calls."""
        return self.narrow(scores, state)

    @quietly
    def apply(self, logits: Any, state: Any) -> Any:
        """Return the transformed logits, float [batch, vocab], like those given."""
        taken = self.admit(take_in(logits, *state, *self.tensors()))
        return taken.restore(self.narrow(taken.scores, state).dense())

    def after(self, scores: Any, state: Any, ids: Any) -> Any:
        """Return the state after ``ids`` were drawn from what became of ``scores``."""
        xp = scores.xp
        log_prob = self.measured(scores, state).log_prob(xp.maximum(ids, 0))
        log_prob = scores.numbers(log_prob)
        # A comparison with NaN is false, and TensorFlow may turn its opposite into another.
        known = (log_prob > -math.inf) & (ids >= 0)
        learned = self.learn(scores, state, xp.where(known, log_prob, 0.0))
        return tuple(xp.where(known, new, old) for old, new in zip(state, learned, strict=True))

    def update(self, state: Any, ids: Any) -> Any:
        """Raise ValueError: the tokens alone do not tell how likely they were."""
        raise ValueError(
            f"{type(self).__name__} needs the probability of each token that was drawn: use "
            "sampler.init and sampler.step; for a call with `history`, say with `prompt_length` "
            "that all of it is prompt"
        )


@dataclass(frozen=True)
class Mirostat(Feedback):
    """Hold the surprise of the text at ``tau`` bits, by a limit that each draw corrects.

    The limit mu starts at 2 tau; after a token of surprise S, in bits under the distribution that
    came in, it falls by ``eta * (S - tau)``. Version 2 keeps the tokens whose surprise is at most
    mu; version 1 estimates from the first ``m`` ranks how many tokens to keep. One always stays.

    Args:
        tau: the surprise to hold, bits, above 0, or one for each row.
        eta: the rate of correction, at least 0, or one for each row.
        version: 1 or 2.
        m: how many ranks version 1 looks at, at least 2.
        after_cut: whether S is taken under the distribution that is left, as in llama.cpp; a cut
            that leaves one token then has no surprise at all, and the limit rises.

    Raises:
        ValueError: a value is out of range; a call with tokens that were generated (the state has
            to be carried by ``init`` and ``step``).

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

    def init(self, history: Any, vocab_size: int) -> tuple[Any]:
        """Return the limit mu, bits, float64 [batch]."""
        return (batch_of(np.multiply(2.0, self.tau), history),)

    def narrow(self, scores: Any, state: tuple[Any]) -> Any:
        """Return the scores whose surprise is within the limit."""
        (limit,) = state
        if self.version == 2:
            return scores.above(scores.log_total() - limit * math.log(2))
        return scores.top_k(self._count(scores, limit))

    def _count(self, scores: Any, limit: Any) -> Any:
        """Return how many tokens to keep, from the slope of the first ranks (Zipf's exponent)."""
        xp, vocabulary = scores.xp, max(scores.vocabulary, 2)
        log_prob = scores.log_probs_in_order(min(self.m, vocabulary))
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

    def measured(self, scores: Any, state: tuple[Any]) -> Any:
        """Return the scores whose probabilities it learns from."""
        return self.narrow(scores, state) if self.after_cut else scores

    def learn(self, scores: Any, state: tuple[Any], log_prob: Any) -> tuple[Any]:
        """Return the limit, corrected by the surprise."""
        surprise = -log_prob / math.log(2)
        return (state[0] - scores.numbers(self.eta) * (surprise - scores.numbers(self.tau)),)


@dataclass(frozen=True)
class AdaptiveP(Feedback):
    """Aim at tokens of a ``target`` probability, by the running mean of what was drawn.

    With the weighted sum W of the probabilities drawn so far and the sum N of their weights, the
    aim is ``a = clip(2 * target - W / N, 0, 1)``; a token of probability p gets the logit
    ``5 - 10 d**2 / (1 + d)`` with ``d = abs(p - a) / 0.3``, whatever its logit was.

    Args:
        target: a probability in [0, 1], or one for each row.
        decay: the weight of the past at each step, in [0, 0.99], or one for each row.

    Raises:
        ValueError: a value is out of range; a call with tokens that were generated (the state has
            to be carried by ``init`` and ``step``).

    Source:
        llama.cpp, pull request 17927, 2026.

    Example:
        >>> import numpy as np, logit_sampling as ls
        >>> ls.AdaptiveP(0.3)(np.log([0.6, 0.3, 0.1])).round(2)
        array([0.  , 5.  , 2.33])
    """

    target: Numbers = number(ge=0, le=1)
    decay: Numbers = number(ge=0, le=0.99, default=0.9)

    def init(self, history: Any, vocab_size: int) -> tuple[Any, Any]:
        """Return the weighted sum of probabilities and that of weights, float64 [batch] each."""
        weights = np.divide(1.0, np.subtract(1.0, self.decay))
        sums = np.multiply(self.target, weights)
        return batch_of(sums, history), batch_of(weights, history)

    def narrow(self, scores: Any, state: tuple[Any, Any]) -> Any:
        """Return scores that are greatest near the aim."""
        aim = 2 * scores.numbers(self.target) - state[0] / state[1]

        def logit(probability: Any, aim: Any) -> Any:
            distance = abs(probability - aim) / 0.3
            return 5 - 10 * distance**2 / (1 + distance)

        return scores.mapped(logit, scores.xp.clip(aim, 0.0, 1.0))

    def learn(self, scores: Any, state: tuple[Any, Any], log_prob: Any) -> tuple[Any, Any]:
        """Return both sums with the probability taken in."""
        decay = scores.numbers(self.decay)
        probability = scores.xp.exp(log_prob) + 0 * state[0]
        return probability + decay * state[0], 1 + decay * state[1]
