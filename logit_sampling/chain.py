"""A chain of transforms, and the distribution that it leaves."""

import itertools
from collections.abc import Iterator, Sequence
from typing import Any, Never

from logit_sampling.distribution.arrays import to_numpy
from logit_sampling.distribution.intake import Intake, as_written, quietly, seeds_and_steps, take_in
from logit_sampling.mixture import chance_of, log_mixture, mixture
from logit_sampling.strategies.transform import Transform, states_of


class Chain:
    """Transforms applied left to right: all of a sampler but the draw."""

    def __init__(self, *transforms: Transform, **params: Never) -> None:
        if params:
            raise ValueError(
                f"a sampler takes transforms such as TopK(50), got {', '.join(params)} by name; "
                "Sampler.from_params(...) takes settings by their names"
            )
        for transform in transforms:
            if not isinstance(transform, Transform):
                raise ValueError(
                    f"a sampler takes transforms such as TopK(50), got {transform!r}; pass several "
                    "as separate arguments, and put the class's parameters in parentheses"
                )
        self._transforms = transforms
        # What a call need not ask again.
        self._tensors = tuple(tensor for t in transforms for tensor in t.tensors())
        self._fitted = tuple(t for t in transforms if t.per_row() or t.tensors())
        self._stateless = all(type(t).init is Transform.init for t in transforms)

    @property
    def transforms(self) -> tuple[Transform, ...]:
        """The chain, in the order in which it is applied."""
        return self._transforms

    def get_config(self) -> dict[str, Any]:
        """Return the chain as data that JSON can hold."""
        return {
            "name": type(self).__name__,
            "transforms": [t.get_config() for t in self._transforms],
        }

    @as_written
    @quietly
    def probabilities(
        self,
        logits: Any,
        *,
        history: Any = None,
        prompt_length: Any = 0,
        seed: int | Sequence[int] | None = None,
        step: Any = 0,
    ) -> Any:
        """Return the distribution of the draw, float32 of the shape of the logits; rows sum to 1.

        Arguments and errors are those of a sampler's call. Only a transform that tosses a coin
        (``XTC``) looks at ``seed`` and ``step``; without a seed the result is the mixture over its
        outcomes.
        """
        taken, states = self._take_in(logits, history, prompt_length, seed, step)
        outcomes = self._outcomes(taken, states, seed, step)
        weighted = [(weight, scores.probabilities()) for weight, scores in outcomes]
        return taken.restore(mixture(taken.scores.xp, weighted))

    @as_written
    @quietly
    def log_prob(
        self,
        logits: Any,
        ids: Any,
        *,
        history: Any = None,
        prompt_length: Any = 0,
        seed: int | Sequence[int] | None = None,
        step: Any = 0,
    ) -> Any:
        """Return the log-probability of token ids, float32, in nats; -inf for a removed token.

        Args:
            logits: as in a call.
            ids: token ids, int, of shape ``logits.shape[:-1]``.
            history: as in a call.
            prompt_length: as in a call.
            seed: as for ``probabilities``.
            step: the same.

        Raises:
            ValueError: as in a call; an id outside the vocabulary, or ids of another shape.
        """
        taken, states = self._take_in(logits, history, prompt_length, seed, step, ids)
        if not taken.symbolic:
            ids, wanted = to_numpy(ids), (taken.rows,) if taken.batched else ()
            if ids.dtype.kind not in "iu" or ids.shape != wanted:
                raise ValueError(
                    f"ids must be integers of shape {wanted}, one for each row of logits; got "
                    f"{ids.dtype.name} of shape {ids.shape}"
                )
        outcomes = self._outcomes(taken, states, seed, step)
        weighted = [(weight, scores.log_prob(ids)) for weight, scores in outcomes]
        return taken.restore(log_mixture(taken.scores.xp, weighted))

    def _take_in(
        self, logits: Any, history: Any, prompt_length: Any, *others: Any
    ) -> tuple[Any, list[Any]]:
        taken = self._admit(logits, history, prompt_length, *others)
        if history is None and self._stateless and type(prompt_length) is int and not prompt_length:
            return taken, [()] * len(self._transforms)
        return states_of(self._transforms, taken, history, prompt_length)

    def _admit(self, logits: Any, *others: Any) -> Intake:
        """Take in logits whose rows the parameters fit."""
        taken = take_in(logits, *others, *self._tensors)
        for transform in self._fitted:
            taken = transform.admit(taken)
        return taken

    def _stages(self, scores: Any, states: Sequence[Any]) -> Iterator[Any]:
        """Yield the scores as they came in, after each transform, and those of the draw."""
        yield scores
        for transform, state in zip(self._transforms, states, strict=True):
            scores = transform.act(scores, state)
            yield scores
        yield self._finish(scores)

    def _act(self, scores: Any, states: Sequence[Any]) -> Any:
        for transform, state in zip(self._transforms, states, strict=True):
            scores = transform.act(scores, state)
        return self._finish(scores)

    def _finish(self, scores: Any) -> Any:
        return scores

    def _outcomes(
        self, taken: Any, states: Sequence[Any], seed: Any, step: Any
    ) -> list[tuple[Any, Any]]:
        """Return what the chain leaves for each way the coins may fall, and how likely that is."""
        chances = [taken.scores.numbers(t.chance()) for t in self._transforms if t.tosses_coin]
        if not chances:
            return [(1.0, self._act(taken.scores, states))]
        if seed is not None:
            scores = taken.scores.seeded(*seeds_and_steps(seed, step, taken))
            return [(1.0, self._act(scores, states))]
        falls = itertools.product((True, False), repeat=len(chances))
        return [
            (chance_of(coins, chances), self._act(taken.scores.fixed(coins), states))
            for coins in falls
        ]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(map(repr, self._transforms))})"

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and other._transforms == self._transforms

    def __hash__(self) -> int:
        return hash((type(self), self._transforms))
